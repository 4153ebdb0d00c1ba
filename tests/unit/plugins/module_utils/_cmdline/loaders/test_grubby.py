# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""grubby, and the files beside the entries that it and later kernels take arguments from."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubbytext import value_of
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.grubby import GrubbyHost

DEFAULTS = """\
GRUB_TIMEOUT=5
#GRUB_CMDLINE_LINUX="x"
GRUB_CMDLINE_LINUX="console=tty0  quiet" # ours
GRUB_CMDLINE_LINUX_DEFAULT="loglevel=3"
GRUB_CMDLINE_LINUX_RECOVERY="single"
"""
QUOTED = """GRUB_CMDLINE_LINUX='dyndbg="module vfio  +p" quiet'\n"""
CMDLINE = "etc/kernel/cmdline"
MEMTEST = "linux /memtest86+x64.efi\n"
WINDOWS = "efi /EFI/Microsoft/Boot/bootmgfw.efi\noptions  a  b\n"


class WithoutOption(GrubbyHost):
    entries_only = False


class Old(WithoutOption):
    keeps_files = True


@pytest.fixture(params=[GrubbyHost, WithoutOption, Old])
def kind(request):
    return request.param


def run(host, args=None, present=True, check=False):
    plans = list(run_areas({"cmdline": (host.area, Request(args, present))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def take(host, check=False):
    return run(host, {"iommu": "pt"}, check=check)


def back(host):
    return run(host, None, False)


def options(host, name):
    text = host.read(f"boot/loader/entries/{name}.conf")
    return [line[8:] for line in text.splitlines() if line.startswith("options ")]


@pytest.mark.parametrize("text, wanted", [
    (DEFAULTS, DEFAULTS.replace('tty0  quiet"', 'tty0  quiet iommu=pt"')),
    (QUOTED, QUOTED.replace("quiet'", "quiet iommu=pt'")),
    ('GRUB_CMDLINE_LINUX=""\n', 'GRUB_CMDLINE_LINUX="iommu=pt"\n'),
    ('export GRUB_CMDLINE_LINUX="a=\\"b c\\""\n', 'export GRUB_CMDLINE_LINUX="a=\\"b c\\" iommu=pt"\n'),
    ("GRUB_TIMEOUT=5\n", "GRUB_TIMEOUT=5\n"),
])
def test_of_grubs_defaults_one_value_changes_and_comes_back_to_the_byte(kind, tmp_path, text, wanted):
    host = kind(tmp_path)
    host.write("etc/default/grub", text)
    predicted = take(host, check=True)
    assert host.read("etc/default/grub") == text
    assert predicted == take(host)
    assert host.read("etc/default/grub") == wanted
    assert (f"{tmp_path}/etc/default/grub" in [part["before_header"] for part in predicted["diff"]]) == (text != wanted)
    assert not take(host)["changed"]
    back(host)
    assert host.read("etc/default/grub") == text


@pytest.mark.parametrize("text", [
    'GRUB_CMDLINE_LINUX="console=tty0 \\\nquiet"\nGRUB_CMDLINE_LINUX_DEFAULT="x"\n',
    'GRUB_CMDLINE_LINUX="quiet"\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX ro"\n',
    "GRUB_CMDLINE_LINUX=quiet\n",
    'GRUB_CMDLINE_LINUX="quiet"\nGRUB_CMDLINE_LINUX+=" ro"\n',
    "GRUB_CMDLINE_LINUX=\"a\"'b'\n",
])
def test_grubs_defaults_that_are_not_one_quoted_value_stay_with_a_warning(kind, tmp_path, text):
    host = kind(tmp_path)
    host.write("etc/default/grub", text)
    assert f"{tmp_path}/etc/default/grub does not set GRUB_CMDLINE_LINUX once" in "".join(take(host)["warnings"])
    assert host.read("etc/default/grub") == text
    assert take(host)["warnings"] == []
    back(host)
    assert host.read("etc/default/grub") == text


def test_a_value_is_found_between_its_quotes():
    for text in (DEFAULTS, QUOTED):
        begin, end = value_of(text)
        assert text[end] in "\"'"
        assert text[begin - 1] == text[end]
        assert text[begin:end].endswith("quiet")


def test_what_a_new_kernel_starts_with_is_made_from_the_default_entry_and_goes_again(kind, tmp_path):
    host = kind(tmp_path, "ro $tuned_params console=ttyS0")
    predicted = take(host, check=True)
    assert host.read(CMDLINE) is None
    assert predicted == take(host)
    assert host.read(CMDLINE) == "root=/dev/vda2 ro console=ttyS0 iommu=pt\n"
    assert {"before": "", "after": host.read(CMDLINE)}.items() <= next(
        part for part in predicted["diff"] if part["before_header"] == f"{tmp_path}/{CMDLINE}"
    ).items()
    back(host)
    assert host.read(CMDLINE) is None


def test_it_goes_too_when_the_last_argument_is_removed_by_name(tmp_path):
    host = GrubbyHost(tmp_path)
    run(host, {"iommu": "pt", "nosmt": None})
    run(host, {"nosmt": None}, present=False)
    assert host.read(CMDLINE) == "root=/dev/vda2 ro quiet iommu=pt\n"
    run(host, {"iommu": "pt"}, present=False)
    assert host.read(CMDLINE) is None


def test_it_stays_where_somebody_added_to_it_since(tmp_path):
    host = GrubbyHost(tmp_path)
    take(host)
    host.write(CMDLINE, host.read(CMDLINE).replace("quiet", "quiet nosmt"))
    back(host)
    assert host.read(CMDLINE) == "root=/dev/vda2 ro quiet nosmt\n"
    assert host.read("var/lib/vfio-host/kernel-cmdline") is None


@pytest.mark.parametrize("text", ["root=/dev/vda2  ro\n", "root=/dev/vda2 ro\nquiet\n"])
def test_what_a_new_kernel_starts_with_keeps_its_other_bytes(kind, tmp_path, text):
    host = kind(tmp_path)
    host.write(CMDLINE, text)
    take(host)
    assert host.read(CMDLINE) == text[:-1] + " iommu=pt\n"
    assert not take(host)["changed"]
    back(host)
    assert host.read(CMDLINE) == text


def test_entries_that_have_it_already_do_not_hide_that_new_kernels_would_not(tmp_path):
    host = GrubbyHost(tmp_path, "ro iommu=pt")
    host.write(CMDLINE, "root=/dev/vda2 ro\n")
    assert take(host)["changed"]
    assert host.calls == []
    assert host.read(CMDLINE) == "root=/dev/vda2 ro iommu=pt\n"
    assert not take(host)["changed"]
    result = back(host)
    assert (host.read(CMDLINE), result["reboot_required"]) == ("root=/dev/vda2 ro\n", False)


@pytest.mark.parametrize("text", [MEMTEST, WINDOWS])
@pytest.mark.parametrize("name", ["0000-other", "zz-other"])
def test_an_entry_of_something_else_is_left_out_and_named(kind, tmp_path, text, name):
    host = kind(tmp_path)
    host.add_entry(name, text)
    before = host.read(f"boot/loader/entries/{name}.conf")
    result = take(host)
    assert [f"/boot/loader/entries/{name}.conf starts no Linux kernel" in one for one in result["warnings"]] == [True]
    assert host.boots().endswith(" iommu=pt")
    assert not take(host)["changed"]
    back(host)
    assert host.read(f"boot/loader/entries/{name}.conf") == before


def test_entries_of_something_else_alone_are_an_error(tmp_path):
    host = GrubbyHost(tmp_path)
    for path in host.paths():
        path.write_text("title Memory test\n" + MEMTEST)
    with pytest.raises(PlanError, match="names no kernel with options"):
        take(host)


@pytest.mark.parametrize("line", ['dyndbg="file drivers/vfio/*  +p"', "a=b&c", "a=\\b", 'x="a iommu=off b"'])
def test_an_argument_of_others_that_grubby_would_change_is_refused(tmp_path, line):
    host = GrubbyHost(tmp_path, f"ro {line} quiet")
    for check in (True, False):
        with pytest.raises(PlanError) as caught:
            take(host, check)
        assert len(caught.value.messages) == 2
        assert f"entries/0123-6.11.4.conf: grubby, a shell script around sed, would change the argument {line}" in str(
            caught.value
        )
        assert "then run again" in str(caught.value)
    assert host.calls == []


@pytest.mark.parametrize("line", ['dyndbg="module vfio +p"', "k='v'", "a=b/c,d:e"])
def test_an_argument_of_others_that_it_carries_is_not(tmp_path, line):
    host = GrubbyHost(tmp_path, f"ro {line} quiet")
    before = host.boots()
    take(host)
    assert host.boots() == before + " iommu=pt"
    back(host)
    assert host.boots() == before


def test_an_argument_that_an_entry_has_twice_goes_twice(tmp_path):
    host = GrubbyHost(tmp_path, "ro console=ttyS0 quiet console=ttyS0")
    run(host, {"console": "ttyS0"}, present=False)
    assert host.boots() == "root=/dev/vda2 ro quiet"


def test_two_lines_of_options_are_refused(tmp_path):
    host = GrubbyHost(tmp_path)
    host.add_entry("0123-6.11.3", "linux /vmlinuz-6.11.3\noptions root=/dev/vda2\noptions ro\n")
    with pytest.raises(PlanError, match="0123-6.11.3.conf has 2 lines of options"):
        take(host)
    assert host.calls == []


def test_a_kernel_with_a_second_entry_of_other_arguments_is_no_error(tmp_path):
    host = GrubbyHost(tmp_path)
    host.add_entry("0123-6.11.4~debug", "linux /vmlinuz-6.11.4\noptions root=/dev/vda2 ro debug\n")
    take(host)
    assert options(host, "0123-6.11.4~debug") == ["root=/dev/vda2 ro debug iommu=pt"]


def test_arguments_that_entries_share_are_set_where_they_share_them(tmp_path):
    host = GrubbyHost(tmp_path, "$kernelopts")
    take(host)
    assert host.boots() == "root=/dev/vda2 rhgb crashkernel=1G iommu=pt"
    assert options(host, "0123-6.11.4") == ["root=/dev/vda2 $kernelopts"]
    assert host.read(CMDLINE) is None
    assert not take(host)["changed"]
    back(host)
    assert host.boots() == "root=/dev/vda2 rhgb crashkernel=1G"


@pytest.mark.parametrize("path, text", [
    ("boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=0123-6.11.4\ntuned_params=iommu=off nohz=on\n###\n"),
    ("boot/grub2/grub.cfg", 'set tuned_params="iommu=off nohz=on"\nblscfg\n'),
])
def test_what_grub_puts_in_the_place_of_a_variable_is_named_where_it_is_against_a_wish(tmp_path, path, text):
    host = GrubbyHost(tmp_path, "ro quiet $tuned_params")
    assert run(host, {"iommu": "pt"})["changed"]
    host.write(path, text)
    with pytest.raises(PlanError, match=r"iommu=off is set in .*/grub(env|.cfg) \(variable tuned_params\), which GRUB adds"):
        run(host, {"iommu": "pt"}, check=True)
    assert run(host, {"nohz": "on"})["changed"]
    assert run(host, None, False)["changed"]
    assert "$tuned_params" in host.boots()


def test_arguments_that_grubby_does_not_find_are_refused(tmp_path):
    host = GrubbyHost(tmp_path, "$kernelopts iommu=off")
    with pytest.raises(PlanError, match=r"has iommu=off beside \$kernelopts"):
        take(host)
    host = GrubbyHost(tmp_path / "unset", "$kernelopts")
    host.write("boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=0123-6.11.4\n")
    with pytest.raises(PlanError, match="takes its arguments from kernelopts, which grub2-editenv list does not name"):
        take(host)
    assert host.calls == []


def test_a_run_that_broke_off_before_zipl_runs_it_again(tmp_path):
    host = GrubbyHost(tmp_path)
    host.program("zipl")
    host.write("etc/zipl.conf", "[defaultboot]\ndefaultauto\n")
    take(host)
    path = "var/lib/vfio-host/kernel-cmdline"
    host.write(path, host.read(path).replace('"finished": true', '"finished": false'))
    host.calls.clear()
    take(host)
    assert host.calls == [["zipl"]]


@pytest.mark.parametrize("text", [
    "linux /vmlinuz-0-rescue-1\noptions root=/dev/vda2 ro single\n",
    "linux /vmlinuz-9\noptions root=UUID=other ro iommu=off\n",
    "linux /memtest86+x64.efi\n",
    "efi /EFI/Microsoft/Boot/bootmgfw.efi\n",
])
def test_entries_for_rescue_and_of_others_stay_to_the_byte_whatever_fails(tmp_path, text):
    host = GrubbyHost(tmp_path)
    host.add_entry("zzz-other", text)
    path = tmp_path / "boot/loader/entries/zzz-other.conf"
    before = path.read_bytes()
    host.fail["grubby"] = 1
    with pytest.raises(ApplyError):
        run(host, {"iommu": "pt"})
    assert path.read_bytes() == before
    run(host, {"iommu": "pt"})
    assert path.read_bytes() == before
    assert [call[1] for call in host.calls if call[0] == "grubby"][-2:] == ["--update-kernel=1", "--update-kernel=2"]
    run(host, None, False)
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["ro -- x", "ro quiet --", "ro iommu=off -- quiet"])
def test_a_line_on_which_what_is_added_would_be_inits_is_refused_before(kind, tmp_path, line):
    host = kind(tmp_path, line)
    with pytest.raises(PlanError, match="has a bare --, behind which grubby adds arguments"):
        take(host, check=True)
    assert host.calls == []
