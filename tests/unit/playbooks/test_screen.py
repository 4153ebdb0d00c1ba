# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees of the playbooks, by the Ansible that is installed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN
from ansible_collections.vfio.host.tests.unit.playbooks.declared import DECLARED, WISH

ROW = "  + guests 02:00.0 [8086:10d3] Intel 82574L Gigabit Networ…  e1000e -> vfio-pci"


@pytest.fixture
def planned(result_of, host):
    return result_of(host, "passthrough", check=True, **WISH)


def test_check_mode_prints_the_plan_as_plain_lines(play, planned):
    played = play("converge", DECLARED, [planned], "--check")
    assert played.status == 0, played.screen
    lines = played.lines
    assert ROW in lines
    assert "Plan: 2 to take, 1 file." in lines
    assert lines.index("node1  plan: nothing is done yet") < lines.index(ROW)
    assert [line for line in lines if "{" in line or '"' in line] == []
    assert len(played.asked) == 1


def test_a_difference_is_readable_and_more_verbosity_shows_the_rules_and_no_dump(play, planned):
    short = play("converge", DECLARED, [planned], "--check", "--diff")
    assert f"+{NIC}: driver vfio-pci" in short.screen and "SUBSYSTEM==" not in short.screen
    # Ansible's own line names the file by its path.
    assert max(len(line) for line in short.lines if not line.startswith("included: ")) <= 80
    long = play("converge", DECLARED, [planned], "--check", "--diff", "-v")
    assert "SUBSYSTEM==" in long.screen and '"devices"' not in long.screen


def test_a_host_with_nothing_to_do_is_one_line(play, result_of, host):
    result_of(host, "passthrough", **WISH)
    played = play("converge", DECLARED, [result_of(host, "passthrough", **WISH)])
    assert [line for line in played.lines if line.startswith("node1  ")] == ["node1  as declared: 2 devices"]


def test_verify_prints_the_same_rows_and_fails_with_one_line(play, planned):
    played = play("verify", DECLARED, [planned])
    assert played.status != 0
    assert ROW in played.screen.splitlines()
    told = f"node1 is not as declared: {NIC} e1000e -> vfio-pci; {TWIN} e1000e -> vfio-pci; file /etc/udev/rules.d/60-vfio-host-guests.rules"
    assert told in played.screen + played.errors
    assert played.asked[0]["_ansible_check_mode"]


def test_verify_of_a_host_that_declares_nothing_says_that_it_verified_nothing(play, result_of, host):
    played = play("verify", "", [result_of(host, "passthrough", check=True, devices={}, initramfs=False)])
    assert "node1  nothing is declared, so nothing was verified" in played.lines


def test_verify_opens_the_devices_where_it_is_asked_to_and_check_mode_of_it_does_not(play, result_of, host):
    result_of(host, "passthrough", **WISH)
    same = result_of(host, "passthrough", check=True, **WISH)
    row = dict.fromkeys(("node", "back_end", "reset"), "x")
    proof = {"changed": False, "proof": [dict(row, address=NIC, status="opened", regions=[], interrupts=[], reason=None)]}
    played = play("verify", DECLARED + "passthrough_prove: true\n", [same], proof=[proof])
    assert played.status == 0, played.screen
    assert "  = 02:00.0 x by x, 0 regions, no interrupts, x" in played.lines and "1 device: 1 opened." in played.lines
    (asked,) = [one for one in played.asked if "undeclared" not in one]
    assert (asked["devices"], asked["timeout"], asked["_ansible_check_mode"]) == ([NIC, TWIN], 10, False)
    assert len(play("verify", DECLARED, [same], proof=[proof]).asked) == 1


def test_a_device_that_cannot_be_opened_fails_converge_after_what_it_did_was_said(play, result_of, host):
    done = result_of(host, "passthrough", **WISH)
    failed = {"failed": True, "msg": f"{NIC}: a client cannot open it: why", "proof": [{"address": NIC, "status": "failed", "reason": "why"}]}
    played = play("converge", DECLARED + "passthrough_prove: true\n", [done], proof=[failed])
    assert played.status != 0
    screen = played.screen
    assert -1 < screen.find("Done: 2 taken") < screen.find("  ! 02:00.0 why") < screen.find(f"{NIC}: a client cannot open it: why")


def test_rows_have_the_colours_of_ansible(play, planned):
    played = play("converge", DECLARED, [planned], "--check", ANSIBLE_NOCOLOR="", ANSIBLE_FORCE_COLOR="1")
    (row,) = [line for line in played.lines if ROW in line]
    assert row == f"\x1b[0;32m{ROW}\x1b[0m"


def test_lines_grow_to_the_width_of_the_terminal(play, planned, tmp_path):
    play("converge", DECLARED, [planned], "--check")  # leaves the inventory
    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    words = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory", "vfio.host.converge", "--check"]
    with subprocess.Popen(words, cwd=tmp_path, stdin=other, stdout=other, stderr=other, env=play.environment) as running:
        os.close(other)
        shown = b""
        with suppress(OSError):  # EIO: nobody writes to the terminal any more
            while True:
                shown += os.read(own, 65536)
    os.close(own)
    (row,) = [line for line in shown.decode().splitlines() if line.startswith("  + guests 02:00.0")]
    assert running.returncode == 0 and len(row) == 119
    assert row.split("  ")[1:2] == ["+ guests 02:00.0 [8086:10d3] Intel 82574L Gigabit Network Connection"]


def test_a_log_has_the_lines_without_colours(play, planned, tmp_path):
    play("converge", DECLARED, [planned], "--check", ANSIBLE_NOCOLOR="", ANSIBLE_FORCE_COLOR="1", ANSIBLE_LOG_PATH=str(tmp_path / "log"))
    assert ROW in (tmp_path / "log").read_text() and f"\x1b[0;32m{ROW}" not in (tmp_path / "log").read_text()


def test_release_prints_what_went_back(play, result_of, host):
    result_of(host, "passthrough", **WISH)
    played = play("release", "", [result_of(host, "passthrough", state="absent", initramfs=False)])
    assert ROW.replace("+", "-").replace("e1000e -> vfio-pci", "vfio-pci -> e1000e") in played.screen.splitlines()
    assert "policy guests" not in played.screen


def test_release_of_a_host_that_has_nothing_says_so_whatever_is_declared(play, result_of, host):
    answer = result_of(host, "passthrough", state="absent", initramfs=False)
    assert "node1  nothing to give back" in play("release", "passthrough_devices: {guests: [{match: {net: enp2s0}}]}", [answer]).lines


@pytest.mark.parametrize("playbook", ["converge", "verify", "release"])
def test_a_misspelt_variable_fails_before_the_host_is_asked(play, planned, playbook):
    played = play(playbook, "\npassthrough_devcies: {}\npassthrough_froce: []\n", [planned])
    shown = (played.screen + played.errors).replace("\\n", "\n")
    assert played.status != 0 and played.asked == []
    assert "passthrough_devcies: the role has no such variable; did you mean passthrough_devices? (at inventory/host_vars/node1.yml:2)" in shown
    assert "passthrough_froce: the role has no such variable; did you mean passthrough_force? (at inventory/host_vars/node1.yml:3)" in shown
    assert "argument_spec_data" not in shown


BROKEN = """\
passthrough_devices: {p: [{match: {address: "{{ nosuch }}"}}]}
passthrough_timeout: "{{ 1 / 0 }}"
passthrough_confirm: "{{ unset | default(omit) }}"
"""


def test_every_template_that_cannot_be_resolved_is_told_with_its_variable_before_the_host_is_asked(play, planned):
    played = play("converge", BROKEN, [planned])
    assert played.status != 0 and played.asked == []
    for name, why in (("devices", "'nosuch' is undefined"), ("timeout", "division by zero"), ("confirm", "mit")):
        assert any(f"passthrough_{name} cannot be resolved: " in line and why in line for line in played.screen.splitlines())


def test_what_is_omitted_in_a_mapping_is_not_there(play, planned):
    text = "passthrough_devices: {p: [{match: {net: enp2s0}, count: '{{ unset | default(omit) }}'}]}\n"
    played = play("converge", text, [planned])
    assert played.status == 0, played.screen
    assert played.asked[0]["devices"] == {"p": [{"match": {"net": "enp2s0"}}]}


def test_a_survey_does_not_need_what_is_declared(play, result_of, host):
    facts = result_of(host, "pci_facts", owners=True)
    played = play("survey", BROKEN, [facts])
    assert played.status == 0 and "FREE" in played.screen
    assert "passthrough_devices cannot be resolved" in played.errors + played.screen


def test_a_play_that_says_no_log_prints_nothing_of_a_host(play, planned, tmp_path):
    (tmp_path / "hidden.yml").write_text("- hosts: all\n  gather_facts: false\n  no_log: true\n  roles: [vfio.host.passthrough]\n")
    played = play("hidden.yml", DECLARED, [planned], "--check")
    assert played.status == 0, played.screen
    assert NIC not in played.screen and "02:00.0" not in played.screen and "guests" not in played.screen


def test_no_name_of_a_host_controls_the_terminal(play, result_of, host):
    facts = result_of(host, "pci_facts", owners=True)
    facts["ansible_facts"]["vfio_host"]["devices"][NIC]["net"][0]["name"] = "\x1b[2J\u202een\x9b"
    played = play("survey", "", [facts])
    assert r"\x1b[2J\u202een\x9b mac" in played.screen
    assert not {"\x1b", "\u202e", "\x9b"}.intersection(played.screen)


def test_an_error_of_the_module_is_told_in_the_inventorys_words_one_a_line(play):
    failed = {"failed": True, "msg": "policy guests, devices[1]: no\nsay force: [network]"}
    played = play("converge", DECLARED, [failed])
    lines = (played.screen + played.errors).splitlines()
    assert any(line.endswith("passthrough_devices.guests[1]: no (at inventory/host_vars/node1.yml:4)") for line in lines)
    assert "say passthrough_force: [network]" in lines
    assert "policy guests, devices[1]" not in "\n".join(lines)


def test_the_lines_are_printed_in_another_callback_too(play, planned):
    played = play("converge", DECLARED, [planned], "--check", ANSIBLE_STDOUT_CALLBACK="minimal")
    assert ROW in played.screen.splitlines()


def test_a_survey_is_plain_lines_with_and_without_more_verbosity(play, result_of, host):
    answer = result_of(host, "pci_facts", owners=True)
    played = play("survey", "", [answer])
    assert played.status == 0, played.screen
    assert "node1  x86, kernel 6.12.107+deb13-amd64, IOMMU on" in played.screen.splitlines()
    assert max(map(len, played.lines)) <= 80
    assert played.asked[0]["owners"] is True
    assert "ansible_facts" not in play("survey", "", [answer], "-v").screen
    misspelt = play("survey", "", [answer], "-e", "passthrough_drfat=x")
    assert misspelt.status == 0 and "did you mean passthrough_draft?" in " ".join((misspelt.screen + misspelt.errors).split())


def test_a_survey_asks_the_host_once_and_names_the_policies_that_nobody_declares(play, result_of, host):
    answer = result_of(host, "pci_facts", owners=True)
    answer["ansible_facts"]["vfio_host"]["policies"] = ["guests", "left"]
    played = play("survey", "passthrough_devices: {guests: []}", [answer])
    assert "not in passthrough_devices: left," in " ".join(played.lines) and len(played.asked) == 1
    assert [line for line in played.lines if line.startswith("TASK")] == [
        "TASK [Show what the host has, and what could be taken] *************************",
        "TASK [Print the outcome of all hosts] ******************************************",
    ]
    ignored = play("survey", "passthrough_devices: {guests: []}\npassthrough_undeclared: ignore", [answer])
    assert ignored.status == 0 and "not in passthrough_devices" not in ignored.screen


def test_a_draft_is_written_once_and_never_over_what_was_edited(play, result_of, host, tmp_path):
    answers = [result_of(host, "pci_facts", owners=True)]
    path = tmp_path / "drafts" / "node1.yml"
    draft = ("-e", "passthrough_draft=drafts/{{ inventory_hostname }}.yml")
    checked = play("survey", "", answers, "--check", *draft)
    assert "changed=1" in checked.screen and "Without --check, a draft is written to drafts/node1.yml." in checked.lines
    assert not path.exists()
    written, again = (play("survey", "", answers, *draft) for dummy in range(2))
    assert "changed=1" in written.screen and 'The draft is in drafts/node1.yml: take the "# " off what is to be taken.' in written.lines
    assert "changed=0" in again.screen and "The draft in drafts/node1.yml is as it was." in again.lines
    assert "# passthrough_devices:" in path.read_text()
    path.write_text(path.read_text() + "x: y\n")
    edited = play("survey", "", answers, *draft)
    assert edited.status != 0 and "was edited since the survey wrote it" in edited.screen + edited.errors
    assert path.read_text().endswith("x: y\n")


def test_a_draft_whose_name_no_file_can_have_is_one_error(play, result_of, host):
    facts = result_of(host, "pci_facts", owners=True)
    played = play("survey", 'passthrough_draft: "a\\0b"\n', [facts])
    assert played.status != 0 and played.asked == []
    assert "draft must be the path of a file on the controller, not 'a\\x00b'" in played.screen.replace("\\\\", "\\")


def test_the_facts_of_a_survey_are_there_for_later_plays(play, result_of, host, tmp_path):
    (tmp_path / "both.yml").write_text(json.dumps([
        {"ansible.builtin.import_playbook": "vfio.host.survey"},
        {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "{{ ansible_facts.vfio_host.platform }} it is"}}]},
    ]))
    assert "x86 it is" in play("both.yml", "", [result_of(host, "pci_facts", owners=True)]).screen


@pytest.mark.parametrize("given, told", [
    ({"result": {"devices": [{}]}}, "is not what vfio.host.passthrough returns"),
    ({"result": {}, "verify": "perhaps"}, "verify must be true or false"),
    ({"result": "x"}, "result must be what the module passthrough returned"),
    ({"result": {}, "verfy": True}, "Invalid options for vfio.host.outcome: verfy"),
])
def test_what_is_no_result_is_refused_in_one_sentence(play, tmp_path, given, told):
    tasks = [{"vfio.host.outcome": given}]
    (tmp_path / "own.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    played = play("own.yml", "", [{}])
    assert played.status != 0 and told in played.screen + played.errors
    assert "Traceback" not in played.screen + played.errors


def test_a_play_of_ones_own_prints_what_a_module_returned(play, planned, tmp_path):
    tasks = [{"vfio.host.passthrough": {"devices": {}}, "register": "made"}, {"vfio.host.outcome": {"result": "{{ made }}"}}]
    (tmp_path / "own.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    assert ROW in play("own.yml", "", [planned]).lines


def test_a_run_that_is_confirmed_says_what_it_changed_and_the_next_one_in_the_play_says_its_own(play, result_of, host, tmp_path):
    first, last = (result_of(host, "passthrough", **WISH) for dummy in range(2))
    role = {"ansible.builtin.include_role": {"name": "vfio.host.passthrough"}}
    tasks = [dict(role, vars={"passthrough_confirm": 5}), role]
    (tmp_path / "own.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    played = play("own.yml", DECLARED, [first, {"changed": True}, last])
    assert played.status == 0, played.screen + played.errors
    assert [str(one.get("confirm", one["state"])) for one in played.asked] == ["5", "confirmed", "0", "0"]
    assert played.lines.count(ROW) == 1
    assert played.lines.index("Done: 2 taken, 1 file.") < played.lines.index("node1  as declared: 2 devices")
