# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our files in a zip are compiled once, and are to Python what they are without the finder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from ansible_collections.vfio.host.plugins.module_utils import _once

PLUGINS = Path(_once.__file__).parents[1]
PACKAGE = "ansible_collections.vfio.host.plugins"
UTILS = f"{PACKAGE}.module_utils"
# What Ansible ships as empty files, whatever is there: the packages above the rooms.
ABOVE = ["ansible_collections", "ansible_collections.vfio", "ansible_collections.vfio.host", PACKAGE, f"{PACKAGE}.modules", UTILS]
SHIPPED = sorted(PLUGINS.glob("modules/*.py")) + sorted(PLUGINS.glob("module_utils/**/*.py"))
ROOMS = sorted(".".join(path.parent.relative_to(PLUGINS / "module_utils").parts) for path in SHIPPED if path.name == "__init__.py")
# The finder's own file, and the room that asks for it first, are there before the finder.
NAMES = [f"{PACKAGE}.{path.relative_to(PLUGINS).with_suffix('').as_posix().replace('/', '.')}" for path in SHIPPED]
NAMES = [name for name in NAMES if not name.endswith(".__init__") and name != f"{UTILS}._once"]
# What is more than documentation of an action plugin.
MODULES = [f"{PACKAGE}.modules.{path.stem}" for path in SHIPPED if path.parent.name == "modules" and f"from {UTILS}" in path.read_text(encoding="utf-8")]

# Imports from a zip what it is told, and says how often each file was compiled, what Python knows of each, and of the finders.
CHILD = r"""
import collections, importlib, inspect, json, sys

compiled = collections.Counter()
sys.addaudithook(lambda event, args: event == "compile" and compiled.update([str(args[1])]))
archive, installs, *names = json.load(sys.stdin)
sys.path.insert(0, archive)
ONCE = "ansible_collections.vfio.host.plugins.module_utils._once"
if not installs:
    importlib.import_module(ONCE).install = lambda: None
modules = [importlib.import_module(name) for name in names]
counts = {name: compiled[module.__file__] for name, module in sys.modules.items() if name.startswith("ansible_collections.")}


def described(module):
    spec, loader = module.__spec__, module.__loader__
    codes = [one.__code__.co_filename for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == module.__name__]
    return [
        module.__file__, module.__package__, list(getattr(module, "__path__", ["none"])), getattr(module, "__cached__", None), codes,
        spec.name, spec.origin, spec.parent, spec.has_location, spec.cached, spec.submodule_search_locations,
        str(type(loader)), loader is spec.loader, loader.archive, loader.prefix,
        inspect.getsource(module) if loader.get_source(module.__name__) else "empty",
    ]


finders = [type(one).__module__ for one in sys.meta_path].count(ONCE)
json.dump([counts, {module.__name__: described(module) for module in modules}, finders], sys.stdout)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory with payload.zip: our files as Ansible ships them."""
    path = tmp_path_factory.mktemp("once")
    with ZipFile(path / "payload.zip", "w") as archive:
        for name in ABOVE:
            archive.writestr(f"{name.replace('.', '/')}/__init__.py", "")
        for file in SHIPPED:
            archive.write(file, f"{PACKAGE.replace('.', '/')}/{file.relative_to(PLUGINS)}")
    return path


def imported(directory, names, archive=None, installs=True):
    """Compilations, descriptions and the number of finders, of a Python of its own that imports from the zip."""
    given = json.dumps([archive or str(directory / "payload.zip"), installs, *names])
    found = subprocess.run(
        [sys.executable, "-I", "-c", CHILD], input=given, cwd=directory, stdout=subprocess.PIPE, check=True, text=True,
    )
    return json.loads(found.stdout)


@pytest.mark.parametrize("module", MODULES)
def test_every_file_in_a_room_that_a_module_imports_is_compiled_once(directory, module):
    counts, dummy, dummy = imported(directory, [module])
    in_rooms = [name for name in NAMES if name.startswith(f"{UTILS}.") and name in counts]
    assert in_rooms
    assert {name: counts[name] for name in in_rooms} == dict.fromkeys(in_rooms, 1)


def test_all_rooms_together_install_one_finder_and_each_of_their_files_is_compiled_once(directory):
    counts, dummy, finders = imported(directory, NAMES)
    in_rooms = [name for name in NAMES if name.startswith(f"{UTILS}.")]
    assert {name: counts[name] for name in in_rooms} == dict.fromkeys(in_rooms, 1)
    assert finders == 1


@pytest.mark.parametrize("archive", [None, "payload.zip"], ids=["absolute", "relative"])
def test_python_knows_of_our_files_what_it_knows_without_the_finder(directory, archive):
    names = [*ABOVE, *(f"{UTILS}.{room}" for room in ROOMS), *NAMES]
    dummy, with_it, dummy = imported(directory, names, archive)
    dummy, without, none = imported(directory, names, archive, installs=False)
    assert none == 0
    assert with_it == without


def test_a_directory_gets_no_finder():
    before = list(sys.meta_path)
    _once.install()
    assert sys.meta_path == before


ROOM = UTILS.replace(".", "/") + "/_room"


@pytest.mark.parametrize("name, file", [
    ("json", "json.py"),
    (f"{PACKAGE}.module_utilsother", f"{PACKAGE.replace('.', '/')}/module_utilsother.py"),
    (f"{UTILS}._room.missing", f"{ROOM}/there.py"),
    (f"{UTILS}._room.inner", f"{ROOM}/inner/there.py"),
    (f"{UTILS}._room.there", f"{ROOM}/there.pyc"),
    (f"{UTILS}._room.there", f"{ROOM}/there/__init__.pyc"),
], ids=["not ours", "beginning like ours", "missing", "a directory alone", "compiled", "a compiled package"])
def test_the_finder_leaves_to_zipimport(tmp_path, name, file):
    # A name of its own: zipimport remembers what was in an archive of this path.
    archive = tmp_path / f"{file.replace('/', '-')}.zip"
    with ZipFile(archive, "w") as made:
        made.writestr(file, "")
    parent = f"{archive}/{name.rpartition('.')[0].replace('.', '/')}".rstrip("/")
    assert _once._Finder(str(archive)).find_spec(name, [parent]) is None


def test_the_finder_leaves_what_is_in_another_zip_and_in_a_directory(tmp_path):
    (tmp_path / "there.py").touch()
    for name in ("one.zip", "two.zip"):
        with ZipFile(tmp_path / name, "w") as made:
            made.writestr(f"{ROOM}/there.py", "")
    finder = _once._Finder(str(tmp_path / "one.zip"))
    asked = [[f"{tmp_path}/one.zip/{ROOM}"], [f"{tmp_path}/two.zip/{ROOM}"], [str(tmp_path)], [], None]
    assert [finder.find_spec(f"{UTILS}._room.there", path) is not None for path in asked] == [True] + [False] * 4
