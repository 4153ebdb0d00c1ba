# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The kernel's side of a host: what reader.py reads, and what is more than a file: programs, nodes, netlink, writes that may block."""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host import netlink, nodes
from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal, KernelStuck
from ansible_collections.vfio.host.plugins.module_utils._host.nexthops import has_other_rules, interfaces_to, routes_in
from ansible_collections.vfio.host.plugins.module_utils._host.reader import UNREAD, Reader
from ansible_collections.vfio.host.plugins.module_utils._host.watched import Deputy, Unfinished, started_at

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host import vfinfo
    from ansible_collections.vfio.host.plugins.module_utils._host.client import Client

# Starts a program: its words in, (exit status, standard output, standard error) out.
Run = Callable[[List[str]], Tuple[int, str, str]]

_LOOK = 1  # seconds for a look at a disk, which may never answer

# A note of a process that was left behind, format 1: its number, and when it started. A later one begins with a comment, see versions.py.
_NOTE = re.compile(r"([0-9]{1,20}) ([0-9]{1,20})\Z")


class Sysfs(Reader):
    """The kernel's side of a host: /sys, /proc and the modules directory below ``root``.

    ``run`` starts a program; it answers status 127 where that cannot be started. Without it, no program can.
    """

    def __init__(self, root: str = "/", run: Optional[Run] = None) -> None:
        super().__init__(root)
        self.run: Run = run or _no_program
        self._deputy = Deputy(
            lambda path, value, dummy: _write(path, value), lambda dummy, value, address: _forget(f"{self.stuck}/{address}")
        )
        self._claimer = Deputy(nodes.claim, lambda *dummy: None)
        self._prober = Deputy(nodes.probe_zfs, lambda *dummy: None)
        # Address -> the process that this run has left behind, and when it started.
        self._left_behind: Dict[str, Tuple[int, Optional[str]]] = {}

    def permanent_addresses(self) -> Dict[int, Tuple[str, str]]:
        """Index -> (address in use, permanent address) of network interfaces; {} below another root, whose kernel nobody asks."""
        return {} if self.root else netlink.permanent_addresses()

    def read_vfs(self, index: int) -> Optional[vfinfo.Interface]:
        """The vfinfo.Interface of an interface's number; None where there is none, and below another root."""
        from ansible_collections.vfio.host.plugins.module_utils._host import vfinfo  # few tasks ask
        return None if self.root else vfinfo.read(index)

    def write_vf(self, index: int, *, name: str, vf: int, group: str, values: Dict[str, object]) -> None:
        """Set attributes of a VF, as vfinfo.write(). Raises KernelRefusal."""
        from ansible_collections.vfio.host.plugins.module_utils._host import vfinfo
        vfinfo.write(index, name=name, vf=vf, group=group, values=values)

    def program(self, name: str) -> Optional[str]:
        """The path of a program below the root, by custom in one of these places; None where it is in none, or is BusyBox's."""
        for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            path = f"{place}/{name}"
            if os.path.exists(self.root + path) and "busybox" not in os.path.basename(os.path.realpath(self.root + path)):
                return path
        return None

    def look(self, path: str) -> Optional[nodes.Node]:
        """The Node behind ``path``, links followed; None where there is none, or it is not to be told.

        It does not wait for a file system whose server does not answer.
        """
        try:
            node = nodes.look(path)
        except UNREAD as error:
            self.note(path, error)
            return None
        self.note(path)
        return node

    def threads(self, pid: str, *, own: int) -> Iterator[str]:
        """The directories of a process's threads, but of those that share ``own`` (nodes.FILES, nodes.VIEW) with it. Below another root,
        whose kernel nobody asks, that is every thread.
        """
        for thread in filter(str.isdecimal, self.names(f"{self.proc}/{pid}/task")):
            if thread != pid and (self.root or not nodes.shares(int(pid), int(thread), what=own)):
                yield f"{self.proc}/{pid}/task/{thread}"

    def access(self, path: str) -> Optional[nodes.Access]:
        """The Access of the character device at ``path``; None where there is none. Raises OSError where that cannot be told."""
        return nodes.access(path)

    def give(self, path: str, wanted: nodes.Access) -> None:
        """Give the node at ``path`` the owner, group and mode of ``wanted``. Raises OSError."""
        nodes.give(path, wanted)

    def claim(self, number: str, name: str) -> int:
        """Claim the block device ``number`` ('MAJOR:MINOR'), called ``name``, as its only user, and let it go: 0 where it had no such
        user, EBUSY where it has one, ETIMEDOUT where it does not answer, or another errno.
        """
        paths = f"{self.dev}/{name.replace('!', '/')}", f"{self.dev}/block/{number}"
        try:
            return self._claimer.call((number, self.dev, *paths), _LOOK)
        except Unfinished:
            return errno.ETIMEDOUT

    def owners(self, path: str) -> Dict[str, Optional[str]]:
        """{owner, group, mode} of a node, by name where the host has one, the mode as '0660'; each None where there is no node."""
        try:
            status = os.stat(path)
        except UNREAD:
            return {"owner": None, "group": None, "mode": None}
        import grp  # few tasks ask
        import pwd
        return {
            "owner": _called(pwd.getpwuid, status.st_uid), "group": _called(grp.getgrgid, status.st_gid),
            "mode": f"{status.st_mode & 0o7777:04o}",
        }

    def client(self, timeout: float) -> Client:
        """What opens device nodes in a process of its own, as a program does that uses a device; ``timeout``: seconds for a call."""
        from ansible_collections.vfio.host.plugins.module_utils._host.client import Client  # few tasks open any
        return Client(timeout)

    def next_hops(self, address: bytes) -> Optional[List[str]]:
        """The interfaces of all next hops to an address of 4 or 16 bytes, as nexthops.interfaces_to() gives them; [] below another
        root, whose kernel nobody asks. Raises OSError.
        """
        return [] if self.root else interfaces_to(address)

    def routes_in(self, table: int) -> Optional[List[Tuple[bytes, int, List[str]]]]:
        """The routes of one of IPv4's tables, as nexthops.routes_in() gives them; None where the kernel does not say, and below another root."""
        try:
            return None if self.root else routes_in(table)
        except OSError:
            return None

    def has_other_rules(self) -> bool:
        """Whether a rule of IPv6 leads to another table than main and local, or may; False below another root."""
        try:
            return False if self.root else has_other_rules()
        except OSError:
            return True

    def is_zfs_member(self, path: str, number: str) -> Optional[bool]:
        """Whether the block device ``number`` ('MAJOR:MINOR') at ``path`` has a label of ZFS; None where that cannot be told.

        A process of its own looks, since a disk may never answer.
        """
        try:
            answer = self._prober.call((path, number), _LOOK)
        except Unfinished:
            return None
        return {0: True, errno.ENOTTY: False}.get(answer)

    def write(self, path: str, value: str) -> None:
        """Write ``value`` to a kernel attribute in one write(2). Raises KernelRefusal with the kernel's errno."""
        try:
            _write(path, value)
        except OSError as error:
            raise KernelRefusal(path, value, error=error) from error

    def write_watched(self, path: str, value: str, *, timeout: float, address: str) -> None:
        """Do as write() does, where the kernel may block for ever, about the device at ``address``: in a process of its own, which is
        left behind after ``timeout`` seconds. Raises KernelRefusal, KernelStuck.
        """
        try:
            number = self._deputy.call((path, value, address), timeout)
            if number:
                raise OSError(number, os.strerror(number))
        except Unfinished as unfinished:
            self.remember_stuck(address, unfinished.pid)
            raise KernelStuck(path, value, timeout=timeout, pid=unfinished.pid) from unfinished
        except OSError as error:
            raise KernelRefusal(path, value, error=error) from error

    def remember_stuck(self, address: str, pid: int) -> None:
        """Note that process ``pid``, which was left behind, still waits for the device at ``address``; it removes the note."""
        record, start = f"{self.stuck}/{address}", started_at(self.proc, pid)
        # This run knows it also where /run has no room for a note.
        self._left_behind[address] = pid, start
        with suppress(OSError):
            os.makedirs(self.stuck, mode=0o755, exist_ok=True)
            with suppress(FileNotFoundError):
                os.unlink(record)
            handle = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            try:
                os.write(handle, f"{pid} {start}\n".encode("ascii"))
            finally:
                os.close(handle)
        if started_at(self.proc, pid) is None:
            _forget(record)

    def stuck_writes(self) -> Dict[str, int]:
        """Address of a device -> number of the process that a task has left behind, and that still waits for it; 0 where a note does not
        tell the process, since it is cut short or of a newer version: it counts all the same.
        """
        pids = {address: pid for address, (pid, start) in self._left_behind.items() if start and started_at(self.proc, pid) == start}
        for address in self.names(self.stuck):
            text = self.read(f"{self.stuck}/{address}")
            note = None if text is None else _NOTE.match(text)
            if note is None:
                # One that is gone by now was removed by its process, with its last deed.
                if text is not None or self.refusal(f"{self.stuck}/{address}") is not None:
                    pids.setdefault(address, 0)
            elif started_at(self.proc, note.group(1)) == note.group(2):
                pids[address] = int(note.group(1))
        return pids

    def pause(self, seconds: float) -> None:
        """Wait for the kernel, ``seconds`` long."""
        time.sleep(seconds)


def _write(path: str, value: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(handle)


def _no_program(words: List[str]) -> Tuple[int, str, str]:
    return 127, "", f"{words[0]} cannot be started: this host is only read"


def _called(look_up: Callable[[int], Sequence[Any]], number: int) -> str:
    """The name of a user or group by its number; the number where it has none."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def _forget(record: str) -> None:
    """Remove a note, and its directories where nothing else is in them."""
    with suppress(OSError):
        os.unlink(record)
        os.rmdir(os.path.dirname(record))
        os.rmdir(os.path.dirname(os.path.dirname(record)))


__all__ = ("Run", "Sysfs")
