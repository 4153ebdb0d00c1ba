# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Signals that end a run: while it changes the host, they end it between two steps, so that everything is restored.

SIGHUP comes where ssh loses its terminal, SIGINT where a user presses Ctrl-C and the module runs in the terminal's process
group, SIGTERM where somebody or systemd stops the run. Any other that would end the process ends it in the same way: SIGQUIT of a
terminal, SIGXCPU of a limit.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import Iterator, List

from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError

_OTHERS = (
    "SIGKILL", "SIGSTOP",  # nobody can catch them
    "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP",  # faults of the process's own: no step comes after them
    "SIGPIPE", "SIGXFSZ",  # which Python makes an errno
    "SIGCHLD", "SIGCLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH",  # end no process (source: signal(7))
)
SIGNALS = tuple(one for one in signal.Signals if one.name not in _OTHERS)

_pending: List[str] = []  # names of the signals that came since the last check
_masks: List[bool] = []  # not empty: check() raises nothing


class Interrupted(VfioHostError):
    """A signal asked the run to end."""


@contextmanager
def held_back() -> Iterator[None]:
    """Until the end of this context a signal ends nothing by itself, but makes check() raise. What is ignored stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers, and it gets the signals
        return
    before = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _pending.clear()
        _masks.clear()


def hold_all() -> None:
    """From here to the end of held_back() check() raises nothing: the run ends anyhow."""
    _masks.append(True)


@contextmanager
def masked() -> Iterator[None]:
    """Within this context check() raises nothing: what restores a host goes on to its end."""
    _masks.append(True)
    try:
        yield
    finally:
        _masks.pop()


def check() -> None:
    """Called between two steps. Raises Interrupted where a signal has come."""
    if _pending and not _masks:
        names = ", ".join(dict.fromkeys(_pending))
        _pending.clear()
        raise Interrupted(f"the run was interrupted ({names})")


def reset() -> None:
    """The kernel's own reaction to each signal, for a child process that is no part of the run."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _note(number: int, dummy: object) -> None:
    _pending.append(signal.Signals(number).name)


__all__ = ("Interrupted", "SIGNALS", "check", "held_back", "hold_all", "masked", "reset")
