# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A root that raises on any access, for as long as a plan is made: a plan is made of values."""

from __future__ import annotations

import builtins
import gc
import importlib
import io
import os
import pkgutil
import subprocess
from contextlib import contextmanager
from unittest import mock

from ansible_collections.vfio.host.plugins import module_utils
from ansible_collections.vfio.host.plugins.module_utils._core import area as core_area
from ansible_collections.vfio.host.plugins.module_utils._host.accounts import Accounts
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.plugins.module_utils._host.foreign import Foreign
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_EDGES = (Accounts, Files, Foreign, Sysfs)
_SYSTEM = [(builtins, "open"), (io, "open"), (subprocess, "Popen")] + [
    (os, name) for name in ("access", "listdir", "lstat", "open", "readlink", "scandir", "stat", "statvfs", "system")
]


# The names of the areas of which a plan was made while the host was sealed.
PLANNED = set()


class HostAsked(AssertionError):
    """A plan asked the host."""


def _refuse(what):
    def call(*given, **dummy):
        raise HostAsked(f"a plan asked the host: {what} {given[-1] if given else ''}")

    return call


@contextmanager
def sealed():
    """Nothing of the host can be asked in this context, neither by the classes that are its edges nor without them."""
    seals = [mock.patch.object(one, "__getattribute__", _refuse(one.__name__), create=True) for one in _EDGES]
    seals += [mock.patch.object(place, name, _refuse(name)) for place, name in _SYSTEM]
    # What is collected in here may be of another test, and have files to remove at its end.
    collects = gc.isenabled()
    gc.disable()
    try:
        for one in seals:
            one.start()
        yield
    finally:
        for one in reversed(seals):
            one.stop()
        if collects:
            gc.enable()


def areas():
    """The classes of all areas: those in a file area.py of a room that have the three verbs."""
    found = []
    for room in pkgutil.iter_modules(module_utils.__path__, f"{module_utils.__name__}."):
        if room.ispkg and any(one.name == "area" for one in pkgutil.iter_modules(importlib.import_module(room.name).__path__)):
            file = importlib.import_module(f"{room.name}.area")
            found += [
                one for one in vars(file).values()
                if isinstance(one, type) and one.__module__ == file.__name__ != core_area.__name__ and hasattr(one, "apply") and hasattr(one, "plan")
            ]
    return sorted(found, key=lambda one: one.__name__)


def planned(area, request):
    """An area's plan for a request on the host as it is now."""
    return area.plan(area.read(request), request)


def seal(area):
    """A patch with which each plan of an area is made, and shown, while the host is sealed."""
    plan = area.plan

    def sealed_plan(self, state, request):
        with sealed():
            made = plan(self, state, request)
            shown = made.changed, list(made.diff), list(made.reboot_reasons), list(made.warnings), made.result()
        assert len(shown) == 5
        PLANNED.add(type(self).__name__)
        return made

    return mock.patch.object(area, "plan", sealed_plan)


__all__ = ("HostAsked", "PLANNED", "areas", "planned", "seal", "sealed")
