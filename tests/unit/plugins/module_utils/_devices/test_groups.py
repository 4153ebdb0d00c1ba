# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes to user space together, and what does not answer: groups, endpoints with functions below, dead and sleeping ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, PF, TWIN, VF
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Function, Module, Nvme, alias

VMD, BEHIND, DISK = "0000:00:0e.0", "10000:e0:06.0", "10000:e1:00.0"
GPU, AUDIO = "0000:00:1c.0", "0000:00:1c.1"
EXTEND = {"iommu_group": "extend"}


def vmd(**changes):
    """A host whose NVMe disk is in a domain of its own, below an endpoint, in whose group all of it is."""
    plain = hosts.x86()
    disk = Function(
        DISK, "1b36:0010", "010802", group="30", parent=BEHIND, nvme=Nvme("nvme1", "V1", Disk("nvme1n1", "259:8", "")),
    )
    more = (
        Function(VMD, "8086:467f", "010400", group="30"),
        Function(BEHIND, "8086:09ab", "060400", group="30", parent=VMD, header_type=1),
        disk,
    )
    modules = (Module("vmd", ("vmd",), (alias("8086", "467f"),), initramfs=True),) + plain.modules
    return replace(plain, functions=plain.functions + more, modules=modules, **changes)


def entry(address, **more):
    return dict({"match": {"address": address}}, **more)


@pytest.mark.parametrize("more", [{}, EXTEND, {"iommu_group": "ignore"}])
def test_an_endpoint_with_functions_below_is_taken_alone_and_they_block_nothing(make_host, more):
    host = make_host(vmd())
    for check in (True, False):
        result = host.take(entry(VMD, **more), check=check)
        assert [one["address"] for one in result["devices"]] == [VMD]
    assert host.driver(VMD) == "vfio-pci"


@pytest.mark.parametrize("more", [{}, EXTEND, {"iommu_group": "ignore"}])
def test_a_function_behind_an_endpoint_is_refused_with_the_one_to_take(make_host, more):
    host = make_host(vmd())
    with pytest.raises(PlanError) as caught:
        host.take(entry(DISK, **more))
    assert [one for one in caught.value.messages if DISK in one and f"take that one: address {VMD}" in one]
    assert not [one for one in caught.value.messages if "say iommu_group: extend" in one]


def test_another_member_brings_the_endpoint_along_and_not_what_is_below(make_host):
    host = make_host(hosts.changed(vmd(), EDU, group="30"))
    result = host.take(entry(EDU, **EXTEND))
    assert sorted(one["address"] for one in result["devices"]) == [VMD, EDU]


def test_an_endpoint_that_stays_blocks_and_is_the_only_one_that_is_named(make_host):
    host = make_host(hosts.changed(vmd(), EDU, group="30"))
    with pytest.raises(PlanError) as caught:
        host.take(EDU)
    assert VMD in str(caught.value) and DISK not in str(caught.value)


def test_a_disk_that_is_mounted_behind_an_endpoint_guards_it(make_host):
    host = make_host(vmd(mounts=("25 1 259:8 / / rw - ext4 /dev/nvme1n1 rw",)))
    with pytest.raises(PlanError, match=f"{VMD} .* is needed by this host: / is on nvme1n1 on {DISK}, which is behind it"):
        host.take(VMD)


def test_who_has_a_disk_behind_an_endpoint_open_has_the_endpoint(make_host):
    host = make_host(vmd())
    host.kernel.use(DISK, 900, "osd", "nvme1n1")
    with pytest.raises(PlanError, match=f"{VMD} .* in use by process 900"):
        host.take(VMD)


# Chipsets.


def chipset(*functions, group="14", **changes):
    plain = hosts.x86(**changes)
    return replace(plain, functions=plain.functions + tuple(replace(one, group=group) for one in functions))


HOST_BRIDGE = Function("0000:00:18.0", "1022:1440", "060000")
LPC, SMBUS, SPI = (
    Function("0000:00:1f.0", "8086:2918", "060100"), Function("0000:00:1f.3", "8086:2930", "0c0500"),
    Function("0000:00:1f.5", "8086:a3a4", "0c8000"),
)


def test_extend_leaves_host_bridges_that_nothing_drives(make_host):
    host = make_host(chipset(HOST_BRIDGE))
    result = host.take(entry(NIC, **EXTEND))
    assert [one["address"] for one in result["devices"]] == [NIC]
    assert host.override(HOST_BRIDGE.address) is None


@pytest.mark.parametrize("function, kind", [(LPC, "bridge to LPC or ISA"), (SMBUS, "controller of the SMBus"), (SPI, "controller of the SPI bus")])
def test_extend_warns_of_functions_of_the_chipset_once(make_host, function, kind):
    host = make_host(chipset(function))
    result = host.take(entry(NIC, **EXTEND))
    assert host.driver(function.address) == "vfio-pci"
    (warning,) = [one for one in result["warnings"] if "of the chipset" in one]
    assert f"in the IOMMU group 14 of {NIC}) is a {kind} of the chipset" in warning
    assert not [one for one in host.take(entry(NIC, **EXTEND))["warnings"] if "of the chipset" in one]


@pytest.mark.parametrize("more", [{}, EXTEND])
def test_extend_is_never_advised_where_the_host_needs_a_member(make_host, more):
    host = make_host(hosts.changed(hosts.x86(), hosts.UPLINK, group="14"))
    with pytest.raises(PlanError) as caught:
        host.take(entry(NIC, **more))
    text = str(caught.value)
    assert "say iommu_group: extend" not in text
    if more:
        assert f"{hosts.UPLINK} (device [1af4:1000]) is needed by this host" in text
        assert f"it comes with the IOMMU group of {NIC}, to which " in text
    else:
        assert f"this host needs {hosts.UPLINK}: put the device into another slot" in text


def test_extend_is_advised_where_all_members_can_go(make_host):
    host = make_host(hosts.changed(hosts.x86(), TWIN, group="14"))
    with pytest.raises(PlanError, match="declare them too, or say iommu_group: extend"):
        host.take(NIC)


def test_who_has_a_member_open_that_a_group_brings_along_is_named_with_the_group(make_host):
    host = make_host(hosts.changed(hosts.x86(), NVME, group="14"))
    host.kernel.use(NVME, 900, "osd", "nvme0n1")
    with pytest.raises(PlanError, match=f"{NVME} .*in the IOMMU group 14 of {NIC}. is in use by process 900"):
        host.take(entry(NIC, **EXTEND))


def test_a_host_without_an_iommu_says_so_once(make_host):
    host = make_host(hosts.x86(iommu=False))
    with pytest.raises(PlanError) as caught:
        host.take(NIC, TWIN, EDU)
    (message,) = caught.value.messages
    assert NIC in message and TWIN in message and EDU in message


# What does not answer.


def card(**changes):
    """A display and its audio function, in one group."""
    plain = hosts.x86(**changes)
    more = (
        Function(GPU, "10de:2204", "030000", group="40", dsn="52-54-00-ff-ff-00-0a-01"),
        Function(AUDIO, "10de:1aef", "040300", group="40"),
    )
    modules = (
        Module("nouveau", ("nouveau",), (alias("10de", "2204"),), initramfs=True),
        Module("snd_hda_intel", ("snd_hda_intel",), (alias("10de", "1aef"),), initramfs=True),
    )
    return replace(plain, functions=plain.functions + more, modules=modules + plain.modules)


def test_a_function_that_does_not_answer_is_no_bridge_and_its_facts_say_nothing_of_it(make_host):
    host = make_host(card())
    host.kernel.die(GPU)
    facts = host.facts(GPU)
    assert (facts["header_type"], facts["revision"], facts["serial"]) == (None, None, None)
    assert (facts["vfio"]["bindable"], facts["device"]) == (False, "2204")
    assert facts["vfio"]["reason"].startswith("it does not answer") and "power-cycle" in facts["vfio"]["reason"]
    assert [one for one in host.survey().warnings if one.startswith(f"{GPU} (device [10de:2204]): it does not answer")]


def test_a_bridge_that_does_not_answer_is_still_a_bridge(make_host):
    host = make_host(card())
    host.kernel.die(hosts.ROOT_PORT)
    assert host.survey().devices[hosts.ROOT_PORT].is_bridge
    assert host.take(NIC)["changed"]


def test_a_vf_answers_although_its_vendor_reads_all_ones(host):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    facts = host.facts(VF)
    assert (facts["header_type"], facts["revision"], facts["vfio"]["bindable"]) == (0, "00", True)


@pytest.mark.parametrize("more", [{}, EXTEND])
def test_a_function_that_does_not_answer_is_not_taken(make_host, more):
    host = make_host(card())
    host.kernel.die(GPU)
    before = host.snapshot()
    for check in (True, False):
        with pytest.raises(PlanError, match=f"{GPU} .* cannot be taken: it does not answer"):
            host.take(entry(GPU, **more), check=check)
        with pytest.raises(PlanError, match=f"{GPU} .*in the IOMMU group 40 of {AUDIO}. cannot be taken: it does not answer"):
            host.take(entry(AUDIO, **EXTEND), check=check)
    assert host.snapshot() == before


@pytest.mark.parametrize("match", [
    {"address": GPU}, {"vendor": "10de", "class": "03"}, {"header_type": 0, "address": [GPU, AUDIO]}, {"revision": "00", "address": GPU},
])
def test_when_a_card_died_the_next_run_releases_nothing_of_its_group(make_host, match):
    host = make_host(card())
    force = {"force": ("console",)}
    wish = dict({"match": match, "optional": True}, **EXTEND)
    host.take(wish, **force)
    assert host.driver(GPU) == host.driver(AUDIO) == "vfio-pci"
    host.kernel.die(GPU)
    before = host.snapshot()
    for check in (True, False):
        try:
            result = host.take(wish, check=check, **force)
            assert not result["changed"]
            assert [one for one in result["warnings"] if GPU in one and "does not answer" in one]
        except PlanError as error:
            assert [one for one in error.messages if GPU in one and "does not answer" in one]
    assert host.snapshot() == before


def test_a_policy_is_not_given_back_while_a_device_of_it_does_not_answer(make_host):
    host = make_host(card())
    host.take(entry(GPU, **EXTEND), force=("console",))
    host.kernel.die(GPU)
    with pytest.raises(PlanError, match=f"{GPU} .* is to change, and cannot: it does not answer"):
        host.release()
    assert host.driver(GPU) == host.driver(AUDIO) == "vfio-pci"


# What sleeps.


def test_no_survey_wakes_what_sleeps_and_the_facts_say_what_the_kernel_knows(make_host):
    host = make_host(hosts.changed(card(), GPU, power="D3cold"))
    facts = host.facts(GPU)
    host.take(NIC)
    assert host.kernel.woken == []
    assert (facts["header_type"], facts["revision"], facts["serial"]) == (0, "00", None)
    assert facts["vfio"]["bindable"]


def test_what_hangs_from_a_sleeping_bridge_is_not_asked_either(make_host):
    host = make_host(hosts.changed(hosts.x86(), hosts.ROOT_PORT, power="D3cold"))
    opened = []
    real = host.kernel.opened
    host.kernel.opened = lambda path: opened.append(path) or real(path)
    facts = host.survey().facts()["devices"]
    assert [facts[one]["header_type"] for one in (hosts.ROOT_PORT, NIC)] == [1, 0]
    assert not [one for one in opened if NIC in one or one.endswith(f"{hosts.ROOT_PORT}/config")]
    assert host.kernel.woken == []


@pytest.mark.parametrize("state", ["D0", "D3hot", "unknown"])
def test_what_the_kernel_would_not_wake_is_asked(make_host, state):
    host = make_host(hosts.changed(card(), GPU, power=state))
    assert host.facts(GPU)["serial"] == "52-54-00-ff-ff-00-0a-01"


@pytest.mark.parametrize("status, serial", [("suspended", None), ("active", "52-54-00-ff-ff-00-0a-01")])
def test_a_kernel_that_does_not_say_the_power_state_says_at_least_what_is_suspended(make_host, status, serial):
    host = make_host(card())
    (host.tree.directory(GPU) / "power_state").unlink()
    host.tree.put(host.tree.directory(GPU) / "power/runtime_status", status + "\n")
    host.kernel._get = lambda address, name: "D0"
    assert host.facts(GPU)["serial"] == serial


def test_what_is_to_be_taken_is_woken_and_recorded_with_its_serial_number(make_host):
    host = make_host(hosts.changed(card(), GPU, power="D3cold"))
    host.take(entry(GPU, **EXTEND), force=("console",))
    assert host.kernel.woken == [GPU] and "52-54-00-ff-ff-00-0a-01" in host.rules()
    host.kernel.woken.clear()
    host.kernel._put(GPU, "power_state", "D3cold")
    assert not host.take(entry(GPU, **EXTEND), force=("console",))["changed"]
    assert host.kernel.woken == []


def test_check_mode_wakes_nothing(make_host):
    host = make_host(hosts.changed(card(), GPU, power="D3cold"))
    result = host.take(entry(GPU, **EXTEND), force=("console",), check=True)
    assert result["changed"] and [one["status"] for one in result["devices"]] == ["bound", "bound"]
    assert host.kernel.woken == [] and host.kernel._get(GPU, "power_state") == "D3cold"


def test_what_is_refused_is_not_woken(make_host):
    host = make_host(hosts.changed(card(), GPU, power="D3cold"))
    with pytest.raises(PlanError):
        host.take(entry(GPU, **EXTEND), {"match": {"address": "0000:7f:00.0"}})
    assert host.kernel.woken == []


def test_what_sleeps_and_does_not_answer_when_woken_is_not_taken(make_host):
    host = make_host(hosts.changed(card(), GPU, power="D3cold"))
    host.kernel.die(GPU)
    with pytest.raises(PlanError, match=f"{GPU} .* cannot be taken: it does not answer"):
        host.take(entry(GPU, **EXTEND), force=("console",))


def test_a_serial_number_that_nobody_knows_for_sleep_is_said_to_be_unknown(make_host):
    host = make_host(hosts.changed(card(), GPU, power="D3cold"))
    with pytest.raises(PlanError, match=f"matches no device .*{GPU} sleep"):
        host.take({"match": {"serial": "52-54-00-ff-ff-00-0a-01"}})


def test_what_is_there_and_has_no_modalias_is_said_to_have_none(host):
    (host.tree.directory(NIC) / "modalias").unlink()
    assert [one for one in host.survey().warnings if one.startswith(f"{NIC} has no modalias in sysfs")]


LOST = "no client can open what stays on VFIO of IOMMU group 9, since 0000:05:02.0 of the same group goes to the host"


@pytest.mark.parametrize("request_of_b", [None, [entry(PAIR2, driver="native")], [entry(PAIR2, driver="e1000")]])
def test_a_group_that_another_policys_device_loses_is_named(make_host, request_of_b):
    host = make_host(hosts.x86())
    host.run({"a": [entry(PAIR)], "b": [entry(PAIR2)]})
    for check in (True, False):
        result = host.run({"b": request_of_b}, check=check, present=request_of_b is not None)
        assert [one for one in result["warnings"] if LOST in one and PAIR in one]
    assert (host.driver(PAIR), host.driver(PAIR2)) == ("vfio-pci", "e1000")
    assert not [one for one in host.run({"a": [entry(PAIR, iommu_group="ignore")]}, present=True)["warnings"] if LOST in one]


def test_a_group_that_goes_back_as_a_whole_or_is_with_the_host_already_is_no_loss(make_host):
    host = make_host(hosts.x86())
    host.run({"a": [entry(PAIR)], "b": [entry(PAIR2)]})
    assert LOST not in str(host.run({"a": None, "b": None}, present=False)["warnings"])
    host.run({"a": [entry(PAIR, iommu_group="ignore")]})
    assert LOST not in str(host.run({"b": [entry(PAIR2, driver="native")]})["warnings"])
