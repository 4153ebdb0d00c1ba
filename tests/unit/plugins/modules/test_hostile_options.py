# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a task declares: it is planned, or refused with an error of ours, and nothing that it names gets out of its place."""

from __future__ import annotations

import pytest

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._core.area import run_areas
from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._passthrough.declaration import DEVICES, KERNEL, MEMLOCK, NODES, SRIOV, Declaration
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PF
from ansible_collections.vfio.host.tests.unit.fake.udev import parse_file
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

SETTINGS = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
HARM = st.sampled_from([
    'vfio-pci", RUN+="/bin/sh', "vfio-pci\n", "a b", "../../etc/passwd", "$(id)", "%p", "", "\0", "\ud800", "é", "install", "-", "0", "native",
    "options vfio_pci ids=1", "#", "'", '"', "\\", "x=y", "vfio_pci", "vfio-pci", "e1000e", "*", "[", "y", "n", "max", "absent", "disabled",
])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=8) | HARM
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(HARM, SCALARS, max_size=2)


def mapping(**keys):
    """A mapping with some of these keys, perhaps another one, and values that do or do not fit."""
    known = st.fixed_dictionaries({}, optional={key: fit | VALUES for key, fit in keys.items()})
    return known | st.tuples(known, st.dictionaries(HARM, VALUES, max_size=1)).map(lambda both: {**both[0], **both[1]})


MATCHES = st.just({"address": NIC}) | st.just({"address": EDU}) | mapping(
    address=st.just(PF), vendor=st.just("8086"), net=st.just("enp2s0") | HARM, serial=st.just("NV01") | HARM, physfn=st.just(PF),
)
ENTRIES = mapping(match=MATCHES, driver=HARM, fallback=HARM, count=st.just(1), optional=st.booleans(), iommu_group=st.just("extend"))
POLICIES = st.dictionaries(st.just("p") | HARM, st.lists(ENTRIES, max_size=2) | VALUES, max_size=2)
ACCESS = mapping(owner=st.just("vm"), group=st.just("kvm"), mode=st.sampled_from(["0660", "0600", "0666"]), symlink=st.booleans())
LIMITS = st.sampled_from(["64G", "infinity", 8388608])
OPTIONS = st.fixed_dictionaries({
    "nodes": st.none() | st.dictionaries(st.just("p") | HARM, ACCESS, max_size=2), "iommu_node": st.none() | ACCESS,
    "memlock": st.none() | mapping(
        units=st.dictionaries(st.just("dpdk.service") | HARM, LIMITS | VALUES, max_size=2),
        users=st.dictionaries(st.sampled_from(["vm", "@kvm"]) | HARM, LIMITS | VALUES, max_size=2),
    ),
    "undeclared": st.sampled_from(["report", "release", "ignore"]),
    "devices": st.none() | POLICIES,
    "consumers": st.none() | st.dictionaries(st.just("p") | HARM, st.sampled_from(["dpdk", "qemu"]) | VALUES, max_size=2),
    "sriov": st.none() | st.lists(mapping(match=MATCHES, numvfs=st.just(3) | HARM, autoprobe=st.booleans()), max_size=2),
    "modules": st.none() | st.lists(mapping(
        name=HARM, state=HARM, at_boot=st.booleans(), options=st.dictionaries(HARM, VALUES, max_size=2)), max_size=2),
    "kernel_config": st.none() | st.dictionaries(st.just("VFIO_PCI") | HARM, VALUES, max_size=2),
    "platforms": st.none() | st.dictionaries(st.sampled_from(["x86", "s390"]) | HARM, st.fixed_dictionaries({}, optional={
        "kernel_config": st.dictionaries(st.just("VFIO_PCI") | HARM, VALUES, max_size=2), "modules": VALUES,
    }) | VALUES, max_size=2),
    "kernel_cmdline": st.none() | st.dictionaries(st.just("iommu") | HARM, VALUES, max_size=2),
    "state": st.sampled_from(["present", "present", "absent"]), "now": st.booleans(), "at_boot": st.booleans(),
    "force": st.lists(st.sampled_from(["network", "storage", "console", "driver"]), max_size=1), "timeout": st.integers(-1, 2),
    "initramfs": st.just(False), "confirm": st.just(0),
})
WORDS_OF_MODPROBE = ("options", "blacklist", "install", "#")


def check_plans(plans):
    """The files to come: of rules every line is a rule, and of modprobe.d none has a command that is not ours."""
    for name in (SRIOV, DEVICES, NODES):
        for path, text in plans[name].changed_files().items() if name in plans else ():
            assert path.rsplit("/", 1)[0].endswith("/udev/rules.d")
            lines = [line for line in (text or "").split("\n") if line.strip() and not line.startswith("#")]
            assert name == SRIOV or all(parse_file(text or ""))
            assert not any("/bin/sh" in line or "RUN+=" in line for line in lines)
    for path, text in plans[MEMLOCK].files.items() if MEMLOCK in plans else ():
        lines = (text or "").splitlines()
        assert path.endswith("/90-vfio-host.conf") and len(lines) <= 3
        assert all(line.startswith(("# By the Ansible", "[Service]", "LimitMEMLOCK=", "vm - memlock ", "@kvm - memlock ")) for line in lines)
    for path, text in plans[KERNEL].modules.files.items() if KERNEL in plans else ():
        for line in (text or "").split("\n") if "modprobe.d" in path else ():
            assert not line or line.split(" ")[0] in WORDS_OF_MODPROBE, line
            assert not line.startswith("install ") or line.endswith((" /bin/true", " /bin/false")), line


def test_whatever_is_declared_is_planned_or_refused(host_path):
    host = WholeHost(host_path / "host", hosts.x86(), line="quiet intel_iommu=on")
    host.tree.put(host.tree.root / "lib/systemd/system/dpdk.service", "[Service]\n")
    before = host.snapshot()

    @SETTINGS
    @hypothesis.given(OPTIONS)
    def one(options):
        try:
            check_plans(run_areas(Declaration(options).wishes(host.kernel, host.files), True))
        except VfioHostError as error:
            assert not any("was not foreseen" in message for message in error.messages), error.messages
            assert all("\n" not in message for message in error.messages), error.messages

    one()
    assert host.snapshot() == before
    assert [step for step in host.faults.log if step[0] != "command"] == []
