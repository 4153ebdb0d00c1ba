# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever fails, wherever: the host is as before, or as declared, or what is neither is named."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, VfioHostError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN

# A small host, since each fault has one of its own.
SPEC = hosts.x86(
    modules_load=("vfio_pci",),
    functions=tuple(
        replace(one, parent=None) for one in hosts.x86().functions if one.address in (ROOT_DISK, NIC, TWIN, NVME, EDU)
    ),
)
TAKEN = ({"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}})
RUNS = {
    "take": (lambda host: None, lambda host: host.take(*TAKEN)),
    "edit": (lambda host: host.take(*TAKEN), lambda host: host.take(TWIN, TAKEN[1])),
    "release": (lambda host: host.take(*TAKEN), lambda host: host.release()),
}
ERRNOS = (errno.EBUSY, errno.ENODEV, errno.EINVAL, errno.ENOSPC, errno.EROFS)


@pytest.fixture
def prepared(make_host):
    """A function from a run's name to a host on which it is about to happen."""

    def make(name):
        host = make_host(SPEC)
        RUNS[name][0](host)
        host.faults.reset()
        return host

    return make


def state(host):
    """All that a run could change, but for the numbers of VFIO's character devices."""
    return {path: text for path, text in host.snapshot("/sys/class/vfio-dev").items() if "/vfio-dev/vfio" not in path}


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", ERRNOS, ids=[errno.errorcode[one] for one in ERRNOS])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_any_refusal_of_any_write_leaves_the_host_as_before_or_as_declared(prepared, name, number):
    whole, failures = prepared(name), 0
    RUNS[name][1](whole)
    for index in range(len(whole.faults.log)):
        host = prepared(name)
        before = state(host)
        host.faults.fail_at(index, number)
        try:
            RUNS[name][1](host)
        except ApplyError:
            failures += 1
            assert state(host) == before, f"step {index}, {whole.faults.log[index]}"
        else:
            assert (host.drivers(), host.rules()) == (whole.drivers(), whole.rules()), f"step {index}"
    assert failures > 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(RUNS))
def test_what_the_roll_back_could_not_put_back_is_named_beside_the_first_error(prepared, name):
    whole, named = prepared(name), 0
    RUNS[name][1](whole)
    steps = len(whole.faults.log)
    for first in range(steps):
        for second in range(first + 1, first + 4):
            host = prepared(name)
            before = state(host)
            host.faults.fail_at(first, errno.EIO)
            host.faults.fail_at(second, errno.ENOMEM)
            messages = []
            try:
                RUNS[name][1](host)
            except ApplyError as error:
                messages = error.messages
            if messages and state(host) != before:
                named += 1
                assert os.strerror(errno.EIO) in messages[0], (first, second)
                assert os.strerror(errno.ENOMEM) in " ".join(messages[1:]), (first, second)
                assert not any("everything" in one for one in messages), (first, second)
    assert named > 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_device_that_vanishes_before_any_step_takes_nobody_along(prepared, name):
    whole = prepared(name)
    RUNS[name][1](whole)
    for index in range(len(whole.faults.log)):
        host = prepared(name)
        drivers, rules = host.drivers(), host.rules()
        host.faults.at(index, lambda host=host: host.unplug(NIC))
        try:
            RUNS[name][1](host)
        except VfioHostError as error:
            assert any(NIC in message for message in error.messages), f"before step {index}"
            rest = {address: driver for address, driver in drivers.items() if address != NIC}
            assert (host.drivers(), host.rules()) == (rest, rules), f"before step {index}"
        else:
            done = {address: driver for address, driver in whole.drivers().items() if address != NIC}
            assert (host.drivers(), host.rules()) == (done, whole.rules()), f"before step {index}"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full disk", "read-only"])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_where_no_file_can_be_written_no_device_is_touched(prepared, monkeypatch, name, number):
    host = prepared(name)
    before = state(host)

    def fail(*dummy):
        raise OSError(number, "no")

    for writer in ("_replace", "_remove"):
        monkeypatch.setattr(host.files, writer, fail)
    with pytest.raises(ApplyError, match=errno.errorcode[number]):
        RUNS[name][1](host)
    assert state(host) == before
    assert not [step for step in host.faults.log if step[0] == "write"]
