# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Whatever ends a run early, as sentences for the user."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterable, List

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, VfioHostError, errno_text

# All that can end a run whose process lives on.
ENDINGS = (Exception, KeyboardInterrupt, SystemExit)


def tried(call: Callable[..., Any], *arguments: Any) -> List[str]:
    """The sentences of the error that a call ended with; [] where it succeeded."""
    try:
        call(*arguments)
    except ENDINGS as error:
        return told(error)
    return []


def raise_any(problems: Iterable[str]) -> None:
    """Raise ApplyError with the problems, where there are any."""
    problems = list(problems)
    if problems:
        raise ApplyError(*problems)


def told(error: BaseException, doing: str = "") -> List[str]:
    """The sentences of an error; ``doing`` says what was under way, for an error that does not say so itself."""
    if isinstance(error, VfioHostError):
        return list(error.messages)
    start = f"{doing}: " if doing else ""
    if isinstance(error, KeyboardInterrupt):
        return [f"{start}the run was interrupted (SIGINT)"]
    if isinstance(error, SystemExit):
        return [f"{start}something in it ended the process ({error.code!r})"]
    # Python takes anything for an errno: that of OSError("no", "room") is "no".
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return [f"{start}{error.filename + ': ' if isinstance(error.filename, str) else ''}{errno_text(error.errno)}"]
    text = " ".join(str(error).split())
    return [f"{start}{type(error).__name__}{': ' + text if text else ''}, which was not foreseen{_place(error)}; please report it"]


def _place(error: BaseException) -> str:
    """Where it was raised, for a report."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" (in {os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno})"


__all__ = ("ENDINGS", "raise_any", "told", "tried")
