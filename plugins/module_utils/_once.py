# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Our files are compiled once, where Ansible has sent them to a host in a zip.

Python compiles each file of a zip twice: importlib asks zipimport for the file's name, zipimport compiles the file to answer,
and compiles it again to execute it. The finder here tells importlib the name. Each room's __init__.py installs it, so
that it is there before any other file of a room.
"""

from __future__ import annotations

import sys
from importlib.util import spec_from_file_location
from pkgutil import get_importer
from typing import TYPE_CHECKING, Optional, Sequence
from zipimport import zipimporter

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_OURS = __name__.rpartition(".")[0]


class _Finder:
    """Gives for the files of ours in one zip the specs that zipimport gives."""

    def __init__(self, archive: str) -> None:
        self._archive = archive

    # Positional, since importlib calls it so (source: Python's Lib/importlib/_bootstrap.py _find_spec()).
    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        """The spec of a module, or None: Python asks the next finder then."""
        if not f"{name}.".startswith(f"{_OURS}.") or path is None or len(path) != 1:
            return None
        loader = get_importer(path[0])
        if not isinstance(loader, zipimporter) or loader.archive != self._archive:
            return None
        try:
            is_package = loader.is_package(name)
        except ImportError:  # there is nothing, or a directory alone
            return None
        file = f"{path[0]}/{name.rpartition('.')[2]}{'/__init__' if is_package else ''}.py"
        if _has(loader, f"{file}c"):  # which zipimport takes before a source
            return None
        return spec_from_file_location(name, file, loader=loader, submodule_search_locations=[] if is_package else None)


def _has(loader: zipimporter, file: str) -> bool:
    try:
        loader.get_data(file)
    except OSError:
        return False
    return True


def install() -> None:
    """Make the finder the first that Python asks. Not where this file did not come in a zip, nor where the finder is wrong about
    it.
    """
    loader = getattr(__spec__, "loader", None)
    if not isinstance(loader, zipimporter) or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    finder = _Finder(loader.archive)
    known = [(name, sys.modules[name.rpartition(".")[0]].__path__) for name in (_OURS, __name__)]
    if all(finder.find_spec(name, path) == sys.modules[name].__spec__ for name, path in known):
        sys.meta_path.insert(0, finder)


__all__ = ("install",)
