# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno

from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    KernelRefusal,
    VfioHostError,
    errno_text,
    last_words,
)


def test_an_error_keeps_its_messages_apart_and_reads_as_one():
    error = VfioHostError("first", "second")
    assert error.messages == ["first", "second"]
    assert str(error) == "first; second"


def test_a_refusal_names_the_file_the_value_and_the_errno():
    refusal = KernelRefusal("/sys/x/bind", "0000:02:00.0", error=OSError(errno.EBUSY, "busy"))
    assert refusal.errno == errno.EBUSY
    assert refusal.messages == ["writing '0000:02:00.0' to /sys/x/bind: EBUSY (Device or resource busy)"]


def test_an_unknown_errno_stays_a_number():
    assert errno_text(9999).startswith("errno 9999")


def test_an_error_without_an_errno_is_no_success():
    assert errno_text(OSError("it says no more").errno) == "EIO (Input/output error)"
    assert KernelRefusal("/sys/x/bind", "x", error=OSError("it says no more")).errno == errno.EIO


def test_of_a_tools_words_its_errors_are_told_before_its_last_lines():
    warnings = "".join(f"==> WARNING: {number}\n" for number in range(9))
    said = last_words("", f"==> ERROR: binary not found: 'x'\n{warnings}")
    assert said == "==> ERROR: binary not found: 'x' / " + " / ".join(f"==> WARNING: {number}" for number in range(4, 9))
    assert last_words("Error: no device\n", "note\n") == "Error: no device / note"
    assert last_words("a\nb\n", "") == "a / b"
    assert last_words("", "an error\n") == "an error"
    assert last_words("", "") == "nothing"
