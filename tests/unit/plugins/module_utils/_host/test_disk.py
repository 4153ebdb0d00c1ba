# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.disk import no_place, real
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._host.test_files import refusing


def test_links_are_followed_to_their_end_and_no_further(tmp_path):
    (tmp_path / "d").mkdir()
    os.symlink("d/two", tmp_path / "one")
    os.symlink("../file", tmp_path / "d/two")
    os.symlink("round", tmp_path / "round")
    assert os.path.realpath(real(str(tmp_path / "one"))) == str(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        real(str(tmp_path / "round"))


def test_a_place_that_cannot_be_looked_at_is_said_to_be_none(tmp_path, monkeypatch):
    refusing(monkeypatch, "lstat", errno.EIO, "/a")
    assert "EIO" in no_place(str(tmp_path / "a/c.conf"))
