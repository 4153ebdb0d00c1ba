# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests share: fake hosts in a directory of the test's own."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost
from ansible_collections.vfio.host.tests.unit.fake.sealed import areas, seal

with suppress(ImportError):
    import hypothesis

    # How long an input takes is the machine's business. With 20 and more property tests, "long" is 20,000 inputs and more.
    hypothesis.settings.register_profile("every", deadline=None)
    hypothesis.settings.register_profile("long", max_examples=1000, deadline=None)
    hypothesis.settings.load_profile("long" if os.environ.get("VFIO_HOST_LONG") else "every")


def pytest_make_parametrize_id(config, val, argname):
    """Bytes in a test's id say nothing, and compressed ones hold the time: each process would see other tests."""
    return argname if isinstance(val, bytes) else None


_MEMORY = "/dev/shm"  # thousands of small files and links, and nothing to wait for after fsync: ten times as fast as on a disk
_ENOUGH = 1 << 29  # bytes: a process of tests has 30 MiB at a time


def _is_of_use(directory):
    """Whether tests may have their files in a directory in memory: it has room, and programs in it may be run."""
    if not os.access(directory, os.W_OK):
        return False
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize >= _ENOUGH and not found.f_flag & os.ST_NOEXEC


def pytest_configure(config):
    """Have all temporary files of the session, those of the programs that it starts too, in memory where that is of use.

    The processes of xdist find the directory in their environment, and the one that made it removes it.
    """
    if not os.environ.get("TMPDIR") and _is_of_use(_MEMORY):
        made = tempfile.mkdtemp(prefix="vfio-host-", dir=_MEMORY)
        os.environ["TMPDIR"], tempfile.tempdir = made, None
        config.add_cleanup(lambda: shutil.rmtree(made, ignore_errors=True))


@pytest.fixture(autouse=True, scope="session")
def sealed_plans():
    """Every plan of every test is made of values: whatever it asks of the host fails."""
    with ExitStack() as stack:
        for area in areas():
            stack.enter_context(seal(area))
        yield


@pytest.fixture
def host_path(request):
    """An empty directory, which is removed at once: a host has thousands of files."""
    path = tempfile.mkdtemp(prefix="host-")
    yield Path(path)
    _remove(path)


def _remove(directory):
    """As shutil.rmtree(), which spends as long on races as on the files; nobody else is in this directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(directory)


@pytest.fixture
def make_host(host_path):
    """A function from a Spec to a booted FakeHost."""
    count = iter(range(1000))
    return lambda spec: FakeHost(host_path / f"host{next(count)}", spec)


@pytest.fixture
def host(make_host):
    """The lab's x86 host."""
    return make_host(hosts.x86())
