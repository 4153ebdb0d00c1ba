# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cannot be met: every reason at once, by name, with nothing touched."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import (
    EDU,
    NIC,
    NVME,
    PAIR,
    PAIR2,
    PAIR_BRIDGE,
    PF,
    ROOT_DISK,
    TWIN,
    UPLINK,
    VF,
    VGA,
    VIRTIO,
)
from ansible_collections.vfio.host.tests.unit.fake.model import Module, alias


def at(address, **options):
    return dict(options, match={"address": address})


@pytest.fixture
def refusal(host):
    """A function: the messages with which a task over the lab's host is refused; it checks that nothing was touched."""

    def run(*entries, of=host, **options):
        before = of.snapshot()
        of.faults.reset()
        with pytest.raises(PlanError) as caught:
            of.take(*entries, **options)
        assert of.snapshot() == before
        assert of.faults.log == []
        return caught.value.messages

    return run


def test_nothing_matched_is_an_error(refusal):
    assert refusal({"match": {"serial": "NV99"}}) == [
        "policy p, devices[0]: serial=NV99 matches no device of this host; vfio.host.survey shows what there is; "
        "only where it may be absent, say optional: true"
    ]


@pytest.mark.parametrize("options", [{"optional": True}, {"count": 0}])
def test_nothing_matched_may_be_right(host, options):
    assert not host.take(dict(options, match={"serial": "NV99"}))["changed"]


def test_a_wrong_count_names_what_matched(refusal):
    (message,) = refusal({"match": {"vendor": "8086", "device": "10d3"}, "count": 1})
    assert message == f"policy p, devices[0]: count is 1, but device=10d3 vendor=8086 matches 2: {NIC}, {TWIN}"


def test_count_zero_refuses_what_is_there(refusal):
    (message,) = refusal(at(NIC, count=0))
    assert "count is 0" in message


def test_an_unknown_driver_is_named(refusal):
    (message,) = refusal(at(NIC, driver="nosuch"))
    assert "policy p, devices[0]: unknown driver 'nosuch'" in message


def test_a_module_that_is_built_in_is_no_driver_of_that_name(make_host, refusal):
    host = make_host(hosts.with_modules(hosts.x86(), replace(hosts.XE_VARIANT, builtin=True)))
    (message,) = refusal(at(NIC, driver="xe_vfio_pci"), of=host)
    assert "unknown driver 'xe_vfio_pci'" in message


def test_a_driver_that_does_not_declare_the_device_is_refused(refusal):
    (message,) = refusal(at(NIC, driver="igb"))
    assert f"driver igb does not declare {NIC} (Intel Corporation 82574L Gigabit Network Connection)" in message
    assert "to bind it all the same, say force: [driver] in this entry of policy p, devices[0]" in message


def test_a_driver_that_does_not_declare_the_device_may_be_forced(host):
    (device,) = host.take(at(NIC, driver="igb"), force=("driver",))["devices"]
    assert (host.driver(NIC), host.override(NIC)) == ("igb", "igb")
    assert "none of module igb's aliases matches" in device["choice"]["reason"]
    assert "undeclared" not in device["choice"]
    assert not host.take(at(NIC, driver="igb"), force=("driver",))["changed"]


def test_a_forced_driver_that_refuses_the_device_is_rolled_back(host):
    host.kernel.refusals["igb", NIC] = errno.EIO
    with pytest.raises(ApplyError, match="igb does not bind: .*EIO"):
        host.take(at(NIC, driver="igb"), NVME, force=("driver",))
    assert (host.driver(NIC), host.override(NIC), host.driver(NVME), host.rules()) == ("e1000e", None, "nvme", None)


def test_forcing_the_driver_gives_up_no_guard(refusal):
    (message,) = refusal(at(UPLINK, driver="igb"), force=("driver",))
    assert "say force: [network]" in message


@pytest.mark.parametrize("guard", ["network", "storage", "console"])
def test_giving_up_a_guard_does_not_force_the_driver(refusal, guard):
    (message,) = refusal(at(NIC, driver="igb"), force=(guard,))
    assert "does not declare" in message


def test_a_variant_of_another_device_is_refused(make_host, refusal):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    (message,) = refusal(at(NIC, driver="virtio_vfio_pci"), of=host)
    assert "does not declare" in message


def test_a_driver_without_any_alias_may_be_pinned(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), Module("pci_stub", ("pci-stub",), file="pci/pci-stub.ko")))
    host.take(at(NIC, driver="pci-stub"))
    assert host.driver(NIC) == "pci-stub"
    assert not host.take(at(NIC, driver="pci-stub"))["changed"]


def test_a_bridge_is_refused(refusal):
    (message,) = refusal(PAIR_BRIDGE, {"match": {"address": PAIR}, "iommu_group": "ignore"})
    assert message.startswith(f"{PAIR_BRIDGE} (device [1b36:000e]) cannot be taken: a bridge")


def test_without_an_iommu_nothing_can_be_taken(make_host, refusal):
    (message,) = refusal(NIC, of=make_host(hosts.x86(iommu=False)))
    assert message.startswith(f"{NIC} ") and "no IOMMU group" in message


def test_two_entries_for_one_device_with_two_drivers_are_refused(refusal):
    (message,) = refusal(at(NIC), at(NIC, driver="e1000e"))
    assert message == (
        f"{NIC} is claimed twice: for vfio-pci by policy p, devices[0], for e1000e by policy p, devices[1]"
    )


def test_two_policies_for_one_device_with_two_drivers_are_refused(host):
    with pytest.raises(PlanError, match="policy a, devices.0., for native by policy b, devices.0."):
        host.run({"a": [at(NIC)], "b": [at(NIC, driver="native")]})


def test_two_entries_for_one_device_with_one_driver_agree(host):
    assert len(host.take(at(NIC), {"match": {"net": "enp2s0"}})["devices"]) == 1


def test_a_group_is_refused_with_the_members_that_stay(refusal):
    (message,) = refusal(PAIR)
    assert message.startswith(f"{PAIR} (Intel Corporation [8086:100e]): user space cannot have its IOMMU group 9")
    assert f"{PAIR2} (e1000, " in message
    assert PAIR_BRIDGE not in message
    assert "iommu_group: extend" in message


def test_a_group_may_be_extended_and_the_bridge_stays(host):
    host.take(at(PAIR, iommu_group="extend"))
    assert (host.driver(PAIR), host.driver(PAIR2), host.driver(PAIR_BRIDGE)) == ("vfio-pci", "vfio-pci", "pcieport")


def test_a_group_may_be_ignored(host):
    host.take(at(PAIR, iommu_group="ignore"))
    assert (host.driver(PAIR), host.driver(PAIR2)) == ("vfio-pci", "e1000")


def test_a_group_is_whole_where_another_entry_takes_the_rest(host):
    host.take(PAIR, PAIR2)
    assert host.driver(PAIR2) == "vfio-pci"


def test_a_group_is_whole_where_another_policy_has_the_rest(host):
    host.run({"a": [at(PAIR2, iommu_group="ignore")]})
    host.run({"b": [at(PAIR)]})
    assert host.driver(PAIR) == "vfio-pci"


def test_a_group_whose_other_member_is_unbound_is_free(host):
    host.kernel.write(f"{host.kernel.pci_drivers}/e1000/unbind", PAIR2)
    host.take(PAIR)
    assert host.driver(PAIR) == "vfio-pci"


def test_a_member_that_the_same_run_gives_back_keeps_the_group(host, refusal):
    host.take(PAIR, PAIR2)
    assert "user space cannot have its IOMMU group 9" in refusal(PAIR)[0]


def test_a_group_that_is_refused_says_why_each_member_stays(make_host, refusal):
    spec = hosts.changed(hosts.changed(hosts.x86(), ROOT_DISK, group="9"), NIC, group="9")
    host = make_host(spec)
    messages = refusal(PAIR, at(NIC, driver="e1000e"), at(PAIR2, driver="native"), of=host)
    assert messages[-1].split("since these members stay with the host: ")[1] == (
        f"{ROOT_DISK} (virtio-pci, device [1af4:1001]; needed by this host: / is on vda1 on {ROOT_DISK}), "
        f"{NIC} (e1000e, Intel Corporation 82574L Gigabit Network Connection; declared for e1000e by policy p, devices[1]), "
        f"{PAIR2} (e1000, Intel Corporation [8086:100e]; declared for native by policy p, devices[2]); "
        f"a group goes to user space whole or not at all, and this host needs {ROOT_DISK}: put the device into another slot, or have "
        "the host do without these first"
    )


def test_extending_over_a_member_that_is_declared_native_elsewhere_is_refused_by_name(host):
    with pytest.raises(PlanError) as caught:
        host.run({"a": [at(PAIR, iommu_group="extend")], "b": [at(PAIR2, driver="native")]})
    (message,) = caught.value.messages
    assert f"{PAIR2} (e1000, Intel Corporation [8086:100e]; declared for native by policy b, devices[0])" in message
    assert message.endswith("; a group goes to user space whole or not at all")


def test_what_a_group_brings_belongs_to_the_policy(host):
    native = host.drivers()
    wish = at(PAIR, iommu_group="extend")
    result = host.take(wish)
    assert [(one["address"], one["policy"]) for one in result["devices"]] == [(PAIR, "p"), (PAIR2, "p")]
    assert result["devices"][1]["choice"]["reason"].endswith(f"in the IOMMU group of {PAIR}")
    assert not host.take(wish)["changed"]
    host.reboot()
    assert not host.take(wish)["changed"]
    assert [one["status"] for one in host.release()["devices"]] == ["released", "released"]
    assert host.drivers() == native


def test_a_member_that_the_policy_gives_back_is_taken_again_by_extending(host):
    host.take(PAIR, PAIR2)
    assert [one["status"] for one in host.take(at(PAIR, iommu_group="extend"))["devices"]] == ["unchanged"] * 2


def test_a_vf_in_a_group_of_its_own_needs_nothing_of_its_pf(host):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    host.take(at(VF, iommu_group="extend"))
    assert (host.driver(VF), host.driver(PF)) == ("vfio-pci", "igb")


def test_a_vf_in_the_group_of_its_pf_is_refused_and_the_pf_is_not_pulled_from_under_it(make_host, refusal):
    spec = hosts.x86()
    pf = next(one for one in spec.functions if one.address == PF)
    host = make_host(hosts.changed(spec, PF, vfs=tuple(replace(one, group=pf.group) for one in pf.vfs)))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "1")
    host.kernel.modprobe("vfio_pci")
    assert f"{PF} (igb, " in refusal(VF, of=host)[0]
    assert "has 1 VFs" in refusal(at(VF, iommu_group="extend"), of=host)[0]


def test_without_groups_noiommu_takes_a_device_and_extends_to_nothing(make_host):
    host = make_host(hosts.x86(iommu=False, noiommu=True))
    result = host.take(at(PAIR, iommu_group="extend"))
    assert [one["address"] for one in result["devices"]] == [PAIR]
    assert not host.take(at(PAIR, iommu_group="extend"))["changed"]


def test_a_device_outside_of_all_groups_is_refused_where_others_have_one(make_host, refusal):
    (message,) = refusal(NIC, of=make_host(hosts.changed(hosts.x86(), NIC, group=None)))
    assert message.endswith("cannot be taken: no IOMMU group: the IOMMU is off, absent, or does not cover it")


def test_extending_over_a_guarded_member_is_refused(make_host, refusal):
    spec = hosts.changed(hosts.x86(), NVME, group="3")
    messages = refusal(at(NVME, iommu_group="extend"), of=make_host(spec))
    assert messages == [
        f"{ROOT_DISK} (device [1af4:1001]) is needed by this host: / is on vda1 on {ROOT_DISK}; it comes with the IOMMU group of {NVME}, "
        "to which policy p, devices[0] extends; to give it up all the same, give it an entry of its own with force: [storage], or say "
        "force: [storage] for the whole task (the role's passthrough_force)"
    ]


@pytest.mark.parametrize(("address", "kind"), [(UPLINK, "network"), (ROOT_DISK, "storage"), (VGA, "console")])
def test_what_the_host_needs_is_refused_unless_forced(host, refusal, address, kind):
    (message,) = refusal(address)
    assert f"say force: [{kind}]" in message
    assert host.take(address, force=(kind,))["changed"]


def test_one_guard_given_up_gives_up_no_other(refusal):
    assert len(refusal(UPLINK, VGA, force=("network",))) == 1


def test_what_the_host_needs_is_refused_for_the_next_boot_too(refusal):
    assert "is needed by this host" in refusal(UPLINK, now=False)[0]


def test_a_device_with_its_native_driver_pinned_loses_nothing_and_is_not_guarded(host):
    host.take(at(UPLINK, driver="virtio-pci"))
    assert host.override(UPLINK) == "virtio-pci"


def test_a_blacklisted_variant_is_told_in_the_evidence(make_host):
    host = make_host(
        hosts.with_modules(hosts.x86(modprobe_d={"x.conf": "blacklist virtio_vfio_pci\n"}), hosts.VARIANT)
    )
    (device,) = host.take(VIRTIO)["devices"]
    assert device["choice"]["blacklisted"] == ["virtio_vfio_pci"]
    assert device["driver"] == "vfio-pci"


def test_ties_are_told_in_the_evidence(make_host):
    other = Module("other_vfio_pci", ("other",), (alias("1af4", "1041", bus="vfio_pci"),))
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT, other))
    (device,) = host.take(VIRTIO)["devices"]
    assert (device["choice"]["module"], device["choice"]["ties"]) == ("virtio_vfio_pci", ["other_vfio_pci"])


def test_every_problem_is_told_at_once(refusal):
    messages = refusal(
        UPLINK, PAIR, at(EDU, driver="nosuch"), PAIR_BRIDGE, {"match": {"serial": "x"}}, at(NIC, count=2)
    )
    assert len(messages) == 6


def test_no_message_is_told_twice(refusal):
    messages = refusal(PAIR, UPLINK, VGA)
    assert len(messages) == len(set(messages)) == 3


def test_a_pf_with_vfs_is_refused_since_they_would_go_with_its_driver(host, refusal):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    host.take(VF)
    host.kernel.hold(VF, 4242, "qemu")
    (message,) = refusal(VF, PF)
    assert message.startswith(f"{PF} ") and "has 2 VFs" in message


def test_a_pf_with_vfs_may_be_declared_for_the_next_boot(host):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    assert host.take(PF, now=False)["reboot_required"]
