# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consumer of a policy decides for every device of it that says nothing itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function

CARD = Function("0000:09:00.0", "1af4:1041:1af4:1100", "020000", group="77")
OTHER = replace(CARD, address="0000:0a:00.0", group="78")
KIND = {"vendor": "1af4", "device": "1041", "subsystem_vendor": "1af4"}


@pytest.fixture
def with_cards(make_host):
    spec = hosts.with_modules(hosts.x86(), hosts.VARIANT)
    return make_host(replace(spec, functions=spec.functions + (CARD, OTHER)))


def wish(function=CARD, **more):
    return dict({"match": {"address": function.address}}, **more)


def passthrough(*entries, consumer="dpdk", policy="guests", **options):
    return dict({"devices": {policy: list(entries)}, "consumers": {policy: consumer}, "initramfs": False}, **options)


@pytest.mark.parametrize("module, options", [
    ("passthrough", passthrough(wish())),
    ("driver_override", {"policy": "guests", "devices": [wish()], "consumer": "dpdk"}),
])
def test_auto_is_what_the_consumer_of_the_policy_opens_and_the_reason_names_it(run_module, with_cards, module, options):
    predicted = run_module(with_cards, module, check=True, **options)
    assert with_cards.driver(CARD.address) == "virtio-pci"
    result = run_module(with_cards, module, **options)
    assert with_cards.driver(CARD.address) == "vfio-pci"
    assert [one["choice"]["reason"] for one in (*predicted["devices"], *result["devices"])] == [
        "variant virtio_vfio_pci declares it in modules.alias; DPDK (consumer of policy guests: dpdk) opens devices of vfio-pci alone, so it is that "
        "and not virtio_vfio_pci",
    ] * 2
    assert not run_module(with_cards, module, **options)["changed"]
    with_cards.reboot()
    assert with_cards.driver(CARD.address) == "vfio-pci"


def test_a_policy_without_one_and_one_whose_consumer_opens_variants_get_the_variant(run_module, with_cards):
    run_module(
        with_cards, "passthrough", devices={"a": [wish()], "b": [wish(OTHER)]}, consumers={"a": "qemu", "b": None}, initramfs=False,
    )
    assert (with_cards.driver(CARD.address), with_cards.driver(OTHER.address)) == ("virtio_vfio_pci", "virtio_vfio_pci")


def test_the_consumer_of_one_policy_says_nothing_of_another(run_module, with_cards):
    run_module(with_cards, "passthrough", devices={"a": [wish()], "b": [wish(OTHER)]}, consumers={"a": "dpdk"}, initramfs=False)
    assert (with_cards.driver(CARD.address), with_cards.driver(OTHER.address)) == ("vfio-pci", "virtio_vfio_pci")


@pytest.mark.parametrize("of_policy, own, drivers", [
    ("dpdk", "qemu", ("virtio_vfio_pci", "vfio-pci")),
    ("qemu", "dpdk", ("vfio-pci", "virtio_vfio_pci")),
])
def test_an_entry_that_names_its_own_has_that(run_module, with_cards, of_policy, own, drivers):
    result = run_module(with_cards, "passthrough", **passthrough(wish(consumer=own), wish(OTHER), consumer=of_policy))
    assert (with_cards.driver(CARD.address), with_cards.driver(OTHER.address)) == drivers
    reasons = {one["address"]: one["choice"]["reason"] for one in result["devices"]}
    assert "(consumer: dpdk)" in reasons[CARD.address] or own == "qemu"


def test_a_consumer_that_is_declared_later_moves_the_devices_and_one_that_is_taken_out_moves_them_back(run_module, with_cards):
    options = passthrough(wish())
    run_module(with_cards, "passthrough", **dict(options, consumers={}))
    assert with_cards.driver(CARD.address) == "virtio_vfio_pci"
    assert run_module(with_cards, "passthrough", **options)["changed"]
    assert with_cards.driver(CARD.address) == "vfio-pci"
    assert run_module(with_cards, "passthrough", **dict(options, consumers=None))["changed"]
    assert with_cards.driver(CARD.address) == "virtio_vfio_pci"


def test_of_devices_that_are_plugged_in_later_the_rule_knows_the_consumer_of_the_policy(run_module, make_host):
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    run_module(host, "passthrough", **passthrough({"match": KIND, "optional": True}))
    host.plug(CARD)
    assert host.driver(CARD.address) == "vfio-pci"


def test_devices_that_stay_with_the_host_are_left_out_of_it(run_module, with_cards):
    run_module(with_cards, "passthrough", **passthrough(wish(), wish(OTHER, driver="native")))
    assert (with_cards.driver(CARD.address), with_cards.driver(OTHER.address)) == ("vfio-pci", "virtio-pci")


def test_a_policy_that_is_given_back_may_have_one(run_module, with_cards):
    run_module(with_cards, "passthrough", **passthrough(wish()))
    assert run_module(with_cards, "passthrough", **passthrough())["changed"]
    assert with_cards.driver(CARD.address) == "virtio-pci"
    run_module(with_cards, "passthrough", **passthrough(wish()))
    assert run_module(with_cards, "passthrough", **passthrough(consumer="nobody", state="absent"))["changed"]


def test_a_consumer_that_can_be_told_otherwise_may_get_a_variant_by_name(run_module, with_cards):
    run_module(with_cards, "passthrough", **passthrough(wish(driver="virtio_vfio_pci"), consumer="proxmox"))
    assert with_cards.driver(CARD.address) == "virtio_vfio_pci"


@pytest.mark.parametrize("written", ["sriov-device-plugin", " SRIOV_Device_Plugin "])
def test_a_name_is_known_in_either_spelling(run_module, with_cards, written):
    (device,) = run_module(with_cards, "passthrough", **passthrough(wish(), consumer=written))["devices"]
    assert "(consumer of policy guests: sriov_device_plugin)" in device["choice"]["reason"]


@pytest.mark.parametrize("module, options, message", [
    ("passthrough", passthrough(wish(), consumer="kubvirt"), "consumers.guests: 'kubvirt' is none of libvirt, qemu, "),
    ("passthrough", passthrough(wish(), consumer="kubvirt"), "; did you mean kubevirt?"),
    ("passthrough", passthrough(wish(), consumer=""), "consumers.guests: '' is none of "),
    ("passthrough", passthrough(wish(), consumer=["dpdk"]), "consumers.guests: ['dpdk'] is none of "),
    ("passthrough", passthrough(wish(), consumers={"guest": "dpdk"}), "consumers.guest: no policy 'guest' is declared; did you mean guests?"),
    ("passthrough", passthrough(wish(), consumers={"x": "dpdk"}), "consumers.x: no policy 'x' is declared; there are: guests"),
    ("passthrough", passthrough(wish(), consumers={7: None}), "consumers.7: no policy '7' is declared"),
    ("passthrough", passthrough(devices={}), "consumers.guests: no policy 'guests' is declared"),
    ("passthrough", passthrough(devices=None, kernel_cmdline={"quiet": None}), "consumers.guests: no policy 'guests' is declared"),
    ("passthrough", passthrough(wish(driver="virtio_vfio_pci")),
     "policy guests, devices[0]: driver 'virtio_vfio_pci': DPDK (consumer of policy guests: dpdk) opens devices of vfio-pci alone"),
    ("passthrough", passthrough(wish(OTHER), wish(fallback="pci-stub")), "policy guests, devices[1]: fallback 'pci-stub': DPDK (consumer of policy"),
    ("passthrough", passthrough(wish(driver="native")), "policy guests: consumer of policy guests: dpdk means nothing, since all of its devices"),
    ("driver_override", {"devices": [wish()], "consumer": "kubvirt"}, "consumer: 'kubvirt' is none of libvirt, qemu, "),
    ("driver_override", {"devices": [wish(driver="virtio_vfio_pci")], "consumer": "spdk"}, "SPDK (consumer of policy default: spdk) opens"),
])
def test_a_consumer_that_cannot_be_meant_is_one_error_and_nothing_is_touched(run_module, with_cards, module, options, message):
    before = with_cards.snapshot("/run/vfio-host")
    result = run_module(with_cards, module, **options)
    assert result["failed"] and message in result["msg"] and len(result["msg"].splitlines()) == 1
    assert with_cards.snapshot("/run/vfio-host") == before


def test_all_that_is_wrong_is_said_at_once(run_module, with_cards):
    result = run_module(with_cards, "passthrough", **passthrough(
        wish(driver="virtio_vfio_pci"), {"match": {"vendr": "1af4"}}, consumers={"guests": "dpdk", "gest": "kubvirt"},
    ))
    assert len(result["refusals"]) == 4, result["msg"]
