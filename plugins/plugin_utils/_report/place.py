# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Where the report goes: what is there, and whether it may be replaced."""

from __future__ import annotations

import os

from ansible_collections.vfio.host.plugins.module_utils._host.numbers import shown
from ansible_collections.vfio.host.plugins.plugin_utils._report.page import MARK

_HEAD = 4096  # characters within which a report says that it is one


class Refused(Exception):
    """The report cannot be written there; the message says why, and what to do."""


def place(path: object) -> str:
    """The absolute path of what is written. Raises Refused where nothing could be."""
    if not isinstance(path, str) or not path.strip() or not path.isprintable():
        told = "nothing" if path is None else shown(path)
        raise Refused(f"passthrough_report is {told}: say where the report goes, a file on the controller: -e passthrough_report=report.html")
    target = os.path.realpath(os.path.expanduser(path))
    directory = os.path.dirname(target)
    if os.path.isdir(target):
        raise Refused(f"passthrough_report is {path}, which is a directory: name a file in it, such as {os.path.join(path, 'report.html')}")
    if not os.path.isdir(directory):
        raise Refused(f"passthrough_report is {path}, and there is no directory {directory}: make it, or name a file elsewhere")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Refused(f"passthrough_report is {path}, and {directory} cannot be written to: have it writable, or name a file elsewhere")
    if os.path.lexists(target) and not os.path.isfile(target):
        raise Refused(f"passthrough_report is {path}, which is no regular file: name another one")
    return target


def before(target: str) -> str | None:
    """The report that is there; None where nothing is. Raises Refused where it is anything else."""
    try:
        with open(target, encoding="utf-8", newline="") as stream:
            found = stream.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Refused(_foreign(target)) from error
    except OSError as error:
        raise Refused(f"passthrough_report: {target} cannot be read, so it is left as it is: {error.strerror}") from error
    if found and MARK not in found[:_HEAD]:
        raise Refused(_foreign(target))
    return found


def _foreign(target: str) -> str:
    return f"passthrough_report: {target} is no report of vfio.host, and is left as it is: name another file, or remove it"


__all__ = ("Refused", "before", "place")
