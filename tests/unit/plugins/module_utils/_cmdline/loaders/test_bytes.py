# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boot files of others that are no UTF-8, or hold characters that some take for a line's end: read, or refused in words."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.leaving import printable
from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import HOSTS

HARM = [b"\xff\xfe", b"\xed\xa0\x80", "\u2028".encode(), "\x85".encode(), b"\x0b\x0c\x1c", b"\x1b[31m", b"\r", b"\0"]
ON = {"intel_iommu": "on", "iommu": "pt"}


def spoilt(content, harm):
    """A file with something in its middle, in a comment at its end, and in a word of its last line."""
    middle, last = len(content) // 2, content.rstrip(b"\n")
    return content[:middle] + harm + content[middle:], content + b"# x" + harm + b"y\n", last + harm + b"y=" + harm + b"\n"


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(HOSTS))
def test_whatever_bytes_a_boot_file_holds_the_result_can_be_printed_and_nothing_is_unforeseen(tmp_path, name):
    host = HOSTS[name](tmp_path, "ro intel_iommu=off quiet")
    paths = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_size < 10000]
    count = 0
    for path in paths:
        content = path.read_bytes()
        for harm in HARM:
            for text in spoilt(content, harm):
                path.write_bytes(text)
                try:
                    plans = run_areas({"cmdline": (host.area, Request(ON, True, {"quiet": None}))}, True)
                    said = {**report(list(plans.values())), **plans["cmdline"].result()}
                except VfioHostError as error:
                    said = error.messages
                text = json.dumps(printable(said), ensure_ascii=False)
                assert text.encode("utf-8") and "not foreseen" not in text, (path, harm, text)
                count += 1
        path.write_bytes(content)
    assert count > 20
