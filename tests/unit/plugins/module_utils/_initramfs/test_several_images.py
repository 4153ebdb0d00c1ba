# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several images are rebuilt, and the run fails at one of the last: each gets its own old content back."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.journal import recover
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, RolledBack
from ansible_collections.vfio.host.plugins.module_utils._initramfs.apply import Builder
from ansible_collections.vfio.host.tests.unit.fake.images import RULES, ImageHost


class Killed(BaseException):
    """The end of this process."""


@pytest.fixture
def many(tmp_path):
    """A host with five kernels, each with an image of its own, and what these are: path -> bytes."""
    host = ImageHost(tmp_path / "root")
    paths = [host.add_kernel(f"6.{number}.0-amd64", members={"own": b"%d" % number}) for number in range(1, 6)]
    host.put(RULES, "rules\n")
    return host, {path: host.get(path) for path in paths}


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("error", [ApplyError("the boot loader was not told"), Killed()])
def test_each_image_gets_its_own_content_back(many, monkeypatch, number, error):
    host, before = many
    told = []

    def finish(dummy, image):
        told.append(image.path)
        if len(told) == number:
            raise error

    monkeypatch.setattr(Builder, "_finish", finish)
    with pytest.raises((RolledBack, Killed)) as caught:
        host.run()
    if caught.type is Killed:
        assert all(host.get(path[len(host.root):]) != before[path[len(host.root):]] for path in told)
        assert recover(host.fs, host.files).problems == []
    assert {path: host.get(path) for path in before} == before
