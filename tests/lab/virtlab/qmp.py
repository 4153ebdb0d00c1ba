# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's monitor (QMP): JSON lines over a unix socket."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Type

from .errors import LabError


class QmpError(LabError):
    """QEMU refused a command."""


class Qmp:
    """One connection; commands are answered in order, events that come between are kept."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        self._timeout = timeout
        self._events: list[Dict[str, Any]] = []
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
            self._read(time.monotonic() + timeout)
            self.execute("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise LabError(f"QEMU's monitor {path} does not answer ({error})", "is the host running?") from None

    def __enter__(self) -> Qmp:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Any, traceback: Any) -> None:
        self._socket.close()

    def _read(self, deadline: float) -> Dict[str, Any]:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabError("QEMU's monitor gave no answer in time", "look at the console log")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise LabError("QEMU closed its monitor", "it has ended: look at the console log")
            self._buffer += data
        line, dummy, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def execute(self, command: str, arguments: Optional[Mapping[str, Any]] = None) -> Any:
        request: Dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        deadline = time.monotonic() + self._timeout
        while True:
            message = self._read(deadline)
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise QmpError(f"QEMU refuses {command}", message["error"]["desc"])
            else:
                return message["return"]

    def wait_event(self, name: str, data: Mapping[str, Any], timeout: float) -> bool:
        """Wait for an event whose data holds what is given; False when it did not come."""
        deadline = time.monotonic() + timeout
        while True:
            while self._events:
                event = self._events.pop(0)
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    return True
            try:
                message = self._read(deadline)
            except LabError:
                if time.monotonic() >= deadline:
                    return False
                raise
            if "event" in message:
                self._events.append(message)


__all__ = ("Qmp", "QmpError")
