# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""How a module starts programs, and how it leaves: with one clear message, and with texts that Ansible can carry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, List, NoReturn, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.endings import told
from ansible_collections.vfio.host.plugins.module_utils._core.objection import HOST, INPUT, as_data
from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError, errno_text

if TYPE_CHECKING:
    from typing import Protocol

    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Run

    class Module(Protocol):
        """What this collection uses of an AnsibleModule."""

        _name: str
        check_mode: bool
        params: Dict[str, Any]

        def run_command(self, args: List[str], *, handle_exceptions: bool) -> Tuple[int, str, str]:
            """(exit status, standard output, standard error). Raises OSError, ValueError."""

        def warn(self, warning: str) -> None:
            """Print a warning."""

        def exit_json(self, **kwargs: Any) -> NoReturn:
            """End the process with a result."""

        def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
            """End the process with a failure."""

_NOT_STARTED = 127  # as a shell says it
# How Python holds a byte that is no UTF-8 (source: PEP 383).
_BYTE, _FIRST = re.compile("[\udc80-\udcff]"), 0xDC00


def runner(module: Module) -> Run:
    """The module's run_command. Where a program cannot be started it returns status 127, and does not end the module. It raises
    signals.Interrupted.
    """

    def run(words: List[str]) -> Tuple[int, str, str]:
        signals.check()
        try:
            result = module.run_command(words, handle_exceptions=False)
        except OSError as error:
            return _NOT_STARTED, "", f"{words[0]} cannot be started: {errno_text(error.errno)}"
        except ValueError as error:  # a NUL byte in a word
            return _NOT_STARTED, "", f"{words[0]} cannot be started: {error}"
        # The program may have had the signal, too, and failed by it.
        signals.check()
        return result

    return run


def fail(module: Module, error: BaseException) -> NoReturn:
    """Leave through fail_json, whatever ended the task: first the cause, then what could not be put back."""
    messages = told(error, module._name)
    if isinstance(error, (InputError, PlanError)):
        kind = INPUT if isinstance(error, InputError) else HOST
        module.fail_json(msg=printable("\n".join(messages)), refusals=printable(as_data(messages, kind)))
    module.fail_json(msg=printable("\n".join(messages)))


def printable(value: Any) -> Any:
    """A result, a value of JSON, in which a byte of the host that is no UTF-8 is written as \\xe9: JSON has no other way to carry it."""
    if isinstance(value, str):
        return value if value.isascii() else _BYTE.sub(lambda byte: f"\\x{ord(byte.group()) - _FIRST:02x}", value)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(item) for item in value]
    return value


__all__ = ("fail", "printable", "runner")
