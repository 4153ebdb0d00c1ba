# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module's run has around it."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.lock import one_at_a_time
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC

PROCESSES = multiprocessing.get_context("fork")
WISH = {"devices": [{"match": {"address": NIC}}], "timeout": 1}


def keep(path, ready):
    with one_at_a_time(path, "other", timeout=0):
        ready.set()
        time.sleep(600)


@pytest.fixture
def other_run(host):
    """Another process that changes the same host; its pid."""
    ready = PROCESSES.Event()
    process = PROCESSES.Process(target=keep, args=(host.files.lock, ready))
    process.start()
    assert ready.wait(60)
    yield process.pid
    process.kill()
    process.join()


def test_a_run_while_another_changes_the_host_is_refused_before_it_reads(run_module, host, other_run):
    before = host.snapshot()
    result = run_module(host, "driver_override", **WISH)
    assert result["failed"]
    assert f"another run changes this host: process {other_run} (other)" in result["msg"]
    assert host.snapshot() == before


def test_a_run_that_only_looks_waits_for_nobody(run_module, host, other_run):
    assert run_module(host, "driver_override", check=True, **WISH)["changed"]
    assert run_module(host, "pci_facts")["ansible_facts"]


def test_no_lock_is_left_of_a_run(run_module, host):
    host.kernel.refusals["vfio-pci", NIC] = 22
    assert run_module(host, "driver_override", **WISH)["failed"]
    assert not os.path.lexists(host.files.lock)
    host.kernel.refusals.clear()
    assert run_module(host, "driver_override", **WISH)["changed"]
    assert not os.path.lexists(host.files.lock)
