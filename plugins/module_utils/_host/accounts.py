# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Users and groups of the host by name: in its own files, and in what else its name service knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, NamedTuple, Optional

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.words import number as whole_number

_UNKNOWN = 2
_LAST_SYSTEM = 999  # (source: systemd meson_options.txt, system-uid-max; useradd's SYS_UID_MAX)
USER, GROUP = "passwd", "group"


class Account(NamedTuple):
    """A user or a group. ``name``: as the name service has it, which may find it by another one, too. ``is_local``: the host's own files
    have it, so it is known before there is a network.
    """

    name: str
    number: int
    is_local: bool

    @property
    def is_system(self) -> bool:
        """Whether its number is one of the system's."""
        return self.number <= _LAST_SYSTEM


class Accounts:
    """Reads through ``fs``. Each file is read once."""

    def __init__(self, fs: Sysfs) -> None:
        self._fs = fs
        self._tables: Dict[str, Dict[str, int]] = {}

    def find(self, kind: str, name: str) -> Optional[Account]:
        """The Account of a user (USER) or a group (GROUP); None where nobody knows the name. Raises PlanError where that cannot be told."""
        numbers = self._table(kind)
        if name in numbers:
            return Account(name, numbers[name], True)
        status, out, err = self._fs.run(["getent", kind, name])
        # 2: nobody knows the name (source: getent(1)). Any other, and that of a getent that is not there, says nothing of the name.
        if status not in (0, _UNKNOWN):
            raise PlanError(f"whether the {kind} database has {name} is not known: getent says: {last_words(out, err)}")
        line = out.split("\n")[0]
        number = _number(line) if status == 0 else None
        return None if number is None else Account(line.split(":")[0], number, False)

    def name(self, kind: str, number: int) -> str:
        """What the host's own files call a user or a group; its number where they do not have it."""
        return next((name for name, known in self._table(kind).items() if known == number), str(number))

    def _table(self, kind: str) -> Dict[str, int]:
        """Name -> number of the host's own files; on image-based systems those of the image are in /usr/lib."""
        if kind not in self._tables:
            numbers: Dict[str, int] = {}
            for directory in ("/etc", "/usr/lib"):
                data = self._fs.read_file(f"{self._fs.root}{directory}/{kind}") or b""
                for line in data.decode("utf-8", "replace").split("\n"):
                    number = _number(line)
                    if number is not None:
                        # The first line of a name counts (source: getpwnam(3), nsswitch.conf(5)).
                        numbers.setdefault(line.split(":")[0], number)
            self._tables[kind] = numbers
        return self._tables[kind]


def _number(line: str) -> Optional[int]:
    """The third field of a line of passwd or group, where it is a number."""
    fields = line.split(":")
    return whole_number(fields[2]) if len(fields) > 2 else None


__all__ = ("Account", "Accounts", "GROUP", "USER")
