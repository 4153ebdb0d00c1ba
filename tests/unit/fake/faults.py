# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every step that changes a fake host is counted here, and can be made to fail, or to be the last one."""

from __future__ import annotations

import os

from ansible_collections.vfio.host.plugins.module_utils._host.files import Files


class Killed(BaseException):
    """The process died (power cut, SIGKILL): nothing of it runs any more, so nothing may catch this."""


class Faults:
    """The log of all changing steps, and what shall happen at some of them."""

    def __init__(self):
        self.log = []
        self._armed = {}

    def step(self, *what):
        """Called before a step is done."""
        self.log.append(what)
        action = self._armed.pop(len(self.log) - 1, None)
        if action is not None:
            action()

    def at(self, index, action):
        """Call ``action`` before step ``index`` (from 0, counted from the last reset)."""
        self._armed[index] = action

    def fail_at(self, index, number):
        """Step ``index`` answers with this errno and does nothing."""

        def fail():
            raise OSError(number, os.strerror(number))

        self.at(index, fail)

    def kill_at(self, index):
        """The process dies before step ``index``."""

        def kill():
            raise Killed()

        self.at(index, kill)

    def reset(self):
        """Count from 0 again, with nothing armed."""
        self.log = []
        self._armed = {}


def deaths(make, run, least):
    """For each step of ``run(host)``: (its index, a host that ``make`` has made, on which the run died before that step).

    A run of no more than ``least`` steps is not what the test is about, and fails.
    """
    for index in range(60):
        host = make()
        host.faults.reset()
        host.faults.kill_at(index)
        try:
            run(host)
        except Killed:
            host.faults.reset()
            yield index, host
        else:
            assert index > least
            return
    raise AssertionError("the run never came to its end")


class FakeFiles(Files):
    """The real writer of configuration files, below the fake host's root, its steps counted."""

    def __init__(self, root, faults):
        super().__init__(root)
        self._faults = faults

    def _replace(self, path, *content):
        self._faults.step("file", path)
        super()._replace(path, *content)

    def _remove(self, path):
        self._faults.step("file", path)
        super()._remove(path)


__all__ = ("FakeFiles", "Faults", "Killed", "deaths")
