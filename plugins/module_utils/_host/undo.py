# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Roll-back of a run that ends in the middle, whatever ends it."""

from __future__ import annotations

import os
from contextlib import contextmanager

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, RolledBack, VfioHostError, errno_text

# All that can end a run whose process lives on.
ENDINGS = (Exception, KeyboardInterrupt, SystemExit)


@contextmanager
def all_or_nothing(doing, put_back=list, success=None):
    """Apply inside of it. Where that ends early, ``put_back()`` is called, which gives a sentence for each thing that could not be
    put back. Raises RolledBack, with the sentence ``success`` at its end, or ApplyError where something could not be put back.

    ``doing`` says what was under way, for an error that does not say so itself.
    """
    try:
        yield
    except ENDINGS as error:
        messages = told(error, doing)
        try:
            problems = put_back()
        except ENDINGS as another:
            problems = told(another, "putting everything back")
        if problems:
            raise ApplyError(*(messages + problems)) from error
        if isinstance(error, RolledBack):
            raise
        raise RolledBack(*(messages + ([success] if success else []))) from error


def tried(call, *arguments):
    """The sentences of the error that a call ended with; [] where it succeeded."""
    try:
        call(*arguments)
    except ENDINGS as error:
        return told(error)
    return []


def told(error, doing=""):
    """The sentences for the user of whatever ended something; ``doing`` says what that was."""
    if isinstance(error, VfioHostError):
        return list(error.messages)
    start = f"{doing}: " if doing else ""
    if isinstance(error, KeyboardInterrupt):
        return [f"{start}the run was interrupted (SIGINT)"]
    if isinstance(error, SystemExit):
        return [f"{start}something in it ended the process ({error.code!r})"]
    if isinstance(error, OSError) and error.errno is not None:
        return [f"{start}{error.filename + ': ' if isinstance(error.filename, str) else ''}{errno_text(error.errno)}"]
    text = " ".join(str(error).split())
    return [f"{start}{type(error).__name__}{': ' + text if text else ''}, which was not foreseen{_place(error)}; please report it"]


def _place(error):
    """Where it was raised, for a report."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" (in {os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno})"


__all__ = ("ENDINGS", "all_or_nothing", "told", "tried")
