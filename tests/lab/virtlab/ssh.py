# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh to a host, for the lab itself and for Ansible: the same options, so the same open connection."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

from .errors import LabError


def options(state: Path, name: str) -> List[str]:
    """What both need to reach the host quickly, and never to ask anyone anything."""
    values = {
        "UserKnownHostsFile": state / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        # The port changes with every start, the host's key with its image only.
        "HostKeyAlias": name,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
        # A key exchange costs an emulated host seconds, and the newest kinds most.
        "KexAlgorithms": "curve25519-sha256",
        # It holds for the server's first word too.
        "ConnectTimeout": "60",
        # A host that was cut off is noticed; one that is only slow is not.
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "8",
        "ControlMaster": "auto",
        "ControlPersist": "600",
        "ControlPath": state / "ssh.sock",
    }
    return [word for option, value in values.items() for word in ("-o", f"{option}={value}")]


def argv(state: Path, name: str, port: int, key: Path) -> List[str]:
    return ["ssh", "-F", "/dev/null", *options(state, name), "-i", str(key), "-p", str(port), "root@127.0.0.1"]


def inventory(state: Path, name: str, port: int, key: Path) -> Dict[str, Any]:
    """The host's variables for Ansible."""
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_args": shlex.join(["-F", "/dev/null", *options(state, name)]),
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def greets(port: int, timeout: float) -> bool:
    """Whether an ssh server answers. QEMU accepts the connection whatever its guest does; only the banner tells."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4).startswith(b"SSH")
    except OSError:
        return False


def run(base: List[str], command: str, timeout: float) -> Optional[str]:
    """The output of a command on the host; None where it did not run or failed."""
    try:
        # Not a pipe for stderr: the connection that stays open would keep it open too.
        done = subprocess.run([*base, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return None
    except FileNotFoundError:
        raise LabError("ssh is not installed", "install openssh-client") from None
    return done.stdout.strip() if done.returncode == 0 else None


def boot_id(base: List[str], timeout: float) -> Optional[str]:
    """The kernel's identity of this boot of the host; None while it does not answer."""
    return run(base, "cat /proc/sys/kernel/random/boot_id", timeout)


def close(base: List[str], state: Path) -> None:
    """End the shared connection: it does not survive its host."""
    socket_path = state / "ssh.sock"
    if socket_path.exists():
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([*base[:-1], "-O", "exit", base[-1]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=10, check=False)
        socket_path.unlink(missing_ok=True)


__all__ = ("argv", "boot_id", "close", "greets", "inventory", "options", "run")
