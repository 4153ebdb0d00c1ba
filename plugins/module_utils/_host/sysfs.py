# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Reader and writer of the kernel's files, and the one root they all hang from.

Absence is a value here: what the kernel does not offer reads as None, what it offers and leaves unset reads as "". What is
there and cannot be read, whatever errno it answers, reads as absent, and refusal() tells the two apart.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host import netlink, nodes
from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal, KernelStuck
from ansible_collections.vfio.host.plugins.module_utils._host.nexthops import interfaces_to
from ansible_collections.vfio.host.plugins.module_utils._host.watched import Deputy, Unfinished, started_at

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host import vfinfo
    from ansible_collections.vfio.host.plugins.module_utils._host.client import Client

# Starts a program: its words in, (exit status, standard output, standard error) out.
Run = Callable[[List[str]], Tuple[int, str, str]]

# What reading an attribute answers when it, or the device or process behind it, is not there (any more).
_ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESRCH))
# Beside what the kernel answers, a path that no file can have: with a NUL, or not to be encoded.
_UNREAD = (OSError, ValueError)
_MOST = 65536  # bytes of an attribute that are read
_LOOK = 1  # seconds for a look at a disk, which may never answer

# A note of a process that was left behind, format 1: its number, and when it started. A later one begins with a comment, see versions.py.
_NOTE = re.compile(r"([0-9]{1,20}) ([0-9]{1,20})\Z")

# How every link in /sys/bus/pci/devices begins.
_TO_DEVICES = "../../../devices/"


class Sysfs:
    """The kernel's side of a host: /sys, /proc and the modules directory below ``root``.

    ``run`` starts a program; it answers status 127 where that cannot be started. Without it, no program can.
    """

    def __init__(self, root: str = "/", run: Optional[Run] = None) -> None:
        self.root = root.rstrip("/")
        self.run: Run = run or _no_program
        self._deputy = Deputy(
            lambda path, value, dummy: _write(path, value), lambda dummy, value, address: _forget(f"{self.stuck}/{address}")
        )
        self._claimer = Deputy(nodes.claim, lambda *dummy: None)
        self._prober = Deputy(nodes.probe_zfs, lambda *dummy: None)
        self._refusals: Dict[str, int] = {}
        # Address -> the process that this run has left behind, and when it started.
        self._left_behind: Dict[str, Tuple[int, Optional[str]]] = {}
        self.pci = self.root + "/sys/bus/pci"
        self.pci_devices = self.pci + "/devices"
        self.classes, self.cxl = self.root + "/sys/class", self.root + "/sys/bus/cxl/devices"
        self.pci_drivers = self.pci + "/drivers"
        self.net = self.root + "/sys/class/net"
        self.block = self.root + "/sys/class/block"
        self.nvme = self.root + "/sys/class/nvme"
        self.nvme_subsystems = self.root + "/sys/class/nvme-subsystem"
        self.vfio_groups = self.root + "/sys/class/vfio"
        self.misc = self.root + "/sys/class/misc"
        self.vfio_devices = self.root + "/sys/class/vfio-dev"
        self.iommu_device = self.misc + "/iommu"
        self.configfs = self.root + "/sys/kernel/config"
        self.dev_block = self.root + "/sys/dev/block"
        self.btrfs = self.root + "/sys/fs/btrfs"
        self.iscsi_connections = self.root + "/sys/class/iscsi_connection"
        self.iscsi_hosts = self.root + "/sys/class/iscsi_host"
        self.fc_hosts = self.root + "/sys/class/fc_host"
        self.infiniband = self.root + "/sys/class/infiniband"
        self.bcachefs = self.root + "/sys/fs/bcachefs"
        self.graphics = self.root + "/sys/class/graphics"
        self.ttys = self.root + "/sys/class/tty"
        self.udev_data = self.root + "/run/udev/data"
        self.virtio_drivers = self.root + "/sys/bus/virtio/drivers"
        self.iommu_groups = self.root + "/sys/kernel/iommu_groups"
        self.modules = self.root + "/sys/module"
        self.firmware = self.root + "/sys/firmware"
        self.efivars = self.firmware + "/efi/efivars"
        self.proc = self.root + "/proc"
        self.dev = self.root + "/dev"
        self.fstab = self.root + "/etc/fstab"
        self.tables_of_mapped = [f"{self.root}/etc/{name}" for name in ("crypttab", "veritytab", "integritytab")]
        self.units = [self.root + place for place in (
            "/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late",
        )]
        self.packaged_units = [self.root + place for place in ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")]
        self.stuck = self.root + "/run/vfio-host/stuck"
        self.systemd = self.root + "/run/systemd/system"
        self.udev_control = self.root + "/run/udev/control"
        self.modprobe_d = [
            self.root + place + "/modprobe.d"
            for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
        ]
        self.modules_load_d = [
            self.root + place + "/modules-load.d" for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
        ]
        self.driverctl_d = self.root + "/etc/driverctl.d"
        self.etc_modules = self.root + "/etc/modules"
        self.pci_ids = [
            self.root + place
            for place in ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")
        ]

    @property
    def kernel(self) -> str:
        """The running kernel's release, '6.12.107+deb13-amd64' (source: /proc/sys/kernel/osrelease)."""
        return self.read(self.proc + "/sys/kernel/osrelease") or os.uname().release

    @property
    def machine(self) -> str:
        """The architecture as uname prints it, 'x86_64' (source: /proc/sys/kernel/arch, 6.1 and later, else uname)."""
        return self.read(self.proc + "/sys/kernel/arch") or os.uname().machine

    @property
    def module_tree(self) -> str:
        """The directory of the running kernel's modules."""
        return f"{self.root}/lib/modules/{self.kernel}"

    @property
    def kernel_configs(self) -> List[str]:
        """Where the running kernel's configuration may be, the surest first."""
        return [
            self.proc + "/config.gz",
            self.module_tree + "/config",
            self.module_tree + "/build/.config",
            "{0}/boot/config-{1}".format(self.root, self.kernel),
        ]

    @property
    def is_root(self) -> bool:
        """Whether this process may read and write everything here."""
        return os.geteuid() == 0

    def refusal(self, path: str) -> Optional[int]:
        """The errno that the last look at ``path`` ended with, where that does not mean absence; else None.

        Whoever decides by an absence that something is free asks this, too.
        """
        return self._refusals.get(path)

    @property
    def was_refused(self) -> bool:
        """Whether refusal() has an answer for any path at all."""
        return bool(self._refusals)

    def _note(self, path: str, error: Optional[Exception] = None) -> None:
        """Keep what refusal() says of a look at ``path``, which ended with ``error``."""
        if isinstance(error, OSError) and error.errno not in _ABSENT:
            self._refusals[path] = error.errno or errno.EIO
        elif self._refusals:
            self._refusals.pop(path, None)

    def read(self, path: str) -> Optional[str]:
        """The text of ``path`` without surrounding white space; None where it is absent or not to be read."""
        data = self.read_bytes(path)
        return None if data is None else data.strip().decode("utf-8", "surrogateescape")

    def number(self, path: str) -> Optional[int]:
        """The whole number in ``path``; None where there is none."""
        text = self.read(path)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def read_bytes(self, path: str, limit: int = _MOST) -> Optional[bytes]:
        """Up to ``limit`` bytes of ``path``; None where it is absent or not to be read."""
        try:
            handle = os.open(path, os.O_RDONLY)
            try:
                data = os.read(handle, limit)
            finally:
                os.close(handle)
        except _UNREAD as error:
            self._note(path, error)
            return None
        if self._refusals:
            self._note(path)
        return data

    def read_file(self, path: str) -> Optional[bytes]:
        """All bytes of a regular or procfs file that may be large; None where it is absent or not to be read."""
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except _UNREAD as error:
            self._note(path, error)
            return None
        self._note(path)
        return data

    def names(self, path: str) -> List[str]:
        """The names in a directory, sorted; [] where it is absent or not to be read."""
        try:
            names = sorted(os.listdir(path))
        except _UNREAD as error:
            self._note(path, error)
            return []
        if self._refusals:
            self._note(path)
        return names

    def target(self, path: str) -> Optional[str]:
        """Where a symbolic link points, as written in it; None where there is none, or it is not to be read."""
        try:
            target = os.readlink(path)
        except _UNREAD as error:
            self._note(path, error)
            return None
        if self._refusals:
            self._note(path)
        return target

    def link(self, path: str) -> Optional[str]:
        """The last component of a symbolic link's target ('e1000e' for …/driver); None where there is none."""
        target = self.target(path)
        return None if target is None else target.rsplit("/", 1)[-1]

    def device_directory(self, address: str) -> str:
        """The sysfs directory of a PCI function by its real path, which the kernel walks faster than the bus's link."""
        target = self.target(f"{self.pci_devices}/{address}")
        if target is None or not target.startswith(_TO_DEVICES):
            return f"{self.pci_devices}/{address}"
        return f"{self.root}/sys/devices/{target[len(_TO_DEVICES):]}"

    def opened(self, path: str) -> _Opened:
        """A context that gives a function (length, offset) -> bytes over a binary attribute; b"" where unreadable."""
        return _Opened(path)

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

    def exists(self, path: str) -> bool:
        """Whether ``path`` is there."""
        return os.path.exists(path)

    def is_link(self, path: str) -> bool:
        """Whether there is a symbolic link, wherever it points."""
        return os.path.islink(path)

    def is_writable(self, path: str) -> bool:
        """Whether the kernel takes writes to an attribute: root may open any, so its mode tells."""
        try:
            return bool(os.stat(path).st_mode & 0o200)
        except _UNREAD:
            return False

    def inode(self, path: str) -> Optional[int]:
        """The inode number of ``path``, which sysfs gives to no other object in this boot; None where it is absent."""
        try:
            return os.stat(path).st_ino
        except _UNREAD:
            return None

    def look(self, path: str) -> Optional[nodes.Node]:
        """The Node behind ``path``, links followed; None where there is none, or it is not to be told.

        It does not wait for a file system whose server does not answer.
        """
        try:
            node = nodes.look(path)
        except _UNREAD as error:
            self._note(path, error)
            return None
        self._note(path)
        return node

    def threads(self, pid: str, *, own: int) -> Iterator[str]:
        """The directories of a process's threads, but of those that share ``own`` (nodes.FILES, nodes.VIEW) with it. Below another root,
        whose kernel nobody asks, that is every thread.
        """
        for thread in filter(str.isdigit, self.names(f"{self.proc}/{pid}/task")):
            if thread != pid and (self.root or not nodes.shares(int(pid), int(thread), what=own)):
                yield f"{self.proc}/{pid}/task/{thread}"

    def access(self, path: str) -> Optional[nodes.Access]:
        """The Access of the character device at ``path``; None where there is none."""
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
        except _UNREAD:
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

    def walk(self, directory: str) -> Iterator[Tuple[str, List[str]]]:
        """(path, names in it) of ``directory`` and of each one below it; links are not followed."""
        todo = [directory]
        while todo:
            path, names = todo.pop(), []
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        names.append(entry.name)
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
            except OSError as error:
                self._note(path, error)
            yield path, names

    def directories(self, path: str) -> List[str]:
        """The names of the directories in a directory; links are none. [] where it is absent or not to be read."""
        try:
            with os.scandir(path) as entries:
                return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except _UNREAD as error:
            self._note(path, error)
            return []

    def next_hops(self, address: bytes) -> Optional[List[str]]:
        """The interfaces of all next hops to an address of 4 or 16 bytes, as nexthops.interfaces_to() gives them; [] below another
        root, whose kernel nobody asks.
        """
        return [] if self.root else interfaces_to(address)

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


class _Opened:
    """A file that is open inside a ``with``; contextlib's way takes longer than the system calls in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: Optional[int] = None

    def __enter__(self) -> Callable[[int, int], bytes]:
        try:
            self._handle = os.open(self._path, os.O_RDONLY)
        except _UNREAD:
            self._handle = None
        return self._read_at

    def __exit__(self, *dummy: object) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def _read_at(self, length: int, offset: int) -> bytes:
        if self._handle is None:
            return b""
        try:
            return os.pread(self._handle, length, offset)
        except OSError:
            return b""


__all__ = ("Run", "Sysfs")
