# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GRUB's settings in several files: what is read after ours, and lines of ours at the end of the only one."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import Grub2Host, GrubHost, GrubMkconfigHost

DEFAULTS = "etc/default/grub"
DROPINS = "etc/default/grub.d"


def run(host, args=None, present=True, check=False):
    plans = list(run_areas({"cmdline": (host.area, Request(args, present))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def take(host, check=False):
    return run(host, {"iommu": "pt"}, check=check)


@pytest.mark.parametrize("text", ['GRUB_CMDLINE_LINUX="quiet"\n', "unset GRUB_CMDLINE_LINUX\n", "GRUB_CMDLINE_LINUX=\n"])
@pytest.mark.parametrize("again", [False, True])
def test_a_later_file_that_would_lose_ours_is_named_before_anything_is_touched(tmp_path, text, again):
    host = GrubHost(tmp_path)
    if again:
        take(host)
    host.write(f"{DROPINS}/zzz-mine.cfg", text)
    calls = len(host.calls)
    with pytest.raises(PlanError, match="zzz-mine.cfg sets GRUB_CMDLINE_LINUX anew"):
        run(host, {"iommu": "pt", "nosmt": None}, check=True)
    assert len(host.calls) == calls


def test_ours_can_be_taken_back_where_they_are_lost(tmp_path):
    host = GrubHost(tmp_path)
    take(host)
    host.write(f"{DROPINS}/zzz-mine.cfg", "GRUB_CMDLINE_LINUX=\n")
    assert run(host, None, False)["changed"]
    assert host.read(f"{DROPINS}/zz-vfio-host.cfg") is None


@pytest.mark.parametrize("text", [
    'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX audit=1"\n',
    'GRUB_CMDLINE_LINUX="audit=1 $GRUB_CMDLINE_LINUX"\n',
    'GRUB_CMDLINE_LINUX_DEFAULT="audit=1"\n',
    'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT audit=1"\n',
])
def test_a_later_file_that_adds_something_stays_as_it_is(tmp_path, text):
    host = GrubHost(tmp_path)
    host.write(f"{DROPINS}/zzz-mine.cfg", text)
    host.do_update_grub()
    before = host.boots()
    result = take(host)
    assert result["warnings"] == []
    assert parse(host.boots()).values("audit") == ["1"]
    assert not take(host)["changed"]
    run(host, None, False)
    assert host.boots().split() == before.split()


@pytest.mark.parametrize("variable", ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"])
def test_what_a_later_file_sets_against_it_cannot_be_left_out_and_is_refused(tmp_path, variable):
    host = GrubHost(tmp_path)
    host.write(f"{DROPINS}/zzz-mine.cfg", f'{variable}="${variable} iommu=off"\n')
    with pytest.raises(PlanError, match="zzz-mine.cfg:1, which GRUB's tool reads after"):
        take(host, check=True)


def test_what_a_later_file_sets_as_wished_is_met(tmp_path):
    host = GrubHost(tmp_path)
    host.write(f"{DROPINS}/zzz-mine.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="iommu=pt"\n')
    host.do_update_grub()
    assert not take(host)["changed"]


def test_an_earlier_file_that_sets_it_anew_is_no_matter(tmp_path):
    host = GrubHost(tmp_path)
    host.write(f"{DROPINS}/50-cloud.cfg", 'GRUB_CMDLINE_LINUX="audit=1"\nGRUB_CMDLINE_LINUX_DEFAULT=""\n')
    take(host)
    assert host.boots().split()[2:] == ["audit=1", "iommu=pt"]


@pytest.mark.parametrize("kind", [GrubMkconfigHost, Grub2Host])
@pytest.mark.parametrize("text", [
    "GRUB_CMDLINE_LINUX_DEFAULT='loglevel=4'\n",
    "# a comment\nexport GRUB_CMDLINE_LINUX='a  b' # another\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"",
    'GRUB_CMDLINE_LINUX="audit=1 \\\n quiet"\n\n',
    "",
])
def test_lines_of_ours_stand_at_the_end_and_go_to_the_byte(tmp_path, kind, text):
    host = kind(tmp_path)
    host.write(DEFAULTS, text)
    host.do_update_grub()
    before = host.boots()
    assert take(host)["changed"]
    assert host.read(DEFAULTS).startswith(text)
    assert parse(host.boots()).values("iommu") == ["pt"]
    assert not take(host)["changed"]
    run(host, {"nosmt": None})
    run(host, None, False)
    assert host.read(DEFAULTS) == text
    assert host.boots() == before
    assert not run(host, None, False)["changed"]


def test_what_somebody_writes_behind_our_lines_stays_and_is_named_where_it_would_lose_them(tmp_path):
    host = GrubMkconfigHost(tmp_path)
    take(host)
    host.write(DEFAULTS, host.read(DEFAULTS) + "GRUB_TIMEOUT=3\n")
    assert not take(host)["changed"]
    host.write(DEFAULTS, host.read(DEFAULTS) + "GRUB_CMDLINE_LINUX=x\n")
    with pytest.raises(PlanError, match="etc/default/grub sets GRUB_CMDLINE_LINUX anew"):
        run(host, {"nosmt": None})
    run(host, None, False)
    assert host.read(DEFAULTS).endswith("GRUB_TIMEOUT=3\nGRUB_CMDLINE_LINUX=x\n")
    assert "vfio" not in host.read(DEFAULTS)


def test_a_conflict_is_left_out_with_the_place_where_there_is_one_file_too(tmp_path):
    host = GrubMkconfigHost(tmp_path, "iommu=off quiet")
    assert take(host)["warnings"] == [
        f"iommu=off, set at {tmp_path}/{DEFAULTS}:3, is left out by {tmp_path}/{DEFAULTS}"
    ]
    run(host, None, False)
    assert parse(host.boots()).values("iommu") == ["off"]


@pytest.mark.parametrize("change, words", [
    (lambda text: text.replace("' iommu=pt'", "' iommu=pt'$(reboot)"), "not as this collection wrote it"),
    (lambda text: text.replace("# END vfio.host.kernel_cmdline\n", ""), "not as this collection wrote it"),
    (lambda text: text + text, "not as this collection wrote it"),
])
def test_lines_of_ours_that_somebody_edited_are_an_error(tmp_path, change, words):
    host = GrubMkconfigHost(tmp_path)
    take(host)
    host.write(DEFAULTS, change(host.read(DEFAULTS)))
    with pytest.raises(PlanError, match=words):
        take(host)


def test_a_file_that_ends_in_the_middle_of_a_line_is_refused(tmp_path):
    host = GrubMkconfigHost(tmp_path)
    host.write(DEFAULTS, 'GRUB_CMDLINE_LINUX="a" \\\n')
    with pytest.raises(PlanError, match="in the middle of a line"):
        take(host)


def test_no_defaults_at_all_is_an_error_that_says_what_to_do(tmp_path):
    host = GrubMkconfigHost(tmp_path)
    (tmp_path / DEFAULTS).unlink()
    with pytest.raises(PlanError, match="create it"):
        take(host)


def test_a_menu_on_the_efi_system_partition_that_may_be_the_one_that_boots_is_refused(tmp_path):
    host = Grub2Host(tmp_path)
    host.write("boot/efi/EFI/redhat/grub.cfg", "menuentry 'x' {\n linux /x\n}\n")
    with pytest.raises(PlanError, match="EFI/redhat/grub.cfg has menu entries"):
        take(host)
    host.write("boot/efi/EFI/redhat/grub.cfg", "configfile $prefix/grub.cfg\n")
    assert take(host)["changed"]


@pytest.mark.parametrize("kind", [GrubHost, GrubMkconfigHost])
@pytest.mark.parametrize("text, words", [
    ('GRUB_CMDLINE_LINUX="quiet\n', "Unterminated quoted string|unexpected EOF"),
    ("GRUB_CMDLINE_LINUX=quiet\nnosuchprogram\n", "not found"),
    ("GRUB_CMDLINE_LINUX=quiet\nfalse\n", "status 1"),
])
def test_settings_that_no_shell_reads_are_named_with_what_the_shell_says(tmp_path, kind, text, words):
    host = kind(tmp_path)
    host.write(DEFAULTS, text)
    with pytest.raises(PlanError, match=f"a shell cannot read .*/etc/default/grub, so that GRUB's tool would fail as well: .*({words}).*; mend the line"):
        take(host, check=True)
