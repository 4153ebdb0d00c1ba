# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a plan for kernel modules is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules
    from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import Configuration
    from ansible_collections.vfio.host.plugins.module_utils._modules.records import Record


@dataclass(frozen=True)
class Host:
    """One host. ``release``: the running kernel's; ``records`` and ``texts`` (path -> text, None: absent): what is ours; ``foreign``:
    what is not. ``modprobe_path``, ``load_path``: our files.

    ``remembered``: module -> options that this boot's load of it has and does not show; None: not set.
    """

    modules: Modules
    release: str
    foreign: Configuration
    records: list[Record]
    texts: dict[str, str | None]
    modprobe_path: str
    load_path: str
    remembered: dict[str, dict[str, str | None]]


__all__ = ("Host",)
