# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line of somebody else's file ends where its reader ends it, and nowhere else."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._boot import textlines
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders import grubbytext, grubcfg
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.base import commented
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import parse_entry

ENDS_NOTHING = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\udcff"]


@pytest.mark.parametrize("char", ENDS_NOTHING)
def test_what_ends_no_line_of_a_file_is_part_of_one(char):
    assert textlines.lines(f"a{char}b\nc\n") == [f"a{char}b", "c"]
    assert textlines.entry_lines(f"a{char}b\nc") == [f"a{char}b", "c"]


@pytest.mark.parametrize("char", ENDS_NOTHING)
def test_an_entry_keeps_the_title_and_has_no_options_of_it(char):
    fields = parse_entry(f"title x{char}options iommu=off\r\noptions ro\n")
    assert fields["options"] == "ro" and fields["title"].endswith("iommu=off")


@pytest.mark.parametrize("char", ENDS_NOTHING)
def test_a_menu_entry_of_grub_is_no_second_one_of_its_title(char):
    (entry,) = grubcfg.parse_entries(f"menuentry 'a{char}b' {{\n\tlinux /vmlinuz ro{char}linux /other\n}}\n")
    assert entry.line is not None and entry.line.endswith("linux /other")
    assert grubcfg.parse_environment(f"saved_entry=a{char}next_entry=b\n") == {"saved_entry": f"a{char}next_entry=b"}


@pytest.mark.parametrize("char", ENDS_NOTHING)
def test_what_grubby_prints_of_one_entry_is_no_second_one(char):
    assert len(grubbytext.parse_info(f'index=0\nkernel="/v"\ntitle="a{char}index=1"\n')) == 1


@pytest.mark.parametrize("char", ENDS_NOTHING)
def test_a_hash_in_the_middle_of_a_line_is_no_comment(char):
    assert commented("/x", f"a{char}# b\n") == []
    assert len(commented("/x", "# b\n")) == 1


def test_digits_of_another_script_number_no_entry():
    # GRUB boots the first where there is none of that name (source: grub-core/normal/menu.c get_entry_number).
    entry = grubcfg.default_entry("set default=\"\u00b2\"\nmenuentry 'a' {\n}\nmenuentry 'b' {\n}\nmenuentry 'c' {\n}\n", {})
    assert entry.title == "a"
