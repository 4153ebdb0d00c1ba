# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
from ansible_collections.vfio.host.plugins.module_utils._initramfs import image as image_module
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import Unreadable, digest, findings, is_to_hold, read_image
from ansible_collections.vfio.host.tests.unit.fake.images import OPTIONS, RULES, cpio, image


@pytest.fixture
def read(tmp_path):
    def run(data):
        (tmp_path / "image").write_bytes(data)
        return read_image(ImageFiles(str(tmp_path)), str(tmp_path / "image"))

    return run


def test_an_image_is_read_through_its_microcode_and_its_compression(read):
    content = read(image({RULES[1:]: b"rules\n", "etc/passwd": b"x" * 3}))
    assert content.held == {RULES: digest("rules\n")}
    assert content.has_init


def test_names_may_begin_with_a_dot(read):
    assert read(gzip.compress(cpio({"./" + OPTIONS[1:]: b"o"}))).held == {OPTIONS: digest("o")}


def test_an_uncompressed_image_is_read(read):
    assert read(cpio({"init": b"", OPTIONS[1:]: b"o"})).held == {OPTIONS: digest("o")}


def test_of_two_members_of_a_name_the_later_one_counts_as_in_the_kernel(read):
    two = cpio({RULES[1:]: b"old"}) + gzip.compress(cpio({RULES[1:]: b"new"}) + cpio({"init": b""}))
    assert read(two).held == {RULES: digest("new")}


def test_a_member_larger_than_one_read_is_passed_over(read, monkeypatch):
    monkeypatch.setattr(image_module, "_CHUNK", 7)
    assert read(gzip.compress(cpio({"lib/big.ko": b"\7" * 1001, RULES[1:]: b"r"}))).held == {RULES: digest("r")}


def test_zeros_pad_archives_to_any_length(read):
    padded = cpio({"a": b""}) + b"\0" * 1537 + gzip.compress(cpio({RULES[1:]: b"r"}) + b"\0" * 4096)
    assert read(padded).held == {RULES: digest("r")}


def test_a_link_under_our_name_is_no_file_of_ours(read):
    assert read(cpio({RULES[1:]: b"../elsewhere"}, mode=0o120777)).held == {RULES: "no file"}


@pytest.mark.parametrize(("data", "words"), [
    (b"", "no cpio archive"),
    (b"\x7fELF plus more", "is no archive and no known compression"),
    (cpio({"init": b"x"}, last=False)[:112], "in the middle of an archive"),
    (cpio({"init": b"x"}, last=False)[:116] + b"garbage" * 30, "no header at byte 120"),
    (b"070701" + b"z" * 104, "header at byte 0 is broken"),
    (gzip.compress(cpio({"init": b"x"}))[:-12], "in the middle of an archive|gzip failed"),
    (gzip.compress(cpio({"init": b"x"}) + b"rubbish"), "something else follows"),
])
def test_what_cannot_be_understood_says_where(read, data, words):
    with pytest.raises(Unreadable, match=words):
        read(data)


def test_a_missing_decompressor_is_an_unreadable_image(read, monkeypatch):
    monkeypatch.setattr(image_module, "_DECOMPRESSORS", ((b"\x1f\x8b", ("no-such-program",)),))
    with pytest.raises(Unreadable, match="No such file"):
        read(image({}))


@pytest.mark.parametrize("words", [["zstd", "-q"], ["xz"], ["bzip2"], ["lz4", "-l"], ["lzop"], ["xz", "--format=lzma"]])
def test_every_compression_whose_program_is_here_is_read(read, tmp_path, words):
    program = next((place for place in os.get_exec_path() if os.access(f"{place}/{words[0]}", os.X_OK)), None)
    if program is None:
        pytest.skip(f"{words[0]} is not on this machine")
    (tmp_path / "archive").write_bytes(cpio({RULES[1:]: b"r" * 1000}))
    with ImageFiles().piped(words + ["-c"], str(tmp_path / "archive"), offset=0) as stream:
        packed = stream.read()
    assert read(packed).held == {RULES: digest("r" * 1000)}


def test_only_what_is_in_etc_has_to_be_held():
    assert is_to_hold(RULES) and is_to_hold(OPTIONS)
    assert not is_to_hold("/run/udev/rules.d/60-vfio-host-p.rules")
    assert not is_to_hold("/etc/udev/rules.d/70-mine.rules")
    assert not is_to_hold("/etc/udev/rules.d/60-vfio-host-../x.rules")


class TestFindings:
    def test_nothing_where_the_image_is_as_wanted_wherever_udev_looks(self):
        assert findings({"/usr/lib/udev/rules.d/60-vfio-host-p.rules": "1"}, {RULES: "1"}, tolerated={}) == []

    def test_a_file_that_is_not_there(self):
        assert findings({}, {RULES: "1"}, tolerated={}) == [f"lacks {RULES}"]

    def test_a_file_with_other_content(self):
        assert findings({RULES: "2"}, {RULES: "1"}, tolerated={}) == [f"holds another {RULES}"]

    def test_the_copy_in_etc_is_the_one_that_udev_reads(self):
        held = {"/usr/lib/udev/rules.d/60-vfio-host-p.rules": "1", RULES: "2"}
        assert findings(held, {RULES: "1"}, tolerated={}) == [f"holds another {RULES}"]
        assert findings(held, {RULES: "2"}, tolerated={}) == []

    def test_a_file_that_the_host_no_longer_has(self):
        assert findings({RULES: "1"}, {}, tolerated={}) == [f"still holds {RULES}"]

    def test_files_of_which_one_thing_is_wrong_are_told_together(self):
        others = [RULES.replace("60", number) for number in ("59", "61")]
        held, wanted = {others[0]: "1", "/etc/udev/rules.d/60-vfio-host-old.rules": "1"}, dict.fromkeys([*others, RULES], "2")
        assert findings(held, wanted, tolerated={}) == [
            f"lacks {RULES}, {others[1]}", f"holds another {others[0]}", "still holds /etc/udev/rules.d/60-vfio-host-old.rules",
        ]

    def test_a_file_that_the_tool_copies_by_itself_may_be_there_as_it_is_on_the_host(self):
        assert findings({OPTIONS: "1"}, {}, tolerated={OPTIONS: "1"}) == []
        assert findings({}, {}, tolerated={OPTIONS: "1"}) == []
        assert findings({OPTIONS: "2"}, {}, tolerated={OPTIONS: "1"}) == [f"still holds {OPTIONS}"]
