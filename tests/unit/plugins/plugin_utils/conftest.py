# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results of the real modules on fake hosts, and what a person reads of them as text that lies beside the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.vfio.host.tests.unit.plugins.modules import conftest as modules

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (79, 119)  # what Ansible says of terminals of 80 and of 120 columns

run_module = modules.run_module


@pytest.fixture
def result_of(run_module):
    """A function (host, module's name, options) -> its result, with paths as they are on a host."""

    def run(host, name, **options):
        found = run_module(host, name, **options)
        assert not found.get("failed"), found["msg"]
        return json.loads(json.dumps(found).replace(str(host.root), ""))

    return run


@pytest.fixture
def is_golden():
    """A function (name, width -> Lines): compares the lines of both widths with golden/NAME.txt, and none is too wide."""

    def compare(name, render):
        shown = []
        for width in WIDTHS:
            texts = [line.text for line in render(width)]
            assert [text for text in texts if len(text) > width] == []
            shown.append(f"-- {width + 1} columns\n" + "\n".join(texts) + "\n")
        assert "\n".join(shown) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")

    return compare
