# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Setting and taking back, killed or without power before any step: the next run goes on, asked of every back end."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.journal import recover
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import HOSTS
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._cmdline.loaders.setting import DROP, LINE, ON, RECORD, UNORDERED, back, run, snapshot


@pytest.fixture(params=sorted(HOSTS))
def name(request):
    return request.param


def killed(name, prepare, act, is_power_cut=True):
    """For each step of a run, a host on which the run died before that step; a power cut empties /run, too."""
    with tempfile.TemporaryDirectory() as root:
        numbers = count()

        def prepared():
            host = HOSTS[name](f"{root}/{next(numbers)}", LINE)
            prepare(host)
            return host

        for dummy, host in deaths(prepared, act, 1):
            if is_power_cut:
                shutil.rmtree(host.root / "run/vfio-host", ignore_errors=True)
            yield host


def nothing(host):
    """Nothing was set before."""


RUNS = {
    "set": (nothing, lambda host: run(host, ON, drop=DROP)),
    "set another value": (
        lambda host: run(host, {"intel_iommu": "sm_on"}, drop=DROP),
        lambda host: run(host, ON, drop=DROP),
    ),
    "take back": (lambda host: run(host, ON, drop=DROP), back),
}


def after(name, *acts):
    """The files of a host on which all went well."""
    with tempfile.TemporaryDirectory() as root:
        host = HOSTS[name](root, LINE)
        for act in acts:
            act(host)
        return files_of(host, name)


def files_of(host, name):
    """The same on each host; where order is the tool's, without the record, which keeps the order."""
    files = {path: text.replace(str(host.root).encode(), b"") for path, text in snapshot(host).items()}
    if name not in UNORDERED:
        return files
    return {path: sorted(text.split()) for path, text in files.items() if path != RECORD}


@pytest.mark.exhaustive
@pytest.mark.parametrize("what", sorted(RUNS))
def test_after_a_power_cut_the_next_run_ends_as_ever(name, what):
    prepare, act = RUNS[what]
    wanted = after(name, prepare, act)
    for host in killed(name, prepare, act):
        act(host)
        assert files_of(host, name) == wanted
        assert not act(host)["changed"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("what", sorted(RUNS))
def test_after_a_power_cut_all_can_be_taken_back(name, what):
    wanted = after(name)
    for host in killed(name, *RUNS[what]):
        back(host)
        assert files_of(host, name) == wanted
        assert not (host.root / RECORD).exists()


@pytest.mark.exhaustive
@pytest.mark.parametrize("what", sorted(RUNS))
def test_after_a_run_that_was_killed_the_host_is_as_before_when_the_next_one_begins(name, what):
    prepare, act = RUNS[what]
    wanted = after(name, prepare)
    for host in killed(name, prepare, act, is_power_cut=False):
        cut_off = recover(host.kernel, host.files)
        assert cut_off is None or cut_off.problems == []
        assert files_of(host, name) == wanted
        act(host)
        assert files_of(host, name) == after(name, prepare, act)


@pytest.mark.exhaustive
def test_after_a_power_cut_on_the_way_back_all_can_be_set_again(name):
    prepare, act = RUNS["take back"]
    wanted = after(name, prepare)
    for host in killed(name, prepare, act):
        prepare(host)
        assert files_of(host, name) == wanted
        back(host)
        assert files_of(host, name) == after(name)
