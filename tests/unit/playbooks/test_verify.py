# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What verify says, and when it fails."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF

DECLARED = f"""\
passthrough_devices:
  gpus:
    - match: {{address: "{NIC}"}}
passthrough_sriov:
  - match: {{address: "{PF}"}}
    numvfs: 2
"""
WISH = {
    "devices": {"gpus": [{"match": {"address": NIC}}]}, "sriov": [{"match": {"address": PF}, "numvfs": 2}], "initramfs": False,
    "modules": [{"name": "vfio_pci"}],
}
LEFT = "policy gpus is on the host and nobody declares it"


@pytest.fixture
def as_declared(result_of, host):
    result_of(host, "passthrough", **WISH)
    return result_of(host, "passthrough", check=True, **WISH)


def test_a_host_as_declared_passes_and_says_how_much_was_verified(play, as_declared):
    played = play("verify", DECLARED, [as_declared])
    assert played.status == 0, played.screen + played.errors
    assert "node1  as declared: 1 device, 1 card with VFs, 1 module" in played.lines
    assert (played.asked[0]["undeclared"], played.asked[0]["_ansible_check_mode"]) == ("report", True)


def test_what_nobody_declares_fails_with_its_name_and_the_way_out(play, result_of, host, as_declared):
    played = play("verify", "", [result_of(host, "passthrough", check=True, devices={}, initramfs=False)])
    said = played.screen + played.errors
    assert played.status != 0
    assert any(line.endswith("node1 has what nothing declares") for line in said.splitlines())
    assert any(line.startswith(LEFT) for line in said.splitlines()) and "passthrough_undeclared: release" in said
    assert "node1  nothing is declared, so nothing was verified" in played.lines


def test_a_difference_and_what_nobody_declares_are_said_together(play, result_of, host, as_declared):
    result = result_of(host, "passthrough", check=True, initramfs=False, devices={"cards": [{"match": {"address": "0000:03:00.0"}}]})
    played = play("verify", DECLARED, [result])
    said = played.screen + played.errors
    assert played.status != 0
    assert "node1 is not as declared: 0000:03:00.0 " in said and any(line.startswith(LEFT) for line in said.splitlines())


def test_consumers_of_policies_reach_the_module(play, as_declared):
    played = play("converge", DECLARED + "passthrough_consumers: {gpus: kubevirt}\n", [as_declared])
    assert (played.status, played.asked[0]["consumers"]) == (0, {"gpus": "kubevirt"}), played.screen + played.errors


def test_a_consumer_of_a_policy_that_nobody_declares_stops_the_play_before_the_host_is_asked(play, as_declared):
    played = play("converge", DECLARED + "passthrough_consumers: {gpu: kubevirt}\n", [as_declared])
    assert played.status != 0 and played.asked == []
    assert "passthrough_consumers.gpu: no policy 'gpu' is declared; did you mean gpus?" in " ".join((played.screen + played.errors).split())


def test_the_variable_reaches_the_module(play, as_declared):
    assert play("verify", f"{DECLARED}passthrough_undeclared: ignore\n", [as_declared]).asked[0]["undeclared"] == "ignore"


def test_what_runs_with_another_limit_of_locked_memory_fails_and_is_named(play, as_declared):
    played = play("verify", DECLARED, [dict(as_declared, restart=["libvirtd.service"])])
    said = " ".join((played.screen + played.errors).split())
    assert played.status != 0
    assert "libvirtd.service may lock as much memory as when it was started, and not as declared: restart it" in said


@pytest.mark.parametrize("playbook, most", [("converge", 5), ("verify", 5)])
def test_with_nothing_to_do_few_tasks_are_run(play, as_declared, playbook, most):
    played = play(playbook, DECLARED, [as_declared])
    assert played.status == 0, played.screen + played.errors
    tasks = [line for line in played.lines if line.startswith("TASK")]
    assert len(tasks) <= most and len(played.asked) == 1
