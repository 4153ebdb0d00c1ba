# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that writes the report, by the Ansible that is installed."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.tests.unit.playbooks.declared import DECLARED, WISH, needs_ssh

REFUSED = {"failed": True, "msg": "no\nneither", "refusals": [{"kind": "guard", "guard": "storage", "message": "no"}]}
REPORT = ("-e", "passthrough_report=report.html")


@pytest.fixture
def hosts(result_of, host):
    """One that would change, one that is refused, one whose facts fail, one that cannot be reached."""
    facts = result_of(host, "pci_facts", owners=True)
    planned = result_of(host, "passthrough", check=True, **WISH)
    return {
        "fine": {"pci_facts": [facts], "passthrough": [planned]}, "kept": {"pci_facts": [facts], "passthrough": [REFUSED]},
        "broken": {"pci_facts": [{"failed": True, "msg": "no Python <script>alert(1)</script>"}]}, "away": None,
    }


@needs_ssh
def test_every_host_is_in_the_report_whatever_became_of_it(play_fleet, hosts, tmp_path):
    played = play_fleet("report", hosts, *REPORT, variables=DECLARED)
    text = (tmp_path / "report.html").read_text()
    assert played.status == 0, played.screen
    for name, word in (("fine", "would change"), ("kept", "refused"), ("broken", "failed"), ("away", "unreachable")):
        (part,) = [one for one in text.split("<details")[1:] if f"<h2><bdi>{name}</bdi></h2>" in one]
        assert f">{word}</span>" in part
    assert "Connection refused" in text and "no Python &lt;script&gt;" in text and "<script>alert" not in text
    assert "4 hosts: 1 would change, 1 refused, 1 unreachable, 1 failed" in played.lines
    assert "  refused, needed by the host (storage): kept" in played.lines
    assert any(line.startswith("The report of them is written: ") for line in played.lines)
    assert all(one.get("_ansible_check_mode") for one in played.asked if "undeclared" in one)


def test_the_report_is_written_only_where_anything_has_changed(play_fleet, hosts, tmp_path):
    del hosts["away"]
    one, other = (play_fleet("report", hosts, *REPORT, variables=DECLARED) for dummy in range(2))
    assert "changed=1" in one.screen and "changed=1" not in other.screen and "changed=2" not in one.screen
    assert any(line.startswith("The report of them is as it was: ") for line in other.lines)


def test_check_mode_writes_nothing_and_says_so(play_fleet, hosts, tmp_path):
    del hosts["away"]
    played = play_fleet("report", hosts, *REPORT, "--check", variables=DECLARED)
    assert played.status == 0 and not (tmp_path / "report.html").exists()
    assert any(line.startswith("The report of them is not written in check mode: ") for line in played.lines)


@pytest.mark.parametrize("words, told", [
    ((), "passthrough_report is '': say where the report goes, a file on the controller"),
    (("-e", "passthrough_report=no/such/report.html"), "make it, or name a file elsewhere"),
    (("-e", "passthrough_report=inventory"), "which is a directory: name a file in it, such as inventory/report.html"),
    (("-e", "passthrough_report=inventory/hosts"), "is no report of vfio.host, and is left as it is"),
    (("-e", "passthrough_report=/proc/report.html"), "/proc/report.html cannot be written"),
])
def test_a_report_that_cannot_be_written_is_one_error_before_any_host_is_asked(play_fleet, hosts, words, told):
    del hosts["away"]
    played = play_fleet("report", hosts, *words, variables=DECLARED)
    shown = " ".join((played.screen + played.errors).split())
    assert played.status != 0 and told in shown and played.asked == []
    assert "Traceback" not in shown and played.screen.count("fatal: ") == 1


def test_a_variable_that_the_role_does_not_know_is_a_refusal_in_the_report(play_fleet, hosts, tmp_path):
    play_fleet("report", {"fine": hosts["fine"]}, *REPORT, variables=DECLARED + "passthrough_froce: []\n")
    text = (tmp_path / "report.html").read_text()
    assert ">refused</span>" in text and "did you mean passthrough_force?" in text


def test_the_report_goes_to_the_target_of_a_link_with_the_rights_of_a_new_file(play_fleet, hosts, tmp_path):
    (tmp_path / "report.html").symlink_to("web.html")
    play_fleet("report", {"fine": hosts["fine"]}, *REPORT, variables=DECLARED)
    assert (tmp_path / "report.html").is_symlink() and (tmp_path / "web.html").is_file()
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "web.html").stat().st_mode & 0o777 == 0o666 & ~mask
