# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The text of a rules file: in lines that udev reads, and with records in its comments. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host import versions
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from typing import Any, Callable, Collection, TypeVar

    _Kept = TypeVar("_Kept")

# udev stops at a longer line, with a message for debugging only, and passes over the rest of the file. The newline counts.
# (source: systemd src/udev/udev-rules.c udev_rules_parse_file and UDEV_LINE_SIZE, src/basic/fileio.c read_line_full;
# test/units/TEST-17-UDEV.verify.sh has both sides of the limit)
MAX_LINE = 16384
# The name of a driver or module, in a record and in a rule.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
# A record is a comment: a word for its kind, and a JSON object. A line that only begins so is a damaged one.
_RECORD = re.compile(r"# ([a-z.-]+) (\{.*)")
# What the head of every rules file of ours says.
_WRITER = "the Ansible collection vfio.host"
DEVICE, RELEASE, STANDING, PF, VF, NODES, _FILE = "device", "release", "standing", "pf", "vf", "nodes", "vfio.host"
_KINDS = (DEVICE, RELEASE, STANDING, PF, VF, NODES, _FILE)
GIVES_BACK = "which gives its devices back"


def size(line: str) -> int:
    """The bytes of a line in a file, with its newline."""
    return len(line.encode("utf-8", "surrogateescape")) + 1


def fits(line: str) -> bool:
    """Whether udev reads a line, and what comes after it."""
    return size(line) <= MAX_LINE


def joined(lines: list[str], *, whose: str, remedy: str) -> str:
    """The text of a rules file. Raises PlanError for a line that udev does not read: ``whose`` it is, and the ``remedy``."""
    for line in lines:
        if not fits(line):
            raise PlanError(
                f"{whose}: a line of the rules file would have {size(line)} bytes, and udev stops reading a file at a line of "
                f"more than {MAX_LINE}: {line[:70]}...; {remedy}"
            )
        if line.endswith("\\") or "\n" in line or "\r" in line or "\0" in line:
            raise PlanError(f"{whose}: udev would not read this as one line of a rules file: {line[:70]!r}; {remedy}")
    return "\n".join(lines) + "\n"


def check_head(text: str | None, path: str, *, effect: str = GIVES_BACK) -> None:
    """Raise PlanError where a rules file that is there does not begin as ours do: a file that was emptied, or overwritten, says nothing of
    what its records were. To be called when these are read: a newer version may begin a file otherwise. ``text``: None for no file;
    ``effect``: what removing the file does.
    """
    if text is not None and not (text.startswith("# ") and _WRITER in text.split("\n", 1)[0]):
        raise PlanError(
            f"{path} does not begin as a run of this collection wrote it, so its records may be missing; restore the file, or remove it "
            f"and reboot, {effect}"
        )


def read_records(
    text: str, path: str, *, kinds: Collection[str], make: Callable[[str, dict[str, Any]], _Kept],
    effect: str = GIVES_BACK,
) -> list[_Kept]:
    """What ``make(kind, kept)`` makes of each record of ``kinds``. Raises PlanError; ``effect``: what removing the file does.

    A kind that nobody knows, and a file that is cut off, raise it too: what is not understood may be a device's record.
    """
    records = []
    lines = text.split("\n")  # as udev does (source: systemd src/basic/fileio.c read_line_full)
    for number, line in enumerate(lines, 1):
        found = _RECORD.match(line)
        if not found:
            continue
        where, kind = f"{path}, line {number}", found.group(1)
        try:
            kept = versions.parsed(found.group(2), where)
            if kind not in _KINDS:
                raise ValueError(f"no version up to this one writes {kind!r}")
            if kind in kinds:
                records.append(make(kind, kept))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PlanError(
                f"{where}: this record cannot be read ({error}); restore the file, or remove it and reboot, {effect}"
            ) from error
    if lines[-1] and not _RECORD.match(lines[-1]):
        raise PlanError(
            f"{path}, line {len(lines)}: the file ends in the middle of a line, so records may be missing; restore the file, or "
            f"remove it and reboot, {effect}"
        )
    return records


def checked(shape: re.Pattern[str], value: object) -> str:
    """The value, or ValueError: it becomes part of a rule."""
    if not isinstance(value, str) or not shape.match(value):
        raise ValueError(f"{value!r} has the wrong shape")
    return value


__all__ = (
    "DEVICE", "GIVES_BACK", "MAX_LINE", "NAME", "NODES", "PF", "RELEASE", "STANDING", "VF", "check_head", "checked", "fits", "joined",
    "read_records", "size",
)
