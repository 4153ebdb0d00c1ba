# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is mounted in other mount namespaces, such as containers'; and whether /sys is of this network namespace."""

from __future__ import annotations

import errno
from typing import Iterator, Optional, Set, Tuple

from ansible_collections.vfio.host.plugins.module_utils._devices.guards.filesystems import is_of_anybody
from ansible_collections.vfio.host.plugins.module_utils._devices.mounts import Mount, parse_mountinfo
from ansible_collections.vfio.host.plugins.module_utils._devices.processes import views
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


def other_mounts(fs: Sysfs) -> Iterator[Tuple[str, Optional[Mount]]]:
    """(pid, Mount) of what processes have mounted that this one does not see, each file system once: as far as this user may see it.
    None in place of a Mount: it cannot be told.

    A process, or a thread, sees what is mounted below its root, so one of each root in each namespace is asked. In a user namespace of his own
    an unprivileged user can mount what stands on nothing real, with any source; that does not count.
    """
    known: Set[Tuple[Optional[str], Optional[str]]] = {(fs.target(fs.proc + "/self/ns/mnt"), fs.target(fs.proc + "/self/root"))}
    user, told = fs.target(fs.proc + "/self/ns/user"), set()
    for pid, directory in views(fs):
        link, info = f"{directory}/ns/mnt", f"{directory}/mountinfo"
        namespace = fs.target(link)
        unread = fs.refusal(link)
        view = (namespace, fs.target(f"{directory}/root")) if namespace is not None else None
        if view is not None and view not in known:
            known.add(view)
            is_users = fs.target(f"{directory}/ns/user") not in (user, None)
            for mount in parse_mountinfo(fs.text(info)):
                key = (mount.number, mount.kind, mount.source)
                if key not in told and not (is_users and is_of_anybody(mount)):
                    told.add(key)
                    yield pid, mount
            # EINVAL: it has ended meanwhile, and is in no namespace any more (source: fs/proc_namespace.c).
            unread = None if fs.refusal(info) == errno.EINVAL else fs.refusal(info)
        if unread is not None and fs.is_root:
            yield pid, None


def shows_own_interfaces(fs: Sysfs) -> bool:
    """Whether /sys has the interfaces of this process's network namespace, as /proc/net has them always.

    A mount of sysfs has those of the namespace that it was mounted in. Each namespace's is a file system of its own, with a number
    of its own (source: linux fs/sysfs/mount.c); where it was not mounted anew, it is the one of process 1.
    """
    listed = _names(fs.text(fs.proc + "/net/dev"))
    if listed and listed != set(fs.names(fs.net)) - {"bonding_masters"}:
        return False
    links = fs.proc + "/1/ns/net", fs.proc + "/self/ns/net"
    first, own = map(fs.target, links)
    is_unread = fs.is_root and any(fs.refusal(link) is not None for link in links)
    if first == own or ((first is None or own is None) and not is_unread):
        return True
    numbers = [
        {mount.number for mount in parse_mountinfo(fs.text(f"{fs.proc}/{pid}/mountinfo")) if mount.point == "/sys"}
        for pid in ("1", "self")
    ]
    return bool(numbers[0]) and not numbers[0] & numbers[1]


def _names(text: str) -> set[str]:
    """The interfaces in /proc/net/dev: two lines of headers, and a name before a colon in each other one."""
    return {line.rpartition(":")[0].strip(" ") for line in text.split("\n")[2:] if ":" in line}


__all__ = ("other_mounts", "shows_own_interfaces")
