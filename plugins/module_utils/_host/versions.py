# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The version of a record that is kept on a host, in every format: which one it has, and what is said of one that is newer. Pure.

A record is a JSON object. Its key ``v`` is the version of its format, a number from 1; a record without ``v`` has version 1.
From version 2 on a record also has ``by``: the first version of the collection that writes this format. In a format whose
lines are other programs', a comment ``# vfio.host {"v": 2, "by": "1.4.0"}`` says the same of the whole file.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Dict, NoReturn, Optional

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

FIRST = 1

_RELEASE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,40}\Z")
_COMMENT = re.compile(r"# vfio\.host (\{.*)", re.DOTALL)
_DIGITS = 40  # more than any number of a record has; Python takes quadratic time for them


class Newer(PlanError):
    """A record whose format this version of the collection does not know yet."""


def parsed(text: str, where: str, *, known: int = FIRST) -> Dict[str, Any]:
    """The object of a record whose format has a version up to ``known``.

    ``where`` names the record in messages. Raises Newer; ValueError, with the reason, for what no version has written.
    """
    if not text.isascii():
        raise ValueError("it has characters that no version writes")
    try:
        kept = json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(kept, dict):
        raise ValueError("it is no JSON object")
    version: object = kept.get("v", FIRST)
    if isinstance(version, bool) or not isinstance(version, int) or version < FIRST:
        raise ValueError("v is no version of a format")
    if version > known:
        raise Newer(_newer(where, version, known, kept.get("by")))
    return kept


def check_comments(text: Optional[str], path: str, *, known: int = FIRST) -> None:
    """Raise Newer where a comment in a file's text says that its format is newer than ``known``; PlanError where the comment is damaged."""
    for number, line in enumerate((text or "").split("\n"), 1):
        comment = _COMMENT.match(line)
        if comment:
            try:
                parsed(comment.group(1), path, known=known)
            except ValueError as error:
                raise PlanError(f"{path}, line {number}: this comment of the collection cannot be read: {error}") from error


def seconds(value: object) -> float:
    """A number of seconds in a record. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{str(value)[:40]!r} is no number of seconds")
    return value


def words(value: object) -> str:
    """A text in a record. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is no text")
    return value


def _newer(where: str, version: int, known: int, by: object) -> str:
    writer = f", which vfio.host {by} and later write" if isinstance(by, str) and _RELEASE.match(by) else ""
    return (
        f"{where} was written by another version of this collection (format {version}{writer}; this one reads formats up to {known}): "
        "update the collection on the controller, and run again"
    )


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number in it has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refused(text[:_DIGITS])
    return number


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of a record")


__all__ = ("FIRST", "Newer", "check_comments", "parsed", "seconds", "words")
