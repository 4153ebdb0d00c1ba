# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is on a host, as far as its VFs are concerned: read once, by area.py. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Mapping

    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Host
    from ansible_collections.vfio.host.plugins.module_utils._devices.holders import InUse
    from ansible_collections.vfio.host.plugins.module_utils._sriov.links import Link
    from ansible_collections.vfio.host.plugins.module_utils._sriov.predict import Expected, Layout
    from ansible_collections.vfio.host.plugins.module_utils._sriov.rules import PfRecord


@dataclass(frozen=True)
class State:
    """A host as it is. ``host``: its devices and policies; ``records``: address -> PfRecord; ``files``: path -> text.

    ``boot`` and ``volatile``: the paths of the rules files (numbers, probes); ``layouts``: PF -> Layout, or None;
    ``expected``: makes VFs to come; ``links``: PF -> its Link, or None; ``programs``: paths of the programs ip and ls, or None. ``uses``:
    address -> what uses a VF that a request takes away or changes.
    """

    host: Host
    records: dict[str, PfRecord]
    files: dict[str, str | None]
    boot: tuple[str, ...]
    volatile: tuple[str, ...]
    layouts: dict[str, Layout | None]
    expected: Expected
    links: dict[str, Link | None] = field(default_factory=dict)
    programs: tuple[str | None, ...] = (None, None)
    uses: Mapping[str, InUse] = field(default_factory=dict)


__all__ = ("State",)
