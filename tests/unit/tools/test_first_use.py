# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first lines that a newcomer types are the same wherever they are written; tests/fresh/run runs those of the demo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRINTED = re.findall(r"^  (\S.*)$", (ROOT / "tests" / "demo").read_text(encoding="utf-8").partition("== Your own hosts")[2], re.MULTILINE)


def test_the_demo_activates_installs_and_surveys():
    assert [line.split()[0] for line in PRINTED] == ["cd", ".", "ansible-galaxy", "ansible-playbook"]


@pytest.mark.parametrize("page", ["README.md", "docs/user-guide.md"])
def test_every_page_that_installs_the_collection_has_the_demos_line(page):
    lines = re.findall(r"^\$ (ansible-galaxy collection .*?)(?: +#.*)?$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert lines == [PRINTED[2]]


def test_the_inventory_of_the_first_survey_is_there():
    words = PRINTED[3].split()
    assert (ROOT / words[words.index("-i") + 1]).is_file()
    assert PRINTED[3] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_survey_runs_by_the_python_that_runs_ansible():
    """Discovery may find an interpreter that does not run: a shim of a version manager's."""
    assert "ansible_python_interpreter='{{ ansible_playbook_python }}'" in (ROOT / "playbooks/this-machine.ini").read_text(encoding="utf-8")
