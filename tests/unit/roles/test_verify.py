# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What verify says: the role's own tasks, with a module in place of passthrough that answers what a test wants it to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[3] / "roles"
PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: vfio.host.passthrough, tasks_from: verify}
"""
# WANT_JSON: Ansible hands the arguments over in a file.
MODULE = """\
#!%s
# WANT_JSON
import json, os, sys
with open(sys.argv[1]) as stream:
    given = json.load(stream)
with open(os.environ["STUB_ARGUMENTS"], "w") as stream:
    json.dump(given, stream)
with open(os.environ["STUB_RESULT"]) as stream:
    print(stream.read())
"""
AS_DECLARED = {"changed": False, "reboot_required": False, "reboot_reasons": [], "undeclared": [], "devices": []}
DEVICE = {
    "address": "0000:02:00.0", "status": "unchanged", "policy": "gpus", "driver": "vfio-pci", "driver_before": "vfio-pci",
    "identity": {"name": "a card"}, "choice": {"driver": "vfio-pci", "module": "vfio_pci"},
}
LEFT = {"kind": "policy", "name": "gpus", "reason": "policy gpus is on the host and nobody declares it (0000:02:00.0): declare it"}


@pytest.fixture
def verify(tmp_path):
    """A function (the module's result, variables) -> (whether verify passed, what it said, the module's arguments)."""
    collection = tmp_path / "ansible_collections/vfio/host"
    (collection / "plugins/modules").mkdir(parents=True)
    (collection / "roles").symlink_to(ROLES)
    (collection / "plugins/modules/passthrough.py").write_text(MODULE % sys.executable)
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def run(result, **variables):
        (tmp_path / "result.json").write_text(json.dumps(result))
        environment = dict(
            os.environ, ANSIBLE_COLLECTIONS_PATH=str(tmp_path), ANSIBLE_NOCOLOR="1", ANSIBLE_LOCALHOST_WARNING="0", HOME=str(tmp_path),
            STUB_RESULT=str(tmp_path / "result.json"), STUB_ARGUMENTS=str(tmp_path / "arguments.json"),
        )
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", "-e", json.dumps(variables),
             "-e", f"ansible_python_interpreter={sys.executable}", tmp_path / "play.yml"],
            capture_output=True, text=True, check=False, env=environment,
        )
        arguments = json.loads((tmp_path / "arguments.json").read_text())
        return done.returncode == 0, done.stdout + done.stderr, arguments

    return run


def test_a_host_as_declared_passes_and_the_numbers_are_said(verify):
    result = dict(
        AS_DECLARED, devices=[DEVICE], modules=[{"name": "vfio_pci", "status": "unchanged"}], kernel_config={"VFIO_PCI": {}},
        kernel_cmdline={"args": {"iommu": {}}}, sriov=[{"address": "0000:01:00.0", "status": "unchanged"}],
    )
    passed, said, arguments = verify(result, passthrough_devices={"gpus": [{"match": {"address": "0000:02:00.0"}}], "hot": []})
    assert passed, said
    assert (
        "localhost: as declared: devices: 1, of policies gpus, hot; numbers of VFs: 1; kernel modules: 1; kernel symbols: 1; kernel arguments: 1"
    ) in said
    assert (arguments["undeclared"], arguments["_ansible_check_mode"]) == ("report", True)


def test_where_nothing_is_declared_that_is_said(verify):
    passed, said, dummy = verify(AS_DECLARED)
    assert passed, said
    assert "localhost: nothing is declared, so nothing was verified" in said


def test_a_misspelt_variable_and_nothing_declared_fail(verify):
    passed, said, dummy = verify(AS_DECLARED, passthrough_device={"gpus": []})
    assert not passed
    assert "nothing was verified, and the role does not know passthrough_device; it knows passthrough_at_boot" in said


def test_a_variable_of_the_users_own_beside_what_is_declared_is_named(verify):
    passed, said, dummy = verify(dict(AS_DECLARED, devices=[DEVICE]), passthrough_devices={"gpus": []}, passthrough_my_cards=[1])
    assert passed, said
    assert "as declared: devices: 1, of policies gpus; the role does not know passthrough_my_cards" in said


def test_what_nobody_declares_fails_with_its_name_and_the_way_out(verify):
    passed, said, dummy = verify(dict(AS_DECLARED, undeclared=[LEFT]))
    assert not passed
    assert f"localhost has what nothing declares; {LEFT['reason']}" in said


def test_a_difference_and_what_nobody_declares_are_said_together(verify):
    result = dict(AS_DECLARED, changed=True, undeclared=[LEFT], devices=[dict(DEVICE, status="bound", driver_before="e1000e")])
    passed, said, dummy = verify(result, passthrough_devices={"cards": []})
    assert not passed
    assert f"localhost is not as declared: 0000:02:00.0 (a card) has e1000e, declared is vfio-pci; {LEFT['reason']}" in said


def test_the_variable_reaches_the_module(verify):
    assert verify(AS_DECLARED, passthrough_undeclared="ignore")[2]["undeclared"] == "ignore"
