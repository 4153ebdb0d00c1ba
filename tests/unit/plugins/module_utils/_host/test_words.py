# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Python alone takes for white space is a part of a name, wherever the host's texts are taken apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import parse_entry
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubbytext import edited
from ansible_collections.vfio.host.plugins.module_utils._competitors import ini
from ansible_collections.vfio.host.plugins.module_utils._competitors.attributes import sysfs_conf_claims, tmpfiles_claims
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.words import nearest, number, trimmed, words
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import parse_load, split_options
from ansible_collections.vfio.host.plugins.module_utils._memlock.records import parse_limits

ODD = ["\x85", "\xa0", "\u2028", "\x1c"]


@pytest.mark.parametrize("odd", ODD)
def test_a_word_ends_at_the_white_space_of_c(odd):
    assert words(f" a{odd}b\tc\r\n") == [f"a{odd}b", "c"]
    assert words(f"a b{odd} c d ", 3) == ["a", f"b{odd}", "c d"]
    assert trimmed(f" {odd} ") == odd
    assert words(" \n") == words("") == []


@pytest.mark.parametrize(("text", "expected"), [("07", 7), ("9" * 11, None), ("9" * 5000, None), ("²", None), ("٣", None), ("", None), ("-1", None)])
def test_a_number_has_few_ascii_digits(text, expected):
    assert number(text) == expected


@pytest.mark.parametrize("odd", ODD)
def test_an_interface_may_have_it_in_its_name(odd):
    path = f"class/net/a{odd}b/device/sriov_numvfs"
    assert [one.value for one in tmpfiles_claims(f"w /sys/{path} - - - - 4\n", "x")] == ["4"]
    assert [one.value for one in sysfs_conf_claims(f"{path} = 4\n", "x")] == ["4"]
    assert [one.value for one in ini.parse(f"[Match]\nOriginalName=a{odd}\n", "x")] == [f"a{odd}"]


@pytest.mark.parametrize("odd", ODD)
def test_a_file_and_an_argument_may_have_it(odd):
    assert parse_entry(f"initrd /a{odd}b\noptions x={odd} y{odd}\n") == {"initrd": f"/a{odd}b", "options": f"x={odd} y{odd}"}
    assert edited(f"a=x{odd}y quiet", remove=["quiet"], add=["b"]) == f"a=x{odd}y b"
    assert split_options(f"a=x{odd}y b") == [("a", f"x{odd}y"), ("b", None)]
    assert list(parse_load(f"a{odd}b\n", "x")) == [f"a{odd}b"]


@pytest.mark.parametrize("size", ["9" * 5000, "²", "-1"])
def test_a_limit_that_no_run_has_written_is_named(size):
    with pytest.raises(PlanError, match="line 1: no run of ours wrote this"):
        parse_limits(f"vm - memlock {size}\n", "x")


@pytest.mark.parametrize(("most", "cutoff", "expected"), [(3, 0.6, ["vfio-pci", "vfio-pc"]), (1, 0.6, ["vfio-pci"]), (3, 1, [])])
def test_the_nearest_words_come_first_and_only_so_many_of_them(most, cutoff, expected):
    assert nearest("vfio-pcie", iter(["nvme", "vfio-pc", "vfio-pci"]), most=most, cutoff=cutoff) == expected


def test_nothing_is_loaded_to_compare_words_before_one_is_wrong():
    code = "import sys; sys.path[:] = {0!r}; from {1} import driver_override, pci_facts; sys.exit('difflib' in sys.modules)"
    script = code.format(sys.path, "ansible_collections.vfio.host.plugins.modules")
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
