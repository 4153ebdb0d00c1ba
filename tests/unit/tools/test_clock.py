# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock of a first use: it stamps lines, and finds the longest silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLOCK = [sys.executable, str(Path(__file__).parents[2] / "fresh" / "clock.py")]


def clock(script, log, limit):
    return subprocess.run(["sh", "-c", f'{{ {script}; }} | "$@"', "sh", *CLOCK, str(log), limit],
                          capture_output=True, text=True, check=False, timeout=30)


def test_each_line_has_its_second_in_the_output_and_in_the_file(tmp_path):
    done = clock("printf 'one\\ntw'; sleep 1.5; printf 'o\\nthree\\n'", tmp_path / "log", "20")
    lines = done.stdout.splitlines()
    assert [line[9:] for line in lines[:2]] == ["one", "two"] and float(lines[2][1:7]) > 1 and lines[2].endswith("] three")
    assert (tmp_path / "log").read_text() == done.stdout


def test_a_long_silence_fails_and_the_last_line_names_what_came_before_it(tmp_path):
    done = clock("echo first; sleep 1.2; echo second", tmp_path / "log", "1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("total 1.") and done.stdout.endswith(" s after: first\n")


def test_the_silence_before_the_end_counts(tmp_path):
    assert clock("echo first; sleep 1.2", tmp_path / "log", "1").returncode == 1


def test_short_silences_pass(tmp_path):
    assert clock("echo first; sleep 0.2; echo second", tmp_path / "log", "20").returncode == 0
