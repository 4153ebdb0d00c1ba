# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a plan for kernel modules is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Mapping

    from ansible_collections.vfio.host.plugins.module_utils._kernel.control import Users
    from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules
    from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import Configuration
    from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import Parameter
    from ansible_collections.vfio.host.plugins.module_utils._modules.records import Record


@dataclass(frozen=True)
class Host:
    """One host. ``release``: the running kernel's; ``records`` and ``texts`` (path -> text, None: absent): what is ours; ``foreign``:
    what is not. ``modprobe_path``, ``load_path``: our files.

    ``remembered``: module -> options that this boot's load of it has and does not show; None: not set. What follows is read for what a
    request names: ``shown``: (module, option) -> (present value, whether it is writable), of what sysfs shows; ``users``: of loaded
    modules; ``parameters``: module -> its parameters, None where nothing tells them.
    """

    modules: Modules
    release: str
    foreign: Configuration
    records: list[Record]
    texts: dict[str, str | None]
    modprobe_path: str
    load_path: str
    remembered: dict[str, dict[str, str | None]]
    shown: Mapping[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)
    users: Mapping[str, Users] = field(default_factory=dict)
    parameters: Mapping[str, dict[str, Parameter] | None] = field(default_factory=dict)

    def live(self, module: str, option: str) -> tuple[str | None, bool]:
        """(present value, whether it is writable) of a named module's option. (None, False): sysfs does not show it."""
        return self.shown.get((module, option), (None, False))


__all__ = ("Host",)
