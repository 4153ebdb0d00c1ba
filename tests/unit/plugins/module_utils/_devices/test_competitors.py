# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What else decides over a declared device is named, with its file: ids=, driverctl, modules with ordinary aliases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import competitors
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, TWIN
from ansible_collections.vfio.host.tests.unit.fake.model import Module, alias

ANY = 0xFFFFFFFF
TWINS = ("8086", "10d3")
ILL = Module("ill_vfio_pci", ("ill",), (alias("1234", "11e8", bus="vfio_pci"), alias("1234", "11e8")))


def at(address, **options):
    return dict(options, match={"address": address})


def ids(vendor="8086", device="10d3", subsystem_vendor="8086", subsystem_device="0000", pci_class="020000"):
    return {
        "vendor": vendor, "device": device, "subsystem_vendor": subsystem_vendor, "subsystem_device": subsystem_device,
        "class": pci_class,
    }


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("8086:10d3", [(0x8086, 0x10D3, ANY, ANY, 0, 0)]),
        ("8086:10D3:1:2:20000:ffff00", [(0x8086, 0x10D3, 1, 2, 0x020000, 0xFFFF00)]),
        ("0x8086:0x10d3", [(0x8086, 0x10D3, ANY, ANY, 0, 0)]),
        ("8086:10d3,10de:1b80:ffffffff", [(0x8086, 0x10D3, ANY, ANY, 0, 0), (0x10DE, 0x1B80, ANY, ANY, 0, 0)]),
        (",, 8086: 10d3,", [(0x8086, 0x10D3, ANY, ANY, 0, 0)]),
        ("8086", []),
        ("8086:", []),
        ("8086:x", []),
        ("x8086:10d3", []),
        ("8086:10d3x:1", [(0x8086, 0x10D3, ANY, ANY, 0, 0)]),
        ("8086:10d3:1:2:3:4:5", [(0x8086, 0x10D3, 1, 2, 3, 4)]),
        ("", []),
    ],
)
def test_ids_are_read_as_the_module_reads_them(value, numbers):
    assert [found for dummy, found in competitors.parse_ids(value)] == numbers


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("8086:10d3", True),
        ("8086:10d4", False),
        ("ffffffff:10d3", True),
        ("ffffffff:ffffffff", True),
        ("8086:10d3:8086", True),
        ("8086:10d3:8087", False),
        ("8086:10d3:ffffffff:1", False),
        ("8086:10d3:8086:0:020000:ff0000", True),
        ("8086:10d3:8086:0:030000:ff0000", False),
        ("8086:10d3:8086:0:030000", True),
    ],
)
def test_an_id_names_what_the_kernel_matches(value, fits):
    ((dummy, numbers),) = competitors.parse_ids(value)
    assert competitors.names(numbers, ids()) is fits


@pytest.mark.parametrize("module", ["vfio-pci", "vfio_pci"])
@pytest.mark.parametrize("driver", ["auto", "native", "e1000e"])
def test_an_id_in_modprobe_d_that_names_a_declared_device_is_told(make_host, module, driver):
    text = f"# ours\noptions {module} disable_vga=1 ids=10de:1b80,8086:10d3\n"
    host = make_host(hosts.x86(modprobe_d={"gpu.conf": text}))
    (warning,) = host.take(at(NIC, driver=driver))["warnings"]
    assert warning == (
        f"{host.root}/etc/modprobe.d/gpu.conf:2: ids= of vfio-pci has 8086:10d3, which names {NIC} (Intel Corporation "
        "82574L Gigabit Network Connection) of policy p: the module takes every such device that has no override; remove it there"
    )
    assert host.take(at(NIC, driver=driver))["warnings"] == [warning]


@pytest.mark.parametrize("name", ["vfio-pci.ids", "vfio_pci.ids"])
def test_an_id_on_the_command_line_wins_and_is_told(make_host, name):
    spec = hosts.x86(cmdline=f"quiet {name}=8086:10d3", modprobe_d={"a.conf": "options vfio-pci ids=1234:11e8\n"})
    host = make_host(spec)
    (warning,) = host.take(NIC, EDU)["warnings"]
    assert warning.startswith("/proc/cmdline: ids= of vfio-pci has 8086:10d3, which names " + NIC)


def test_of_a_built_in_module_only_the_command_line_counts(make_host):
    modules = tuple(replace(one, builtin=True, file=None) if one.name == "vfio_pci" else one for one in hosts.MODULES)
    host = make_host(hosts.x86(modules=modules, modprobe_d={"a.conf": "options vfio-pci ids=8086:10d3\n"}))
    assert host.take(NIC)["warnings"] == []


def test_an_id_that_names_nothing_declared_is_not_told(make_host):
    host = make_host(hosts.x86(modprobe_d={"a.conf": "options vfio-pci ids=8086:10d3\n"}))
    assert host.take(EDU)["warnings"] == []


def test_an_id_that_names_a_device_on_its_way_back_is_told(make_host):
    host = make_host(hosts.x86(modprobe_d={"a.conf": "options vfio-pci ids=8086:10d3\n"}))
    host.take(NIC, EDU)
    (warning,) = host.take(EDU)["warnings"]
    assert NIC in warning


def taken_by_id(host, address=NIC):
    """Somebody has made vfio-pci take the ids of a device, and let go of it."""
    host.kernel.modprobe("vfio_pci")
    host.kernel.write(f"{host.kernel.pci_drivers}/e1000e/unbind", address)
    host.kernel.write(f"{host.kernel.pci_drivers}/vfio-pci/new_id", " ".join(TWINS))
    assert (host.driver(address), host.override(address)) == ("vfio-pci", None)


def test_a_device_taken_by_id_is_told_and_ends_as_declared(host):
    taken_by_id(host)
    (warning,) = host.take(NIC)["warnings"]
    assert warning == (
        "on vfio-pci without an override, taken by id: by new_id, or by ids= that no file has (any more); the kernel does not "
        f"show which: {NIC} (Intel Corporation 82574L Gigabit Network Connection)"
    )
    assert (host.driver(NIC), host.override(NIC)) == ("vfio-pci", "vfio-pci")
    assert host.take(NIC)["warnings"] == []


def test_where_a_configured_id_names_it_the_file_is_told(make_host):
    host = make_host(hosts.x86(modprobe_d={"a.conf": "options vfio_pci ids=8086:10d3\n"}))
    taken_by_id(host)
    (warning,) = host.take(NIC)["warnings"]
    assert f"taken by id: ids= has 8086:10d3 ({host.root}/etc/modprobe.d/a.conf:1): {NIC} " in warning


def test_a_device_that_is_not_declared_is_not_looked_at(host):
    taken_by_id(host)
    assert host.take(EDU)["warnings"] == []


@pytest.mark.parametrize("options", [{}, {"count": 1}, {"count": 2}])
def test_what_ids_took_is_said_to_be_matched_by_address(host, options):
    """As a host is whose ids are to be given up: what VFIO hides of it has never been seen."""
    taken_by_id(host)
    with pytest.raises(PlanError, match=f"; {NIC} .*on VFIO and no rules file of a policy remembers what they were: match these by address$"):
        host.take(dict(options, match={"net": "enp2s0"}))
    assert not host.take(dict(options, match={"net": "enp2s0"}, count=0))["changed"]


@pytest.mark.parametrize("prefix", ["pci-", ""])
def test_an_override_that_driverctl_saved_is_told(host, prefix):
    path = f"{host.kernel.driverctl_d}/{prefix}{NIC}"
    host.tree.put(host.tree.root / path[len(host.root) + 1:], "vfio-pci\n")
    host.tree.put(host.tree.root / f"etc/driverctl.d/{prefix}{TWIN}", "vfio-pci\n")
    host.tree.put(host.tree.root / f"etc/driverctl.d/{prefix}{EDU}", "")
    assert host.take(NIC, EDU)["warnings"] == [
        f"{path}: driverctl gives {NIC} (Intel Corporation 82574L Gigabit Network Connection) of policy p to vfio-pci at every "
        "boot and hot-plug, after udev's rules; remove this file"
    ]


def test_what_driverctl_set_is_taken_over_without_touching_the_device(host):
    host.kernel.modprobe("vfio_pci")
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver_override", "vfio-pci")
    host.kernel.write(f"{host.kernel.pci_drivers}/e1000e/unbind", NIC)
    host.kernel.write(f"{host.kernel.pci}/drivers_probe", NIC)
    host.faults.reset()
    result = host.take(NIC)
    assert (result["changed"], result["devices"][0]["status"]) == (True, "unchanged")
    assert not [one for one in host.faults.log if one[0] == "write"]
    host.reboot()
    assert host.driver(NIC) == "vfio-pci"
    host.release()
    assert host.driver(NIC) == "e1000e"


@pytest.mark.parametrize("builtin", [False, True])
@pytest.mark.parametrize("driver", ["auto", "vfio-pci"])
def test_a_vfio_module_with_ordinary_aliases_is_told(make_host, driver, builtin):
    host = make_host(hosts.with_modules(hosts.x86(), replace(ILL, builtin=builtin)))
    warnings = host.take(at(EDU, driver=driver), NIC)["warnings"]
    assert warnings[-1] == (
        f"module ill_vfio_pci serves VFIO and declares {EDU} (Technical Corp. QEMU Virtual Machine Device) of policy p by the "
        "ordinary alias pci:v00001234d000011E8sv*sd*bc*sc*i*, too: where it is loaded first it takes such a device without an "
        "override; blacklist it, or have it fixed"
    )
    assert host.take(at(EDU, driver=driver), NIC)["warnings"] == warnings[-1:]


def test_a_competitor_that_took_the_device_is_named_for_it(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), ILL))
    host.kernel.modprobe("ill_vfio_pci")
    assert host.driver(EDU) == "ill"
    warnings = host.take(at(EDU, driver="vfio-pci"))["warnings"]
    assert "on ill without an override, which the ordinary alias" in warnings[0]
    assert host.driver(EDU) == "vfio-pci"


def test_a_blacklisted_competitor_competes_no_more(make_host):
    spec = hosts.x86(modprobe_d={"x.conf": "blacklist ill_vfio_pci\n"}, blacklist=("ill_vfio_pci",))
    host = make_host(hosts.with_modules(spec, ILL))
    assert host.take(EDU)["warnings"] == []
    host.kernel.modprobe("ill_vfio_pci")
    assert "module ill_vfio_pci serves VFIO" in host.take(EDU)["warnings"][0]


def test_a_competitor_for_other_devices_is_not_told(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), ILL))
    assert host.take(NIC)["warnings"] == []


def test_well_behaved_modules_do_not_compete(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT, hosts.XE_VARIANT))
    assert host.survey().modules.competing() == []


def test_a_device_that_a_competitor_would_take_back_stays_and_the_message_says_why(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), ILL))
    host.kernel.modprobe("ill_vfio_pci")
    host.take(at(EDU, driver="vfio-pci"))
    with pytest.raises(ApplyError, match="ill took it again without an override: .* ordinary alias; remove what does"):
        host.release()
    assert (host.driver(EDU), host.override(EDU)) == ("vfio-pci", "vfio-pci")


def test_a_competitor_is_nobodys_native_driver(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), ILL))
    survey = host.survey()
    assert survey.native_driver(survey.devices[EDU]) is None
