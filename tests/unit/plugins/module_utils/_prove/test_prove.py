# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices opened as a client does, on a fake host whose kernel answers each call: which are, how, and why one is not."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import errno_name
from ansible_collections.vfio.host.plugins.module_utils._prove import abi
from ansible_collections.vfio.host.plugins.module_utils._prove.prove import CHECK_MODE, prove
from ansible_collections.vfio.host.tests.unit.fake import client as kernel
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.client import FakeVfio
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PAIR2, PF, VF

NODE = "/dev/vfio/14"
DIRECT = "0x000000007f000000 0x000000007fffffff direct"


class Proving:
    """A host whose NIC is on VFIO, and the kernel that a client of it meets."""

    def __init__(self, host, vfio, *addresses):
        self.host, self.vfio = host, vfio
        self.addresses = addresses or (NIC,)
        host.kernel.client = vfio.client

    def proof(self, **options):
        return prove(self.host.kernel, self.host.survey(), addresses=self.addresses, timeout=10, **options)

    def row(self, **options):
        (row,) = self.proof(**options).rows
        return row

    def path(self, name):
        return f"{self.host.kernel.dev}/{name}"


@pytest.fixture
def proving(host):
    host.take(NIC)
    return Proving(host, FakeVfio(NIC))


def failure(proving):
    """The one sentence of a device that cannot be opened; nothing is left open."""
    proof = proving.proof()
    (row,), (sentence,) = proof.rows, proof.failures
    assert row["status"] == "failed" and row["reason"] in sentence and sentence.startswith(f"{NIC} (Intel Corporation 82574L")
    assert proving.vfio.files == {}
    return sentence


def test_a_device_is_opened_by_its_group_and_everything_is_closed_the_last_first(proving):
    row = proving.row()
    assert (row["status"], row["way"], row["back_end"], row["reason"]) == ("opened", "group", "type1v2", None)
    assert row["node"].endswith(NODE)
    assert [one["name"] for one in row["regions"]] == ["bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config"]
    assert row["regions"][0] == {"index": 0, "name": "bar0", "size": 131072, "flags": ["read", "write", "mmap"]}
    assert row["interrupts"][2] == {"index": 2, "name": "msix", "count": 5, "flags": ["eventfd", "noresize"]}
    assert proving.vfio.log[:2] == [f"open {proving.path('vfio/vfio')}", f"open {proving.path('vfio/14')}"]
    assert proving.vfio.log[-3:] == ["close device", "close group", "close container"]


@pytest.mark.parametrize("machine, direction", [("x86_64", 0), ("s390x", 0), ("aarch64", 0), ("ppc64le", 1 << 29), ("mips64", 1 << 29)])
def test_the_numbers_of_calls_are_the_architectures_own(machine, direction):
    calls = (
        abi.CHECK_EXTENSION, abi.SET_IOMMU, abi.GROUP_GET_STATUS, abi.GROUP_SET_CONTAINER, abi.GROUP_GET_DEVICE_FD, abi.DEVICE_GET_INFO,
        abi.DEVICE_GET_REGION_INFO, abi.DEVICE_GET_IRQ_INFO, abi.DEVICE_RESET, abi.IOMMU_ENABLE, abi.IOMMU_DISABLE, abi.DEVICE_BIND_IOMMUFD,
        abi.DEVICE_ATTACH_IOMMUFD_PT, abi.IOMMU_IOAS_ALLOC,
    )
    assert tuple(abi.number_of(machine, call) - direction for call in calls) == kernel.REQUESTS


# POWER has two back ends, and of each group it takes one: the other answers EPERM (tce_iommu_attach_group()).
@pytest.mark.parametrize("refused, back_end, enables", [({}, "spapr_tce_v2", False), ({7: errno.EPERM}, "spapr_tce", True)])
def test_power_has_its_own_back_ends_and_the_first_that_takes_the_group_is_used(make_host, refused, back_end, enables):
    host = make_host(hosts.p9())
    address = next(one.address for one in host.survey().devices.values() if one.vfio["bindable"])
    host.take(address)
    vfio = FakeVfio(address, back_ends=(7, 2), direction=1 << 29)
    vfio.refuses_back_end = refused
    row = Proving(host, vfio, address).row()
    assert (row["status"], row["back_end"]) == ("opened", back_end)
    assert (f"ioctl {kernel.ENABLE:#x}" in vfio.log) == enables


def test_a_kernel_with_a_character_device_is_asked_by_iommufd_where_the_task_says_so(proving):
    proving.host.kernel.hold(NIC, 900, "nobody", node="devices/vfio0")
    proving.host.kernel.let_go(900)
    row = proving.row(way="cdev")
    assert (row["status"], row["way"], row["back_end"]) == ("opened", "cdev", "iommufd")
    assert row["node"].endswith("/dev/vfio/devices/vfio0")
    assert proving.vfio.log[:5] == [
        f"open {proving.path('iommu')}", f"open {proving.path('vfio/devices/vfio0')}", "ioctl 0x3b76", "ioctl 0x3b81", "ioctl 0x3b77",
    ]
    assert proving.vfio.log[-2:] == ["close cdev", "close iommufd"]


def test_a_kernel_without_character_devices_says_so(proving):
    (sentence,) = proving.proof(way="cdev").failures
    assert "no character device (CONFIG_VFIO_DEVICE_CDEV, Linux 6.6)" in sentence and proving.vfio.log == []


def test_check_mode_opens_nothing_and_says_so(proving):
    proof = proving.proof(check=True)
    assert (proof.rows[0]["status"], proof.rows[0]["reason"]) == ("not_opened", CHECK_MODE)
    assert (proof.failures, proof.warnings, proving.vfio.log) == ([], [], [])


# Resets.


@pytest.mark.parametrize("methods, told", [
    ("flr bus", "reset by flr"), ("af_flr", "reset by af_flr"), ("pm bus", "reset by pm"),
    ("bus", "not reset: the kernel would do it by bus, which may reach further than the device"),
    ("device_specific flr", "not reset: the kernel would do it by device_specific, which may reach further than the device"),
    ("cxl_bus", "not reset: the kernel would do it by cxl_bus, which may reach further than the device"),
    ("", "not reset: the kernel does not say by which method, so it may reach further"),
])
def test_only_a_reset_that_reaches_nothing_else_is_made(make_host, methods, told):
    host = make_host(hosts.changed(hosts.x86(), NIC, reset=methods))
    host.take(NIC)
    proving = Proving(host, FakeVfio(NIC))
    assert proving.row()["reset"] == told
    assert proving.vfio.resets == (1 if told.startswith("reset by") else 0)


@pytest.mark.parametrize("number, words", [
    (errno.ETIMEDOUT, "does not come back from a reset"), (errno.ENOTTY, "no way to reset it any more"), (errno.EAGAIN, "resetting it"),
])
def test_a_reset_that_fails_is_named(make_host, number, words):
    host = make_host(hosts.changed(hosts.x86(), NIC, reset="flr"))
    host.take(NIC)
    vfio = FakeVfio(NIC)
    vfio.refuses = {kernel.RESET: number}
    sentence = failure(Proving(host, vfio))
    assert f"VFIO_DEVICE_RESET: {errno_name(number)} (" in sentence and words in sentence


def test_a_device_that_vfio_cannot_reset_is_not_reset(proving):
    proving.vfio.can_reset = False
    row = proving.row()
    assert (row["status"], row["can_reset"], row["reset"], proving.vfio.resets) == ("opened", False, "not reset: VFIO knows no way to do it", 0)


# Devices that somebody has.


def test_a_device_in_use_is_named_with_who_has_it_and_is_no_failure(proving):
    proving.host.kernel.hold(NIC, 862, "qemu-system-x86")
    proof = proving.proof()
    assert (proof.rows[0]["status"], proof.rows[0]["reason"]) == ("in_use", "in use by process 862 (qemu-system-x86)")
    assert proof.failures == [] and proof.warnings == [
        f"{NIC} (Intel Corporation 82574L Gigabit Network Connection) was not opened: in use by process 862 (qemu-system-x86)"
    ]
    assert proving.vfio.log == []


def test_a_group_that_somebody_takes_in_between_is_in_use(proving):
    proving.vfio.refuses = {(kernel.OPEN, proving.path("vfio/14")): errno.EBUSY}
    proof = proving.proof()
    assert (proof.rows[0]["status"], proof.rows[0]["errno"]) == ("in_use", "EBUSY") and proof.failures == []
    assert proof.rows[0]["reason"] == "in use by a process that is not to be seen here"


def test_who_came_in_between_is_named(proving):
    survey = proving.host.survey()
    proving.host.kernel.hold(NIC, 863, "dpdk-testpmd")
    proving.vfio.refuses = {(kernel.OPEN, proving.path("vfio/14")): errno.EBUSY}
    (row,) = prove(proving.host.kernel, survey, addresses=[NIC], timeout=10).rows
    assert (row["status"], row["reason"]) == ("in_use", "in use by process 863 (dpdk-testpmd)")


def test_a_member_of_the_group_in_use_keeps_the_device_closed(make_host):
    host = make_host(hosts.x86())
    host.take(PAIR, PAIR2)
    host.kernel.hold(PAIR2, 864, "qemu")
    proving = Proving(host, FakeVfio(PAIR), PAIR)
    assert proving.row()["reason"] == "in use by process 864 (qemu)" and proving.vfio.log == []


# One test a cause.


@pytest.mark.parametrize("number, words", [
    (errno.EACCES, "a security module (SELinux, AppArmor) or a device cgroup forbids it"),
    (errno.EPERM, "a security module (SELinux, AppArmor) or a device cgroup forbids it"),
    (errno.ENOENT, "nobody has made its node"),
    (errno.ENODEV, "driver vfio-pci has let go of it"),
    (errno.ESTALE, "another device's node is there"),
])
def test_a_node_that_cannot_be_opened_is_named_with_its_cause(proving, number, words):
    proving.vfio.refuses = {(kernel.OPEN, proving.path("vfio/14")): number}
    sentence = failure(proving)
    assert f"opening its group's node ({proving.path('vfio/14')}): {errno.errorcode[number]} (" in sentence and words in sentence


def test_a_container_that_is_not_there_is_module_vfio_that_is_not_loaded(proving):
    proving.vfio.refuses = {(kernel.OPEN, proving.path("vfio/vfio")): errno.ENOENT}
    assert "opening the container" in failure(proving) and "module vfio is not loaded" in proving.row()["reason"]


def test_a_group_that_is_not_viable_is_named_with_the_members_that_the_host_has(make_host):
    host = make_host(hosts.x86())
    host.take({"match": {"address": PAIR}, "iommu_group": "ignore"})
    proof = Proving(host, FakeVfio(PAIR, viable=False), PAIR).proof()
    (sentence,) = proof.failures
    assert proof.rows[0]["step"] == "VFIO_GROUP_GET_STATUS" and proof.rows[0]["errno"] is None
    assert f"is not viable, since drivers of the host have members of it: {PAIR2} (e1000, " in sentence
    assert "say iommu_group: extend" in sentence


def test_a_group_that_something_unseen_uses_is_not_viable_either(proving):
    proving.vfio.viable = False
    assert "something of the host's uses a member of it" in failure(proving)


def test_a_back_end_that_is_not_loaded_is_named(proving):
    proving.vfio.back_ends = ()
    assert "no IOMMU back end is there: module vfio_iommu_type1 is not loaded" in failure(proving)


def test_interrupts_that_are_not_remapped_are_the_cause_of_eperm(make_host):
    host = make_host(hosts.x86())
    host.tree.put(host.tree.sys / "kernel/irq/24/chip_name", "IO-APIC\n")
    host.take(NIC)
    vfio = FakeVfio(NIC)
    vfio.refuses_back_end = {3: errno.EPERM}
    sentence = failure(Proving(host, vfio))
    assert "VFIO_SET_IOMMU (type1v2): EPERM (Operation not permitted): the IOMMU does not remap interrupts" in sentence


# EPERM from the IOMMU's driver before 6.6, EINVAL from the core since, where the group is claimed.
@pytest.mark.parametrize("request_, number", [(kernel.SET_IOMMU, errno.EPERM), (kernel.SET_CONTAINER, errno.EINVAL)])
def test_a_region_that_firmware_maps_is_the_cause_of_eperm_and_einval(make_host, request_, number):
    host = make_host(hosts.x86(reserved={"14": [DIRECT]}))
    host.take(NIC)
    vfio = FakeVfio(NIC)
    vfio.refuses = {request_: number}
    sentence = failure(Proving(host, vfio))
    assert "0x000000007f000000-0x000000007fffffff, an RMRR or the like" in sentence and "platform RMRR requirement" in sentence


def test_eperm_that_nothing_explains_names_both_usual_causes(proving):
    proving.vfio.refuses_back_end = {3: errno.EPERM}
    sentence = failure(proving)
    assert "RMRR" in sentence and "allow_unsafe_interrupts" in sentence


@pytest.mark.parametrize("request_, number, words", [
    (kernel.SET_IOMMU, errno.ENOMEM, "the limit of locked memory (memlock)"),
    (kernel.SET_IOMMU, errno.EINVAL, "cache coherency"),
    (kernel.GET_DEVICE_FD, errno.ENODEV, "it does not answer, or driver vfio-pci is letting go of it"),
    (kernel.GET_DEVICE_FD, errno.EIO, "power-cycle the host"),
    (kernel.GET_DEVICE_FD, errno.EAGAIN, "somebody is resetting it"),
    (kernel.DEVICE_INFO, errno.ENOTTY, "older than the interface"),
    (kernel.REGION_INFO, errno.EIO, "off the bus or without power"),
    (kernel.IRQ_INFO, errno.EDOM, "the kernel log (dmesg) may say more"),
])
def test_a_call_that_is_refused_is_named_with_errno_and_cause(proving, request_, number, words):
    proving.vfio.refuses = {request_: number}
    sentence = failure(proving)
    assert f"{errno_name(number)} (" in sentence and words in sentence


def test_a_region_that_is_refused_and_not_optional_is_named(proving):
    proving.vfio.refuses = {kernel.REGION_INFO: errno.EINVAL}
    assert "VFIO_DEVICE_GET_REGION_INFO (bar0): EINVAL" in failure(proving)


@pytest.mark.parametrize("ids", [b"\xff\xff\xff\xff", b"", b"\x86\x80"])
def test_a_configuration_space_of_ones_or_of_nothing_is_a_dead_device(proving, ids):
    proving.vfio.ids = ids
    assert "reading its configuration space: the answer is no: it does not answer" in failure(proving)


def test_a_step_that_does_not_end_is_named_with_the_process_that_is_left_behind(proving):
    proving.vfio.hangs = kernel.GET_DEVICE_FD
    (sentence,) = proving.proof().failures
    assert "VFIO_GROUP_GET_DEVICE_FD did not end in 10 seconds, and goes on in process 4711" in sentence


def with_pf_on_vfio(make_host, vf_driver="vfio-pci"):
    """(a host, its survey) as after PF and VF were both taken, which vfio-pci's enable_sriov lets somebody do."""
    host = make_host(hosts.x86())
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    host.take(VF)
    found = host.survey()
    found.devices[PF] = found.devices[PF].knowing(driver="vfio-pci")
    found.devices[VF] = found.devices[VF].knowing(driver=vf_driver)
    return host, found


@pytest.mark.parametrize("holds, driver, words", [
    (True, "vfio-pci", f"that would reset its VF {VF}, which is in use by process 870 (qemu)"),
    (False, "igbvf", f"that would reset its VF {VF}, which driver igbvf of the host has"),
])
def test_a_pf_is_not_opened_where_that_would_reset_a_vf_that_somebody_has(make_host, holds, driver, words):
    host, found = with_pf_on_vfio(make_host, driver)
    if holds:
        found.devices[VF] = found.devices[VF].knowing(holders=[{"pid": 870, "command": "qemu"}])
    vfio = FakeVfio(PF)
    host.kernel.client = vfio.client
    proof = prove(host.kernel, found, addresses=[PF], timeout=10)
    assert (proof.rows[0]["status"], proof.rows[0]["reason"], vfio.log, proof.failures) == ("not_opened", words, [], [])


def test_a_vf_whose_pf_is_on_vfio_is_not_opened_since_it_needs_a_token(make_host):
    host, found = with_pf_on_vfio(make_host)
    vfio = FakeVfio(VF)
    vfio.refuses = {kernel.GET_DEVICE_FD: errno.EACCES}
    host.kernel.client = vfio.client
    proof = prove(host.kernel, found, addresses=[VF], timeout=10)
    assert (proof.rows[0]["status"], proof.rows[0]["errno"]) == ("not_opened", "EACCES")
    assert f"its PF {PF} is on VFIO itself, so a client needs the VF token" in proof.rows[0]["reason"]
    assert proof.failures == [] and len(proof.warnings) == 1 and vfio.files == {}


def test_a_device_on_a_native_driver_and_one_that_is_not_there_fail(host):
    proof = Proving(host, FakeVfio(NIC), NIC, "0000:7f:00.0").proof()
    assert [row["reason"] for row in proof.rows] == ["driver e1000e has it, which is none of VFIO's", "there is no such device"]
    assert len(proof.failures) == 2


@pytest.mark.parametrize("number, words", [
    (errno.EBUSY, "has opened the device the other way"), (errno.ENOTTY, "older than the interface"), (errno.EPERM, "is not viable"),
])
def test_iommufd_that_does_not_take_a_device_is_named(proving, number, words):
    proving.host.kernel.hold(NIC, 900, "nobody", node="devices/vfio0")
    proving.host.kernel.let_go(900)
    proving.vfio.refuses = {kernel.BIND: number}
    (sentence,) = proving.proof(way="cdev").failures
    assert f"VFIO_DEVICE_BIND_IOMMUFD: {errno.errorcode[number]} (" in sentence and words in sentence
