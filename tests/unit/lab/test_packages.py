# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab installs on the controller, and as whom."""

from __future__ import annotations

import pytest
from virtlab import errors, host, packages


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function: a machine that lacks zstd, of this user; it returns the commands that are run."""
    monkeypatch.setenv("VFIO_HOST_LAB_CACHE", str(tmp_path))

    def of(user, sudo):
        commands = []

        def run(argv, **dummy):
            commands.append(list(argv))
            if argv[0] == "sudo" and not sudo:
                raise errors.LabError("sudo failed with status 1")
            return ""

        lacking = [("zstd",), ()]
        monkeypatch.setattr(packages, "missing", lambda host, build: lacking.pop(0))
        monkeypatch.setattr(packages.shutil, "which", lambda program: f"/usr/bin/{program}")
        monkeypatch.setattr(packages.os, "geteuid", lambda: user)
        monkeypatch.setattr(packages, "run", run)
        return commands

    return of


def installs(commands):
    return [argv[:argv.index("apt-get") + 1] for argv in commands if "install" in argv]


def test_root_installs_what_is_missing(machine, description):
    commands = machine(0, sudo=False)
    packages.ensure(host.parse("box", description), build=True)
    assert installs(commands) == [["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]]


def test_a_user_installs_it_by_a_sudo_that_asks_for_nothing(machine, description):
    commands = machine(1000, sudo=True)
    packages.ensure(host.parse("box", description), build=True)
    assert installs(commands) == [["sudo", "--non-interactive", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]]


def test_a_user_without_it_reads_the_command_to_run(machine, description):
    machine(1000, sudo=False)
    with pytest.raises(errors.LabError, match="lacks zstd: run: sudo apt-get install --no-install-recommends zstd"):
        packages.ensure(host.parse("box", description), build=True)
