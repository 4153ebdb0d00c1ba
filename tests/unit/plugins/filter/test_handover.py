# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the filter handover takes, and what it refuses before a consumer would fail."""

from __future__ import annotations

import contextlib
import copy
import random

import pytest
from ansible.errors import AnsibleFilterError
from jinja2 import StrictUndefined, UndefinedError

from ansible_collections.vfio.host.plugins.plugin_utils._handover.consumers import CONSUMERS
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME
from ansible_collections.vfio.host.tests.unit.fake.sriov import FOR_GUESTS, SMALL, pfs
from ansible_collections.vfio.host.tests.unit.plugins.filter.handed import (
    AUDIO,
    DISK,
    GPU,
    NEEDED,
    PF,
    VARIANT,
    VF,
    VF2,
    VMD_DISK,
    by_address,
    facts,
    handover,
    refused,
    row,
)
from ansible_collections.vfio.host.tests.unit.plugins.modules.conftest import run_module as run_module_fixture

run_module = run_module_fixture

ONLY_BASE = ["kubevirt", "sriov_device_plugin", "proxmox", "incus", "dpdk", "vpp", "spdk"]
ANY_DRIVER = ["libvirt", "qemu", "nova", "cloud_hypervisor"]


# --- what comes in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        by_address(DISK),
        by_address(DISK)["devices"],
        [DISK],
        by_address(DISK)["devices"].values(),
        (one for one in [DISK]),
        DISK,
        {"changed": True, "devices": [row(DISK)]},
        [row(DISK)],
        row(DISK),
        {"changed": False, "ansible_facts": {"vfio_host": by_address(DISK)}},
        {"vfio_host": by_address(DISK)},
        {"changed": True, "results": [{"item": "a", "devices": [row(DISK)]}, {"item": "b", "devices": []}]},
    ],
    ids=["facts", "devices", "list", "view", "generator", "device", "result", "rows", "row", "registered facts", "all facts", "loop"],
)
def test_results_and_facts_are_taken_in_every_shape_they_have(shape):
    assert handover(shape, to="dpdk") == "-a 0000:05:00.0"


def test_a_real_result_and_real_facts_are_taken_as_they_are(run_module, host):
    result = run_module(host, "passthrough", devices={"guests": [{"match": {"address": NIC}}], "disks": [{"match": {"address": NVME}}]})
    found = run_module(host, "pci_facts")["ansible_facts"]["vfio_host"]
    assert handover(result, to="dpdk", policy="guests") == f"-a {NIC}"
    assert f"path={NVME}" in handover(result, to="proxmox", policy="disks", name="disk", node="n1", facts=found)
    assert handover(found, to="dpdk", only_vfio=True).split() == ["-a", min(NIC, NVME), "-a", max(NIC, NVME)]


def test_a_real_result_tells_what_it_has_set_of_vfs(run_module, make_host):
    small = make_host(SMALL)
    facts_of_before = run_module(small, "pci_facts")["ansible_facts"]["vfio_host"]
    vfs = [{"vf": 1, "mac": "52:54:00:aa:00:01", "vlan": 42}]
    for dummy in range(2):
        result = run_module(small, "passthrough", devices={"guests": [FOR_GUESTS]}, sriov=pfs(vfs=vfs))
        known = [one["address"] for one in result["devices"]]
        told = refused(result, "libvirt", facts=facts_of_before, macs=dict.fromkeys(known, "52:54:00:bb:00:00"))
        assert f"{known[1]} has mac 52:54:00:aa:00:01 and vlan 42 by its PF" in told
        assert "by its PF" not in told.replace(f"{known[1]} has mac 52:54:00:aa:00:01 and vlan 42 by its PF", "")


def test_a_row_counts_for_the_driver_and_facts_of_before_the_run_for_the_rest():
    before = by_address({**GPU, "driver": "nouveau"}, {**AUDIO, "driver": "snd_hda_intel"})
    text = handover([row(GPU), row(AUDIO)], to="proxmox", facts=before, **NEEDED["proxmox"])
    assert "iommugroup=14" in text


def test_devices_are_handed_over_by_address_as_numbers_each_once():
    devices = [VMD_DISK, DISK, VF2, VF, VF2]
    shuffled = random.Random(3).sample(devices, len(devices))
    assert handover(shuffled, to="dpdk").split()[1::2] == ["0000:02:10.0", "0000:02:10.2", "0000:05:00.0", "10000:01:00.0"]


def test_one_policy_of_a_result_can_be_handed_over():
    rows = [row(DISK, policy="disks"), row(VF)]
    assert handover(rows, to="dpdk", policy="disks") == "-a 0000:05:00.0"
    assert "facts do not tell of policies" in refused([DISK], "dpdk", policy="disks")


def test_the_input_is_left_as_it_was():
    data, found = [row(GPU), row(AUDIO)], by_address(GPU, AUDIO)
    before = copy.deepcopy((data, found))
    handover(data, to="proxmox", facts=found, **NEEDED["proxmox"])
    assert (data, found) == before


@pytest.mark.parametrize("data", [None, 3, "0000:01:00.0", [["x"]], [{"address": "x"}], {"msg": "failed"}, [None]])
def test_other_input_is_one_clear_error(data):
    assert "the result of passthrough or driver_override" in refused(data, "qemu")


def test_what_a_task_that_failed_or_was_skipped_has_registered_is_told_as_such():
    failed = {"failed": True, "msg": "0000:05:00.0 is in use"}
    for data in (failed, {"results": [{"devices": [row(DISK)]}, failed]}):
        assert "of a task that failed, so there is nothing to hand over: 0000:05:00.0 is in use" in refused(data, "dpdk")
    assert "of a task that was skipped" in refused({"skipped": True, "skip_reason": "Conditional result was False"}, "dpdk")


def test_a_policy_that_has_no_device_is_told_with_those_that_have():
    data = [row(DISK, policy="disks"), row(GPU, policy="gpus")]
    assert "option 'policy': no device is of policy disk; there are: disks, gpus" in refused(data, "dpdk", policy="disk")


@pytest.mark.parametrize("data", [[], {"devices": []}, {"devices": {}}])
def test_nothing_to_hand_over_is_an_error(data):
    assert "no device to hand over" in refused(data, "libvirt")


def test_a_variable_that_is_not_defined_is_named():
    with pytest.raises(UndefinedError, match="passthrough_result"):
        handover(StrictUndefined(name="passthrough_result"), to="qemu")
    with pytest.raises(UndefinedError, match="vfio_host"):
        handover([DISK], to="qemu", facts=StrictUndefined(name="vfio_host"))


@pytest.mark.parametrize("name", ["vendor", "device", "subsystem_device", "class", "iommu_group", "driver"])
@pytest.mark.parametrize("hostile", ["10de\n", "1,2", "'/>", "$(id)", "a b", '"', "../x", 7])
def test_a_value_without_the_form_of_the_facts_gets_nowhere(name, hostile):
    for to in CONSUMERS:
        assert "0000:05:00.0" in refused([{**DISK, name: hostile}], to)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_variant_whose_name_check_mode_does_not_know_is_told_as_such():
    told = refused([row(VARIANT, driver=None, override=None)], "qemu")
    assert "0000:3b:00.2: the name of its driver is known when the module mlx5_vfio_pci is loaded, which check mode does not do" in told
    assert "has no driver: declare it" in refused([row(VARIANT, driver=None, choice={"module": None, "alias": None})], "qemu")


def test_a_device_that_is_declared_for_its_native_driver_is_told_as_such():
    native = row(PF, policy="host", status="unchanged", choice={"module": "igb", "driver": "igb", "source": "native", "alias": None})
    told = refused([row(VF), native], "qemu")
    assert f"{PF['address']} is declared for its native driver, so it is the host's: leave it out by policy=NAME" in told
    assert "converge" not in told
    assert handover([row(VF), native], to="qemu", policy="guests") == handover([row(VF), native], to="qemu", only_vfio=True)


@pytest.mark.parametrize("to", list(CONSUMERS))
@pytest.mark.parametrize("driver", ["nvme", "nvidia", "uio_pci_generic", "my_vfio_pci", None])
def test_a_device_that_no_vfio_driver_is_known_to_have_is_an_error_that_names_it(to, driver):
    message = refused([GPU, {**AUDIO, "driver": driver}, {**VF, "driver": driver}], to)
    assert "0000:01:00.1" in message
    assert "0000:02:10.0" in message
    assert "0000:01:00.0 " not in message.replace("0000:01:00.0 and", "")
    assert "converge" in message


@pytest.mark.parametrize("to", ONLY_BASE)
@pytest.mark.parametrize("data", [[VARIANT], [row(VARIANT)]], ids=["facts", "row"])
def test_a_variant_is_refused_for_a_consumer_that_knows_vfio_pci_alone(to, data):
    message = refused(data, to)
    assert "0000:3b:00.2 is on mlx5_vfio_pci" in message
    assert "(or driver: vfio-pci) for it" in message
    assert f"passthrough_consumers: {{POLICY: {to}}}" in message


@pytest.mark.parametrize("to", ANY_DRIVER)
@pytest.mark.parametrize("data", [[VARIANT], [row(VARIANT)]], ids=["facts", "row"])
def test_a_variant_is_handed_to_a_consumer_that_knows_variants(to, data):
    assert "3b" in str(handover(data, to=to))


def test_every_consumer_is_known_to_take_variants_or_not():
    assert sorted(ONLY_BASE + ANY_DRIVER) == sorted(CONSUMERS) == sorted(NEEDED)


def test_a_variant_that_was_named_is_known_by_the_alias_in_its_choice_and_not_by_its_name():
    named = row(VARIANT)
    named["choice"] = {**named["choice"], "source": "pinned", "alias": "pci:v000015B3d0000101Esv*sd*bc*sc*i*"}
    assert "not known to be a VFIO driver" in refused([named], "qemu")
    assert handover([named], to="qemu", facts=by_address(VARIANT))


@pytest.mark.parametrize(("status", "words"), [("released", "released"), ("pending", "next boot")])
def test_a_device_that_the_run_did_not_take_is_refused(status, words):
    assert words in refused([row(DISK, status=status)], "qemu")
    assert handover([row(DISK, status=status), row(VF)], to="dpdk", only_vfio=True) == "-a 0000:02:10.0"


@pytest.mark.parametrize("to", [name for name, one in CONSUMERS.items() if not one.groupless])
def test_a_device_without_an_iommu_group_is_refused(to):
    assert "0000:05:00.0 has no IOMMU group" in refused([{**DISK, "iommu_group": None}], to)
    assert "0000:05:00.0 has no IOMMU group" in refused([row(DISK)], to, facts=by_address({**DISK, "iommu_group": None}))


@pytest.mark.parametrize("to", [name for name, one in CONSUMERS.items() if one.groupless])
def test_what_can_do_without_an_iommu_takes_a_device_without_a_group(to):
    assert "0000:05:00.0" in str(handover([{**DISK, "iommu_group": None}], to=to))


@pytest.mark.parametrize("to", ["kubevirt", "nova", "incus", "vpp"])
def test_a_wide_domain_is_refused_where_the_consumer_has_no_room_for_it(to):
    assert "10000:01:00.0" in refused([VMD_DISK], to)


@pytest.mark.parametrize("to", list(CONSUMERS))
@pytest.mark.parametrize("driver", ["snd_hda_intel", "a_new_driver"])
def test_a_member_of_the_group_that_stays_with_the_host_is_refused_by_name(to, driver):
    found = by_address(GPU, {**AUDIO, "driver": driver})
    for message in (refused([GPU], to, facts=found), refused([row(GPU)], to, facts=found)):
        assert f"0000:01:00.1, on {driver}" in message


@pytest.mark.parametrize("fields", [{"driver": None}, {"driver": "pci-stub"}, {"driver": "pcieport", "header_type": 1}])
def test_a_member_of_the_group_that_does_no_dma_is_no_obstacle(fields):
    assert handover([GPU], to="dpdk", facts=by_address(GPU, {**AUDIO, **fields})) == "-a 0000:01:00.0"


@pytest.mark.parametrize("to", ["kubevirt", "sriov_device_plugin", "nova", "proxmox"])
def test_two_devices_of_one_group_are_refused_where_two_guests_may_get_them(to):
    other = {**VF2, "iommu_group": VF["iommu_group"]}
    assert "share the IOMMU group 20" in refused([VF, other], to)


@pytest.mark.parametrize("to", [name for name, one in CONSUMERS.items() if not one.token])
def test_a_vf_that_needs_a_token_is_refused_where_none_can_be_given(to):
    assert "VF token" in refused([VF], to, facts=by_address(VF, {**PF, "driver": "vfio-pci"}))


@pytest.mark.parametrize("to", ["qemu", "dpdk"])
def test_a_vf_token_is_passed_on_and_missed(to):
    found = by_address(VF, {**PF, "driver": "vfio-pci"})
    assert "vf_token=UUID" in refused([VF], to, facts=found)
    token = "14d63f20-8445-11ea-8900-1f9ce7d5650d"
    assert f"vf-token={token}" in handover([VF], to=to, facts=found, vf_token=token.upper())


def test_facts_of_another_device_are_refused():
    other = facts(DISK["address"], "8086:0a54", "010802")
    assert "facts are of another device" in refused([row(DISK)], "qemu", facts=by_address(other))


def test_rows_are_no_facts():
    assert "option 'facts': these are rows" in refused([row(DISK)], "qemu", facts={"devices": [row(DISK)]})


@pytest.mark.parametrize("value", [None, 5, True, "", "x\ny", [], [None], [{}], [{"mac": 5}], {}, {"a": []}])
@pytest.mark.parametrize("options", [{}, {"only_vfio": True}, {"facts": by_address(AUDIO)}])
def test_a_field_of_whatever_kind_is_no_error_that_nobody_foresaw(value, options):
    for device in (GPU, row(GPU)):
        for key in device:
            with contextlib.suppress(AnsibleFilterError):
                handover([{**device, key: value}, AUDIO], "libvirt", **options)


def test_zeros_are_no_address_of_a_vf():
    vf = {**VF, "net": [{"name": "x", "mac": "00:00:00:00:00:00"}]}
    assert "<hostdev" in handover([vf], "libvirt") and "mac" not in handover([vf], "libvirt")


def test_all_problems_are_reported_at_once():
    message = refused([VARIANT, {**GPU, "driver": "nouveau"}, {**DISK, "iommu_group": None}], "incus")
    assert all(one in message for one in ("0000:3b:00.2", "0000:01:00.0", "0000:05:00.0"))


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        (None, {}, "one of libvirt, qemu"),
        ("vmware", {}, "'vmware'"),
        ("qemu", {"nam": "x"}, "unknown option 'nam'"),
        ("qemu", {"name": "x"}, "'name' means nothing to QEMU"),
        ("kubevirt", {"name": None}, "needs the option 'name'"),
        ("kubevirt", {"name": "gpu"}, "a domain and a name"),
        ("kubevirt", {"name": "kubernetes.io/gpu"}, "a domain and a name"),
        ("sriov_device_plugin", {"name": "vf-pool"}, "letters, digits and '_'"),
        ("proxmox", {"node": "no de"}, "'node' must be"),
        ("proxmox", {"name": "g"}, "'name' must be"),
        ("incus", {"name": "a\nb"}, "'name' must be"),
        ("libvirt", {"guest_bus": 0}, "'guest_bus' must be"),
        ("libvirt", {"guest_bus": True}, "'guest_bus' must be"),
        ("libvirt", {"guest_bus": 255}, "2 cards"),
        ("libvirt", {"libvirt_version": 9.0}, "version in quotes"),
        ("libvirt", {"iommufd": "maybe"}, "true or false"),
        ("libvirt", {"iommufd": True, "libvirt_version": "12.0.0"}, "12.1.0"),
        ("libvirt", {"macs": {"0000:02:10.0": "52:54"}}, "MAC addresses"),
        ("libvirt", {"macs": {"0000:02:10.0": "01:54:00:00:00:01"}}, "multicast"),
        ("libvirt", {"macs": {"0000:09:00.0": "52:54:00:00:00:01"}}, "none of the devices"),
        ("libvirt", {"macs": {"0000:05:00.0": "52:54:00:00:00:01"}}, "no virtual function"),
        ("qemu", {"vf_token": "x"}, "a UUID"),
        ("nova", {"tags": {"managed": "yes"}}, "the filter writes that"),
        ("nova", {"tags": {"trusted": True}}, "texts to texts"),
        ("qemu", {"policy": "A"}, "'policy' must be"),
    ],
)
def test_a_bad_option_is_named_with_what_it_may_be(to, options, words):
    assert words in refused([VF, DISK], to, **options)


def test_all_bad_options_are_reported_at_once():
    message = refused([VF], "libvirt", guest_bus=0, macs=3, libvirt_version="x")
    assert all(f"'{one}'" in message for one in ("guest_bus", "macs", "libvirt_version"))


def test_an_option_that_is_null_counts_as_not_given():
    assert handover([VF], to="dpdk", facts=None, policy=None, name=None) == "-a 0000:02:10.0"
