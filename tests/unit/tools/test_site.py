# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""tests/tools/site.py: where it builds, and what it knows of other sites."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ansible_collections.vfio.host.tests.tools import site

ROOT = Path(__file__).parents[3]


def build(target):
    return subprocess.run([sys.executable, ROOT / "tests/tools/site.py", target], check=False, capture_output=True, text=True)


def test_a_directory_with_files_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = build(tmp_path)
    assert (done.returncode, (tmp_path / "thesis.txt").read_text()) == (1, "years of work")
    assert "has files of somebody else: name another directory" in done.stderr


def test_nothing_is_built_inside_of_the_checkout():
    done = build(ROOT / "site")
    assert done.returncode == 1 and "is inside of the checkout" in done.stderr
    assert not (ROOT / "site").exists()


def test_links_that_lead_nowhere_are_named(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "index.html").write_text('<a href="docs/a.html#here">x</a> <a href="https://example.com/none">x</a> <a class="c" href="docs/">x</a>')
    links = "".join(f'<a href="{link}">x</a>' for link in ("#here", "#gone", "index.html", "../index.html?q=1"))
    (tmp_path / "docs/a.html").write_text(f'<p id="here"/>{links}')
    assert site.dead_links(tmp_path) == ["docs/a.html: #gone", "docs/a.html: index.html"]


def test_labels_become_an_inventory_as_sphinx_reads_it():
    made = site.inventory("# a comment\n\ncommon_return_values reference/values.html#values\n")
    *head, packed = made.split(b"\n", 4)
    assert head[0] == b"# Sphinx inventory version 2"
    assert zlib.decompress(packed) == b"common_return_values std:label -1 reference/values.html#values common_return_values\n"


@pytest.mark.parametrize("page", ["README.md", "docs/user-guide.md", "docs/recipes.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"])
def test_pages_keep_their_places_so_that_links_mean_the_same(tmp_path, page):
    site.lay_out(tmp_path)
    assert (tmp_path / page).read_bytes() == (ROOT / page).read_bytes()
    assert (tmp_path / "index.md").exists() and (tmp_path / "ansible-core.inv").exists()
