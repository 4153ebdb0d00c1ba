# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the playbooks, with nothing to do, with a play of one ping, over many hosts by ssh: processor time of controller and hosts together.

Each host is an sshd of this machine in a mount namespace of its own, where a generated tree is /sys. Needs root and an OpenSSH server.
A time never fails the run; a play that fails, or that changes a host in what is measured, does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from run import enter_collection, memory_directory

PLAYS = ("ping", "facts", "survey", "verify", "converge")
GOAL = 1.5


def main() -> int:
    """Start the hosts, converge them once, then measure all plays in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: %(default)s)")
    parser.add_argument("--functions", type=int, default=140, help="PCI functions of a host (default: %(default)s)")
    parser.add_argument("--forks", type=int, default=20, help="of Ansible (default: %(default)s)")
    parser.add_argument("--pipelining", choices=("on", "off", "both"), default="both", help="default: %(default)s")
    options = parser.parse_args()
    enter_collection(__file__)
    from benchlib import fleet
    from benchlib.hosts import Failed

    missing = [name for name in ("sshd", "ssh", "ssh-keygen", "unshare", "ansible-playbook") if not shutil.which(name, path=fleet.PATH)]
    if missing or os.geteuid() != 0:
        print(f"cannot measure: needs root and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        return 1
    modes = {"on": [True], "off": [False], "both": [True, False]}[options.pipelining]
    try:
        with tempfile.TemporaryDirectory(prefix="vfio-host-fleet-", dir=memory_directory()) as directory, fleet.fleet(
            options.hosts, options.functions, Path(directory),
        ) as hosts:
            for name in ("converge", *PLAYS):  # caches are warm then, and there is nothing to do
                hosts.play(name, forks=options.forks, pipelining=True)
            found: dict[tuple[str, bool], list[fleet.Cost]] = {(name, mode): [] for mode in modes for name in PLAYS}
            for dummy in range(options.rounds):
                for name, mode in found:
                    found[name, mode].append(hosts.play(name, forks=options.forks, pipelining=mode, is_settled=True))
    except Failed as error:
        print(f"measurement failed: {error}", file=sys.stderr)
        return 1
    print(fleet.table(found, options.hosts, GOAL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
