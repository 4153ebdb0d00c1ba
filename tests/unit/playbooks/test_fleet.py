# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of several hosts at the end, batches, reboots with tasks around them, and the word that release needs."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.playbooks.declared import DECLARED, WISH, needs_ssh

REFUSED = {"failed": True, "msg": "no", "refusals": [{"kind": "guard", "guard": "storage", "message": "no", "remedy": None, "devices": []}]}
FAILED = {"failed": True, "msg": "udevadm cannot be started: ENOENT"}
BACK = {"changed": True, "rebooted": True}
AWAY = {"failed": True, "rebooted": True, "msg": "Timed out waiting for last boot time check (timeout=600)"}


@pytest.fixture
def answers(result_of, host):
    """What the module passthrough says: before anything was done, as it is done, and of a host that is as declared."""
    planned = result_of(host, "passthrough", check=True, **WISH)
    done = result_of(host, "passthrough", **WISH)
    return {"planned": [planned], "changed": [done], "declared": [result_of(host, "passthrough", **WISH)]}


def waiting(answer):
    return dict(answer, reboot_required=True, reboot_reasons=["the running kernel was not started with intel_iommu=on"])


def hosts_of(**told):
    return {host: None if answers is None else {"passthrough": answers} for host, answers in told.items()}


@needs_ssh
def test_converge_ends_with_how_many_hosts_are_how_and_names_those_that_need_a_look(play_fleet, answers):
    played = play_fleet("converge", hosts_of(
        one=answers["declared"], two=answers["changed"], three=[REFUSED], four=[REFUSED], five=[waiting(answers["declared"][0])],
        six=[FAILED], seven=None,
    ), variables=DECLARED)
    assert played.status != 0
    begin = played.lines.index("7 hosts: 1 as declared, 1 changed, 1 waiting for a reboot, 2 refused,")
    assert played.lines[begin + 1:begin + 6] == [
        "    1 unreachable, 1 failed", "  failed, udevadm cannot be started: ENOENT: six", "  unreachable: seven",
        "  refused, needed by the host (storage): three four", "  waiting for a reboot: five",
    ]


def test_the_summary_is_there_where_every_host_was_refused(play_fleet, answers):
    played = play_fleet("converge", hosts_of(one=[REFUSED], two=[REFUSED]), variables=DECLARED)
    assert "2 hosts: 2 refused" in played.lines and "  refused, needed by the host (storage): one two" in played.lines


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.host_pinned", "ansible.builtin.linear"])
def test_hosts_are_summed_up_once_whatever_strategy_is_the_default(play_fleet, answers, strategy):
    hosts = hosts_of(one=answers["declared"], two=[REFUSED], three=answers["declared"])
    played = play_fleet("converge", hosts, variables=DECLARED, ANSIBLE_STRATEGY=strategy)
    assert [line for line in played.lines if line.startswith("3 hosts: ")] == ["3 hosts: 2 as declared, 1 refused"]
    played = play_fleet("release", hosts, ANSIBLE_STRATEGY=strategy)
    assert played.asked == [] and "This would give back everything on 3 hosts" in played.screen + played.errors


def test_a_single_host_has_no_summary(play_fleet, answers):
    played = play_fleet("converge", hosts_of(one=answers["declared"]), variables=DECLARED)
    assert not [line for line in played.lines if line.startswith("1 host")]


def test_check_mode_sums_up_what_would_change(play_fleet, answers):
    played = play_fleet("converge", hosts_of(one=answers["planned"], two=answers["declared"]), "--check", variables=DECLARED)
    assert "2 hosts: 1 as declared, 1 would change" in played.lines


def test_verify_sums_up_hosts_that_are_not_as_declared(play_fleet, answers):
    played = play_fleet("verify", hosts_of(one=answers["planned"], two=answers["declared"]), variables=DECLARED)
    assert played.status != 0 and "2 hosts: 1 as declared, 1 not as declared" in played.lines


def test_a_service_that_waits_for_a_restart_is_no_failure_of_somebody_else_and_not_as_declared(play_fleet, answers):
    limits = [dict(answers["declared"][0], restart=["guest.service"], memlock=[{
        "kind": "unit", "name": "guest.service", "limit_before": "1", "limit": "1", "pid": 7, "running": "0", "restart": True, "status": "unchanged",
    }])]
    played = play_fleet("verify", hosts_of(one=limits, two=answers["declared"]), variables=DECLARED)
    assert played.status != 0 and "2 hosts: 1 as declared, 1 not as declared" in played.lines
    assert "one  not as declared: nothing is changed" in played.lines and "A restart is required: guest.service." in played.lines
    played = play_fleet("converge", hosts_of(one=limits, two=answers["declared"]), variables=DECLARED)
    assert played.status == 0 and "2 hosts: 2 as declared" in played.lines and "A restart is required: guest.service." in played.lines


def test_survey_sums_up_and_so_does_a_callback_that_writes_json(play_fleet, result_of, host):
    facts = result_of(host, "pci_facts", owners=True)
    hosts = {"one": {"pci_facts": [facts]}, "two": {"pci_facts": [FAILED]}}
    assert "2 hosts: 1 surveyed, 1 failed" in play_fleet("survey", hosts).lines
    assert "2 hosts: 1 surveyed, 1 failed" in play_fleet("survey", hosts, ANSIBLE_STDOUT_CALLBACK="minimal").screen.splitlines()


def test_a_fleet_with_nothing_to_do_is_at_most_four_lines_a_host(play_fleet, answers):
    hosts = hosts_of(**{f"h{number}": answers["declared"] for number in range(12)})
    for host in hosts.values():
        host["passthrough"] = [dict(answers["declared"][0], changed=False)]
    played = play_fleet("converge", hosts, variables=DECLARED)
    lines = [line for line in played.lines if line.strip() and not line.startswith(("TASK ", "PLAY "))]
    assert len(lines) <= 4 * len(hosts), "\n".join(lines)


def test_batches_say_after_each_what_there_is_by_then_and_a_failure_stops_the_next_one(play_fleet, answers):
    hosts = hosts_of(one=answers["declared"], two=[FAILED], three=answers["declared"])
    played = play_fleet("converge", hosts, "-e", "passthrough_serial=1", variables=DECLARED)
    assert "3 hosts: 1 as declared, 2 not asked" in played.lines
    assert "3 hosts: 1 as declared, 1 not asked, 1 failed" in played.lines
    assert len(played.asked) == 2


def test_a_share_of_failures_stops_the_play_before_the_next_batch(play_fleet, answers):
    hosts = hosts_of(one=answers["declared"], two=[FAILED], three=answers["declared"], four=answers["declared"])
    words = ("-e", "passthrough_serial=2", "-e", "passthrough_max_fail_percentage=0")
    played = play_fleet("converge", hosts, *words, variables=DECLARED)
    assert len(played.asked) == 2 and "4 hosts: 1 as declared, 2 not asked, 1 failed" in played.lines
    assert "1 of the 2 hosts of this batch failed" in " ".join((played.screen + played.errors).split())
    words = ("-e", "passthrough_serial=2", "-e", "passthrough_max_fail_percentage=50")
    assert len(play_fleet("converge", hosts, *words, variables=DECLARED).asked) == 4


@pytest.mark.parametrize("word, told", [
    ("passthrough_serial=x", "passthrough_serial must be a number of hosts"),
    ("passthrough_max_fail_percentage=101", "passthrough_max_fail_percentage must be a number from 0 to 100, and is '101'"),
])
def test_a_batch_or_a_share_that_is_none_is_one_error_before_any_host_is_asked(play_fleet, answers, word, told):
    played = play_fleet("converge", hosts_of(one=answers["declared"]), "-e", word, variables=DECLARED)
    shown = " ".join((played.screen + played.errors).split())
    assert played.status != 0 and told in shown and played.asked == [] and "Traceback" not in shown


def test_batches_may_grow(play_fleet, answers):
    hosts = hosts_of(**{f"h{number}": answers["declared"] for number in range(3)})
    played = play_fleet("converge", hosts, "-e", '{"passthrough_serial": [1, "100%"]}', variables=DECLARED)
    assert "3 hosts: 1 as declared, 2 not asked" in played.lines and "3 hosts: 3 as declared" in played.lines


@pytest.fixture
def hooks(tmp_path):
    """Files of tasks that say when they are done."""
    for name in ("drain", "uncordon"):
        (tmp_path / f"{name}.yml").write_text(
            f"- name: Say it\n  ansible.builtin.debug:\n    msg: {name} {{{{ inventory_hostname }}}}\n"
        )
    return DECLARED + "passthrough_reboot_ok: true\npassthrough_before_reboot: drain.yml\npassthrough_after_reboot: uncordon.yml\n"


def test_hosts_reboot_one_after_the_other_between_their_tasks_and_one_that_stays_away_stops_it(play_fleet, answers, hooks):
    pending, last = waiting(answers["declared"][0]), answers["declared"][0]
    hosts = {
        "zero": {"passthrough": [last]}, "one": {"passthrough": [pending, last], "reboot": [BACK]},
        "two": {"passthrough": [pending, last], "reboot": [AWAY]}, "three": {"passthrough": [pending, last], "reboot": [BACK]},
    }
    played = play_fleet("converge", hosts, "-e", "passthrough_serial=1", variables=hooks)
    screen = played.screen
    places = [screen.find(text) for text in ("drain one", "TASK [vfio.host.passthrough : Reboot the host]", "uncordon one", "drain two")]
    assert -1 not in places and places == sorted(places)
    assert [text for text in ("drain zero", "uncordon two", "drain three") if text in screen] == []
    assert "  failed, stayed away after its reboot: two" in played.lines
    assert any(line.startswith("4 hosts: 2 ") and line.endswith("1 not asked, 1 failed") for line in played.lines)


def test_a_host_whose_task_before_the_reboot_fails_is_not_rebooted(play_fleet, answers, hooks, tmp_path):
    (tmp_path / "drain.yml").write_text("- name: No\n  ansible.builtin.fail:\n    msg: a guest will not go\n")
    pending = waiting(answers["declared"][0])
    played = play_fleet("converge", {"one": {"passthrough": [pending], "reboot": [BACK]}}, variables=hooks)
    assert played.status != 0 and "a guest will not go" in played.screen + played.errors
    assert not [one for one in played.asked if "reboot_timeout" in one]


def test_variables_with_nothing_behind_them_say_nothing(play_fleet, answers):
    """As YAML reads a name whose lines are all comments."""
    pending, last = waiting(answers["declared"][0]), answers["declared"][0]
    variables = DECLARED + "passthrough_reboot_ok: true\npassthrough_before_reboot:\npassthrough_after_reboot:\npassthrough_force:\n"
    played = play_fleet("converge", {"one": {"passthrough": [pending, last], "reboot": [BACK]}}, variables=variables)
    assert played.status == 0, played.screen + played.errors
    assert [one["force"] for one in played.asked if "force" in one] == [[], []] and [one for one in played.asked if "reboot_timeout" in one]


def test_a_file_of_tasks_that_is_not_there_is_an_error_before_the_host_is_asked(play_fleet, answers, hooks, tmp_path):
    (tmp_path / "drain.yml").unlink()
    played = play_fleet("converge", hosts_of(one=answers["declared"]), variables=hooks)
    shown = " ".join((played.screen + played.errors).split())
    assert "passthrough_before_reboot: the controller has no file drain.yml" in shown and played.asked == []
    # Where the user wrote it, and not where the role has its default.
    assert "all.yml:6)" in shown and "defaults/main.yml" not in shown


def test_release_of_several_hosts_needs_a_word_and_one_host_or_check_mode_does_not(play_fleet, answers):
    both = hosts_of(one=answers["declared"], two=answers["declared"])
    refused = play_fleet("release", both)
    shown = " ".join((refused.screen + refused.errors).split())
    assert refused.status != 0 and refused.asked == [] and "on 2 hosts (one, two), and nothing was done" in shown
    assert len(play_fleet("release", both, "-e", "passthrough_release=true").asked) == 2
    assert len(play_fleet("release", both, "--limit", "one").asked) == 1
    assert len(play_fleet("release", both, "--check").asked) == 2
