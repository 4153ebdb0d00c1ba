# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A headless Chromium that opens a file, presses keys, and answers what the page holds: by its DevTools protocol over two pipes.

By hand: ``python3 tests/tools/browser.py FILE PICTURE.png [WIDTH [HEIGHT [dark|light]]]``.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 120  # seconds for an answer, on a busy machine
_KEYS = {
    "Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " "), "Escape": (27, ""), "ArrowDown": (40, ""), "ArrowUp": (38, ""), "Home": (36, ""),
}


def program() -> Optional[str]:
    """The path of a Chromium; None where there is none."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Browser:
    """One page. ``troubles`` collects what its console has as an error, uncaught exceptions, and what it asked the network for."""

    def __init__(self, path: str) -> None:
        self.troubles: List[str] = []
        self._number, self._rest, self._profile = 0, b"", tempfile.mkdtemp(prefix="vfio-host-browser-")
        its_in, self._out = os.pipe()
        self._in, its_out = os.pipe()

        def numbered() -> None:
            # The protocol's pipes are the descriptors 3 and 4 (source: content/browser/devtools/devtools_pipe_handler.cc).
            first, second = os.dup(its_in), os.dup(its_out)
            os.dup2(first, 3)
            os.dup2(second, 4)

        words = [
            path, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={self._profile}", "about:blank",
        ]
        self._process = subprocess.Popen(  # noqa: S603 - a program of the distribution's
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=numbered, close_fds=False,
        )
        os.close(its_in)
        os.close(its_out)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session: Optional[str] = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """End it, and leave nothing of it."""
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()

    def open(self, path: Path, *, script: bool = True) -> None:
        """Show a file, and wait until it is loaded."""
        self._call("Emulation.setScriptExecutionDisabled", value=not script)
        self._call("Page.navigate", url=path.resolve().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def size(self, width: int, height: int) -> None:
        """Have a window of so many pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, scheme: str, media: str = "") -> None:
        """What the user prefers, 'light' or 'dark'; ``media`` may be 'print'."""
        self._call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript. Raises AssertionError where it throws."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press a key that has a name, and let it go."""
        code, text = _KEYS[name]
        common = {"key": " " if name == "Space" else name, "code": name, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self._call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Write where the focus is."""
        self._call("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """A PNG of what the window shows."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **parameters: Any) -> Dict[str, Any]:
        self._number += 1
        number = self._number
        asked: Dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if getattr(self, "_session", None):
            asked["sessionId"] = self._session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == number:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']}")
                result: Dict[str, Any] = told["result"]
                return result

    def _read(self) -> Dict[str, Any]:
        """The next thing that it says."""
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], _PATIENCE)[0]:
                raise AssertionError(f"the browser has not answered for {_PATIENCE} seconds")
            ready = os.read(self._in, 1 << 20)
            if not ready:
                raise AssertionError("the browser has ended")
            self._rest += ready
        message, _dummy, self._rest = self._rest.partition(b"\0")
        told: Dict[str, Any] = json.loads(message)
        self._note(told.get("method"), told.get("params", {}))
        return told

    def _note(self, method: Optional[str], told: Dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.troubles.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.troubles.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.troubles.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "data:", "about:")):
            self.troubles.append(f"it asks the network for {told['request']['url']}")
        elif method == "Page.javascriptDialogOpening":
            self.troubles.append(f"a dialog: {told['message']}")
            self._number += 1
            answer = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}, "sessionId": self._session}
            os.write(self._out, json.dumps(answer).encode() + b"\0")


def main(words: List[str]) -> int:
    """The picture of a file."""
    found = program()
    if found is None:
        print("browser: no Chromium here", file=sys.stderr)
        return 1
    with Browser(found) as browser:
        browser.size(int(words[2]) if len(words) > 2 else 1280, int(words[3]) if len(words) > 3 else 900)
        browser.colours(words[4] if len(words) > 4 else "light")
        browser.open(Path(words[0]))
        browser.picture(Path(words[1]))
        print("\n".join(browser.troubles))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
