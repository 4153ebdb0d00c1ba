# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare pci_facts with lspci on generated hosts, and print ratios beside their goals. Needs root and pciutils.

A time never fails the run: machines differ, and others use them. A measurement that cannot be made does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLLECTION = HERE.parents[1]
SERVER, SMALL, LARGE = 140, 1024, 4096
# What a run with nothing to do declares.
NOTHING = {"devices": [{"match": {"vendor": "ffff"}, "optional": True}]}


def main() -> int:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for CI")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default 25, quick 7)")
    parser.add_argument("--python", default=default_python(), help="runs the modules (default: %(default)s)")
    options = parser.parse_args()
    enter_collection()
    from benchlib import hosts, report

    rounds = options.rounds or (7 if options.quick else 25)
    missing = [name for name in ("lspci", "unshare", "ansible") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        print(f"cannot measure: needs root and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="vfio-host-bench-", dir=memory_directory()) as directory:
            rows = measure(Path(directory), options.python, rounds)
    except (hosts.Failed, subprocess.CalledProcessError) as error:
        print(f"measurement failed: {error}", file=sys.stderr)
        return 1
    print(report.table(rows))
    return 0


def enter_collection(program: str = __file__) -> None:
    """Start anew where FQCNs resolve: from a checkout that lies elsewhere, on a staged copy."""
    if COLLECTION.parts[-3:] != ("ansible_collections", "vfio", "host"):
        staged = subprocess.check_output([sys.executable, COLLECTION / "tests/tools/stage.py"], text=True).strip()
        again = str(Path(staged, "tests/benchmarks", Path(program).name))
        os.execv(sys.executable, [sys.executable, again, *sys.argv[1:]])
    parent = COLLECTION.parents[2]
    sys.path[:0] = [str(HERE), str(parent)]
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(parent)
    # "ansible" of the interpreter that runs this, also where its virtualenv is not active.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def default_python() -> str:
    """The interpreter that Ansible finds on a host: the distribution's."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def memory_directory() -> str:
    """A directory that no disk is behind, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def measure(directory: Path, python: str, rounds: int) -> list[tuple[str, str, str, str]]:
    """All rows of the table."""
    from benchlib import hosts, payloads, planning, processes, report

    with hosts.host(SERVER, directory) as server, hosts.host(SMALL, directory) as small, hosts.host(LARGE, directory) as large:
        empty = [python, str(payloads.payload("ansible.builtin.ping", directory))]
        facts = [python, str(payloads.payload("vfio.host.pci_facts", directory))]
        module = "vfio.host.driver_override"
        once = [python, str(payloads.payload(module, directory, NOTHING))]
        twice = [python, str(payloads.payload_without_finder(COLLECTION, module, directory, NOTHING))]
        lspci = [shutil.which("lspci") or "lspci", "-Dvmmnnk", "-O"]
        samples: dict[tuple[str, int], list[hosts.Sample]] = {}
        peers = [("empty", empty), ("facts", facts), ("lspci", [*lspci, "sysfs.path=/sys/bus/pci"])]
        turns = [(host, name, command) for host in (small, large) for name, command in peers]
        turns += [(server, "once", once), (server, "twice", twice)]
        for turn in range(rounds + 1):  # the first one warms caches up and is checked for what it returns
            for host, name, command in turns:
                sample = host.run(command)
                if turn:
                    samples.setdefault((name, host.size), []).append(sample)
                else:
                    check(name, host)
        plans = planning.planning(large.tree, [64, 8, 1], max(3, rounds // 5))
        looks = processes.processes(directory, [250, 1000], max(3, rounds // 5))
    return report.processes(samples, SMALL, LARGE) + report.compiled(samples, SERVER) + report.plans(plans) + report.looks(looks)


def check(name: str, host) -> None:
    """A process that finds less than there is measures nothing."""
    from benchlib import hosts

    text = host.output.read_text(errors="replace")
    if name == "facts":
        found = json.loads(text)["ansible_facts"]["vfio_host"]
        if len(found["devices"]) != host.size or len(found["iommu"]["groups"]) < host.size // 2:
            raise hosts.Failed(f"pci_facts sees {len(found['devices'])} of {host.size} functions")
    elif name == "lspci":
        # The last field of -k shows that libkmod could read the indexes.
        if text.count("Slot:") != host.size or "Module:\t" not in text or "IOMMUGroup:\t" not in text:
            raise hosts.Failed(f"lspci sees {text.count('Slot:')} of {host.size} functions: {text[:500]}")
    elif name in ("once", "twice") and json.loads(text)["devices"]:
        raise hosts.Failed(f"a run with nothing to do has something to do: {text[:500]}")


if __name__ == "__main__":
    sys.exit(main())
