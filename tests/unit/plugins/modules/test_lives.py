# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lives of a host: runs, calls that fail, processes that die, timers that run out, boots, and cards that are pulled.

Some that told faults, for every change; random ones in the long mode.
"""

from __future__ import annotations

import errno
import os
from tempfile import TemporaryDirectory

import pytest

# What is below needs it.
# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PF, TWIN
from ansible_collections.vfio.host.tests.unit.plugins.modules.living import DIES, Life

IS_LONG = bool(os.environ.get("VFIO_HOST_LONG"))
SETTINGS = hypothesis.settings(
    max_examples=2000, deadline=None, phases=list(hypothesis.Phase) if IS_LONG else [hypothesis.Phase.explicit],
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
FREE = (NIC, TWIN, NVME, EDU)
ATTRIBUTES = ([], [{"mac_base": "52:54:00:aa:00:00"}], [{"vf": 0, "vlan": 42}], [{"trust": True}])
MODULES = ([], [], [{"name": "e1000", "state": "disabled"}], [{"name": "vfio-pci", "options": {"disable_vga": True}}])


@st.composite
def wishes(draw):
    """The options of a task that declares devices of two policies, VFs, modules, nodes and limits."""
    policies = {"a": [], "b": []}
    for address in FREE:
        owner = draw(st.sampled_from(["a", "b", None]))
        if owner:
            policies[owner].append({"match": {"address": address}})
    wish = {"devices": policies, "undeclared": draw(st.sampled_from(["report", "release"])), "modules": draw(st.sampled_from(MODULES))}
    number = draw(st.sampled_from([None, 0, 2, 4]))
    if number is not None:
        wish["sriov"] = [{"match": {"address": PF}, "numvfs": number, "vfs": draw(st.sampled_from(ATTRIBUTES))}] if number else []
        policies["a"] += [{"match": {"address": hosts.vf(index).address}} for index in range(draw(st.integers(0, number)))]
    wish["nodes"] = {"a": {"group": "kvm"}} if policies["a"] and draw(st.booleans()) else {}
    wish["memlock"] = draw(st.sampled_from([{}, {"users": {"root": "16G"}}]))
    wish["at_boot"] = draw(st.sampled_from([True, True, True, False]))
    return wish


FAULTS = st.dictionaries(
    st.integers(0, 50), st.sampled_from((DIES, errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EINVAL, errno.EBUSY, errno.ENODEV)), max_size=3,
)
SECONDS = st.sampled_from([0, 0, 30])
EVENTS = st.one_of(
    st.tuples(st.just("run"), wishes(), SECONDS, FAULTS),
    st.tuples(st.just("run"), wishes(), SECONDS, FAULTS),
    st.tuples(st.just("run"), st.just({"state": "absent"}), SECONDS, FAULTS),
    st.tuples(st.just("confirm"), FAULTS),
    st.tuples(st.just("wait"), FAULTS),
    st.tuples(st.just("boot")),
    st.tuples(st.just("move"), st.sampled_from(FREE)),
)


def declared(*mine, theirs=(), numvfs=0, vfs=0, **more):
    """The options of a task with devices of the policies a and b, VFs, and how many of these are a's."""
    taken = [*mine, *(hosts.vf(index).address for index in range(vfs))]
    policies = {"a": [{"match": {"address": one}} for one in taken], "b": [{"match": {"address": one}} for one in theirs]}
    return {"devices": policies, "sriov": [{"match": {"address": PF}, "numvfs": numvfs}] if numvfs else [], "undeclared": "release", **more}


ABSENT = {"state": "absent"}
# An error after all was taken, and two more while it is put back.
RESTORED_LATER = [
    ("run", declared(NVME, NIC, EDU, numvfs=2, vfs=2, modules=MODULES[2]), 0, {25: errno.ENOSPC, 34: errno.EINVAL, 42: errno.EIO}),
    ("run", declared(EDU, NVME, TWIN, numvfs=4, vfs=2, memlock={"users": {"root": "16G"}}), 0, {}),
]
# udev does not settle, and a file cannot be written back.
FILE_LATER = [("run", declared(*FREE, numvfs=2), 0, {6: errno.EIO, 8: errno.EIO}), ("run", ABSENT, 0, {})]
CUT_OFF = [
    ("run", declared(theirs=(EDU, TWIN), numvfs=2, vfs=1, modules=MODULES[3], at_boot=False), 30, {13: DIES}),
    ("wait", {39: errno.ENOMEM}), ("move", EDU), ("run", ABSENT, 30, {7: errno.ENOMEM}), ("run", ABSENT, 30, {}),
]
BOOTED = [
    ("run", declared(*FREE, nodes={"a": {"group": "kvm"}}), 0, {0: DIES}), ("run", declared(theirs=(NIC, EDU)), 30, {}), ("boot",),
    ("confirm", {}), ("run", declared(theirs=(NIC, EDU)), 30, {}), ("move", TWIN), ("wait", {3: DIES}), ("run", declared(NIC), 0, {9: DIES}),
]


def test_whatever_happens_to_a_host_everything_can_be_given_back(run_module, host_path):
    ends = []

    @SETTINGS
    @hypothesis.given(st.lists(EVENTS, min_size=1, max_size=8))
    @hypothesis.example(RESTORED_LATER)
    @hypothesis.example(FILE_LATER)
    @hypothesis.example(CUT_OFF)
    @hypothesis.example(BOOTED)
    def one(events):
        with TemporaryDirectory(dir=host_path) as directory, pytest.MonkeyPatch.context() as patch:
            life = Life(directory, run_module, patch)
            for event in events:
                life.happens(*event)
            life.end()
        ends.append(len(events))

    one()
    assert len(ends) >= 4
