# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unified kernel images: what is inside, and what building one anew would change."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import NotUnified, command_line, sections
from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import PresetHost, SystemdBootHost, UkifyHost
from ansible_collections.vfio.host.tests.unit.fake.unified import unified

PRESET = "etc/mkinitcpio.d/linux.preset"


def take(host, args=None, check=False):
    plans = list(run_areas({"cmdline": (host.area, Request(args or {"iommu": "pt"}))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


@pytest.mark.parametrize("kind, call", [
    (PresetHost, ["mkinitcpio", "-p", "linux"]),
    (UkifyHost, ["kernel-install", "add", "6.12.107-amd64"]),
])
def test_the_tool_builds_the_image_anew_and_what_is_inside_is_read(tmp_path, kind, call):
    host = kind(tmp_path)
    calls = len(host.calls)
    assert take(host)["backend"] == "unified"
    assert host.calls[calls:][0][:3] == call
    assert host.boots() == "root=/dev/vda2 ro quiet iommu=pt"


@pytest.mark.parametrize("kind", [PresetHost, UkifyHost])
def test_what_only_the_image_has_would_be_lost_and_is_refused(tmp_path, kind):
    host = kind(tmp_path)
    host.write("etc/kernel/cmdline", "root=/dev/vda2 ro\n")
    with pytest.raises(PlanError, match="has quiet inside, and .* has not"):
        take(host, check=True)


def test_a_drop_in_that_mkinitcpio_adds_counts(tmp_path):
    host = PresetHost(tmp_path)
    host.write("etc/cmdline.d/a.conf", "# x\naudit=1\n")
    host.do_mkinitcpio("-p", "linux")
    take(host)
    assert host.boots() == "root=/dev/vda2 ro quiet iommu=pt audit=1"


@pytest.mark.parametrize("line", ['default_cmdline="/etc/mine"', 'default_options="--cmdline /etc/mine"', 'ALL_cmdline="/x"'])
def test_a_preset_with_a_command_line_of_its_own_is_refused(tmp_path, line):
    host = PresetHost(tmp_path)
    host.write(PRESET, host.read(PRESET) + line + "\n")
    with pytest.raises(PlanError, match="a command line of its own"):
        take(host)


def test_an_image_of_no_known_tool_is_refused_with_the_place(tmp_path):
    host = UkifyHost(tmp_path)
    host.write("etc/kernel/install.conf", "layout=bls\n")
    with pytest.raises(PlanError, match="kernel_cmdline in a file of /etc/dracut.conf.d"):
        take(host)


def test_an_image_that_lies_there_and_did_not_boot_is_not_asked(tmp_path):
    host = SystemdBootHost(tmp_path)
    path = tmp_path / "boot/efi/EFI/Linux/x.efi"
    path.parent.mkdir(parents=True)
    path.write_bytes(unified(cmdline=b"quiet"))
    assert take(host)["backend"] == "kernel-install"


@pytest.mark.parametrize("data, words", [
    (b"", "ends before byte 2"),
    (b"ELF", "does not begin with MZ"),
    (unified(cmdline=b"x")[:100], "ends before"),
    (unified(cmdline=b"x").replace(b"PE\0\0", b"PX\0\0"), "no PE header"),
    (unified(cmdline=b"x").replace(b".linux", b".other"), "no kernel inside"),
])
def test_what_is_no_unified_kernel_image_is_an_error(tmp_path, data, words):
    with pytest.raises(NotUnified, match=words):
        sections(io.BytesIO(data))
    host = PresetHost(tmp_path)
    (tmp_path / host.image).write_bytes(data)
    with pytest.raises(PlanError, match=words):
        take(host)


def test_an_image_without_a_command_line_takes_the_loaders(tmp_path):
    host = PresetHost(tmp_path)
    (tmp_path / host.image).write_bytes(unified())
    with pytest.raises(PlanError, match="no command line inside"):
        take(host)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data):
    for image in (data, unified(cmdline=data), unified(cmdline=b"x")[: len(data)] + data):
        with suppress(NotUnified):
            assert isinstance(command_line(io.BytesIO(image)), (str, type(None)))
