# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may open nodes: as the kernel makes them, and as udev gives them away.

The kernel makes a node root's, 0600 where its class says nothing (source: drivers/base/devtmpfs.c handle_create();
drivers/vfio/group.c vfio_devnode()), /dev/iommu 0660 (source: drivers/iommu/iommufd/main.c iommu_misc_dev). udev leaves alone what no rule
assigns (source: systemd src/udev/udev-node.c udev_node_apply_permissions(); seen with 252, 257 and 262), and makes and removes
links at every event, as its rules say then.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from ansible_collections.vfio.host.plugins.module_utils._host.nodes import CHARACTER, Access

PASSWD = "root:x:0:0:root:/root:/bin/bash\nvm:x:900:900::/:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
GROUP = "root:x:0:\nkvm:x:993:alice\nvm:x:900:\nalice:x:1000:\n"
_OF_KERNEL = {"dev/iommu": 0o660, "dev/vfio/vfio": 0o666}


class Nodes:
    """The nodes of a Tree with their owners."""

    def __init__(self, tree, faults):
        self._tree = tree
        self._faults = faults
        self._given = {}  # (path below the root, number) -> (uid, gid, mode)
        self._links = {}  # path below the root -> its links, below the root

    def boot(self):
        """/dev is empty."""
        self._given, self._links = {}, {}

    def access(self, short):
        """The Access of a character device, by its path below the root; None where there is none."""
        node = self._tree.nodes.get(short)
        if node is None or node.kind != CHARACTER:
            return None
        return Access(*self._given.get((short, node.number), (0, 0, _OF_KERNEL.get(short, 0o600))), node.number)

    def give(self, short, wanted):
        """chown(2) and chmod(2), by whom it may be."""
        found = self.access(short)
        if found is None or found.number != wanted.number:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), short)
        self._given[short, wanted.number] = tuple(wanted)[:3]

    def handled(self, short, given, links):
        """udev has handled an event of a node: ``given``: what rules assign of uid, gid and mode."""
        now = self.access(short)
        if now is None:
            return
        self.give(short, now._replace(**given))
        for link in self._links.pop(short, set()) - links:
            self._unlink(link)
        for link in links:
            if not os.path.lexists(self._tree.root / link):
                self._tree.link(self._tree.root / link, self._tree.root / short)
        self._links[short] = set(links)

    def forget_gone(self):
        """What has no node any more has no links: udev has handled the removal."""
        for short in [one for one in self._links if one not in self._tree.nodes]:
            for link in self._links.pop(short):
                self._unlink(link)

    def _unlink(self, link):
        path = self._tree.root / link
        path.unlink()
        with suppress(OSError):
            for parent in path.parents:
                parent.rmdir()


def number_of(root, table, name):
    """The number of a user ('passwd') or group ('group') in the host's own files; None where it is in none."""
    for line in (root / "etc" / table).read_text().splitlines():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2])
    return None


__all__ = ("GROUP", "Nodes", "PASSWD", "number_of")
