# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's Python keeps of the zips that it is sent, tried with the Python of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from virtlab import bytecode

GUEST = Path(bytecode.__file__).parents[1] / "guest"
MODULE = "import json\n\n\ndef where():\n    return [where.__code__.co_filename, (lambda: 0).__code__.co_filename]\n"
# Imports package.part from a zip; says what it is, and how often its file was compiled.
CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import lab_bytecode
compiled = []
sys.addaudithook(lambda event, args: event == "compile" and compiled.append(str(args[1])))
lab_bytecode.install(sys.argv[2])
sys.path.insert(0, sys.argv[3])
from package import part
print(json.dumps([part.where(), part.VALUE, compiled.count(part.__file__)]))
"""


def payload(path, value="1"):
    """A zip with a package of one module."""
    path.parent.mkdir(exist_ok=True)
    with ZipFile(path, "w") as archive:
        archive.writestr("package/__init__.py", "")
        archive.writestr("package/part.py", f"{MODULE}\n\nVALUE = {value}\n")
    return path


def imported(archive, place):
    """Where the module says that it is, its value, and how often it was compiled."""
    done = subprocess.run([sys.executable, "-I", "-c", CHILD, str(GUEST), str(place), str(archive)],
                          capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "kept"
    path.mkdir()
    return path


def test_the_same_file_in_another_zip_is_not_compiled_again_and_is_where_it_is(tmp_path, place):
    first, second = (payload(tmp_path / name / "payload.zip") for name in ("first", "second"))
    assert imported(first, place)[2] > 0
    assert imported(second, place) == [[f"{second}/package/part.py"] * 2, 1, 0]


def test_another_content_of_the_same_length_is_compiled(tmp_path, place):
    imported(payload(tmp_path / "first" / "payload.zip"), place)
    assert imported(payload(tmp_path / "second" / "payload.zip", "2"), place)[1] == 2


@pytest.mark.parametrize("content", [b"", b"half", b"\0" * 512, b"N"], ids=["empty", "other words", "zeros", "no code"])
def test_what_is_damaged_is_compiled_and_kept_anew(tmp_path, place, content):
    archive = payload(tmp_path / "first" / "payload.zip")
    imported(archive, place)
    for path in place.iterdir():
        path.write_bytes(content)
    dummy, value, compiled = imported(archive, place)
    assert value == 1 and compiled > 0
    assert imported(archive, place)[1:] == [1, 0]


def test_where_nothing_can_be_kept_it_is_compiled(tmp_path):
    archive = payload(tmp_path / "first" / "payload.zip")
    for dummy in range(2):
        assert imported(archive, tmp_path / "missing")[1] == 1
    assert not (tmp_path / "missing").exists()


def test_the_commands_write_what_is_here(tmp_path, monkeypatch):
    """They are run by a shell, in a directory in place of the host's root."""
    monkeypatch.setattr(bytecode, "_PACKAGES", str(tmp_path))
    monkeypatch.setattr(bytecode, "_TMPFILES", str(tmp_path / "lab.conf"))
    text = (GUEST / "lab_bytecode.py").read_text(encoding="utf-8")
    commands = bytecode.script(text).replace("/run/lab-bytecode", str(tmp_path / "run"))
    subprocess.run(["sh", "-c", commands], check=True)
    assert (tmp_path / "lab_bytecode.py").read_text(encoding="utf-8") == text.replace("/run/lab-bytecode", str(tmp_path / "run"))
    assert os.stat(tmp_path / "run").st_mode & 0o777 == 0o755
    subprocess.run([sys.executable, "-c", "import site, sys; site.addsitedir(sys.argv[1]); import zipimport; "
                    "assert zipimport._compile_source.__module__ == 'lab_bytecode'", str(tmp_path)], check=True)
