# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which names are drivers' names, and that no other name is ever written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import rules
from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record, Refusal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Module, alias
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned

VARIANTS = hosts.with_modules(
    hosts.changed(hosts.x86(), EDU, ids="8086:e20b"), hosts.VARIANT, hosts.XE_VARIANT,
    Module("kvm", ()), Module("pci_stub", ("pci-stub",)), Module("spare", ("spare-drv",), (alias("1234", "11e8"),)),
)
KIND = {"match": {"vendor": "1af4", "device": "1041"}, "optional": True}


def at(address, driver, **options):
    return dict(options, match={"address": address}, driver=driver)


@pytest.fixture
def variants(make_host):
    """A host with devices that variants serve, whose modules are not loaded."""
    return make_host(VARIANTS)


def refused(host, *entries, **options):
    """The messages with which check mode and the run refuse a task; neither touches anything."""
    before = host.snapshot()
    host.faults.reset()
    found = []
    for check in (True, False):
        with pytest.raises(PlanError) as caught:
            host.take(*entries, check=check, **options)
        found.append(caught.value.messages)
    assert host.snapshot() == before
    assert host.faults.log == []
    assert found[0] == found[1]
    return found[0]


# A name that is not known yet.


def test_for_the_next_boot_a_variant_has_the_name_that_it_registers(variants):
    result = variants.take(VIRTIO, EDU, now=False)
    assert "driver_of_" not in variants.rules()
    assert {one["address"]: one["choice"]["driver"] for one in result["devices"]} == {
        VIRTIO: "virtio_vfio_pci", EDU: "xe-vfio-pci",
    }
    assert (variants.driver(VIRTIO), variants.override(VIRTIO)) == ("virtio-pci", None)
    assert not variants.take(VIRTIO, EDU, now=False)["changed"]
    variants.reboot()
    assert (variants.driver(VIRTIO), variants.driver(EDU)) == ("virtio_vfio_pci", "xe-vfio-pci")
    assert not variants.take(VIRTIO, EDU)["changed"]


@pytest.mark.parametrize("options", [{}, {"now": False}, {"at_boot": False}])
def test_a_kind_that_is_not_there_yet_has_the_name_that_its_variant_registers(make_host, options):
    spec = VARIANTS
    host = make_host(replace(spec, functions=tuple(one for one in spec.functions if one.address != VIRTIO)))
    host.take(KIND, **options)
    text = host.rules(volatile=not options.get("at_boot", True))
    assert "driver_of_" not in text and 'ATTR{driver_override}="virtio_vfio_pci"' in text
    assert not host.take(KIND, **options)["changed"]


@pytest.mark.parametrize("options", [{}, {"now": False}])
def test_check_mode_shows_a_draft_that_says_so_and_loads_and_writes_nothing(variants, options):
    before = variants.snapshot()
    result = variants.take(VIRTIO, KIND, check=True, **options)
    assert result["changed"] and result["devices"][0]["choice"]["driver"] is None
    text = result["diff"][-1]["after"]
    assert text.startswith("# Not written like this: driver_of_MODULE stands for a name")
    assert 'ATTR{driver_override}="driver_of_virtio_vfio_pci"' in text
    assert variants.snapshot() == before
    assert variants.faults.log == []


@pytest.mark.parametrize("options", [{}, {"now": False}])
def test_a_variant_that_cannot_be_loaded_is_an_error_before_anything_is_touched(variants, options):
    before = variants.snapshot()
    variants.kernel.modprobe = lambda *dummy, **other: (1, "", "modprobe: ERROR: Key was rejected by service\n")
    with pytest.raises(ApplyError, match="module virtio_vfio_pci does not load: modprobe says: .*Key was rejected.*driver: vfio-pci"):
        variants.take(NVME, VIRTIO, **options)
    assert variants.snapshot() == before


def test_a_variant_without_one_driver_writes_no_rule_for_the_next_boot(make_host):
    odd = replace(hosts.VARIANT, drivers=("one", "two"))
    host = make_host(hosts.with_modules(hosts.x86(), odd))
    with pytest.raises(ApplyError, match="one, two: name the driver in the inventory"):
        host.take(VIRTIO, now=False)
    assert host.rules() is None


@pytest.mark.parametrize("options", [{}, {"now": False}])
def test_a_word_that_stood_for_a_name_in_a_file_is_read_and_replaced(variants, options):
    variants.take(VIRTIO, now=False)
    right = variants.rules()
    wrong = right.replace('"virtio_vfio_pci"', '"driver_of_virtio_vfio_pci"').replace(
        '"module": "driver_of_virtio_vfio_pci"', '"module": "virtio_vfio_pci"'
    )
    assert wrong != right
    variants.tree.put(f"{variants.files.boot_rules}/60-vfio-host-p.rules", wrong)
    variants.reboot()
    assert variants.take(VIRTIO, check=True, **options)["changed"]
    assert variants.take(VIRTIO, **options)["changed"]
    assert "driver_of_" not in variants.rules()
    assert not variants.take(VIRTIO, **options)["changed"]


@pytest.mark.parametrize("records, standings", [
    ([Record(NIC, dict.fromkeys(rules.IDENTITY, "8086"), None, "odd", {"driver": None, "net": [], "serial": None})], []),
    ([], [Standing({"vendor": ("8086",)}, None, "odd")]),
])
def test_no_rule_is_made_for_a_driver_without_a_name(records, standings):
    with pytest.raises(PlanError, match="policy p: no rule can name the driver of module odd"):
        rules.render("p", records, standings=standings)
    assert rules.render("p", records, standings=standings, is_draft=True).startswith("# Not written like this")


def test_a_draft_is_never_applied(variants):
    plan = planned(variants.area, Request(policies={"p": [{"match": {"address": VIRTIO}}]}))
    with pytest.raises(ApplyError, match="virtio_vfio_pci is not known, so nothing was touched"):
        variants.area._applier(plan).apply(plan)
    assert variants.rules() is None


# A name of the inventory.


@pytest.mark.parametrize("options", [{}, {"now": False}, {"at_boot": False}])
@pytest.mark.parametrize("loaded", [False, True])
def test_the_name_of_the_base_module_is_no_drivers(variants, options, loaded):
    if loaded:
        variants.kernel.modprobe("vfio_pci")
    assert refused(variants, at(NIC, "vfio_pci"), **options) == [
        "policy p, devices[0]: unknown driver 'vfio_pci'; did you mean vfio-pci?"
    ]


@pytest.mark.parametrize("driver, near", [
    ("pci_stub", "pci-stub"), ("vfio-pcie", "vfio-pci"), ("e1000_e", "e1000e"), ("nvmee", "nvme"), ("virtio_pci", "virtio-pci"),
    ("bochs", "bochs-drm"), ("VFIO-PCI", "vfio-pci"), ("vfio", "vfio-pci"),
])
def test_near_names_of_this_hosts_drivers_are_told(variants, driver, near):
    (message,) = refused(variants, at(NIC, driver))
    assert message.startswith(f"policy p, devices[0]: unknown driver {driver!r}; did you mean ") and near in message


def test_a_module_of_a_loaded_variant_is_told_with_its_driver(variants):
    variants.kernel.modprobe("xe_vfio_pci")
    (message,) = refused(variants, at(EDU, "xe_vfio_pci"))
    assert message == "policy p, devices[0]: unknown driver 'xe_vfio_pci'; did you mean xe-vfio-pci?"


@pytest.mark.parametrize("loaded", [False, True])
def test_a_module_without_a_pci_driver_is_no_driver(variants, loaded):
    if loaded:
        variants.kernel.modprobe("kvm")
    (message,) = refused(variants, at(NIC, "kvm"))
    assert "unknown driver 'kvm'" in message


def test_a_module_that_declares_nothing_may_be_a_drivers_where_it_is_loaded(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), Module("igb_uio", ("igb_uio",))))
    assert "'igb_uio': module igb_uio is not loaded and declares no PCI device" in refused(host, at(NIC, "igb_uio"))[0]
    host.kernel.modprobe("igb_uio")
    host.take(at(NIC, "igb_uio"))
    assert host.driver(NIC) == "igb_uio"


@pytest.mark.parametrize("entry", [
    {"match": {"serial": "none"}, "optional": True, "driver": "vfio_pci"},
    {"match": {"serial": "none"}, "count": 0, "driver": "vfio_pci"},
    {"match": {"vendor": "abcd"}, "optional": True, "driver": "vfio_pci"},
    {"match": {"vendor": "8086", "device": "10d3"}, "driver": "vfio_pci"},
    {"match": {"address": VIRTIO}, "fallback": "vfio_pci"},
    {"match": {"serial": "none"}, "optional": True, "driver": "vfio-pci", "fallback": "vfio_pci"},
])
def test_every_name_is_looked_at_whatever_the_entry_matches_and_told_once(variants, entry):
    assert refused(variants, entry) == ["policy p, devices[0]: unknown driver 'vfio_pci'; did you mean vfio-pci?"]


@pytest.mark.parametrize("address, driver", [(VIRTIO, "virtio_vfio_pci"), (EDU, "xe-vfio-pci")])
@pytest.mark.parametrize("options", [{}, {"now": False}])
def test_a_variant_may_be_named_before_it_is_loaded(variants, address, driver, options):
    predicted = variants.take(at(address, driver), check=True, **options)
    assert predicted["devices"][0]["choice"]["driver"] is None
    result = variants.take(at(address, driver), **options)
    assert result["devices"][0]["choice"]["driver"] == driver
    assert not variants.take(at(address, driver), **options)["changed"]
    variants.reboot()
    assert variants.driver(address) == driver


@pytest.mark.parametrize("entry", [
    at(EDU, "xe_vfio_pci"), at(VIRTIO, "vfio-pci", fallback="virtio-vfio-pci"),
    {"match": {"vendor": "8086", "device": "e20b"}, "driver": "xe_vfio_pci", "optional": True},
])
@pytest.mark.parametrize("options", [{}, {"now": False}])
def test_a_variants_name_spelt_otherwise_is_claimed_by_no_check_and_refused_before_the_first_write(variants, entry, options):
    # The module's own place in /sys, and what comes with loading it.
    aside = "/sys/module", "/sys/bus/pci/drivers"
    before = variants.snapshot(*aside)
    predicted = variants.take(entry, NVME, check=True, **options)
    assert "xe_vfio_pci" not in [one["driver"] for one in predicted["devices"]]
    with pytest.raises(ApplyError, match="unknown driver '(xe_vfio_pci'; did you mean xe-vfio-pci|virtio-vfio-pci'; did you mean virtio_vfio_pci)"):
        variants.take(entry, NVME, **options)
    assert variants.snapshot(*aside) == before


def test_a_native_driver_that_is_not_loaded_is_loaded_before_anything_is_written(make_host):
    spec = hosts.changed(VARIANTS, EDU, ids="1234:11e8")
    host = make_host(replace(spec, blacklist=("spare",)))
    assert host.driver(EDU) is None
    before = host.snapshot("/sys")
    with pytest.raises(ApplyError, match="unknown driver 'spare'; did you mean spare-drv"):
        host.take(at(EDU, "spare"), NVME)
    assert host.snapshot("/sys") == before
    assert host.driver(NVME) == "nvme"
    assert host.take(at(EDU, "spare-drv"))["changed"]
    assert (host.driver(EDU), host.override(EDU)) == ("spare-drv", "spare-drv")


def test_a_native_driver_is_not_loaded_for_the_next_boot_since_that_would_bind_now(make_host):
    spec = hosts.changed(VARIANTS, EDU, ids="1234:11e8")
    host = make_host(replace(spec, blacklist=("spare",)))
    (message,) = refused(host, at(EDU, "spare"), now=False)
    assert message.startswith("policy p, devices[0]: no driver of module spare is registered; loading the module would tell its name")
    assert message.endswith("load the module first, or say now: true")


def test_a_variant_that_takes_devices_by_itself_is_not_loaded_for_the_next_boot(make_host):
    greedy = Module("greedy_vfio_pci", ("greedy",), (alias("1234", "11e8", bus="vfio_pci"), alias("1234", "11e8")))
    host = make_host(replace(hosts.with_modules(hosts.x86(), greedy), blacklist=("greedy_vfio_pci",)))
    (message,) = refused(host, EDU, now=False)
    assert message.startswith("policy p, devices[0]: no driver of module greedy_vfio_pci is registered")


def test_a_policy_whose_drivers_are_known_is_no_draft_beside_one_whose_are_not(variants):
    wish = {"a": [{"match": {"address": NIC}}], "b": [{"match": {"address": VIRTIO}}]}
    variants.run({"a": wish["a"]})
    files = [one["after_header"] for one in variants.run(wish, check=True)["diff"]]
    assert [name.rsplit("/", 1)[-1] for name in files] == ["PCI devices", "60-vfio-host-b.rules"]


def test_a_fallback_that_is_not_needed_is_not_asked_for_its_name_again(variants):
    entry = {"match": {"address": NIC}, "driver": "vfio-pci", "fallback": "spare-drv"}
    with pytest.raises(PlanError, match="unknown driver 'spare-drv'"):
        variants.take(entry, force=("driver",))
    entry["fallback"] = "xe-vfio-pci"
    variants.take(entry, force=("driver",))
    variants.reboot()
    assert not variants.kernel.exists(f"{variants.kernel.pci_drivers}/xe-vfio-pci")
    assert not variants.take(entry, force=("driver",), check=True)["changed"]


def test_a_member_whose_native_driver_is_not_loaded_keeps_its_group_in_check_mode_too(make_host):
    late = Module("late", ("late",), (alias("8086", "100e"),))
    spec = hosts.with_modules(hosts.x86(), late)
    host = make_host(replace(spec, blacklist=("late",)))
    (message,) = refused(host, PAIR, at(PAIR2, "late"))
    assert "user space cannot have its IOMMU group 9" in message


def test_a_driver_that_once_refused_is_remembered_by_its_real_name(variants):
    variants.kernel.refusals["virtio_vfio_pci", VIRTIO] = 22
    variants.take({"match": {"address": VIRTIO}, "fallback": "vfio-pci"})
    (record,) = rules.parse(variants.rules(), "x")
    assert isinstance(record.refused, Refusal) and record.refused.driver == "virtio_vfio_pci"


# A module that is kept from loading.


@pytest.mark.parametrize("line", ["blacklist vfio-pci", "install vfio_pci /bin/true", "install vfio-pci /bin/false"])
@pytest.mark.parametrize("wish", [{"match": {"address": NIC}}, at(NIC, "vfio-pci"), {"match": {"vendor": "abcd"}, "optional": True}])
def test_a_module_that_is_kept_from_loading_is_told_with_its_place_before_anything_is_touched(make_host, line, wish):
    host = make_host(hosts.x86(modprobe_d={"hard.conf": line + "\n"}))
    (message,) = refused(host, wish)
    assert message.startswith("module vfio_pci is kept from loading by ") and "hard.conf" in message
    assert message.endswith("remove that line, or name another driver")


def test_a_module_that_is_loaded_and_will_not_be_after_a_boot_is_a_warning(make_host):
    host = make_host(hosts.x86(modprobe_d={"hard.conf": "blacklist vfio_pci\n"}))
    host.kernel.modprobe("vfio_pci")
    (warning,) = host.take(NIC)["warnings"]
    assert "hard.conf" in warning and "after the next boot" in warning
