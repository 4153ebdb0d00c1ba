# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hosts on one machine: sshds on loopback ports, each in a mount namespace where a generated tree is /sys."""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from .hosts import Failed, modules_directory
from .module_tree import write_modules
from .sysfs_tree import write_sysfs
from .topology import functions

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
_FIRST_PORT = 22100
_SSH = "-F /dev/null -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ControlMaster=auto -o ControlPersist=1s"
_ANSIBLE = f"{sys.executable} -m ansible playbook".split()
# What a run writes to, or a host has of its own: an empty directory of each host is mounted there.
_OWN = ("/etc/udev", "/etc/modprobe.d", "/etc/modules-load.d", "/run", "/var/lib/vfio-host")
_SUBREAPER = 36  # source: include/uapi/linux/prctl.h PR_SET_CHILD_SUBREAPER
_PATIENCE = 30  # seconds for a daemon to begin, and for connections to end
_CONFIG = b"CONFIG_MODULES=y\nCONFIG_PCI=y\nCONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\nCONFIG_VFIO_IOMMU_TYPE1=m\n"
_DECLARED = 4  # functions that VFIO has already
_PLAY = {"hosts": "all", "become": True, "gather_facts": False}
_CHANGED = re.compile(r"^\S+ +: ok=\d+ +changed=([1-9]\d*)", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Seconds of one play over all hosts: of processor on the controller and on the hosts, and on the clock."""

    controller: float
    hosts: float
    wall: float


class Fleet:
    """Hosts that run, and the controller's files in ``directory``."""

    def __init__(self, directory: Path, daemons: list[subprocess.Popen]) -> None:
        self._directory = directory
        self._daemons = daemons

    def play(self, name: str, *, forks: int, pipelining: bool, is_settled: bool = False) -> Cost:
        """Run a play over all hosts by new connections. ``is_settled``: it may change none."""
        playbook = self._directory / f"{name}.yml"
        environment = {
            "PATH": PATH, "HOME": str(self._directory), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORKS": str(forks),
            "ANSIBLE_PIPELINING": str(pipelining), "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_HOME": str(self._directory / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"], "ANSIBLE_SSH_ARGS": _SSH,
        }
        before, hosts, began = _children(), self._of_hosts(), time.monotonic()
        found = subprocess.run(
            [*_ANSIBLE, "-i", str(self._directory / "hosts.json"), str(playbook) if playbook.exists() else f"vfio.host.{name}"],
            env=environment, cwd=self._directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        wall = time.monotonic() - began
        if found.returncode != 0 or (is_settled and _CHANGED.search(found.stdout)):
            raise Failed(f"{name}, pipelining {pipelining}, ended with {found.returncode}: {found.stdout[-4000:]}")
        self._reap()
        return Cost(_children() - before, self._of_hosts() - hosts, wall)

    def _reap(self) -> None:
        """Wait for the controller's ssh masters, which have become children of this process, and for the sessions of the daemons."""
        daemons, until = {one.pid for one in self._daemons}, time.monotonic() + _PATIENCE
        while set(_children_of(os.getpid())) - daemons or any(map(_children_of, daemons)):
            if time.monotonic() > until:
                raise Failed("a connection does not end")
            for pid in set(_children_of(os.getpid())) - daemons:
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)

    def _of_hosts(self) -> float:
        """Seconds of processor that all daemons and what they have waited for have taken."""
        ticks = 0
        for one in self._daemons:
            words = Path(f"/proc/{one.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            ticks += sum(map(int, words[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def fleet(count: int, size: int, directory: Path) -> Iterator[Fleet]:
    """Start ``count`` hosts of ``size`` functions."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise Failed(f"prctl: {os.strerror(ctypes.get_errno())}")
    tree = directory / "tree"
    (tree / "sys").mkdir(parents=True)
    there = functions(size)
    write_sysfs(tree / "sys", there)
    write_modules(tree / "lib/modules" / os.uname().release)
    (tree / "config.gz").write_bytes(gzip.compress(_CONFIG))
    (tree / "lib/modules" / os.uname().release / "config").write_bytes(_CONFIG)
    names = [f"node{number:03d}" for number in range(count)]
    _write_controller(directory, names, _taken(tree / "sys", [one.address for one in there]))
    daemons: list[subprocess.Popen] = []
    with modules_directory(), contextlib.ExitStack() as made:
        for path in _OWN:
            if not os.path.isdir(path):
                os.makedirs(path)
                made.callback(shutil.rmtree, path, ignore_errors=True)
        try:
            for number, name in enumerate(names):
                daemons.append(_start(directory / name, tree, directory, _FIRST_PORT + number))
            for number in range(count):
                _await(_FIRST_PORT + number, daemons[number])
            yield Fleet(directory, daemons)
        finally:
            for one in daemons:
                one.send_signal(signal.SIGTERM)
                one.wait()


def _taken(sysfs: Path, addresses: list[str]) -> list[str]:
    """Some functions that VFIO has."""
    links = {address: sysfs / "bus/pci/devices" / address / "driver" for address in addresses}
    found = [address for address, link in links.items() if link.is_symlink() and os.readlink(link).endswith("/vfio-pci")]
    if len(found) < _DECLARED:
        raise Failed(f"{len(found)} functions with VFIO, {_DECLARED} are declared")
    return found[:_DECLARED]


def _write_controller(directory: Path, names: list[str], taken: list[str]) -> None:
    """Keys, inventory, and the plays that are measured beside our own."""
    for key in ("client", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
    variables = {
        "ansible_host": "127.0.0.1", "ansible_user": "root", "ansible_ssh_private_key_file": str(directory / "client"),
        "ansible_python_interpreter": "/usr/bin/python3",
        "passthrough_devices": {"bench": [{"match": {"address": taken}}]},
    }
    inventory = {"all": {"hosts": {name: {"ansible_port": _FIRST_PORT + number} for number, name in enumerate(names)}, "vars": variables}}
    (directory / "hosts.json").write_text(json.dumps(inventory))
    for name, module in (("ping", "ansible.builtin.ping"), ("facts", "vfio.host.pci_facts")):
        (directory / f"{name}.yml").write_text(json.dumps([{**_PLAY, "tasks": [{module: {}}]}]))


def _start(own: Path, tree: Path, directory: Path, port: int) -> subprocess.Popen:
    """The sshd of one host."""
    mounts = [f"mount --bind {tree}/sys /sys", f"mount --bind {tree}/lib/modules /lib/modules"]
    if os.path.exists("/proc/config.gz"):
        mounts.append(f"mount --bind {tree}/config.gz /proc/config.gz")
    for number, path in enumerate(_OWN):
        (own / str(number)).mkdir(parents=True)
        mounts.append(f"mount --bind {own}/{number} {path}")
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": directory / "host", "AuthorizedKeysFile": directory / "client.pub",
        "PermitRootLogin": "yes", "StrictModes": "no", "UsePAM": "no", "PidFile": "none", "MaxStartups": "500", "PrintMotd": "no",
    }
    (own / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in options.items()))
    script = " && ".join([*mounts, "mkdir -p /run/sshd /run/lock", f"exec {shutil.which('sshd', path=PATH)} -D -e -f {own}/sshd_config"])
    with open(own / "log", "wb") as log:
        return subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], stdout=log, stderr=log)


def _await(port: int, daemon: subprocess.Popen) -> None:
    """Return when the daemon listens. Raises Failed."""
    import socket

    for dummy in range(_PATIENCE * 20):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as stream:
            if stream.recv(4) == b"SSH-":
                return
        if daemon.poll() is not None:
            break
        time.sleep(0.05)
    raise Failed(f"no sshd at port {port}")


def _children() -> float:
    """Seconds of processor of all that this process has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _children_of(pid: int) -> list[int]:
    """The processes whose parent this is."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def table(found: dict[tuple[str, bool], list[Cost]], count: int, goal: float) -> str:
    """The median costs of each play, a host, and the median of its ratios to the ping of the same round."""
    lines = [f"{'play':10} {'pipelining':10} {'controller':>11} {'host':>8} {'sum':>8} {'sum / ping':>10}   (ms of processor a host, {count} hosts)"]
    for (name, mode), costs in found.items():
        controller, hosts = (statistics.median(getattr(one, part) for one in costs) / count * 1000 for part in ("controller", "hosts"))
        pings = found["ping", mode]
        ratio = statistics.median((one.controller + one.hosts) / (ping.controller + ping.hosts) for one, ping in zip(costs, pings))
        lines.append(
            f"{name:10} {'on' if mode else 'off':10} {controller:11.0f} {hosts:8.0f} {controller + hosts:8.0f} {ratio:10.2f}"
            + (f"   <= {goal}" if name in ("survey", "verify", "converge") else "")
        )
    return "\n".join(lines)
