# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages made by the real dpkg-deb, and read by it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from virtlab import deb
from virtlab.errors import LabError

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here: the lab is for Debian's packages")

CONTROL = "Package: lab-test\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: for a test\n"


@pytest.fixture
def package(tmp_path):
    """A package with a script, a program that sets its user, a link, and a file of an odd size."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL, encoding="ascii")
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\n", encoding="ascii")
    os.chmod(tree / "DEBIAN/postinst", 0o755)
    (tree / "usr").mkdir()
    (tree / "usr/program").write_bytes(b"odd")
    os.chmod(tree / "usr/program", 0o4755)
    (tree / "usr/link").symlink_to("program")
    path = tmp_path / "lab-test_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Zxz", str(tree), str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


def said(path, *options):
    return subprocess.run(["dpkg-deb", *options, str(path)], check=True, stdout=subprocess.PIPE).stdout


def test_it_is_the_same_package_and_its_files_are_not_compressed(package, tmp_path):
    found = deb.plain(package, tmp_path / "plain")
    assert found.name == package.name
    assert b"data.tar.xz" in package.read_bytes() and b"data.tar.xz" not in found.read_bytes()
    for option in ("--contents", "--field", "--ctrl-tarfile", "--fsys-tarfile"):
        assert said(found, option) == said(package, option)


def test_it_is_made_once_and_again_for_another_package(package, tmp_path):
    first = deb.plain(package, tmp_path / "plain").stat()
    assert deb.plain(package, tmp_path / "plain").stat().st_ino == first.st_ino
    os.utime(package, ns=(first.st_mtime_ns + 1, first.st_mtime_ns + 1))
    assert deb.plain(package, tmp_path / "plain").stat().st_ino != first.st_ino


@pytest.mark.parametrize("damage, words", [
    (lambda content: b"no package", "is no Debian package"),
    (lambda content: content[:72], "has no data.tar"),
    (lambda content: content[:90], "is damaged"),
    (lambda content: content[:-20], "dpkg-deb cannot read"),
], ids=["another file", "nothing after the first member", "half a header", "half of the files"])
def test_a_damaged_package_is_one_error_and_leaves_nothing(package, tmp_path, damage, words):
    package.write_bytes(damage(package.read_bytes()))
    with pytest.raises(LabError, match=words):
        deb.plain(package, tmp_path / "plain")
    assert list((tmp_path / "plain").iterdir()) == []
