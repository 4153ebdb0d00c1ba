# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VFs by PF and index: before they are there, at boot, and after their PF's bus number moved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import rules as device_rules
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._sriov import rules
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Net

MAC, PATH = "52:54:00:00:02:00", "0000:00/05.0-00.0"
TWIN_PF, MOVED = "0000:03:00.0", "0000:02:00.0"
PORTS = ("0000:00:05.0", "0000:00:06.0", "0000:00:08.0")
LOWER = Function("0000:01:00.0", "8086:100e:1af4:1100", "020000", group="70", parent=PORTS[0], net=(Net("new", "52:54:00:00:09:09"),))


def vf_address(bus, number):
    return f"0000:{bus:02x}:{0x10 + number // 4:02x}.{2 * number % 8}"


def card(bus, port, mac, name):
    """A PF with 7 VFs, below a port."""
    address = f"0000:{bus:02x}:00.0"
    spec = hosts.x86()
    pf = next(one for one in spec.functions if one.address == PF)
    vfs = tuple(
        replace(
            one, address=vf_address(bus, number), parent=port, physfn=address, group=f"{bus}9{number}",
            net=(Net(f"{name}v{number}", f"52:54:00:0{bus}:02:0{number}"),),
        )
        for number, one in enumerate(pf.vfs)
    )
    return replace(pf, address=address, parent=port, vfs=vfs, group=f"{bus}0", net=(Net(name, mac),), dsn=f"52-54-00-ff-ff-00-0{PORTS.index(port)}-00")


def host_with(*functions):
    modules = tuple(replace(one, initramfs=True) if one.name in ("igb", "igbvf") else one for one in hosts.x86().modules)
    ports = tuple(hosts.root_port(address, str(number)) for number, address in enumerate(PORTS))
    root = tuple(one for one in hosts.x86().functions if one.address == hosts.ROOT_DISK)
    return hosts.x86(functions=ports + root + functions, modules=modules)


ONE = card(1, PORTS[1], MAC, "enp1s0")
TWIN = card(3, PORTS[2], "52:54:00:00:02:99", "enp3s0")
BEFORE = host_with(ONE, TWIN)
# A card in a lower slot; what was at bus 1 is at 2 now, and its twin at 1 is another card altogether.
AFTER = host_with(card(1, PORTS[0], "52:54:00:00:02:77", "enpnew"), card(2, PORTS[1], MAC, "enp1s0"), card(4, PORTS[2], "52:54:00:00:02:99", "enp3s0"))


def drivers(host, bus, count=7):
    return [host.driver(vf_address(bus, number)) for number in range(count) if vf_address(bus, number) in host.kernel.functions]


def wish(physfn, vf, numvfs=7, pf=None, **more):
    return {
        "sriov": [dict({"match": pf or {"mac": MAC}, "numvfs": numvfs}, **more)],
        "devices": {"guests": [{"match": {"physfn": physfn, "vf": vf}}]}, "initramfs": False,
    }


@pytest.mark.parametrize("physfn", [
    PF, "01:00.0", "enp1s0", "enp1*", MAC, MAC.upper(), "52-54-00-ff-ff-00-01-00", "0000:00/06.0-00.0", "06.0-00.0",
    {"net": "enp1s0"}, {"mac": MAC}, {"path": "0000:00/06.0-00.0"}, {"serial": "52-54-00-ff-ff-00-01-00"}, {"vendor": "8086", "net": "enp1s0"},
])
def test_whatever_selects_the_pf_selects_its_vfs_before_they_are_there_and_after_a_boot(run_module, make_host, physfn):
    host, want = make_host(BEFORE), wish(physfn, "0-5")
    predicted = run_module(host, "passthrough", check=True, **want)
    assert run_module(host, "passthrough", **want) == predicted
    assert drivers(host, 1) == ["vfio-pci"] * 6 + [None] and drivers(host, 3) == []
    assert not run_module(host, "passthrough", **want)["changed"]
    host.reboot()
    assert drivers(host, 1) == ["vfio-pci"] * 6 + [None] and drivers(host, 3) == []
    assert not run_module(host, "passthrough", **want)["changed"]


@pytest.mark.parametrize("vf, taken", [
    (3, [3]), ("3", [3]), ([0, 6], [0, 6]), (["0-1", 5], [0, 1, 5]), ("2-2", [2]), ("?", list(range(7))), ("[0-2]", [0, 1, 2]), ("0-9", list(range(7))),
])
def test_an_index_is_a_number_a_range_a_glob_or_a_list_of_them(run_module, make_host, vf, taken):
    host = make_host(BEFORE)
    run_module(host, "passthrough", **wish("enp1s0", vf))
    assert [number for number, driver in enumerate(drivers(host, 1)) if driver == "vfio-pci"] == taken


@pytest.mark.parametrize("match, message", [
    ({"vf": "5-0"}, "is no range"), ({"vf": "x"}, "is no number of a VF"), ({"vf": "-1"}, "is no number of a VF"),
    ({"vf": "0-99999"}, "is no range"), ({"vf": []}, "empty list"), ({"vf": {}}, "neither text"), ({"vf": True}, "is no number of a VF"),
    ({"physfn": "02:00"}, "is no PCI address"), ({"physfn": {}}, "must be a mapping of at least one"),
    ({"physfn": {"nett": "x"}}, "'nett' is no field"), ({"physfn": {"vf": 1}}, "a PF is no VF"), ({"physfn": {"physfn": "x"}}, "a PF is no VF"),
])
def test_what_is_no_index_and_no_pf_is_an_error_before_anything_is_read(make_host, match, message):
    with pytest.raises(PlanError, match=message):
        make_host(BEFORE).take({"match": match})


@pytest.mark.parametrize("physfn, message", [
    ("enp9s0", "matches no device .*; no PF of this host is enp9s0"), ({"net": NIC}, "no PF of this host is net=0000:02:00.0"),
])
def test_a_pf_that_is_not_there_is_named(run_module, make_host, physfn, message):
    with pytest.raises(PlanError, match=message):
        make_host(BEFORE).take({"match": {"physfn": physfn, "vf": 0}})


def test_a_name_of_two_pfs_is_an_error_that_names_both(make_host):
    host = make_host(host_with(replace(ONE, dsn="52-54-00-ff-ff-00-01-00"), replace(TWIN, dsn="52-54-00-ff-ff-00-01-00")))
    with pytest.raises(PlanError, match=f"physfn 52-54-00-ff-ff-00-01-00 is a name of 2 PFs: {PF}, {TWIN_PF}"):
        host.take({"match": {"physfn": "52-54-00-ff-ff-00-01-00", "vf": 0}, "optional": True})


def test_facts_have_the_index_of_a_vf_as_its_pfs_links_have_it(make_host):
    host = make_host(BEFORE)
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "3")
    facts = host.survey().facts()["devices"]
    assert [facts[vf_address(1, number)]["vf"] for number in range(3)] == [0, 1, 2]
    assert facts[vf_address(1, 2)]["path"] == "0000:00/06.0-00.0/vf2"
    assert facts[PF]["vf"] is None and facts[TWIN_PF]["vf"] is None


def test_the_earlier_path_of_a_vf_still_selects_it(make_host):
    host = make_host(host_with(ONE))
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "3")
    host.take({"match": {"path": "06.0-10.2"}})
    assert [host.driver(vf_address(1, number)) for number in range(3)] == ["igbvf", "vfio-pci", "igbvf"]


# After a boot in which bus numbers moved.


@pytest.mark.parametrize("autoprobe", [False, True])
def test_the_vfs_of_the_declared_card_are_taken_and_those_of_its_twin_are_not(run_module, make_host, autoprobe):
    host, want = make_host(BEFORE), wish("enp1s0", "0-3", autoprobe=autoprobe)
    run_module(host, "passthrough", **want)
    host.kernel.spec = AFTER
    host.reboot()
    rest = "igbvf" if autoprobe else None
    assert drivers(host, 2) == ["vfio-pci"] * 4 + [rest] * 3
    assert drivers(host, 1) == [] and drivers(host, 4) == []
    result = run_module(host, "passthrough", **want)
    assert {one["status"] for one in result["devices"]} == {"unchanged"}
    assert not run_module(host, "passthrough", **want)["changed"]
    host.reboot()
    assert drivers(host, 2) == ["vfio-pci"] * 4 + [rest] * 3


@pytest.mark.parametrize("autoprobe", [False, True])
def test_native_vfs_have_their_driver_after_it_too(run_module, make_host, autoprobe):
    host, want = make_host(BEFORE), wish("enp1s0", "0-3", autoprobe=autoprobe)
    want["devices"]["host"] = [{"match": {"physfn": "enp1s0", "vf": "4-5"}, "driver": "native"}]
    run_module(host, "passthrough", **want)
    host.kernel.spec = AFTER
    host.reboot()
    assert drivers(host, 2) == ["vfio-pci"] * 4 + ["igbvf"] * 2 + ["igbvf" if autoprobe else None]
    assert host.kernel.read(f"{host.kernel.pci_devices}/{MOVED}/sriov_drivers_autoprobe") == str(int(autoprobe))
    run_module(host, "passthrough", **want)
    assert not run_module(host, "passthrough", **want)["changed"]


def test_a_twin_that_has_vfs_at_the_recorded_addresses_keeps_them(run_module, make_host):
    host = make_host(BEFORE)
    run_module(host, "passthrough", **wish("enp1s0", "0-3"))
    host.kernel.spec = AFTER
    host.reboot()
    host.kernel.write(f"{host.kernel.pci_devices}/0000:01:00.0/sriov_numvfs", "7")
    assert drivers(host, 1) == ["igbvf"] * 7
    assert [host.override(vf_address(1, number)) for number in range(7)] == [None] * 7


def test_a_release_after_it_gives_everything_back(run_module, make_host):
    host = make_host(BEFORE)
    run_module(host, "passthrough", **wish("enp1s0", "0-3"))
    host.kernel.spec = AFTER
    host.reboot()
    run_module(host, "passthrough", state="absent", initramfs=False)
    assert drivers(host, 2) == [] and host.rules("guests") is None


@pytest.mark.parametrize("match", [{"physfn": PF}, {"physfn": PF, "vf": "0-3"}, {"address": "0000:01:1?.*"}, {"address": "0000:01:10.0"}])
def test_vfs_that_are_named_by_address_are_not_those_of_the_twin_at_it(run_module, make_host, match):
    host = make_host(BEFORE)
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "7")
    host.take({"match": match})
    host.kernel.spec = AFTER
    host.reboot()
    for pf in ("0000:01:00.0", MOVED):
        host.kernel.write(f"{host.kernel.pci_devices}/{pf}/sriov_numvfs", "7")
    assert drivers(host, 1) == ["igbvf"] * 7 and drivers(host, 2)[0] == "vfio-pci"
    with pytest.raises(PlanError, match="another device is at 0000:01:10.0: .* which is at 0000:02:10.0 now"):
        host.take({"match": match})
    assert drivers(host, 1) == ["igbvf"] * 7 and drivers(host, 2)[0] == "vfio-pci"


@pytest.mark.parametrize("match", [{"address": PF}, {"address": "0000:01:00.?"}, {"address": PF, "vendor": "8086"}])
def test_a_pf_that_is_named_by_address_is_not_the_twin_at_it(run_module, make_host, match):
    host = make_host(BEFORE)
    run_module(host, "sriov_vfs", devices=[{"match": match, "numvfs": 3}])
    host.kernel.spec = AFTER
    host.reboot()
    assert (drivers(host, 1), drivers(host, 2)) == ([], [None] * 3)
    result = run_module(host, "sriov_vfs", devices=[{"match": match, "numvfs": 3}])
    assert "another device is at 0000:01:00.0" in result["msg"] and "is at 0000:02:00.0 now" in result["msg"]
    assert drivers(host, 1) == []
    run_module(host, "sriov_vfs", devices=[{"match": {"address": MOVED}, "numvfs": 3}])
    assert not run_module(host, "sriov_vfs", devices=[{"match": {"address": MOVED}, "numvfs": 3}])["changed"]


def as_before(host):
    """The files of a host as the versions before wrote them: everything is known by its address."""
    directory = host.files.boot_rules
    for name in host.files.names(directory):
        path = f"{directory}/{name}"
        text = host.files.read(path)
        if name.startswith("60-"):
            records = [replace(one, devpath=None, vf=None) for one in device_rules.parse(text, path)]
            host.tree.put(path, device_rules.render("guests", records))
    records = rules.parse(host.files.read(f"{directory}/{rules.NUMBERS}"), "x")
    for name, text in zip((rules.NUMBERS, rules.PROBES), rules.render([replace(one, devpath=None) for one in records])):
        host.tree.put(f"{directory}/{name}", text)
    assert "DEVPATH" not in "".join(host.files.read(f"{directory}/{name}") for name in host.files.names(directory))


def test_files_of_an_earlier_version_hold_until_the_next_run_rewrites_them(run_module, make_host):
    host, want = make_host(BEFORE), wish("enp1s0", "0-3")
    run_module(host, "passthrough", **want)
    new = {name: host.files.read(f"{host.files.boot_rules}/{name}") for name in host.files.names(host.files.boot_rules)}
    as_before(host)
    host.reboot()
    assert drivers(host, 1) == ["vfio-pci"] * 4 + [None] * 3
    result = run_module(host, "passthrough", **want)
    assert result["changed"] and {one["status"] for one in result["devices"] + result["sriov"]} == {"unchanged"}
    assert {one["after_header"].rsplit("/", 1)[1] for one in result["diff"]} == set(new)
    assert {name: host.files.read(f"{host.files.boot_rules}/{name}") for name in new} == new
    assert not run_module(host, "passthrough", **want)["changed"]


def test_a_release_takes_files_of_an_earlier_version(run_module, make_host):
    host = make_host(BEFORE)
    run_module(host, "passthrough", **wish("enp1s0", "0-3"))
    as_before(host)
    run_module(host, "passthrough", state="absent", initramfs=False)
    assert drivers(host, 1) == [] and host.files.names(host.files.boot_rules) == []


# VFs that nothing here makes.


@pytest.mark.parametrize("match", [{"physfn": "enp1s0", "vf": "0-2"}, {"physfn": MAC, "vf": ["0-1", 2], "vendor": "8086"}])
def test_vfs_that_somebody_makes_later_are_taken_by_index(make_host, match):
    host = make_host(BEFORE)
    entry = {"match": match, "optional": True}
    host.take(entry)
    assert not host.take(entry)["changed"]
    for dummy in range(2):
        for pf in (PF, TWIN_PF):
            host.kernel.write(f"{host.kernel.pci_devices}/{pf}/sriov_numvfs", "5")
        assert drivers(host, 1) == ["vfio-pci"] * 3 + ["igbvf"] * 2
        assert drivers(host, 3) == ["igbvf"] * 5
        assert not host.take(entry)["changed"]
        host.reboot()
    host.release()
    assert host.rules() is None


def test_a_standing_rule_by_index_gives_way_to_another_entry(run_module, make_host):
    host = make_host(BEFORE)
    host.take(
        {"match": {"physfn": "enp1s0", "vf": "0-2"}, "optional": True},
        {"match": {"physfn": "enp1s0", "vf": "3-6"}, "driver": "native", "optional": True},
    )
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "7")
    assert drivers(host, 1) == ["vfio-pci"] * 3 + ["igbvf"] * 4


def test_an_index_that_no_pf_can_have_has_no_standing_rule(make_host):
    host = make_host(BEFORE)
    host.take({"match": {"physfn": "enp1s0", "vf": "7-9"}, "optional": True})
    assert host.rules() is None
