# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where systemd looks for drop-ins of a service, by which others set its limit of locked memory."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.foreign import Foreign
from ansible_collections.vfio.host.plugins.module_utils._memlock.rivals import dropin_names, later_dropins
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import Limit

DIRECTORIES = {
    "foo-bar@x.service": ["foo-bar@x", "foo-bar@", "foo-", "foo-@x", "foo-@"],
    "foo-bar@.service": ["foo-bar@", "foo-", "foo-@"],
    "a-b-c@x-y.service": ["a-b-c@x-y", "a-b-c@", "a-b-", "a-", "a-b-@x-y", "a-b-@", "a-@x-y", "a-@"],
    "foo--bar.service": ["foo--bar", "foo--", "foo-"],
    "foo-.service": ["foo-"],
    "-foo.service": ["-foo"],
    "foo.service": ["foo"],
}


@pytest.mark.parametrize("unit", sorted(DIRECTORIES))
def test_drop_ins_are_looked_for_where_systemd_does(unit):
    assert dropin_names(unit) == [f"{name}.service" for name in DIRECTORIES[unit]]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="the host has no systemd-analyze")
@pytest.mark.parametrize("unit", sorted(name for name in DIRECTORIES if "@." not in name))
def test_the_directories_are_those_of_the_real_systemd(tmp_path, unit):
    """It names each line that it does not know, of all drop-ins that it reads."""
    stem, at, dummy = unit.partition("@")
    (tmp_path / (f"{stem}@.service" if at else unit)).write_text("[Service]\nExecStart=/bin/true\n")
    everything = {f"{name}.service" for names in DIRECTORIES.values() for name in names}
    for name in everything | {"service"}:
        (tmp_path / f"{name}.d").mkdir()
        (tmp_path / f"{name}.d" / f"{name}.conf").write_text("[Service]\nNoSuchKey=1\n")
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True, text=True, check=False, timeout=60,
    ).stderr
    read = {name for name in everything if f"/{name}.d/{name}.conf:2: Unknown key" in told}
    if not told or not read:
        pytest.skip(f"systemd-analyze does not read units here: {told[:200]}")
    assert sorted(read) == sorted(dropin_names(unit))


def told_of(root, unit, **files):
    for path, limit in files.items():
        target = root / path
        target.parent.mkdir(parents=True)
        target.write_text(f"[Service]\nLimitMEMLOCK={limit}\n")
    return later_dropins(Foreign(str(root)), unit, limit=Limit(None))


@pytest.mark.parametrize("unit", ["foo-bar@x.service", "foo-bar@.service"])
def test_a_drop_in_for_all_instances_of_what_begins_alike_is_named(tmp_path, unit):
    (told,) = told_of(tmp_path, unit, **{"etc/systemd/system/foo-@.service.d/95.conf": "8M"})
    assert told.startswith("/etc/systemd/system/foo-@.service.d/95.conf:2 says 8M")


def test_of_two_drop_ins_of_one_name_that_of_the_first_place_counts(tmp_path):
    """However near the other one's directory is to the service."""
    far, near = "etc/systemd/system/foo-.service.d/95.conf", "usr/lib/systemd/system/foo-bar.service.d/95.conf"
    assert told_of(tmp_path / "one", "foo-bar.service", **{far: "infinity", near: "8M"}) == []
    (told,) = told_of(tmp_path / "other", "foo-bar.service", **{far: "8M", near: "infinity"})
    assert told.startswith(f"/{far}:2 says 8M")
