# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from virtlab import apt, fetch, host
from virtlab.errors import LabError

SIMULATION = """\
Reading package lists...
The following NEW packages will be installed:
  linux-image-6.12.9+deb13-rt-amd64 linux-image-rt-amd64
Inst linux-base (1:4.12 Debian:13.2/stable [all])
Inst kmod [34.1-1] (34.2-1 Debian:13.2/stable, Debian-Security:13/stable-security [amd64]) []
Inst linux-image-6.12.9+deb13-rt-amd64 (6.12.9-1 Debian:13.2/stable [amd64])
Conf linux-image-6.12.9+deb13-rt-amd64 (6.12.9-1 Debian:13.2/stable [amd64])
"""


@pytest.fixture
def box(description, tmp_path, monkeypatch):
    """A running host of an own apt state: what apt is asked is noted, and what it answers to a simulation can be set."""
    monkeypatch.setattr(fetch.paths, "cache", lambda: tmp_path)
    monkeypatch.setattr(apt, "line", lambda suite: f"deb http://deb.example/debian {suite} main")
    monkeypatch.setattr(apt, "options", lambda suite: (f'Of::Suite "{suite}";',))
    made = SimpleNamespace(host=host.parse("box", description), run=lambda: None, ssh=lambda run: ["ssh"],
                           status="Package: kmod", simulation=SIMULATION, asked=[])

    def run(argv, timeout, env):
        made.asked.append((argv, Path(env["APT_CONFIG"])))
        return made.simulation if "--simulate" in argv else ""

    monkeypatch.setattr(fetch, "run", run)
    monkeypatch.setattr(fetch.ssh, "run", lambda base, command, timeout: made.status)
    return made


def test_the_files_of_a_plan_have_the_names_that_apt_gives_them():
    assert fetch.planned(SIMULATION) == (
        "linux-base_1%3a4.12_all.deb", "kmod_34.2-1_amd64.deb", "linux-image-6.12.9+deb13-rt-amd64_6.12.9-1_amd64.deb",
    )


def test_a_plan_is_fetched_and_its_files_are_named(box, tmp_path):
    found = fetch.packages(box, ["linux-image-rt-amd64"])
    archives = tmp_path / "debs/trixie-amd64/var/cache/apt/archives"
    assert [path.parent for path in found] == [archives] * 3
    assert [argv[1] for argv, dummy in box.asked] == ["update", "install", "install"]
    last = box.asked[-1][0]
    assert "--download-only" in last
    assert last[-2:] == ["--", "linux-image-rt-amd64"]


def test_apt_sees_the_hosts_packages_and_suite_and_writes_nowhere_else(box, tmp_path):
    fetch.packages(box, ["linux-image-rt-amd64"])
    work = tmp_path / "debs/trixie-amd64"
    assert {path for dummy, path in box.asked} == {work / "apt.conf"}
    text = (work / "apt.conf").read_text(encoding="utf-8")
    assert f'Dir "{work}";' in text
    assert f'Dir::State::status "{work}/status";' in text
    assert 'Of::Suite "trixie";' in text
    assert (work / "status").read_text(encoding="utf-8") == "Package: kmod\n"
    assert (work / "etc/apt/sources.list").read_text(encoding="utf-8") == "deb http://deb.example/debian trixie main\n"


def test_what_the_host_has_already_is_refused(box):
    box.simulation = "0 upgraded, 0 newly installed\n"
    with pytest.raises(LabError, match="host box has kmod already"):
        fetch.packages(box, ["kmod"])


def test_a_host_that_does_not_answer_is_an_error(box):
    box.status = None
    with pytest.raises(LabError, match="host box does not say what is installed"):
        fetch.packages(box, ["kmod"])
    assert not box.asked


def test_the_source_of_another_suite_has_the_machines_key(monkeypatch):
    monkeypatch.setattr(apt, "read", lambda: [apt.Source("http://deb.example/debian/", ("bookworm",), ("main",), "/k.gpg")])
    monkeypatch.delenv("VFIO_HOST_LAB_MIRROR", raising=False)
    assert apt.line("trixie") == "deb [signed-by=/k.gpg] http://deb.example/debian/ trixie main"
