# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The walks of the contributor guide lead through files and functions that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOMS = (ROOT, ROOT / "plugins" / "module_utils")


def steps():
    """(files, functions) of each step of the section 'Two walks'."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("### Two walks")[2].partition("\nCode in ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    found = [tuple(tuple(re.findall(r"`([^`]+)`", cell)) for cell in row[1:]) for row in rows if len(row) == 3]
    return [step for step in found if step[0]]


def is_in(name, text):
    """Whether a file has a function; 'Class.function' is one of a class that the file has, too."""
    *owner, function = name.split(".")
    return bool(re.search(rf"\bdef {function}\(", text)) and all(re.search(rf"^class {one}\b", text, re.MULTILINE) for one in owner)


def test_there_are_two_walks():
    assert len(steps()) > 15


@pytest.mark.parametrize("files, functions", steps(), ids=lambda names: " ".join(names) or "none")
def test_each_step_is_there(files, functions):
    paths = [next((room / name for room in ROOMS if (room / name).is_file()), None) for name in files]
    assert None not in paths
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    there = {path: {name for name in functions if is_in(name, text)} for path, text in texts.items()}
    assert set(functions) - set().union(*there.values()) == set()
    assert [path for path, names in there.items() if functions and not names] == []
