# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What processes have open, by the numbers of devices: whatever it is called in their own namespace or chroot."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import last_address
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, CHARACTER, FILES, NAMELESS, VIEW, Node

if TYPE_CHECKING:
    from typing import Iterable, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._devices.mappings import Holder
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_UNTOLD = "what it has open cannot be read, so it may be this"
_VFIO_DEVICE = "anon_inode:[vfio-device]"  # a device that was opened through its group (source: drivers/vfio/group.c)
_FLAGS = "flags:"  # in octal digits (source: fs/proc/fd.c)
_SYSPATH = "vfio-device-syspath:"  # which device that is, from Linux 6.18 on (source: drivers/vfio/vfio_main.c)


class Processes:
    """All processes that /proc shows, looked at once, when somebody asks. Needs root to see every process."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._commands: dict[int, str] = {}

    def having(self, nodes: Iterable[Node]) -> dict[int, list[Node]]:
        """The processes that have one of ``nodes`` open: pid -> the Nodes, in order."""
        found: dict[int, list[Node]] = {}
        for node in nodes:
            for pid, links in self._open[0].get(node, {}).items():
                if any(map(self._is_open, links)):
                    found.setdefault(pid, []).append(node)
        return dict(sorted(found.items()))

    def having_vfio(self, address: str) -> list[int]:
        """The pids of those that have the VFIO file of the device at ``address``, as far as the kernel says of which it is."""
        found = self._open[1].get(address)
        return sorted(found) if found else []

    def having_some_vfio(self) -> list[int]:
        """The pids of those that have the VFIO file of some device, of which the kernel does not say which."""
        return sorted(self._open[1].get(None, ()))

    @property
    def untold(self) -> list[int]:
        """The pids of those of which it cannot be told what they have open: it may be anything."""
        return sorted(self._open[2])

    def holder(self, pid: int) -> Holder:
        """A process as the facts show it: {pid, command}."""
        if pid not in self._commands:
            command = printable(self._fs.read(f"{self._fs.proc}/{pid}/comm") or "")
            self._commands[pid] = f"{command}: {_UNTOLD}" if pid in self._open[2] else command
        return {"pid": pid, "command": self._commands[pid]}

    @cached_property
    def _open(self) -> tuple[dict[Node, dict[int, list[str]]], dict[str | None, set[int]], set[int]]:
        """(Node -> pid -> links in /proc, address or None -> pids, pids of which it cannot be told)."""
        nodes: dict[Node, dict[int, list[str]]] = {}
        vfio: dict[str | None, set[int]] = {}
        untold: set[int] = set()
        for pid in map(int, filter(str.isdecimal, self._fs.names(self._fs.proc))):
            for directory, names in self._tables(pid):
                if self._fs.refusal(directory) is not None:
                    untold.add(pid)
                for name in names:
                    self._add(pid, f"{directory}/{name}", nodes, vfio, untold)
            if self._fs.refusal(f"{self._fs.proc}/{pid}/task") is not None:
                untold.add(pid)
        return nodes, vfio, untold

    def _tables(self, pid: int) -> Iterator[tuple[str, list[str]]]:
        """(directory, names in it) of a process's open files, and of those threads that have others than their process: these may have
        the same numbers.
        """
        fs, base = self._fs, f"{self._fs.proc}/{pid}"
        yield f"{base}/fd", fs.names(f"{base}/fd")
        for thread in fs.threads(str(pid), own=FILES):
            yield f"{thread}/fd", fs.names(f"{thread}/fd")

    def _add(
        self, pid: int, link: str, nodes: dict[Node, dict[int, list[str]]], vfio: dict[str | None, set[int]], untold: set[int],
    ) -> None:
        node = self._fs.look(link)
        if node is None:
            if self._fs.refusal(link) is not None:
                untold.add(pid)
        elif node.kind in (BLOCK, CHARACTER):
            nodes.setdefault(node, {}).setdefault(pid, []).append(link)
        elif node.kind == NAMELESS and self._fs.target(link) == _VFIO_DEVICE:
            vfio.setdefault(self._device(link), set()).add(pid)

    def _is_open(self, link: str) -> bool:
        """Whether a file is open, and not just named by an O_PATH handle, which any user can have of any node."""
        flags = self._told(link, _FLAGS)
        return flags is None or not int(flags, 8) & os.O_PATH

    def _device(self, link: str) -> str | None:
        """The address of the device of a VFIO file; None where the kernel does not say."""
        return last_address(self._told(link, _SYSPATH) or "")

    def _told(self, link: str, key: str) -> str | None:
        """What fdinfo says of a file; None where it says nothing."""
        head, dummy, name = link.rpartition("/fd/")
        for line in (self._fs.read(f"{head}/fdinfo/{name}") or "").split("\n"):
            if line.startswith(key):
                return line[len(key):].strip()
        return None


def views(fs: Sysfs) -> Iterator[Tuple[str, str]]:
    """(pid, directory below /proc) of each process, and of those of its threads that may see other mounts than it."""
    for pid in filter(str.isdecimal, fs.names(fs.proc)):
        yield pid, f"{fs.proc}/{pid}"
        for thread in fs.threads(pid, own=VIEW):
            yield pid, thread


def printable(text: str) -> str:
    """A name that a user chose, for a message: what is no text, and what a terminal would act on, is left escaped."""
    plain = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in plain)


__all__ = ("Processes", "printable", "views")
