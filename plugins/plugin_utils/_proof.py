# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What became of devices that were to be opened, as a person reads it: a line each, then one sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.vfio.host.plugins.plugin_utils._text import BAD, CHANGE, GOOD, HEAD, PLAIN, Line, counted, fill, short

if TYPE_CHECKING:
    from collections.abc import Sequence

_INDENT = 6
# Status -> the sign and style of its line, and what the sum calls it.
_STATUS = {
    "opened": ("=", PLAIN, "opened"), "in_use": ("~", CHANGE, "in use"), "not_opened": ("~", CHANGE, "not opened"),
    "failed": ("!", BAD, "cannot be opened"),
}


def lines(rows: Sequence[dict[str, Any]], *, host: str, width: int) -> list[Line]:
    """The Lines of one host. ``rows``: the proof of the module prove; ``width``: columns."""
    if not rows:
        return [Line(text, BAD) for text in fill([f"{host}  no device is on VFIO, so none was opened"], width, indent=_INDENT)]
    screen = [Line(f"{host}  opened as a client does", HEAD)]
    for row in rows:
        sign, style, dummy = _STATUS[row["status"]]
        screen += [Line(text, style) for text in fill([f"  {sign} {short(row['address'])} {_told(row)}"], width, indent=_INDENT)]
    counts = {
        words: sum(row["status"] == status for row in rows) for status, (dummy, dummy, words) in _STATUS.items()
    }
    told = ", ".join(f"{number} {words}" for words, number in counts.items() if number)
    is_good = counts["opened"] == len(rows)
    return screen + [
        Line(text, GOOD if is_good else CHANGE) for text in fill([f"{counted(len(rows), 'device')}: {told}."], width, indent=_INDENT)
    ]


def _told(row: dict[str, Any]) -> str:
    if row["status"] != "opened":
        return str(row["reason"])
    regions = [region for region in row["regions"] if region["size"]]
    interrupts = [f"{kind['name']} {kind['count']}" for kind in row["interrupts"] if kind["name"] in ("intx", "msi", "msix") and kind["count"]]
    told = [f"{row['node']} by {row['back_end']}", counted(len(regions), "region"), " ".join(interrupts) or "no interrupts", str(row["reset"])]
    return ", ".join(told)


__all__ = ("lines",)
