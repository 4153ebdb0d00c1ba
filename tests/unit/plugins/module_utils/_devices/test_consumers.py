# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device gets the driver that its consumer can open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import CONSUMERS
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.plugin_utils._handover import consumers as handover
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function

CARD = Function("0000:09:00.0", "1af4:1041:1af4:1100", "020000", group="77", parent=hosts.ROOT_PORT)
BASE_ONLY = sorted(name for name, one in CONSUMERS.items() if not one.takes_variants)
OTHERS = sorted(set(CONSUMERS) - set(BASE_ONLY))


@pytest.fixture
def with_card(make_host):
    spec = hosts.with_modules(hosts.x86(), hosts.VARIANT)
    return make_host(replace(spec, functions=spec.functions + (replace(CARD, parent=None),)))


def wish(**more):
    return dict({"match": {"address": CARD.address}}, **more)


@pytest.mark.parametrize("name", BASE_ONLY)
def test_auto_is_vfio_pci_where_the_consumer_opens_no_other_and_the_reason_says_so(with_card, name):
    (device,) = with_card.take(wish(consumer=name))["devices"]
    assert with_card.driver(CARD.address) == "vfio-pci"
    assert device["choice"]["reason"] == (
        f"variant virtio_vfio_pci declares it in modules.alias; {CONSUMERS[name].title} (consumer: {name}) opens devices of vfio-pci alone, so it "
        "is that and not virtio_vfio_pci"
    )
    assert not with_card.take(wish(consumer=name))["changed"]
    with_card.reboot()
    assert with_card.driver(CARD.address) == "vfio-pci"


@pytest.mark.parametrize("name", [*OTHERS, None])
def test_auto_is_the_variant_for_everybody_else(with_card, name):
    with_card.take(wish(consumer=name))
    assert with_card.driver(CARD.address) == "virtio_vfio_pci"


def test_a_consumer_that_is_declared_later_moves_the_device_to_the_base_driver(with_card):
    with_card.take(wish())
    assert with_card.take(wish(consumer="kubevirt"))["changed"]
    assert with_card.driver(CARD.address) == "vfio-pci"


def test_of_devices_that_are_plugged_in_later_the_rule_knows_the_consumer(make_host):
    spec = hosts.x86(functions=tuple(one for one in hosts.x86().functions if one.address == hosts.EDU))
    host = make_host(hosts.with_modules(spec, hosts.VARIANT))
    host.take({"match": {"vendor": "1af4", "device": "1041"}, "optional": True, "consumer": "dpdk"})
    host.plug(replace(CARD, parent=None))
    assert host.driver(CARD.address) == "vfio-pci"


@pytest.mark.parametrize("written", ["sriov-device-plugin", "SRIOV_Device_Plugin", "sriov_device_plugin"])
def test_a_name_is_known_in_either_spelling(written):
    (entry,) = parse_declarations({"p": [wish(consumer=written)]})["p"]
    assert entry.consumer == "sriov_device_plugin"


@pytest.mark.parametrize(("entry", "message"), [
    ({"consumer": "kubvirt"}, "policy p, devices[0]: consumer 'kubvirt' is none of libvirt, qemu, "),
    ({"consumer": "kubvirt"}, "; did you mean kubevirt?"),
    ({"consumer": ["dpdk"]}, "consumer ['dpdk'] is none of"),
    ({"consumer": "dpdk", "driver": "virtio_vfio_pci"}, "driver 'virtio_vfio_pci': DPDK (consumer: dpdk) opens devices of vfio-pci alone"),
    ({"consumer": "dpdk", "fallback": "pci-stub"}, "fallback 'pci-stub': DPDK"),
    ({"consumer": "dpdk", "driver": "native"}, "consumer: dpdk means nothing with driver 'native'"),
])
def test_a_consumer_that_contradicts_is_refused(entry, message):
    with pytest.raises(InputError) as caught:
        parse_declarations({"p": [wish(**entry)]})
    (found,) = caught.value.messages
    assert message in found


def test_a_consumer_that_can_be_told_otherwise_may_get_a_variant_by_name(with_card):
    with_card.take(wish(consumer="proxmox", driver="virtio_vfio_pci"))
    assert with_card.driver(CARD.address) == "virtio_vfio_pci"


def test_the_filter_and_the_table_agree():
    assert list(CONSUMERS) == list(handover.CONSUMERS)
    for name, one in handover.CONSUMERS.items():
        assert one.title == CONSUMERS[name].title
        assert one.variants == (CONSUMERS[name].takes_variants or not CONSUMERS[name].is_firm)
