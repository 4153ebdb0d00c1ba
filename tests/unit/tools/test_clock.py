# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock of a first use: it stamps lines, and finds the longest silence."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "fresh" / "clock.py"


@pytest.fixture
def stamped():
    """A function from (second, piece) pairs, and the second of the end, to the output, the last line and the longest silence."""
    spec = importlib.util.spec_from_file_location("clock", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(pieces, end):
        times = [0.0]
        sink = io.BytesIO()
        clock = module.Clock([sink], lambda: times[0])
        for second, piece in pieces:
            times[0] = second
            clock.take(piece)
        times[0] = end
        summary = clock.end()
        return sink.getvalue().decode(), summary, clock.longest

    return run


def test_each_line_has_the_second_that_it_began_at(stamped):
    output = stamped([(0.0, b"one\ntw"), (12.5, b"o\nthree\n")], 13)[0]
    assert output == "[   0.0] one\n[   0.0] two\n[  12.5] three\n"


def test_the_longest_silence_is_named_with_the_line_before_it(stamped):
    dummy, summary, longest = stamped([(1, b"first\n"), (31, b"second\n"), (33, b"third\n")], 34)
    assert longest == 30
    assert summary == "total 34.0 s, longest silence 30.0 s after: first"


def test_the_silence_before_the_end_counts(stamped):
    assert stamped([(1, b"first\n")], 50)[2] == 49


def test_a_line_that_was_not_ended_is(stamped):
    assert stamped([(0.0, b"....")], 1)[0] == "[   0.0] ....\n"


@pytest.mark.parametrize(("limit", "status"), [("0.2", 1), ("60", 0)])
def test_a_silence_over_the_limit_is_a_failure_and_the_file_has_what_the_output_has(tmp_path, limit, status):
    done = subprocess.run(["sh", "-c", '{ sleep 3; echo line; } | "$@"', "sh", sys.executable, str(PATH), str(tmp_path / "log"), limit],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status
    assert done.stdout.splitlines()[0].endswith("] line")
    assert (tmp_path / "log").read_text() == done.stdout
