# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The house stands as CONTRIBUTING.md says: calls go one way, and what calls itself pure touches nothing."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[2] / "plugins" / "module_utils"
PREFIX = "ansible_collections.vfio.host.plugins.module_utils."
# What a room's __init__.py does is the same for all: see _once.py.
FILES = sorted(path for path in UTILS.glob("*/**/*.py") if path.name != "__init__.py")
# The floors, from below: what a room may import beside itself. Above all areas is _passthrough, which alone sees all.
FLOORS = {
    "_host": set(),
    "_core": {"_host"},
    "_kernel": {"_core", "_host"},
    "_boot": {"_core", "_host"},
    "_competitors": {"_core", "_host"},
}
AREAS = {"_cmdline", "_devices", "_initramfs", "_kconfig", "_memlock", "_modules", "_nodes", "_prove", "_sriov"}
# What areas import of each other: numbers of VFs, nodes and the proof stand on devices; modules and configuration are one area, with one pair of
# files; which images boot is in the boot loader's entries.
BETWEEN_AREAS = {
    ("_sriov", "_devices"), ("_nodes", "_devices"), ("_prove", "_devices"),
    ("_modules.area", "_kconfig.spec"), ("_modules.area", "_kconfig.state"), ("_modules.area", "_kconfig.verdict"),
    ("_kconfig.verdict", "_modules.records"), ("_kconfig.verdict", "_modules.spec"),
    ("_initramfs.area", "_cmdline.loaders.entries"),
    ("_initramfs.area", "_cmdline.loaders.grub"),
    ("_initramfs.area", "_cmdline.loaders.zipl"),
    ("_initramfs.tools.sdbootutil", "_cmdline.loaders.entries"),
    ("_initramfs.tools.sdbootutil", "_cmdline.loaders.sdbootutil"),
}
# What reads or writes outside of values.
TOUCHING = {"os", "io", "pathlib", "shutil", "socket", "subprocess", "tempfile", "time"}


def name_of(path):
    return ".".join(path.relative_to(UTILS).with_suffix("").parts)


def is_for_types(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def running(tree):
    """The nodes of a file that Python runs: all but what only type checkers read."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not is_for_types(node):
            yield from running(node)


def imports(path, walk=running):
    """The names that a file imports; those of this collection as 'room.file'."""
    found = set()
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = node.module[len(PREFIX):] if node.module.startswith(PREFIX) else None
            if inner is None:
                found.add(node.module)
            else:
                names = {alias.name for alias in node.names}
                files = {name for name in names if (UTILS / inner.replace(".", "/") / f"{name}.py").is_file()}
                found.update(f"{inner}.{name}" for name in files)
                found.update({inner} if names - files else ())
    return found


@functools.lru_cache(maxsize=None)
def is_pure(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n\n")[0].endswith("Pure.")


def room_of(name):
    return name.split(".")[0]


GRAPH = {name_of(path): imports(path) for path in FILES}
WITH_TYPES = {name_of(path): imports(path, ast.walk) for path in FILES}


def test_there_is_a_house_to_look_at():
    assert len(FILES) > 40
    assert sum(map(is_pure, FILES)) > 8


def test_every_room_installs_the_finder_and_does_nothing_else():
    done = {
        tuple(ast.unparse(node) for node in ast.parse((room / "__init__.py").read_text(encoding="utf-8")).body[1:])
        for room in {path.parent for path in FILES}
    }
    assert done == {("from __future__ import annotations", f"from {PREFIX[:-1]} import _once", "_once.install()")}


@pytest.mark.parametrize("path", [path for path in FILES if is_pure(path)], ids=name_of)
def test_what_is_pure_touches_nothing(path):
    assert not GRAPH[name_of(path)] & TOUCHING
    pure = {name_of(one) for one in FILES if is_pure(one)} | {"_host.errors"}
    assert not {one for one in GRAPH[name_of(path)] if room_of(one) in ("_host", "_core")} - pure


@pytest.mark.parametrize("room", sorted({room_of(name) for name in GRAPH}))
def test_calls_go_down_one_floor_or_more(room):
    below = FLOORS.get(room, set(FLOORS) | (AREAS if room == "_passthrough" else set()))
    above = {
        (name, one) for name, found in WITH_TYPES.items() if room_of(name) == room
        for one in found if one in GRAPH and room_of(one) not in below | {room}
    }
    assert {one for one in above if one not in BETWEEN_AREAS and tuple(map(room_of, one)) not in BETWEEN_AREAS} == set()


def test_every_room_has_its_floor_and_no_exception_is_left_over():
    assert {room_of(name) for name in GRAPH} == set(FLOORS) | AREAS | {"_passthrough"}
    calls = {(name, one) for name, found in GRAPH.items() for one in found}
    assert BETWEEN_AREAS - calls - {tuple(map(room_of, one)) for one in calls} == set()


def test_numbers_of_vfs_touch_nothing_but_what_is_below():
    assert {room_of(one) for name, found in GRAPH.items() if room_of(name) == "_sriov" for one in found} <= {
        "_sriov", "_devices", "_competitors", "_kernel", "_core", "_host", "contextlib",
        "__future__", "dataclasses", "errno", "fnmatch", "json", "re", "typing",
    }


def test_devices_ask_about_kernel_modules_by_three_files_alone():
    asked = {one for name, found in GRAPH.items() if room_of(name) == "_devices" for one in found if room_of(one) == "_kernel"}
    assert asked == {"_kernel.alias", "_kernel.control", "_kernel.kmod"}


def test_nothing_imports_itself_around_a_circle():
    done, way = set(), []

    def walk(name):
        assert name not in way, " -> ".join(way[way.index(name):] + [name])
        if name in done or name not in GRAPH:
            return
        way.append(name)
        for one in sorted(GRAPH[name]):
            walk(one)
        way.pop()
        done.add(name)

    for name in GRAPH:
        walk(name)


def test_only_the_edges_of_the_host_run_commands_or_open_files():
    opening = {
        name for path, name in ((path, name_of(path)) for path in FILES) if not name.startswith("_host.")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    }
    assert opening == set()
    assert {name for name, found in GRAPH.items() if "subprocess" in found and not name.startswith("_host.")} == set()


def test_passthrough_does_not_load_the_planning_of_devices_before_it_has_some_to_plan():
    loaded, new = set(), imports(UTILS.parent / "modules/passthrough.py", ast.iter_child_nodes)
    while new:
        loaded |= new
        files = (UTILS / f"{one.replace('.', '/')}.py" for one in new if one in GRAPH)
        new = {one for file in files for one in imports(file, ast.iter_child_nodes)} - loaded
    assert "_core.task" in loaded
    assert "_devices.plan" not in loaded


def test_public_functions_take_two_arguments_by_position_at_most():
    # What Python's import system calls by position.
    expected = {"module_utils._once.find_spec"}
    many = set()
    for path in UTILS.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
                if len([name for name in names if name not in ("self", "cls")]) > 2:
                    many.add(f"{'.'.join(path.relative_to(UTILS.parent).with_suffix('').parts)}.{node.name}")
    assert many == expected
