# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The names of entries and images, as systemd-boot says which one it has started. Pure.

The file system does not tell upper from lower case, the loader says lower case, and where boots are counted a file has another
counter in its name before a boot, while it goes on, and after it (source: systemd src/boot/boot.c boot_entry_add_type1(),
boot_entry_parse_tries(); src/bless-boot/bless-boot.c).
"""

from __future__ import annotations

import re

_COUNTER = re.compile(r"\+\d+(?:-\d+)?(?=\.(?:conf|efi)\Z)")


def uncounted(name: str) -> str:
    """A file's name or path in lower case, without its counter of boots."""
    return _COUNTER.sub("", name.lower())


def is_at(path: str, said: str) -> bool:
    """Whether a ``path`` of this host is what the firmware calls ``said``, a path on its partition."""
    return uncounted(path).endswith(uncounted(said.replace("\\", "/")))


__all__ = ("is_at", "uncounted")
