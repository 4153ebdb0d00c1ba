# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Rows as a person reads them: a sign, what, old -> new, now or after a reboot; then one sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.plugin_utils._rows import DEVICES, FILES, GIVE, NONE, SAME, TAKE, Row
from ansible_collections.vfio.host.plugins.plugin_utils._text import (
    ADD,
    BAD,
    CHANGE,
    GOOD,
    HEAD,
    PLAIN,
    REMOVE,
    Line,
    counted,
    cut,
    fill,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LATER = "after a reboot"
PLANNED, DONE, VERIFIED = "planned", "done", "verified"
_HEADS = {PLANNED: "plan: nothing is done yet", DONE: "done", VERIFIED: "not as declared: nothing is changed"}
_NOTHING = {
    PLANNED: "nothing is declared, so nothing would change", DONE: "nothing is declared, and nothing changed",
    VERIFIED: "nothing is declared, so nothing was verified",
}
_KIND_WIDTH, _NAME_WIDTH, _INDENT = 12, 14, 6
_STYLES = {TAKE: ADD, GIVE: REMOVE, SAME: PLAIN}
# What becomes of rows: in a plan, and when it is done.
_TAKEN, _GIVEN, _CHANGED = ("to take", "taken"), ("to give back", "given back"), ("to change", "changed")


def lines(
    rows: Sequence[Row], *, host: str, width: int, mode: str, verbose: bool = False, waits: tuple[str, ...] = (), hint: str = "", gives_back: bool = False,
) -> list[Line]:
    """The Lines of one host. ``mode``: PLANNED, DONE or VERIFIED; ``waits``: why a reboot is required; ``hint``: what to do for it;
    ``gives_back``: the run was asked to give back, whatever is declared.
    """
    told = [row for row in rows if row.is_told]
    planned = mode != DONE
    if gives_back and not told and not waits:
        return [Line(text, GOOD) for text in fill([f"{host}  nothing to give back"], width, indent=_INDENT)]
    if not told and not waits and not any(row.is_declared for row in rows):
        return [Line(text, BAD) for text in fill([f"{host}  {_NOTHING[mode]}"], width, indent=_INDENT)]
    if not told and not waits:
        return [Line(text, GOOD) for text in fill([f"{host}  {_as_declared(rows)}"], width, indent=_INDENT)] + (
            _table(rows, width) if verbose else []
        )
    screen = [Line(f"{host}  {_HEADS[mode]}", HEAD)]
    screen += _table(rows if verbose else told, width)
    screen += [Line(text, CHANGE) for text in fill([_sum(rows, planned)], width, indent=_INDENT)]
    restarts = ", ".join(name for row in rows for name in row.restart)
    if restarts:
        screen += [Line(text, BAD) for text in fill([f"A restart is required: {restarts}."], width, indent=_INDENT)]
    if waits:
        screen += [Line(text, BAD) for text in fill([f"A reboot is required{hint}."], width, indent=_INDENT)]
        for reason in waits:
            if not _is_told(reason, rows):
                screen += [Line(text) for text in fill([f"  {reason}"], width, indent=_INDENT)]
    return screen


def _is_told(reason: str, rows: Sequence[Row]) -> bool:
    """Whether a row says already what waits for a reboot."""
    words = set(reason.replace("=", " ").split())
    return any(row.later and words.intersection(row.subject.split()) for row in rows)


def _as_declared(rows: Sequence[Row]) -> str:
    counts: dict[str, int] = {}
    for row in filter(lambda row: row.is_declared, rows):
        kind = "device" if row.group == DEVICES else {"VFs": "card with VFs", "argument": "kernel argument", "config": "Kconfig option"}.get(row.kind, row.kind)
        counts[kind] = counts.get(kind, 0) + 1
    told = [counted(number, kind, plural="cards with VFs" if kind == "card with VFs" else "") for kind, number in counts.items()]
    return f"as declared: {', '.join(told)}" if told else "as declared"


def _sum(rows: Sequence[Row], planned: bool) -> str:
    """What is done, and what is left for the next boot, in one line."""
    changing = [row for row in rows if row.is_change]
    now, later = [row for row in changing if not row.later], [row for row in changing if row.later]
    same = sum(row.group == DEVICES and not row.is_change for row in rows)
    told = [f"{'Plan' if planned else 'Done'}: {_counts(now, not planned) or 'nothing now'}"]
    told += [f"{LATER}: {_counts(later, False)}"] if later else []
    told += [f"{counted(same, 'device is', plural='devices are')} as declared"] if same else []
    return f"{'; '.join(told)}."


def _counts(rows: Sequence[Row], is_done: bool) -> str:
    taken = sum(row.group == DEVICES and row.sign == TAKE for row in rows)
    given = sum(row.group == DEVICES and row.sign == GIVE for row in rows)
    files = sum(row.group == FILES for row in rows)
    changed = len(rows) - taken - given - files
    told = [f"{number} {words[is_done]}" for number, words in ((taken, _TAKEN), (given, _GIVEN), (changed, _CHANGED)) if number]
    return ", ".join(told + ([counted(files, "file")] if files else []))


def _table(rows: Sequence[Row], width: int) -> list[Line]:
    kinds = min(max((len(row.kind) for row in rows), default=0), _KIND_WIDTH)
    subjects = max((len(_subject(row)) for row in rows if row.group == DEVICES or row.kind == "VFs"), default=0)
    changes = min(max((len(_change(row)) for row in rows), default=0), width // 2)
    table = []
    for row in rows:
        style = _STYLES.get(row.sign, CHANGE)
        table += [Line(text, style) for text in _row(row, width, kinds, subjects, changes)]
    return table


def _row(row: Row, width: int, kinds: int, subjects: int, changes: int) -> list[str]:
    """The texts of one row; ``kinds``, ``subjects`` and ``changes`` are the widths of these columns."""
    head = f"  {row.sign} {cut(row.kind, kinds):{kinds}} "
    is_device = row.group == DEVICES or row.kind == "VFs"
    head += f"{_subject(row):{subjects}} " if is_device else row.subject
    change, room = _change(row), width - len(head) - changes - 2
    if not change:
        texts = [head]
    elif is_device and len(change) <= changes and room >= min(_NAME_WIDTH, len(row.name)):
        texts = [f"{head}{cut(row.name, room):{room}}  {change}"]
    elif not is_device and len(change) <= changes and len(head) <= width - changes - 2:
        texts = [f"{head:{width - changes - 2}}  {change}"]
    else:
        texts = [head + (cut(row.name, width - len(head)) if is_device else "")] + [
            " " * _INDENT + text for text in fill([change], width - _INDENT, indent=_INDENT)
        ]
    for note in row.notes:
        texts += [" " * _INDENT + text.lstrip() for text in fill([note], width - _INDENT, indent=0)]
    return [text.rstrip() for text in texts]


def _subject(row: Row) -> str:
    return short(row.subject) if row.group == DEVICES or row.kind == "VFs" else row.subject


def _change(row: Row) -> str:
    if row.sign == SAME:
        return row.new if row.new != NONE else ""
    if not row.old and not row.new:
        return ""
    change = f"{row.old} -> {row.new}" if row.old != row.new else f"{row.new}, kept"
    return change + (f", {LATER}" if row.later else "")


def in_short(row: Row) -> str:
    """A row as a part of a sentence."""
    what = row.subject if row.group == DEVICES else f"{row.kind} {row.subject}"
    return f"{what} {_change(row)}".strip()


__all__ = ("DONE", "PLANNED", "VERIFIED", "in_short", "lines")
