# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking devices: the run, the run again, and what check mode says of both."""

from __future__ import annotations

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
    PF,
    TWIN,
    UPLINK,
    VF,
    VIRTIO,
)

THREE = (
    {"match": {"net": "enp2s0"}, "driver": "auto"},
    {"match": {"serial": "NV01"}},
    {"match": {"vendor": "1af4", "device": "1041"}},
)

# Wishes of every kind, each with what to do before.
WISHES = {
    "by address": ((NIC,), {}),
    "three kinds": (THREE, {}),
    "unbound before": ((EDU,), {}),
    "a group": ((PAIR, PAIR2), {}),
    "a group, extended": (({"match": {"address": PAIR}, "iommu_group": "extend"},), {}),
    "pinned": (({"match": {"address": NIC}, "driver": "vfio-pci"},), {}),
    "at boot only": ((NIC, EDU), {"now": False}),
    "now only": ((NIC, EDU), {"at_boot": False}),
    "with force": ((UPLINK, NIC), {"force": ("network",)}),
    "many of a kind": (({"match": {"class": "02", "driver": "e1000*"}, "iommu_group": "extend"},), {}),
    "optional": (({"match": {"serial": "none"}, "optional": True}, NIC), {}),
}


def without_policy_file(result):
    return {key: value for key, value in result.items() if key != "warnings"}


@pytest.fixture(params=sorted(WISHES))
def wish(request):
    return WISHES[request.param]


def test_check_mode_predicts_the_run_exactly_and_touches_nothing(host, wish):
    entries, options = wish
    before = host.snapshot()
    predicted = host.take(*entries, check=True, **options)
    assert host.snapshot() == before
    assert host.faults.log == []
    assert host.take(*entries, **options) == predicted
    assert predicted["changed"]


def test_the_second_run_changes_nothing(host, wish):
    entries, options = wish
    host.take(*entries, **options)
    after = host.snapshot()
    host.faults.reset()
    again = host.take(*entries, **options)
    assert (again["changed"], again["diff"]) == (False, [])
    assert host.faults.log == []
    assert host.snapshot() == after


def test_check_mode_after_the_run_predicts_no_change(host, wish):
    entries, options = wish
    host.take(*entries, **options)
    assert without_policy_file(host.take(*entries, check=True, **options)) == without_policy_file(
        host.take(*entries, **options)
    )
    assert not host.take(*entries, check=True, **options)["changed"]


def test_the_devices_and_only_they_are_on_vfio(host):
    before = host.drivers()
    host.take(*THREE)
    assert host.drivers() == dict(before, **dict.fromkeys((NIC, NVME, VIRTIO), "vfio-pci"))


def test_one_of_two_alike_leaves_the_other_alone(host):
    host.take(NIC)
    assert (host.driver(TWIN), host.override(TWIN)) == ("e1000e", None)


def test_a_result_tells_what_was_done_and_why(host):
    (device,) = host.take(NIC)["devices"]
    choice = device.pop("choice")
    identity = device.pop("identity")
    assert device == {
        "address": NIC,
        "policy": "p",
        "policy_before": None,
        "driver_before": "e1000e",
        "driver": "vfio-pci",
        "override": "vfio-pci",
        "status": "bound",
    }
    assert (choice["module"], choice["source"]) == ("vfio_pci", "auto")
    assert identity["path"] == "0000:00/06.0-00.0"


def test_a_result_of_the_second_run_says_unchanged(host):
    host.take(NIC)
    assert [one["status"] for one in host.take(NIC)["devices"]] == ["unchanged"]


def test_a_variant_is_loaded_and_bound_by_the_name_that_it_registers(make_host):
    spec = hosts.with_modules(hosts.changed(hosts.x86(), EDU, ids="8086:e20b"), hosts.XE_VARIANT)
    host = make_host(spec)
    result = host.take(EDU)
    assert host.driver(EDU) == "xe-vfio-pci"
    assert result["devices"][0]["choice"]["driver"] == "xe-vfio-pci"
    assert not host.take(EDU)["changed"]


def test_check_mode_cannot_know_a_variants_driver_and_loads_nothing(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    before = host.snapshot()
    result = host.take(VIRTIO, check=True)
    (device,) = result["devices"]
    assert (device["driver"], device["choice"]["module"]) == (None, "virtio_vfio_pci")
    assert result["diff"][0]["after"].count("=(that of module virtio_vfio_pci)") == 2
    assert host.snapshot() == before


def test_a_variant_without_one_driver_is_an_error_and_nothing_is_bound(make_host):
    odd = replace(hosts.VARIANT, drivers=("one", "two"))
    host = make_host(hosts.with_modules(hosts.x86(), odd))
    with pytest.raises(ApplyError, match="one, two: name the driver in the inventory"):
        host.take(VIRTIO)
    assert host.driver(VIRTIO) == "virtio-pci"
    assert host.rules() is None


def test_the_base_driver_may_be_pinned_where_a_variant_would_be_chosen(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    host.take({"match": {"address": VIRTIO}, "driver": "vfio-pci"})
    assert host.driver(VIRTIO) == "vfio-pci"


def test_a_native_driver_may_be_pinned_and_needs_no_group(host):
    host.kernel.write(f"{host.kernel.pci_drivers}/e1000/unbind", PAIR)
    host.take({"match": {"address": PAIR}, "driver": "e1000"})
    assert (host.driver(PAIR), host.override(PAIR)) == ("e1000", "e1000")


def test_native_clears_an_override_of_somebody_else(host):
    host.kernel.modprobe("vfio_pci")
    host.kernel.write(f"{host.kernel.pci_devices}/{NVME}/driver_override", "vfio-pci")
    host.kernel.write(f"{host.kernel.pci_drivers}/nvme/unbind", NVME)
    host.kernel.write(f"{host.kernel.pci_drivers}/vfio-pci/bind", NVME)
    host.take({"match": {"address": NVME}, "driver": "native"})
    assert (host.driver(NVME), host.override(NVME)) == ("nvme", None)
    assert host.rules() is None
    assert not host.take({"match": {"address": NVME}, "driver": "native"})["changed"]


def test_native_on_a_native_device_changes_nothing(host):
    assert not host.take({"match": {"address": NIC}, "driver": "native"})["changed"]


def test_a_vf_is_taken_and_its_pf_stays(host):
    host.kernel.modprobe("igbvf")
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    host.take({"match": {"physfn": PF}, "count": 2})
    assert (host.driver(VF), host.driver(PF)) == ("vfio-pci", "igb")


def test_a_driver_that_binds_a_moment_later_is_waited_for(host):
    host.kernel.slow["vfio-pci", NIC] = 0.4
    host.take(NIC)
    assert host.driver(NIC) == "vfio-pci"
    assert host.kernel.now >= 0.4


def test_a_deferred_probe_is_waited_for(host):
    host.kernel.deferrals["vfio-pci", NIC] = 0.4
    host.take(NIC)
    assert host.driver(NIC) == "vfio-pci"


def test_a_module_that_binds_as_it_loads_is_no_error(host):
    host.kernel.write(f"{host.kernel.pci_devices}/{EDU}/driver_override", "vfio-pci")
    host.take(EDU)
    assert host.driver(EDU) == "vfio-pci"


def test_without_a_running_udevd_nobody_is_told(make_host):
    host = make_host(hosts.x86(udevd=False))
    host.take(NIC)
    assert not [one for one in host.faults.log if "udevadm" in str(one)]


def test_with_a_running_udevd_it_reads_the_new_rules_before_the_first_device_is_touched(host):
    host.take(NIC)
    steps = [" ".join(one[:2]) for one in host.faults.log]
    assert steps.index("command udevadm control --reload") < min(
        index for index, one in enumerate(steps) if one.startswith("write")
    )


def test_the_rules_file_is_written_before_the_first_device_is_touched(host):
    host.take(NIC)
    assert host.faults.log[0][0] == "file"


def test_several_policies_are_one_plan(host):
    result = host.run({"a": [{"match": {"address": NIC}}], "b": [{"match": {"address": NVME}}]})
    assert {one["address"]: one["policy"] for one in result["devices"]} == {NIC: "a", NVME: "b"}
    assert host.rules("a") and host.rules("b")


def test_nothing_to_do_at_all_is_an_error(host):
    with pytest.raises(PlanError, match="now and at_boot"):
        host.take(NIC, now=False, at_boot=False)


def test_a_guard_that_does_not_exist_cannot_be_given_up(host):
    with pytest.raises(PlanError, match="force: fun cannot be forced"):
        host.take(NIC, force=("fun",))


def test_a_device_in_use_is_not_unbound_and_nothing_else_is_touched(host):
    host.take(NIC)
    host.kernel.hold(NIC, 4242, "qemu-system-x86")
    host.faults.reset()
    with pytest.raises(PlanError, match=r"process 4242 \(qemu-system-x86\)"):
        host.take(NVME)
    assert host.faults.log == []


def test_a_device_in_use_may_stay_taken(host):
    host.take(NIC)
    host.kernel.hold(NIC, 4242, "qemu-system-x86")
    assert not host.take(NIC)["changed"]
    assert host.take(NIC, NVME)["changed"]


def test_a_policy_that_is_not_declared_is_left_alone_with_a_warning(host):
    host.run({"a": [{"match": {"address": NIC}}]})
    result = host.run({"b": [{"match": {"address": NVME}}]})
    assert host.driver(NIC) == "vfio-pci"
    assert result["warnings"] == ["policy a has devices on this host and is not declared here: it is left as it is"]


def test_the_serial_number_that_vfio_hides_is_still_told(host):
    first = host.take(NVME)
    again = host.take(NVME)
    assert first["devices"][0]["identity"] == again["devices"][0]["identity"]
    assert again["devices"][0]["identity"]["serial"] == "NV01"


def test_a_taken_device_whose_rules_file_somebody_removed_is_named_where_a_match_may_have_meant_it(host):
    host.take(NVME)
    host.files.put(f"{host.files.boot_rules}/60-vfio-host-p.rules", None)
    with pytest.raises(PlanError, match=f"serial=NV01 matches no device.*{NVME} are on VFIO and no rules file"):
        host.take({"match": {"serial": "NV01"}})
    host.take({"match": {"address": NVME}})
    assert host.driver(NVME) == "vfio-pci"
