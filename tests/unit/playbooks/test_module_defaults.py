# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defaults for all modules of the collection's action group, set once in a play."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.vfio.host.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.vfio.host.plugins.doc_fragments.entries import ModuleDocFragment as Entries

ROOT = Path(__file__).parents[3]
GROUP = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]["vfio"]
# What the modules of the group have in common, so that a default for one of them is an option of each.
COMMON = {"state", "now", "at_boot", "force", "timeout", "confirm"}
# No run waits 0 seconds: each module refuses it before it looks at the host.
PLAY = """\
- hosts: node1
  gather_facts: false
  module_defaults:
    group/vfio.host.vfio:
      timeout: 0
  tasks:
    - vfio.host.passthrough:
        devices: {}
      register: whole
    - vfio.host.driver_override:
        devices: [{match: {address: "0000:02:00.0"}}]
      register: devices
      failed_when: devices.msg is not search("timeout is 0; it is a number of seconds")
    - vfio.host.sriov_vfs:
        devices: [{match: {address: "0000:02:00.0"}, numvfs: 1}]
      register: vfs
      failed_when: vfs.msg is not search("timeout is 0; it is a number of seconds")
    - vfio.host.driver_override:
        devices: [{match: {address: "0000:02:00.0"}}]
        timeout: 86401
      register: own
      failed_when: own.msg is not search("timeout is 86401; it is a number of seconds")
"""


def documentation(name):
    text = (ROOT / f"plugins/{name}.py").read_text(encoding="utf-8")
    return yaml.safe_load(text.split('DOCUMENTATION = r"""')[1].split('"""')[0])


def test_defaults_of_the_group_reach_each_module_and_an_option_of_the_task_wins(play, tmp_path):
    (tmp_path / "defaults.yml").write_text(PLAY)
    played = play("defaults.yml", "", [{"changed": False}])
    assert played.status == 0, played.screen + played.errors
    assert [asked["timeout"] for asked in played.asked] == [0]


def test_every_module_that_has_the_common_options_is_in_the_group_and_says_so():
    shared = {
        "vfio.host.devices": set(documentation("doc_fragments/devices")["options"]),
        "vfio.host.entries.force": set(yaml.safe_load(Entries.FORCE)["options"]),
    }
    with_all = []
    for path in sorted((ROOT / "plugins/modules").glob("*.py")):
        own = documentation(f"modules/{path.stem}")
        fragments = set(own.get("extends_documentation_fragment", ()))
        options = set(own.get("options") or ()).union(*(shared[name] for name in fragments & set(shared)))
        if options >= COMMON:
            with_all.append(path.stem)
        assert ("vfio.host.attributes.actiongroup_vfio" in fragments) == (path.stem in GROUP), path.stem
    assert with_all == sorted(GROUP)


def test_the_documentation_names_the_group_by_its_whole_name():
    attributes = yaml.safe_load(ModuleDocFragment.ACTIONGROUP_VFIO)["attributes"]
    assert attributes["action_group"]["membership"] == ["vfio.host.vfio"]
