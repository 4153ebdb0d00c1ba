# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real playbooks, role and action plugins by the installed Ansible, on a host whose modules answer what a test says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.vfio.host.tests.unit.plugins.plugin_utils import conftest as results

run_module, result_of = results.run_module, results.result_of

ROOT = Path(__file__).parents[3]
MODULES = ("passthrough", "pci_facts", "prove")

# Ansible gives a module of this kind a file with its arguments and takes what it prints (source: lib/ansible/executor/
# module_common.py, WANT_JSON). It notes its arguments, and answers in turn what the test has written beside them.
STUB = """\
#!{python}
# WANT_JSON
import json, sys
asked = json.load(open(sys.argv[1]))
with open({asked!r}, "a") as stream:
    stream.write(json.dumps(asked) + "\\n")
answers = json.load(open({answers!r}))
number = sum(1 for dummy in open({asked!r})) - 1
print(json.dumps(answers[min(number, len(answers) - 1)]))
"""


@dataclass
class Played:
    """What a run of a playbook printed, and what the modules were asked."""

    status: int
    screen: str
    errors: str
    asked: list

    @property
    def lines(self):
        """What stands above Ansible's own recap."""
        return self.screen.partition("PLAY RECAP")[0].splitlines()


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    """A copy of the collection, in which the modules that reach for a host are stubs."""
    parent = tmp_path_factory.mktemp("collections")
    copy = parent / "ansible_collections" / "vfio" / "host"
    copy.mkdir(parents=True)
    for name in ("plugins", "roles", "playbooks", "meta"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", copy)
    (copy / "MANIFEST.json").write_text(json.dumps({"collection_info": {"namespace": "vfio", "name": "host", "version": "0.1.0"}}))
    for name in MODULES:
        text = STUB.format(python=sys.executable, asked=str(parent / f"{name}.asked"), answers=str(parent / f"{name}.answers"))
        (copy / "plugins" / "modules" / f"{name}.py").write_text(text)
    return parent


@pytest.fixture
def play(collections, tmp_path):
    """A function (playbook, variables' YAML, answers, words of the command line) -> Played, on host node1."""

    base = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false", "LC_ALL": "C.UTF-8", "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }

    def run(name, variables="", answers=(), *words, proof=(), **environment):
        inventory = tmp_path / "inventory"
        (inventory / "host_vars").mkdir(parents=True, exist_ok=True)
        (inventory / "hosts").write_text("node1 ansible_connection=local ansible_become=false\n")
        (inventory / "host_vars" / "node1.yml").write_text(variables or "{}\n")
        for module in MODULES:
            (collections / f"{module}.asked").write_text("")
            (collections / f"{module}.answers").write_text(json.dumps(list(proof if module == "prove" else answers)))
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "inventory", name if name.endswith(".yml") else f"vfio.host.{name}", *words],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
            env=dict(base, **environment),
        )
        asked = [json.loads(line) for module in MODULES for line in (collections / f"{module}.asked").read_text().splitlines()]
        return Played(done.returncode, done.stdout, done.stderr, asked)

    run.environment = base
    return run
