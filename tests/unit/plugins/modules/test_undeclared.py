# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was declared of a host once and is not any more: policies, numbers of VFs, modules, kernel arguments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import BOOT_FILES, FOR_GUESTS, SMALL, VFS, autoprobe, everything, pfs, vf_drivers
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

ALL = {
    "devices": {"guests": [{"match": {"address": NIC}}], "storage": [{"match": {"serial": "NV01"}}]},
    "modules": [{"name": "vfio-pci", "options": {"disable_vga": True}}, {"name": "e1000", "state": "disabled"}],
    "kernel_cmdline": {"iommu": "pt"},
    "sriov": [],
    "kernel_config": {},
}
NOTHING = {"devices": {}, "modules": [], "kernel_cmdline": {}, "sriov": [], "kernel_config": {}}
OTHER = "0000:11:00.0"


@pytest.fixture
def whole(host_path, run_module):
    """A host on which everything of ALL is made, and that has booted since."""
    host = WholeHost(host_path / "whole", hosts.x86(), "intel_iommu=on")
    run_module(host, "passthrough", **ALL)
    host.reboot()
    assert not run_module(host, "passthrough", **ALL)["changed"]
    return host


def left(result):
    return [(one["kind"], one["name"]) for one in result["undeclared"]]


def same_in_check_mode(run_module, host, **options):
    """The result of a task as check mode predicts it, after which a second one changes nothing."""
    predicted = run_module(host, "passthrough", check=True, **options)
    result = run_module(host, "passthrough", **options)
    for key in set(result) - {"invocation", "awaits_confirmation"}:
        assert predicted[key] == result[key], key
    assert not run_module(host, "passthrough", **options)["changed"]
    return result


def test_a_host_that_is_as_declared_has_nothing_left_over(run_module, whole):
    assert run_module(whole, "passthrough", **ALL)["undeclared"] == []


def test_what_is_taken_out_of_the_inventory_is_reported_and_stays(run_module, whole):
    drivers = whole.drivers()
    result = same_in_check_mode(run_module, whole, **{**ALL, "devices": {"storage": ALL["devices"]["storage"]}, "modules": ALL["modules"][:1]})
    assert (left(result), result["changed"]) == ([("module", "e1000"), ("policy", "guests")], False)
    assert [one for one in result["warnings"] if "nobody declares it" in str(one)]
    result = same_in_check_mode(run_module, whole, **NOTHING)
    assert left(result) == [
        ("module", "e1000"), ("module", "vfio_pci"), ("argument", "iommu"), ("policy", "guests"), ("policy", "storage"),
    ]
    assert (result["changed"], whole.drivers()) == (False, drivers)


def test_an_area_that_the_task_does_not_name_is_not_looked_at(run_module, whole):
    assert left(run_module(whole, "passthrough", devices=ALL["devices"])) == []
    assert left(run_module(whole, "passthrough", kernel_cmdline={"iommu": "pt"})) == []
    assert left(run_module(whole, "passthrough", modules=[])) == [("module", "e1000"), ("module", "vfio_pci")]


@pytest.mark.parametrize("undeclared", ["report", "release"])
def test_what_is_given_back_by_name_leaves_the_rest_alone(run_module, whole, undeclared):
    result = run_module(whole, "passthrough", state="absent", devices={"guests": []}, undeclared=undeclared)
    assert (left(result), whole.driver(NIC), whole.driver(NVME)) == ([], "e1000e", "vfio-pci")


def test_what_nobody_declares_is_given_back_where_the_task_says_so(run_module, whole):
    keep = {**ALL, "devices": {"storage": ALL["devices"]["storage"]}, "modules": ALL["modules"][:1], "kernel_cmdline": {}}
    result = same_in_check_mode(run_module, whole, undeclared="release", **keep)
    assert {one["address"]: one["status"] for one in result["devices"]} == {NVME: "unchanged", NIC: "released"}
    assert (result["undeclared"], result["reboot_required"]) == ([], True)
    conf = whole.files.read(whole.files.modprobe_conf)
    assert "e1000" not in conf and "disable_vga" in conf
    whole.reboot()
    assert "iommu=pt" not in whole.spec.cmdline and "intel_iommu=on" in whole.spec.cmdline
    result = run_module(whole, "passthrough", undeclared="release", **keep)
    assert (result["changed"], result["reboot_required"]) == (False, False)
    assert left(run_module(whole, "passthrough", **keep)) == []


def test_a_whole_host_is_given_back_by_declaring_nothing(run_module, host_path):
    host = WholeHost(host_path / "whole", hosts.x86(), "intel_iommu=on")
    run_module(host, "passthrough", **{**ALL, "sriov": pfs()})
    host.reboot()
    run_module(host, "passthrough", undeclared="release", **NOTHING)
    host.reboot()
    assert host.files.names(host.files.boot_rules) == []
    assert (host.files.read(host.files.modprobe_conf), host.driver(NIC), host.driver(NVME)) == (None, "e1000e", "nvme")
    assert not run_module(host, "passthrough", state="absent")["changed"]


def test_what_somebody_else_manages_is_left_without_a_word(run_module, whole):
    result = same_in_check_mode(run_module, whole, undeclared="ignore", **NOTHING)
    assert (result["undeclared"], result["changed"]) == ([], False)
    assert not [one for one in result.get("warnings", ()) if "declare" in str(one)]


def test_the_argument_that_turned_the_iommu_on_is_meant_as_long_as_a_device_is_declared(run_module, host_path):
    host = WholeHost(host_path / "whole", hosts.x86(), "")
    run_module(host, "passthrough", **dict(NOTHING, devices=ALL["devices"]))
    host.reboot()
    for how in ("report", "release"):
        result = run_module(host, "passthrough", undeclared=how, **dict(NOTHING, devices=ALL["devices"]))
        assert (left(result), result["changed"]) == ([], False)
    assert left(run_module(host, "passthrough", **NOTHING)) == [("argument", "intel_iommu"), ("policy", "guests"), ("policy", "storage")]


def test_the_argument_that_a_symbol_rests_on_is_meant_also_when_it_runs(run_module, host_path):
    host = WholeHost(host_path / "whole", hosts.x86(), "intel_iommu=on")
    wish = dict(NOTHING, kernel_config={"IOMMU_DEFAULT_PASSTHROUGH": "y"})
    result = run_module(host, "passthrough", **wish)
    if "failed" not in result:
        host.reboot()
        assert left(run_module(host, "passthrough", **wish)) == []
        assert len(left(run_module(host, "passthrough", **NOTHING))) == 1
    assert "failed" not in result


def test_options_that_a_declared_module_has_no_longer_are_taken_out_of_the_files(run_module, whole):
    wish = {**ALL, "modules": [{"name": "vfio-pci"}, ALL["modules"][1]]}
    same_in_check_mode(run_module, whole, **wish)
    assert "disable_vga" not in whole.files.read(whole.files.modprobe_conf)


# Numbers of VFs.


@pytest.fixture
def two(make_host):
    """A small host with two cards that can have VFs."""
    card = replace(next(one for one in SMALL.functions if one.address == PF), address=OTHER, group="60", net=(), vfs=tuple(
        replace(hosts.vf(number), address=f"0000:11:{0x10 + number // 4:02x}.{2 * number % 8}", physfn=OTHER, parent=None, net=(), group=f"6{number}")
        for number in range(7)
    ))
    return make_host(replace(SMALL, functions=SMALL.functions + (card,)))


def of(host, pf):
    return int(host.kernel.read(f"{host.kernel.pci_devices}/{pf}/sriov_numvfs"))


def test_a_card_that_nobody_declares_keeps_its_vfs_and_is_reported(run_module, small):
    run_module(small, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]})
    result = same_in_check_mode(run_module, small, sriov=[], devices={"guests": [FOR_GUESTS]})
    assert (left(result), result["changed"], of(small, PF)) == ([("sriov", PF)], False, 7)
    assert f"the number of VFs of {PF} (" in result["undeclared"][0]["reason"]
    assert ", 7 VFs at every boot) is set on the host and nobody declares it: " in result["undeclared"][0]["reason"]


def test_a_card_that_was_declared_to_have_none_can_be_left_out(run_module, small):
    run_module(small, "passthrough", sriov=pfs())
    run_module(small, "passthrough", sriov=pfs(0))
    assert left(run_module(small, "passthrough", sriov=[])) == []


def test_a_card_that_nobody_declares_gets_its_number_back(run_module, small):
    before = everything(small)
    run_module(small, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]})
    result = same_in_check_mode(run_module, small, sriov=[], devices={}, undeclared="release")
    assert (result["sriov"][0]["status"], result["sriov"][0]["numvfs"]) == ("released", 0)
    assert everything(small) == before
    small.reboot()
    assert of(small, PF) == 0


def test_a_card_that_is_declared_keeps_its_vfs_while_another_gets_its_number_back(run_module, two):
    both = pfs() + [{"match": {"address": OTHER}, "numvfs": 3, "autoprobe": True}]
    run_module(two, "passthrough", sriov=both, devices={"guests": [FOR_GUESTS]})
    was = [two.files.read(f"{two.files.boot_rules}/{name}") for name in BOOT_FILES]
    result = same_in_check_mode(run_module, two, sriov=pfs(), devices={"guests": [FOR_GUESTS]}, undeclared="release")
    assert {one["address"]: one["status"] for one in result["sriov"]} == {PF: "unchanged", OTHER: "released"}
    assert (of(two, PF), of(two, OTHER), set(vf_drivers(two))) == (7, 0, {"vfio-pci"})
    now = [two.files.read(f"{two.files.boot_rules}/{name}") for name in BOOT_FILES]
    assert now != was and not [text for text in now if OTHER in text]
    two.reboot()
    assert (of(two, PF), of(two, OTHER)) == (7, 0)


def test_a_record_of_a_card_that_is_gone_goes_as_well(run_module, two):
    run_module(two, "passthrough", sriov=pfs() + [{"match": {"address": OTHER}, "numvfs": 3}])
    two.unplug(OTHER)
    result = run_module(two, "passthrough", sriov=pfs())
    assert "(which is absent)" in result["undeclared"][0]["reason"]
    run_module(two, "passthrough", sriov=pfs(), undeclared="release")
    assert OTHER not in two.files.read(f"{two.files.boot_rules}/{BOOT_FILES[0]}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("boots", [False, True])
def test_a_run_that_is_killed_while_a_number_goes_back_is_gone_on_with(run_module, make_host, boots):
    def prepared():
        host = make_host(SMALL)
        run_module(host, "passthrough", sriov=pfs(), devices={"guests": [FOR_GUESTS]})
        return host

    def run(host):
        return run_module(host, "passthrough", sriov=[], devices={}, undeclared="release")

    for index, host in deaths(prepared, run, 3):
        if boots:
            host.reboot()
        run(host)
        assert (of(host, PF), host.files.names(host.files.boot_rules)) == (0, []), f"killed before step {index}"
        assert autoprobe(host)
        assert not run(host)["changed"]


@pytest.mark.parametrize(("name", "options"), [
    ("sriov_vfs", {"state": "absent"}), ("passthrough", {"state": "absent"}), ("passthrough", {"sriov": [], "undeclared": "release"}),
])
def test_a_card_without_its_driver_is_given_back_without_the_vfs_that_it_had(run_module, small, name, options):
    small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    run_module(small, "sriov_vfs", devices=pfs(3))
    small.kernel._detach(PF)
    predicted = run_module(small, name, check=True, **options)
    result = run_module(small, name, **options)
    assert predicted["sriov"] == result["sriov"]
    assert [one for one in result["warnings"] if "had 2 VFs, and has no driver now that could make them: it is given back with 0" in str(one)]
    assert small.files.names(small.files.boot_rules) == []
    assert not run_module(small, name, **options)["changed"]


def test_a_vf_that_nobody_declares_and_that_its_native_driver_refuses_does_not_keep_its_card_from_being_given_back(run_module, small):
    small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    run_module(small, "passthrough", sriov=pfs(3))
    small.kernel.refusals["igbvf", VFS[0]] = 5
    result = run_module(small, "passthrough", state="absent", timeout=1)
    assert not result.get("failed"), result
    assert (small.driver(VFS[0]), small.driver(VFS[1])) == (None, "igbvf")
    assert [one for one in result["warnings"] if f"{VFS[0]} (" in str(one) and "no native driver took it" in str(one)]
    assert not run_module(small, "passthrough", state="absent")["changed"]


def test_a_vf_of_a_policy_that_its_native_driver_refuses_keeps_no_other_one(run_module, small):
    small.kernel.write(f"{small.kernel.pci_devices}/{PF}/sriov_numvfs", "3")
    run_module(small, "passthrough", devices={"guests": [dict(FOR_GUESTS, count=3)]})
    small.kernel.refusals["igbvf", VFS[0]] = 5
    result = run_module(small, "passthrough", devices={"guests": []}, timeout=1)
    assert result["failed"] and result["msg"].startswith(f"{VFS[0]} (") and "igbvf does not bind: " in result["msg"]
    assert [(small.driver(one), small.override(one)) for one in VFS[:3]] == [(None, None), ("igbvf", None), ("igbvf", None)]
    del small.kernel.refusals["igbvf", VFS[0]]
    run_module(small, "passthrough", devices={"guests": []}, timeout=1)
    assert small.driver(VFS[0]) == "igbvf"


def test_fewer_vfs_than_a_policy_has_that_nobody_declares_are_refused_with_the_way_out(run_module, small):
    run_module(small, "passthrough", sriov=pfs(), devices={"dpdk": [FOR_GUESTS]})
    result = run_module(small, "passthrough", sriov=pfs(3), devices={})
    assert f"{VFS[6]} belongs to policy dpdk and would not be there any more; nobody declares that policy: say dpdk: []" in result["msg"]
    for more in ({"devices": {"dpdk": []}}, {"devices": {}, "undeclared": "release"}):
        assert not run_module(small, "passthrough", check=True, **dict({"sriov": pfs(3)}, **more)).get("failed")
    run_module(small, "passthrough", sriov=pfs(3), devices={"dpdk": []})
    assert (of(small, PF), small.rules("dpdk")) == (3, None)


def test_an_empty_list_of_the_single_module_stays_an_error(run_module, small):
    assert "sriov" not in run_module(small, "sriov_vfs", devices=[]).get("result", {})
    assert run_module(small, "sriov_vfs", devices=[])["failed"]
