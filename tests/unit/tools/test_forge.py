# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The forge runs what .ci/run does: each stage, each scenario, by actions that are pinned."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))


def scenarios(**environment):
    """What the stage lists; the variable of the long run is not the test's own."""
    inherited = {name: value for name, value in os.environ.items() if name != "VFIO_HOST_LONG"}
    done = subprocess.run(
        [ROOT / ".ci/stages/molecule", "--list"], check=True, capture_output=True, text=True, env=dict(inherited, **environment),
    )
    return done.stdout.splitlines()


def test_the_workflow_has_every_stage_of_the_runner():
    listed = re.search(r"^ALL=\((.*)\)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert sorted([*CI["jobs"]["stage"]["strategy"]["matrix"]["stage"], "molecule"]) == sorted(listed)
    assert {path.name for path in (ROOT / ".ci/stages").iterdir()} == set(listed)


def test_the_long_run_has_every_scenario_and_each_change_some():
    every = scenarios(VFIO_HOST_LONG="1")
    assert sorted(every) == sorted(path.parent.name for path in (ROOT / "extensions/molecule").glob("*/molecule.yml"))
    assert 0 < len(scenarios()) < len(every)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path):
    uses = re.findall(r"uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    assert [one for one in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+[.]\d+[.]\d+", one)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_permission_that_a_job_does_not_ask_for(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    allowed = {"contents": "read", "pages": "write", "id-token": "write"}
    for job in workflow["jobs"].values():
        assert job["permissions"].items() <= allowed.items()
