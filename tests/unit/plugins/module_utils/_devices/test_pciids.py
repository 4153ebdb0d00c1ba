# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.pciids import Dictionary
from ansible_collections.vfio.host.tests.unit.fake.hosts import PCI_IDS


def dictionary(text, paths=("/ids",)):
    return Dictionary(list(paths), {"/ids": text}.get)


@pytest.fixture
def ids():
    return dictionary(PCI_IDS.encode())


def test_vendor_and_device_have_names(ids):
    assert ids.names("8086", "10d3") == ("Intel Corporation", "82574L Gigabit Network Connection")


def test_the_last_vendor_has_a_name(ids):
    assert ids.names("ffff", "0000") == ("Illegal Vendor ID", None)


def test_a_device_of_another_vendor_has_none(ids):
    assert ids.names("1234", "10d3") == ("Technical Corp.", None)


def test_a_subsystem_is_no_device(ids):
    assert ids.names("8086", "0001") == ("Intel Corporation", None)
    assert ids.names("8086", "8086") == ("Intel Corporation", None)


def test_an_unknown_vendor_has_no_names(ids):
    assert ids.names("abcd", "10d3") == (None, None)


def test_without_the_file_there_are_no_names():
    assert dictionary(None).names("8086", "10d3") == (None, None)
    assert dictionary(b"").names("8086", "10d3") == (None, None)


def test_the_first_file_that_is_there_counts_and_is_read_once():
    asked = []

    def read(path):
        asked.append(path)
        return PCI_IDS.encode() if path == "/second" else None

    ids = Dictionary(["/first", "/second", "/third"], read)
    assert ids.names("8086", "10c9")[1] == "82576 Gigabit Network Connection"
    assert ids.names("8086", "10d3")[0] == "Intel Corporation"
    assert asked == ["/first", "/second"]


def test_a_comment_inside_a_vendors_devices_does_not_end_them():
    assert dictionary(b"8086  Intel\n# old\n\t1111  One\n\n\t2222  Two\n").names("8086", "2222") == ("Intel", "Two")
