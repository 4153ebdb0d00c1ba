# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access to VFIO nodes: who has them after a run, after a bind and after a boot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PF, TWIN
from ansible_collections.vfio.host.tests.unit.fake.sriov import FOR_GUESTS, SMALL, VFS, pfs

GUESTS = {"guests": [{"match": {"address": NIC}}]}
KVM = {"group": "kvm"}
NODE, KEPT, GIVEN = "/dev/vfio/14", "0:0 0600", "0:993 0660"
WISH = {"devices": GUESTS, "nodes": {"guests": KVM}, "initramfs": False}
RULES = "/etc/udev/rules.d/70-vfio-host-nodes.rules"


def text(host):
    return host.files.read(host.root + RULES)


def warned(result):
    """All warnings in one text, whatever Ansible makes of them."""
    return str(result["warnings"])


def row(result, address=NIC):
    return next(one for one in result["nodes"] if one["address"] == address)


def test_the_group_s_node_is_given_by_the_run_that_takes_the_device(run_module, host):
    before = host.snapshot("/run/vfio-host")
    predicted = run_module(host, "passthrough", check=True, **WISH)
    assert host.snapshot("/run/vfio-host") == before
    assert run_module(host, "passthrough", **WISH) == predicted
    assert host.node(NODE) == GIVEN
    assert row(predicted) == {
        "policy": "guests", "address": NIC, "iommu_group": "14", "node": NODE, "cdev": None, "before": None, "owner": "root", "group": "kvm",
        "mode": "0660", "links": [], "status": "changed",
    }
    again = run_module(host, "passthrough", **WISH)
    assert (again["changed"], again["diff"], row(again)["status"]) == (False, [], "unchanged")


def test_udev_gives_it_at_every_boot_and_at_every_bind(run_module, host):
    run_module(host, "passthrough", **WISH)
    host.reboot()
    assert host.node(NODE) == GIVEN
    bus = host.kernel
    bus.write(f"{bus.pci_devices}/{NIC}/driver/unbind", NIC)
    assert host.node(NODE) is None
    bus.write(f"{bus.pci}/drivers_probe", NIC)
    assert host.node(NODE) == GIVEN
    assert not run_module(host, "passthrough", **WISH)["changed"]


def test_no_number_of_a_group_and_no_program_is_in_the_rules(run_module, host):
    run_module(host, "passthrough", **WISH)
    rules = [line for line in text(host).splitlines() if not line.startswith("#")]
    assert not any("RUN" in line or "PROGRAM" in line or "IMPORT" in line or "/14" in line for line in rules)


def test_after_a_boot_with_other_numbers_of_groups_the_right_node_is_given(run_module, host):
    run_module(host, "passthrough", **WISH)
    spec = hosts.changed(hosts.changed(host.spec, NIC, group="15"), TWIN, group="14")
    host.spec = host.tree.spec = host.kernel.spec = spec
    host.reboot()
    host.kernel.load(hosts.BASE)
    assert host.node("/dev/vfio/15") == GIVEN
    host.kernel.write(f"{host.kernel.pci_devices}/{TWIN}/driver_override", "vfio-pci")
    host.kernel.write(f"{host.kernel.pci_devices}/{TWIN}/driver/unbind", TWIN)
    host.kernel.write(f"{host.kernel.pci}/drivers_probe", TWIN)
    assert host.node("/dev/vfio/14") == KEPT


def test_what_has_the_device_s_address_after_bus_numbers_moved_is_not_given(run_module, host):
    wish = dict(WISH, devices={"guests": [{"match": {"mac": "52:54:00:00:03:02"}}]})
    run_module(host, "passthrough", **wish)
    # The bus number of the slot that the other card of the same kind is in.
    functions = [one for one in host.spec.functions if one.address not in (NIC, TWIN)]
    moved = [
        replace(one, address=address) for one, address in (
            (next(one for one in host.spec.functions if one.address == NIC), TWIN),
            (next(one for one in host.spec.functions if one.address == TWIN), NIC),
        )
    ]
    host.spec = host.tree.spec = host.kernel.spec = replace(host.spec, functions=tuple(functions + moved))
    host.reboot()
    assert host.driver(TWIN) == "vfio-pci"
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver_override", "vfio-pci")
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver/unbind", NIC)
    host.kernel.write(f"{host.kernel.pci}/drivers_probe", NIC)
    assert host.node(host.group_node(NIC)) == KEPT
    assert host.node(host.group_node(TWIN)) == KEPT
    run_module(host, "passthrough", **wish)
    assert (host.node(host.group_node(TWIN)), host.node(host.group_node(NIC))) == (GIVEN, KEPT)


def test_another_kind_of_device_in_the_slot_is_not_given(run_module, host):
    run_module(host, "passthrough", **WISH)
    host.spec = host.tree.spec = host.kernel.spec = hosts.changed(host.spec, NIC, ids="8086:10d3:8086:0001")
    host.reboot()
    host.kernel.load(hosts.BASE)
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver_override", "vfio-pci")
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver/unbind", NIC)
    host.kernel.write(f"{host.kernel.pci}/drivers_probe", NIC)
    assert host.node(NODE) == KEPT


def test_a_node_that_exists_is_changed_at_once(run_module, host):
    run_module(host, "passthrough", devices=GUESTS, initramfs=False)
    assert host.node(NODE) == KEPT
    result = run_module(host, "passthrough", nodes={"guests": {"owner": "vm", "mode": "0600"}})
    assert result["changed"]
    assert host.node(NODE) == "900:0 0600"
    assert result["diff"][0] == {
        "before_header": "VFIO nodes", "after_header": "VFIO nodes", "before": "/dev/vfio/14 root:root 0600\n",
        "after": "/dev/vfio/14 vm:root 0600\n",
    }


def test_a_node_that_somebody_has_changed_by_hand_is_put_right(run_module, host):
    run_module(host, "passthrough", **WISH)
    host.kernel.nodes.give(NODE[1:], host.kernel.nodes.access(NODE[1:])._replace(mode=0o666))
    assert run_module(host, "passthrough", check=True, **WISH)["changed"]
    run_module(host, "passthrough", **WISH)
    assert host.node(NODE) == GIVEN


def test_links_have_the_path_and_not_the_address(run_module, make_host):
    host = make_host(hosts.x86(cdev=True))
    wish = dict(WISH, nodes={"guests": dict(KVM, symlink=True)})
    run_module(host, "passthrough", **wish)
    link = "/dev/vfio/by-policy/guests/0000:00-06.0-00.0"
    assert host.kernel.target(f"{host.root}{link}/group") == "../../../14"
    assert host.kernel.target(f"{host.root}{link}/cdev") == "../../../devices/vfio0"
    again = run_module(host, "passthrough", **wish)
    assert (again["changed"], row(again)["links"]) == (False, [f"{link}/group", f"{link}/cdev"])
    run_module(host, "passthrough", **WISH)
    assert not host.kernel.exists(f"{host.root}/dev/vfio/by-policy")


def test_a_link_that_is_missing_is_made_again(run_module, host):
    wish = dict(WISH, nodes={"guests": dict(KVM, symlink=True)})
    run_module(host, "passthrough", **wish)
    path = f"{host.root}/dev/vfio/by-policy/guests/0000:00-06.0-00.0/group"
    host.kernel.nodes._links.clear()
    host.tree.root.joinpath(path).unlink()
    assert run_module(host, "passthrough", **wish)["changed"]
    assert host.kernel.exists(path)


def test_the_node_of_the_device_is_given_where_the_kernel_has_it(run_module, make_host):
    host = make_host(hosts.x86(cdev=True))
    run_module(host, "passthrough", **WISH)
    assert host.node("/dev/vfio/devices/vfio0") == GIVEN
    assert row(run_module(host, "passthrough", **WISH))["cdev"] == "/dev/vfio/devices/vfio0"
    host.reboot()
    assert host.node("/dev/vfio/devices/vfio0") == GIVEN


def test_vfs_that_are_made_by_the_same_run_have_theirs(run_module, make_host):
    host = make_host(SMALL)
    wish = {"sriov": pfs(), "devices": {"guests": [FOR_GUESTS]}, "nodes": {"guests": KVM}, "initramfs": False}
    predicted = run_module(host, "passthrough", check=True, **wish)
    assert run_module(host, "passthrough", **wish) == predicted
    assert {host.node(host.group_node(one)) for one in VFS} == {GIVEN}
    again = run_module(host, "passthrough", **wish)
    assert (again["changed"], again["diff"]) == (False, [])
    host.reboot()
    assert {host.node(host.group_node(one)) for one in VFS} == {GIVEN}


def test_on_s390_the_uid_decides(run_module, make_host):
    host = make_host(hosts.s390())
    wish = {"devices": {"guests": [{"match": {"uid": "0x1234"}}]}, "nodes": {"guests": KVM}, "initramfs": False}
    run_module(host, "passthrough", **wish)
    assert host.node("/dev/vfio/2") == GIVEN
    assert 'ATTR{[pci/1234:00:00.0]uid_is_unique}=="1", ATTR{[pci/1234:00:00.0]uid}=="0x1234"' in text(host)
    host.reboot()
    assert host.node("/dev/vfio/2") == GIVEN
    assert not run_module(host, "passthrough", **wish)["changed"]


def test_now_false_leaves_the_node_to_the_next_boot(run_module, host):
    run_module(host, "passthrough", devices=GUESTS, initramfs=False)
    result = run_module(host, "passthrough", now=False, **WISH)
    assert (host.node(NODE), row(result)["status"]) == (KEPT, "pending")
    assert result["reboot_reasons"] == [f"{NIC} keeps its nodes as they are until the next boot"]
    host.reboot()
    assert host.node(NODE) == GIVEN


def test_at_boot_false_lasts_until_the_boot(run_module, host):
    run_module(host, "passthrough", at_boot=False, **WISH)
    assert host.node(NODE) == GIVEN
    assert text(host) is None
    host.reboot()
    assert host.files.read(f"{host.files.volatile_rules}/70-vfio-host-nodes.rules") is None


def test_the_iommu_s_node_has_its_own_switch(run_module, make_host):
    host = make_host(hosts.x86())
    host.tree.device(host.tree.sys / "devices/virtual/misc/iommu", "misc", "10:124", "iommu")
    assert host.node("/dev/iommu") == "0:0 0660"
    result = run_module(host, "passthrough", iommu_node=KVM, **WISH)
    assert host.node("/dev/iommu") == GIVEN
    assert [one["policy"] for one in result["nodes"]] == ["guests", None]
    run_module(host, "passthrough", undeclared="release", **WISH)
    assert host.node("/dev/iommu") == "0:0 0660"


def test_a_host_without_iommufd_says_so(run_module, host):
    result = run_module(host, "passthrough", iommu_node=KVM)
    assert "there is no /dev/iommu on this host now" in warned(result)


# Errors.


@pytest.mark.parametrize("wish, words", [
    ({"mode": "0666"}, ["nodes.guests: mode 0666 lets every user of the host open the devices"]),
    ({"mode": "0662"}, ["lets every user"]),
    ({"mode": 432}, ['mode must be a text of four octal digits, such as "0660" in quotes, and is 432']),
    ({"mode": "660"}, ["must be a text of four octal digits"]),
    ({"owner": 1000}, ["owner must be the name of a user, and is 1000"]),
    ({"group": 'kvm", RUN+="x'}, ["group must be the name of a group"]),
    ({"symlink": "maybe"}, ["symlink must be true or false"]),
    ({"groupe": "kvm"}, ["nodes.guests: unknown option 'groupe'; there are: owner, group, mode, symlink; did you mean group?"]),
    ("kvm", ["nodes.guests must be a mapping of owner, group, mode, symlink, and is 'kvm'"]),
    ({"group": "g" * 32}, [f"group: there is no group {'g' * 32} on this host"]),
    ({"group": "g" * 33}, [f"group must be the name of a group, and is '{'g' * 33}'"]),
    ({"owner": "nobodyhere", "group": "noone"}, [
        "owner: there is no user nobodyhere on this host", "group: there is no group noone on this host",
    ]),
])
def test_what_is_wrong_is_said_before_anything_is_touched(run_module, host, wish, words):
    before = host.snapshot("/run/vfio-host")
    result = run_module(host, "passthrough", devices=GUESTS, nodes={"guests": wish, "Bad Name": {}}, initramfs=False)
    assert result["failed"]
    for one in words:
        assert one in result["msg"]
    assert host.snapshot("/run/vfio-host") == before


def test_all_problems_are_said_at_once(run_module, host):
    result = run_module(host, "passthrough", devices=GUESTS, initramfs=False, nodes={
        "guests": {"mode": "0666", "owner": 5}, "others": {"symlink": 7, "group": "noone"},
    })
    assert len(result["msg"].splitlines()) == 5


def test_a_policy_that_nobody_has_is_an_error(run_module, host):
    result = run_module(host, "passthrough", devices=GUESTS, nodes={"guest": KVM}, initramfs=False)
    assert result["msg"] == "nodes.guest: there is no policy guest, neither declared nor on this host; there are: guests"


def test_a_group_that_is_not_of_the_system_is_warned_of(run_module, host):
    result = run_module(host, "passthrough", **dict(WISH, nodes={"guests": {"group": "alice"}}))
    assert "nodes.guests: group: alice is no group of the system (1000 is more than 999): udev 258 and 259 pass over" in warned(result)
    assert host.node(NODE) == "0:1000 0660"


def test_where_udev_passes_over_the_rule_the_run_fails_and_goes_back(run_module, make_host):
    host = make_host(hosts.x86(strict_udev=True))
    but = ("/run/vfio-host", "/sys")
    before = host.snapshot(*but)
    result = run_module(host, "passthrough", **dict(WISH, nodes={"guests": {"owner": "alice"}}))
    assert "/dev/vfio/14 belongs to root:root 0600 when udev has handled its rules, and not to alice:root 0600" in result["msg"]
    assert "udevadm test /sys/class/vfio/14" in result["msg"]
    assert host.driver(NIC) == "e1000e"
    assert host.snapshot(*but) == before


def test_a_rule_of_others_that_comes_later_is_found_by_reading_back(run_module, host):
    host.files.put(f"{host.files.boot_rules}/99-theirs.rules", 'SUBSYSTEM=="vfio", KERNEL=="[0-9]*", MODE="0600"\n')
    result = run_module(host, "passthrough", **WISH)
    assert "a rule of another file decides otherwise" in result["msg"]


def test_a_name_that_only_the_network_knows_is_warned_of(run_module, make_host):
    host = make_host(hosts.x86(name_service={("group", "staff"): 500}))
    result = run_module(host, "passthrough", **dict(WISH, nodes={"guests": {"group": "staff"}}))
    assert "staff is in none of the host's own files" in warned(result)
    assert host.node(NODE) == "0:500 0660"


@pytest.mark.parametrize("change", [
    {"name_service": {("group", "staff"): 500, ("passwd", "worker"): 70000}}, {"group": "root:x:0:\nkvm:x:500:\nstaff:x:500:\n"},
])
def test_a_node_that_is_as_declared_is_known_by_numbers(run_module, make_host, change):
    change = dict({"name_service": {}}, **change)
    local, owner = change.pop("group", None), "worker" if change["name_service"] else "root"
    host = make_host(hosts.x86(**change))
    if local:
        host.tree.put(host.tree.root / "etc/group", local)
    wish = dict(WISH, nodes={"guests": {"group": "staff", "owner": owner}})
    run_module(host, "passthrough", **wish)
    assert host.node(NODE) == f"{70000 if owner == 'worker' else 0}:500 0660"
    for dummy in range(2):
        again = run_module(host, "passthrough", **wish)
        assert (again["changed"], again["diff"], row(again)["status"]) == (False, [], "unchanged")
        host.reboot()
    # Nor is it changed by who declares something else.
    assert not run_module(host, "passthrough", devices=GUESTS, initramfs=False)["changed"]


def test_a_device_without_a_group_s_node_is_warned_of_and_others_go_on(run_module, make_host):
    host = make_host(hosts.x86(noiommu=True, iommu=False))
    result = run_module(host, "passthrough", devices={"guests": [{"match": {"address": NIC}}]}, nodes={"guests": KVM}, initramfs=False)
    assert "has no node of its IOMMU group" in warned(result)


@pytest.mark.parametrize("address", [EDU, NVME, PF])
def test_nodes_alone_are_enough_for_devices_of_an_earlier_run(run_module, host, address):
    run_module(host, "driver_override", policy="p", devices=[{"match": {"address": address}}])
    run_module(host, "passthrough", nodes={"p": KVM})
    assert host.node(host.group_node(address)) == GIVEN
