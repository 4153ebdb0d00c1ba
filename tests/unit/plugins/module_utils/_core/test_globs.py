# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Globs that users and configuration files bring: none ends a run."""

from __future__ import annotations

import fnmatch

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core import globs
from ansible_collections.vfio.host.plugins.module_utils._devices.match import parse_match
from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import Configuration, parse_conf
from ansible_collections.vfio.host.plugins.module_utils._sriov.attributes import Setting


@pytest.fixture(autouse=True)
def old_python(monkeypatch):
    """Before Python 3.10 a backward range is what the expression has, too."""
    translate = fnmatch.translate
    monkeypatch.setattr(fnmatch, "translate", lambda pattern: "(?s:[9-0])\\Z" if "9-0" in pattern else translate(pattern))
    globs.compiled.cache_clear()
    yield
    globs.compiled.cache_clear()


def test_a_range_in_which_nothing_can_be_fits_nothing():
    assert not globs.fits("5", "[9-0]")
    assert globs.fits("5", "[0-9]")


def test_a_backward_range_of_vfs_is_about_none():
    assert parse_match({"vf": "[9-0]"}, "here").wanted == {"vf": ("[9-0]",)}
    assert Setting("here", ("[9-0]",), {}).indexes(8) == []


@pytest.mark.parametrize("line", ["install vfio_[9-0] /bin/false", "softdep vfio_[9-0] pre: b", "alias vfio_[9-0] b"])
def test_a_backward_range_in_modprobe_d_is_about_no_module(line):
    configured = Configuration(tuple(parse_conf(line, "x")))
    assert (configured.install("vfio_5"), configured.softdep("vfio_5"), configured.alias("vfio_5")) == (None, None, None)
