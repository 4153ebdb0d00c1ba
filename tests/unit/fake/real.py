# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real boot tools, from the cache: found, pointed at a made-up root, run, and taken apart."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest


def load(name, path):
    """A file of Python, imported by its path."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


real_tools = load("real_tools", Path(__file__).parents[2] / "tools" / "real_tools.py")


def real(name):
    """The path of a real tool; skips where the cache has none."""
    try:
        return real_tools.find(name)
    except real_tools.Missing as error:
        pytest.skip(str(error))


def on_root(name, root, target):
    """A copy of a script that has its paths below ``root``."""
    text = re.sub(r"(?<![\w.}/-])/(etc|boot|sys|dev|proc)/(?!null)", rf"{root}/\1/", real(name).read_text())
    target.write_text(text)
    target.chmod(0o755)
    return target


def program(directory, name, text):
    """A stand-in for what a tool calls."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/bash\n{text}\n")
    (directory / name).chmod(0o755)


def ran(words, path, **more):
    """A real tool's run, with the stand-ins of ``path`` first."""
    env = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}", LC_ALL="C", **more)
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, env=env)


def function(text, name):
    """A shell function of a script."""
    found = re.search(rf"^{name} ?\(\)\s*\{{.*?^\}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name} is not in the real tool"
    return found.group()


def function_of_python(text, name):
    """A method of a file of Python, as a function."""
    found = re.search(rf"^    def {name}\(.*?(?=^    def )", text, re.MULTILINE | re.DOTALL).group()
    return re.sub("^    ", "", found, flags=re.MULTILINE)


def function_of_c(text, name):
    """A function of a file of C."""
    return text[text.index(f"\n{name}(") :].partition("\n}\n")[0]


def files(root):
    """Every file of a host below etc and boot."""
    return {str(path.relative_to(root)): path.read_text() for one in ("etc", "boot") for path in (Path(root) / one).rglob("*.*") if path.is_file()}
