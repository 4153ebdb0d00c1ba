# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ansible_collections.vfio.host.tests.unit.fake.bootloaders import BootHost, GrubHost, SystemdBootHost

WISH = {"intel_iommu": "on", "nosmt": None}


# Ansible's own parser of tasks, in a process of its own: it installs an importer for collections.
PARSE = """
import json, sys
from ansible.parsing.mod_args import ModuleArgsParser
from ansible.plugins import loader
getattr(loader, "init_plugin_loader", lambda: None)()
print(json.dumps(ModuleArgsParser({"ansible.builtin.ping": json.loads(sys.argv[1])}).parse()[1]))
"""


@pytest.fixture
def host(tmp_path):
    return GrubHost(tmp_path, "quiet intel_iommu=off")


@pytest.mark.parametrize("options", [
    {"args": {"iommu": "pt"}, "state": "absent"}, {"args": {}, "state": "absent"}, {"args": "{{ arguments_of_all_hosts }}"},
])
def test_ansible_hands_the_alias_args_to_the_module_as_it_is(options):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PARSE, json.dumps(options)], stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout) == options


def test_arguments_that_somebody_took_out_of_args_are_named(run_module, host):
    before = host.read("boot/grub/grub.cfg")
    assert "iommu" in run_module(host, "kernel_cmdline", iommu="pt", state="absent")["msg"]
    assert host.read("boot/grub/grub.cfg") == before


def test_bad_arguments_are_named_by_their_option(run_module, host):
    assert run_module(host, "kernel_cmdline", arguments={"a b": "c"})["msg"].startswith("arguments: 'a b' is no argument's name")


@pytest.mark.parametrize("option", ["arguments", "args"])
def test_four_steps(run_module, host, option):
    predicted = run_module(host, "kernel_cmdline", check=True, **{option: WISH})
    first = run_module(host, "kernel_cmdline", **{option: WISH})
    assert predicted["args"] == first["args"]
    assert predicted["diff"] == first["diff"]
    assert (predicted["changed"], first["changed"]) == (True, True)
    assert first["args"] == {
        "intel_iommu": {"wanted": ["on"], "configured": ["on"], "running": ["off"], "status": "pending"},
        "nosmt": {"wanted": [None], "configured": [None], "running": [], "status": "pending"},
    }
    assert first["reboot_reasons"] == [
        "the running kernel was not started with intel_iommu=on",
        "the running kernel was not started with nosmt",
    ]
    assert len(first["warnings"]) == 1
    for check in (True, False):
        again = run_module(host, "kernel_cmdline", check=check, **{option: WISH})
        assert (again["changed"], again["reboot_required"], again["backend"]) == (False, True, "grub")
    host.reboot()
    assert not run_module(host, "kernel_cmdline", **{option: WISH})["reboot_required"]


def test_absent_gives_the_host_back(run_module, host):
    before = host.read("boot/grub/grub.cfg")
    run_module(host, "kernel_cmdline", arguments=WISH)
    assert run_module(host, "kernel_cmdline", arguments={"intel_iommu": "on", "nosmt": None}, state="absent")["changed"]
    assert host.read("boot/grub/grub.cfg") == before


@pytest.mark.parametrize("kind", [GrubHost, SystemdBootHost])
def test_without_arguments_all_is_taken_back(run_module, tmp_path, kind):
    host = kind(tmp_path, "quiet intel_iommu=off")
    host.reboot()
    before = host.boots()
    run_module(host, "kernel_cmdline", arguments=WISH)
    assert not run_module(host, "kernel_cmdline", arguments={}, state="absent")["changed"]
    for check in (True, False):
        result = run_module(host, "kernel_cmdline", check=check, state="absent")
        assert (result["changed"], result["reboot_required"]) == (True, False)
        assert result["args"]["intel_iommu"]["configured"] == ["off"]
    assert host.boots() == before
    result = run_module(host, "kernel_cmdline", state="absent")
    assert (result["changed"], result["backend"], result["args"]) == (False, None, {})


def test_to_be_present_arguments_are_needed(run_module, host):
    assert "arguments" in run_module(host, "kernel_cmdline")["msg"]


def test_without_a_boot_loader_there_is_nothing_to_take_back(run_module, tmp_path):
    assert not run_module(BootHost(tmp_path), "kernel_cmdline", state="absent")["changed"]


def test_bad_input_is_one_message_with_every_finding(run_module, host):
    result = run_module(host, "kernel_cmdline", arguments={"a": "x\ny", "b": True, "c": '"'})
    assert result["failed"]
    assert len(result["msg"].splitlines()) == 3
    assert host.calls == []


def test_a_host_without_boot_loader_fails_without_a_traceback(run_module, tmp_path):
    result = run_module(BootHost(tmp_path), "kernel_cmdline", arguments=WISH)
    assert "no boot loader found" in result["msg"]
    assert "declare no arguments for this host, and set them where they come from" in result["msg"]


def test_a_failing_tool_fails_the_task_with_its_words(run_module, host):
    host.fail["update-grub"] = 1
    result = run_module(host, "kernel_cmdline", arguments=WISH)
    assert "no space left on device" in result["msg"]
    assert "quiet intel_iommu=off" in host.boots()
