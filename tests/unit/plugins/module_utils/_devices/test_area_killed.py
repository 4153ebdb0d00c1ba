# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process dies between any two steps: the next run, and the next boot, still end as declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN

HIDDEN = ({"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}}, EDU)
KIND = {"match": {"vendor": "8086", "device": "10d3"}, "optional": True}

# A small host, since each test boots many.
SPEC = hosts.x86(
    functions=tuple(
        replace(one, parent=None) for one in hosts.x86().functions if one.address in (ROOT_DISK, NIC, TWIN, NVME, EDU)
    )
)

# What was before, and the run that is killed.
RUNS = {
    "take": (None, lambda host: host.take(*HIDDEN)),
    "take for this boot": (None, lambda host: host.take(*HIDDEN, at_boot=False)),
    "take from this boot to every boot": (
        lambda host: host.take(*HIDDEN, at_boot=False),
        lambda host: host.take(*HIDDEN),
    ),
    "edit": (lambda host: host.take(*HIDDEN), lambda host: host.take(TWIN, {"match": {"serial": "NV01"}})),
    "release": (lambda host: host.take(*HIDDEN), lambda host: host.release()),
    "release after a boot": (lambda host: (host.take(*HIDDEN), host.reboot()), lambda host: host.release()),
    "move": (
        lambda host: host.run({"a": [{"match": {"net": "enp2s0"}}, {"match": {"address": EDU}}]}),
        lambda host: host.run({"a": [{"match": {"address": EDU}}], "b": [{"match": {"net": "enp2s0"}}]}),
    ),
    "a kind": (None, lambda host: host.take(KIND)),
    "release a kind": (lambda host: host.take(KIND), lambda host: host.release()),
    "change driver": (
        lambda host: host.take({"match": {"address": NIC}, "driver": "e1000e"}),
        lambda host: host.take(NIC),
    ),
}


@pytest.fixture
def killed(make_host):
    """A function: for each step of a run, a host on which the run died before that step, and the run."""

    def make(name):
        before, run = RUNS[name]

        def prepared():
            host = make_host(SPEC)
            if before:
                before(host)
            return host

        return ((index, host, run) for index, host in deaths(prepared, run, 1))

    return make


def outcome(make_host, name):
    """(drivers, overrides, rules files) after the run without an accident, and after a boot."""
    before, run = RUNS[name]
    host = make_host(SPEC)
    if before:
        before(host)
    run(host)
    now = state(host)
    host.reboot()
    return now, state(host)


def state(host):
    return (
        host.drivers(),
        {address: host.override(address) for address in host.drivers()},
        {
            path: host.files.read(path)
            for folder in (host.files.boot_rules, host.files.volatile_rules)
            for path in (f"{folder}/{name}" for name in host.files.names(folder))
        },
    )


def named(found):
    """State without the temporary root in the paths."""
    return found[0], found[1], {path.split("/etc/")[-1].split("/run/")[-1]: text for path, text in found[2].items()}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_next_run_ends_as_declared(make_host, killed, name):
    wanted, dummy = outcome(make_host, name)
    for index, host, run in killed(name):
        run(host)
        assert named(state(host)) == named(wanted), f"killed before step {index}"
        assert not run(host)["changed"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_boot_and_the_next_run_end_as_declared(make_host, killed, name):
    wanted, dummy = outcome(make_host, name)
    for index, host, run in killed(name):
        host.reboot()
        run(host)
        assert named(state(host)) == named(wanted), f"killed before step {index}"
        assert not run(host)["changed"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["take", "edit", "release"])
def test_a_boot_after_the_accident_is_the_old_policy_or_the_new_one(make_host, killed, name):
    before, dummy = RUNS[name]
    old = make_host(SPEC)
    if before:
        before(old)
    old.reboot()
    new = outcome(make_host, name)[1]
    for index, host, dummy in killed(name):
        host.reboot()
        assert named(state(host)) in (named(state(old)), named(new)), f"killed before step {index}"


def test_no_temporary_file_is_taken_for_a_policy(host):
    host.tree.put(f"{host.files.boot_rules}/.vfio-host-abc123", "# half a fi")
    host.take(NVME)
    assert not host.take(NVME)["changed"]
