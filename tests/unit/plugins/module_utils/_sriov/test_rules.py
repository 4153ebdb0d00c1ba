# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules files of numbers and probes: what they say, and what of them is read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._sriov.rules import PfRecord, parse, render
from ansible_collections.vfio.host.tests.unit.fake.udev import parse_file

IDS = {"vendor": "8086", "device": "10c9", "subsystem_vendor": "8086", "subsystem_device": "a03c", "class": "020000"}
ONE = PfRecord("0000:01:00.0", IDS, ("0000:01:10.0",), False, {"numvfs": 0, "autoprobe": True})


def rules(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_without_records_there_are_no_files():
    assert render([]) == (None, None)


def test_what_is_written_is_read_back():
    records = [ONE, replace(ONE, address="0000:02:00.0", vfs=(), autoprobe=True)]
    assert parse(render(records)[0], "x") == records
    assert parse(render(records)[1], "x") == []


def test_the_number_is_set_while_probing_is_off_and_no_vf_is_there():
    assert rules(render([ONE])[0]) == [
        'ACTION=="add|bind", SUBSYSTEM=="pci", KERNEL=="0000:01:00.0", ATTR{vendor}=="0x8086", ATTR{device}=="0x10c9", '
        'ATTR{subsystem_vendor}=="0x8086", ATTR{subsystem_device}=="0xa03c", ATTR{class}=="0x020000", DRIVER=="?*", '
        'ENV{VFIO_HOST_SRIOV}="0000:01:00.0"',
        'ENV{VFIO_HOST_SRIOV}=="0000:01:00.0", TEST!="virtfn0", ATTR{sriov_drivers_autoprobe}="0", ATTR{sriov_numvfs}="1"',
    ]


def test_without_autoprobe_only_what_a_policy_notes_is_probed():
    assert rules(render([ONE])[1]) == [
        'ENV{VFIO_HOST_SRIOV}=="0000:01:00.0", ENV{VFIO_HOST_NATIVE_0000:01:10.0}=="1", TEST!="[pci/0000:01:10.0]driver", '
        'ATTR{sriov_drivers_autoprobe}="1", ATTR{[subsystem/pci]drivers_probe}="0000:01:10.0"',
        'ENV{VFIO_HOST_SRIOV}=="0000:01:00.0", ATTR{sriov_drivers_autoprobe}="0"',
    ]


def test_with_autoprobe_all_are_probed():
    assert rules(render([replace(ONE, autoprobe=True)])[1]) == [
        'ENV{VFIO_HOST_SRIOV}=="0000:01:00.0", ATTR{sriov_drivers_autoprobe}="1"',
        'ENV{VFIO_HOST_SRIOV}=="0000:01:00.0", TEST!="[pci/0000:01:10.0]driver", '
        'ATTR{[subsystem/pci]drivers_probe}="0000:01:10.0"',
    ]


def test_every_line_is_one_that_udev_takes():
    for text in render([ONE, replace(ONE, address="0000:02:00.0", autoprobe=True)]):
        assert all(parse_file(text))


@pytest.mark.parametrize("old, new", [
    ('"0000:01:10.0"', '"0000:01:10.0\\", RUN+=\\"x"'),
    ('"numvfs": 0', '"numvfs": "0"'),
    ('"8086"', '"80\\"86"'),
    ('"was"', '"were"'),
])
def test_a_record_that_no_run_wrote_is_an_error_with_file_and_line(old, new):
    text = render([ONE])[0]
    assert old in text
    with pytest.raises(PlanError, match="^/x, line 4: this record cannot be read"):
        parse(text.replace(old, new, 1), "/x")
