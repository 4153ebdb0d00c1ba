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
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._cmdline.loaders.setting import snapshot

PRESET = "etc/mkinitcpio.d/linux.preset"


def run(host, request, check=False):
    plans = list(run_areas({"cmdline": (host.area, request)}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def take(host, args=None, check=False):
    return run(host, Request(args or {"iommu": "pt"}), check)


def give_back(host):
    return run(host, Request(None, False))


@pytest.mark.parametrize("kind, call, own", [
    (PresetHost, ["mkinitcpio", "-p", "linux"], ""),
    (UkifyHost, ["kernel-install", "add", "6.12.107-amd64"], " systemd.machine_id=0123"),
])
def test_the_tool_builds_the_image_anew_and_what_is_inside_is_read(tmp_path, kind, call, own):
    host = kind(tmp_path)
    calls = len(host.calls)
    assert take(host)["backend"] == "unified"
    assert host.calls[calls:][0][:3] == call
    assert host.boots() == "root=/dev/vda2 ro quiet iommu=pt" + own


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


@pytest.mark.parametrize("files", [
    {"etc/cmdline.d/root.conf": "root=/dev/vda2 rw\n", "etc/cmdline.d/z.conf": "# z\nquiet\n"},
    {"usr/lib/kernel/cmdline": "root=/dev/vda2 rw quiet\n"}, {"usr/lib/kernel/cmdline": "root=/dev/vda2 rw\n", "etc/cmdline.d/z.conf": "quiet\n"},
])
def test_a_host_without_the_file_gets_one_beside_what_it_has_and_loses_it_again(tmp_path, files):
    host = PresetHost(tmp_path)
    (tmp_path / "etc/kernel/cmdline").unlink()
    for path, text in files.items():
        host.write(path, text)
    host.do_mkinitcpio("-p", "linux")
    before = snapshot(host)
    take(host)
    assert set(host.boots().split()) == {"root=/dev/vda2", "rw", "quiet", "iommu=pt"} and len(host.boots().split()) == 4
    assert not take(host)["changed"]
    take(host, {"intel_iommu": "on"})
    assert not take(host)["changed"]
    assert give_back(host)["changed"]
    assert snapshot(host) == before
    assert not give_back(host)["changed"]


def test_a_host_without_any_such_file_is_refused(tmp_path):
    host = PresetHost(tmp_path)
    (tmp_path / "etc/kernel/cmdline").unlink()
    with pytest.raises(PlanError, match="is absent or empty, and the tool then takes what the running kernel was started with"):
        take(host, check=True)


@pytest.mark.parametrize("path", ["efi/EFI/Linux/arch-linux.efi.extra.d/a.addon.efi", "efi/loader/addons/A.ADDON.EFI", "boot/loader/addons/a.addon.efi"])
def test_an_addon_against_the_wish_is_named_and_another_is_left_alone(tmp_path, path):
    host = PresetHost(tmp_path)
    for data in (unified(cmdline=b"iommu=off"), unified(cmdline=b"iommu=off").replace(b".linux", b".other")):
        host.write(path, "")
        (tmp_path / path).write_bytes(data)
        with pytest.raises(PlanError, match=f"iommu=off is set in .*/{path}, which systemd-stub adds"):
            take(host, check=True)
    for data in (unified(cmdline=b"audit=1"), unified(other=b"x")):
        (tmp_path / path).write_bytes(data)
        assert take(host, check=True)["changed"]
    (tmp_path / path).write_bytes(b"MZ")
    with pytest.raises(PlanError, match="cannot be read as a unified kernel image"):
        take(host, check=True)


def test_a_drop_in_against_the_wish_is_named_before_anything_is_built(tmp_path):
    host = PresetHost(tmp_path)
    host.write("etc/cmdline.d/a.conf", "audit=1\n")
    host.write("etc/cmdline.d/b.conf", "iommu=off\n")
    host.do_mkinitcpio("-p", "linux")
    calls = len(host.calls)
    with pytest.raises(PlanError, match="iommu=off is set in .*/etc/cmdline.d/b.conf"):
        take(host, check=True)
    assert len(host.calls) == calls


def test_drop_ins_count_in_the_tool_s_order_and_in_directories_too(tmp_path):
    host = PresetHost(tmp_path)
    for name, text in {"10-b.conf": "b", "9-a.conf": "a", "sub/deep/c.conf": "c", ".h.conf": "h"}.items():
        host.write(f"etc/cmdline.d/{name}", text + "\n")
    host.do_mkinitcpio("-p", "linux")
    before = host.boots()
    take(host)
    assert host.boots() == "root=/dev/vda2 ro quiet iommu=pt h a b c"
    assert give_back(host)["changed"] and host.boots() == before
    host.write("etc/cmdline.d/sub/deep/c.conf", "iommu=off\n")
    host.do_mkinitcpio("-p", "linux")
    with pytest.raises(PlanError, match="iommu=off is set in .*/etc/cmdline.d/sub/deep/c.conf"):
        take(host, check=True)


def test_what_a_drop_in_says_too_stays_when_ours_is_taken_back(tmp_path):
    host = PresetHost(tmp_path)
    host.write("etc/cmdline.d/a.conf", "iommu=pt\n")
    host.do_mkinitcpio("-p", "linux")
    before = host.boots()
    take(host)
    assert give_back(host)["changed"]
    assert (host.boots(), host.read("etc/kernel/cmdline")) == (before, "root=/dev/vda2 ro quiet\n")
    assert not give_back(host)["changed"]


def test_the_machine_s_id_that_kernel_install_puts_in_is_nobody_s_argument(tmp_path):
    host = UkifyHost(tmp_path)
    before = host.boots()
    assert take(host)["changed"]
    assert not take(host)["changed"]
    give_back(host)
    assert host.boots() == before


@pytest.mark.parametrize("line, args", [('root=/dev/vda2 x="a  b"', {"iommu": "pt"}), ("root=/dev/vda2 ro quiet", {"x": "a  b"})])
def test_white_space_of_which_kernel_install_would_make_one_blank_is_refused(tmp_path, line, args):
    host = UkifyHost(tmp_path)
    host.write("etc/kernel/cmdline", line + "\n")
    host.do_kernel_install("add", host.version, "")
    with pytest.raises(PlanError, match='x="a  b" has white space that is not one blank, of which kernel-install would make one'):
        take(host, args, check=True)


@pytest.mark.parametrize("says", ["booted", "token", "machine", "id"])
def test_an_image_of_another_system_with_a_kernel_of_the_same_version_stays(tmp_path, says):
    host = UkifyHost(tmp_path)
    if says != "booted":
        host.loader_variable("StubImageIdentifier", "")
    if says == "token":
        host.write("etc/kernel/entry-token", "0123\n")
        host.write("etc/os-release", "ID=fedora\n")
    if says == "id":
        host.write("etc/machine-id", "4567\n")
        host.write("usr/lib/os-release", 'NAME=x\nID="0123"\n')
    other = tmp_path / f"efi/EFI/Linux/fedora-{host.version}.efi"
    data = unified(cmdline=b"root=/dev/other")
    other.write_bytes(data)
    assert take(host)["changed"]
    assert not take(host)["changed"]
    assert other.read_bytes() == data


def test_an_image_with_a_counter_of_boots_is_the_one_that_booted(tmp_path):
    host = UkifyHost(tmp_path)
    (tmp_path / host.image).rename(tmp_path / f"efi/EFI/Linux/0123-{host.version}+3.efi")
    (tmp_path / f"efi/EFI/Linux/fedora-{host.version}.efi").write_bytes(unified(cmdline=b"root=/dev/other"))
    host.write("etc/machine-id", "")
    host.loader_variable("StubImageIdentifier", f"\\EFI\\LINUX\\0123-{host.version}+2-1.efi")
    assert [name.rpartition("/")[2] for name, dummy in host.area.look(host.area.scan()).boot.entries] == [f"0123-{host.version}+3.efi"]


@pytest.mark.parametrize("path, text", [
    ("etc/kernel/install.conf.d/10-uki.conf", "layout=uki\n"),
    ("usr/lib/kernel/install.conf.d/10-uki.conf", "layout=uki\n"),
    ("run/kernel/install.conf", "layout=uki\n"),
    ("usr/local/lib/kernel/install.conf", "layout=uki\n"),
    ("usr/lib/kernel/install.conf", 'layout="uki"\n'),
    ("usr/lib/kernel/install.conf", "# DOS\r\nlayout=uki\r\n"),
])
def test_wherever_kernel_install_is_told_to_make_images_it_is_read(tmp_path, path, text):
    host = UkifyHost(tmp_path)
    (tmp_path / "etc/kernel/install.conf").unlink()
    host.write(path, text)
    assert take(host)["changed"]


def test_a_drop_in_that_has_it_make_entries_instead_counts_last(tmp_path):
    host = UkifyHost(tmp_path)
    host.write("usr/lib/kernel/install.conf.d/90-x.conf", "layout=bls\n")
    with pytest.raises(PlanError, match="nor kernel-install with layout=uki builds it"):
        take(host)
    # A file of /etc takes the place of its namesake.
    host.write("etc/kernel/install.conf.d/90-x.conf", "")
    assert take(host)["changed"]


def test_an_empty_command_line_of_a_preset_is_none(tmp_path):
    host = PresetHost(tmp_path)
    host.write(PRESET, host.read(PRESET) + 'default_cmdline=""\nALL_cmdline=\n')
    assert take(host)["changed"]


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


@pytest.mark.parametrize("signature", [b"", b"signed"])
def test_an_image_that_is_built_anew_without_its_signature_is_told(tmp_path, signature):
    host = PresetHost(tmp_path)
    (tmp_path / host.image).write_bytes(unified(cmdline=host.boots().encode(), signature=signature))
    assert any("was signed, and was built anew without a signature" in one for one in take(host)["warnings"]) == bool(signature)


class CountingHost(UkifyHost):
    """Of a machine whose new images have a counter of boots in their names (source: 90-uki-copy.install of systemd, tries)."""

    def do_kernel_install(self, verb, version, dummy):
        plain, counted = (f"efi/EFI/Linux/0123-{version}{counter}.efi" for counter in ("", "+3"))
        self.image = plain
        super().do_kernel_install(verb, version, dummy)
        if self.read("etc/kernel/tries"):
            (self.root / plain).rename(self.root / counted)
            self.image = counted
            (self.root / counted).write_bytes(unified(cmdline=self.boots().encode(), signature=b"signed"))


def test_an_image_that_gets_a_counter_of_boots_is_the_one_that_was_signed(tmp_path):
    host = CountingHost(tmp_path)
    (tmp_path / host.image).write_bytes(unified(cmdline=host.boots().encode(), signature=b"signed"))
    before = host.read("etc/kernel/cmdline")
    host.write("etc/kernel/tries", "3\n")
    result = take(host)
    assert result["changed"] and not [one for one in result["warnings"] if "without a signature" in one]
    assert "iommu=pt" in host.boots() and not take(host)["changed"]
    assert run(host, Request(None, False))["changed"]
    assert host.read("etc/kernel/cmdline") == before and "iommu=pt" not in host.boots()
