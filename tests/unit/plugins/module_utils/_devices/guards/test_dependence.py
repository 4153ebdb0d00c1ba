# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Functions that the host needs since something else depends on them: another function, the host's memory, or its firmware."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, ROOT_PORT, UPLINK


def guards(host, address):
    return [(one["kind"], one["reason"]) for one in host.survey().devices[address].guards]


def linked(consumer, supplier):
    """A device link, which each of the two shows (source: drivers/base/core.c devlink_add_symlinks())."""
    link = f"sys/devices/virtual/devlink/pci:{supplier}--pci:{consumer}"
    return {f"sys/devices/pci0000:00/{consumer}/supplier:pci:{supplier}": link, f"sys/devices/pci0000:00/{supplier}/consumer:pci:{consumer}": link}


def test_what_a_needed_function_depends_on_is_needed(make_host):
    host = make_host(hosts.x86(links=linked(ROOT_DISK, EDU)))
    assert guards(host, EDU) == [("storage", f"{ROOT_DISK}, which depends on it, is needed: / is on vda1 on {ROOT_DISK}")]


def test_what_the_bridge_above_a_needed_function_depends_on_is_needed(make_host):
    route = "enp2s0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"
    host = make_host(hosts.x86(links=linked(ROOT_PORT, EDU), routes=(route,)))
    (guard,) = guards(host, EDU)
    assert guard[0] == "network" and guard[1].startswith(f"{ROOT_PORT}, which depends on it, is needed: enp2s0 carries the default route")
    assert NIC in guard[1]


def test_dependence_goes_on_from_function_to_function_and_ends_where_it_began(make_host):
    host = make_host(hosts.x86(links={**linked(ROOT_DISK, EDU), **linked(EDU, NVME), **linked(NVME, ROOT_DISK)}))
    assert [kind for kind, dummy in guards(host, NVME)] == ["storage"]
    assert guards(host, EDU)


def test_what_only_a_free_function_depends_on_is_free(make_host):
    assert guards(make_host(hosts.x86(links=linked(NVME, EDU))), EDU) == []


def test_a_function_that_depends_on_a_needed_one_is_free(make_host):
    assert guards(make_host(hosts.x86(links=linked(EDU, UPLINK))), EDU) == []


# Memory of CXL: what the kernel has of a region with memory of two cards (source: drivers/cxl/core/region.c, drivers/cxl/core/port.c).

MEMORY = {EDU: "5", NVME: "6"}


def region(**attributes):
    files, links = {}, {}
    values = {"commit": "1", "mode": "ram", "target0": "decoder5.0", "target1": "decoder6.0", **attributes}
    for name, value in values.items():
        if value is not None:
            files[f"sys/bus/cxl/devices/region0/{name}"] = value + "\n"
    for address, number in MEMORY.items():
        endpoint = f"sys/devices/platform/ACPI0017:00/root0/port1/endpoint{number}"
        files[f"{endpoint}/decoder{number}.0/size"] = "0x10000000\n"
        links[f"sys/bus/cxl/devices/decoder{number}.0"] = f"{endpoint}/decoder{number}.0"
        links[f"{endpoint}/uport"] = f"sys/devices/pci0000:00/{address}/mem{number}"
    return hosts.changed(hosts.x86(files=files, links=links), EDU, pci_class="050210")


REASON = ("storage", "region0 of CXL, which is committed, has memory of it")


def test_cards_whose_memory_the_host_has_are_needed(make_host):
    host = make_host(region())
    assert guards(host, EDU) == [REASON] and guards(host, NVME) == [REASON]
    assert REASON not in guards(host, UPLINK)


@pytest.mark.parametrize("attributes", [{"commit": "0"}, {"mode": "pmem"}])
def test_a_region_that_is_not_committed_or_has_no_memory_of_the_hosts_needs_no_card(make_host, attributes):
    assert guards(make_host(region(**attributes)), EDU) == []


@pytest.mark.parametrize("attributes", [{"target0": "decoder9.0"}, {"target0": "", "target1": ""}, {"target0": None, "target1": None}])
def test_where_a_region_does_not_say_whose_memory_it_has_every_card_with_memory_counts(make_host, attributes):
    host = make_host(region(**attributes))
    assert guards(host, EDU) == [("storage", "region0 of CXL, which is committed, does not say whose memory it has, so every such card counts")]


@pytest.mark.parametrize("attributes", [{"commit": None}, {"commit": "1", "mode": None}])
def test_a_region_of_another_kernel_counts(make_host, attributes):
    assert REASON in guards(make_host(region(**attributes)), EDU)


# Memory that drivers bring (source: drivers/virtio/virtio_mem.c, drivers/dax/kmem.c).

VIRTIO_MEM = "sys/bus/virtio/devices/virtio9", f"sys/devices/pci0000:00/{EDU}/virtio9"
IOMEM = "00001000-3fffffff : System RAM\n  01000000-01ffffff : Kernel code\n"


@pytest.mark.parametrize("iomem, link, expected", [
    ("140000000-33fffffff : virtio9\n  140000000-147ffffff : System RAM (virtio_mem)\n", VIRTIO_MEM, [("storage", "memory of this host is on virtio9")]),
    ("00000000-00000000 : virtio9\n  00000000-00000000 : System RAM\n", VIRTIO_MEM, [("storage", "memory of this host is on virtio9")]),
    ("140000000-33fffffff : virtio9\n", VIRTIO_MEM, []), ("140000000-33fffffff : System RAM\n", VIRTIO_MEM, []),
    ("140000000-33fffffff : Persistent Memory\n  140000000-33fffffff : dax0.0\n    140000000-33fffffff : System RAM (kmem)\n",
     ("sys/bus/dax/devices/dax0.0", f"sys/devices/pci0000:00/{EDU}/virtio9/ndbus0/region0/dax0.0"), [("storage", "memory of this host is on dax0.0")]),
    ("140000000-33fffffff : dax0.0\n  140000000-33fffffff : System RAM (kmem)\n", ("sys/bus/dax/devices/dax0.0", "sys/devices/platform/hmem.0/dax0.0"), []),
    (f"140000000-33fffffff : {EDU}\n  140000000-33fffffff : System RAM (neverheardof)\n", VIRTIO_MEM,
     [("storage", f"memory of this host is on {EDU}")]),
])
def test_a_function_that_has_brought_memory_of_the_hosts_is_needed(make_host, iomem, link, expected):
    assert guards(make_host(hosts.x86(iomem=IOMEM + iomem, links=dict([link]))), EDU) == expected


def test_where_it_cannot_be_read_whose_memory_is_in_use_each_that_may_have_some_counts(make_host, monkeypatch):
    device, driver = VIRTIO_MEM[1], "sys/bus/virtio/drivers/virtio_mem/virtio9"
    host = make_host(hosts.x86(links=dict([VIRTIO_MEM, (driver, device)])))
    assert guards(host, EDU) == []
    monkeypatch.setattr(host.kernel, "refusal", lambda path: errno.EIO if path.endswith("/iomem") else None, raising=False)
    assert ("storage", "memory of this host is on virtio9") in guards(host, EDU)


# What the firmware names (source: drivers/firmware/iscsi_ibft.c, drivers/firmware/edd.c).

def firmware(link, address):
    return hosts.x86(links={f"sys/firmware/{link}": f"sys/devices/pci0000:00/{address}"})


@pytest.mark.parametrize("name", ["ethernet0", "ethernet1"])
def test_a_card_that_the_firmware_boots_over_is_needed(make_host, name):
    host = make_host(firmware(f"ibft/{name}/device", EDU))
    assert guards(host, EDU) == [("network", f"the boot over iSCSI ({name} of the firmware's iBFT) is on {EDU}")]


def test_a_card_behind_a_bridge_that_the_firmware_boots_over_is_needed_with_the_bridge(make_host):
    host = make_host(firmware("ibft/ethernet0/device", f"{ROOT_PORT}/{NIC}"))
    assert [kind for kind, dummy in guards(host, NIC) + guards(host, ROOT_PORT)] == ["network", "network"]


def test_the_first_disk_of_a_bios_is_needed_and_no_further_one(make_host):
    host = make_host(firmware("edd/int13_dev80/pci_dev", NVME))
    assert guards(host, NVME) == [("storage", f"the first disk of the BIOS, which it boots from, is on {NVME}")]
    assert guards(make_host(firmware("edd/int13_dev81/pci_dev", NVME)), NVME) == []


@pytest.mark.parametrize("link", ["ibft/target0/device", "ibft/initiator/device", "edd/int13_dev80/other"])
def test_what_else_the_firmware_names_is_no_function(make_host, link):
    assert guards(make_host(firmware(link, EDU)), EDU) == []


def test_an_adapter_that_boots_over_iscsi_by_itself_is_needed(make_host):
    host = make_host(hosts.x86(files={"sys/firmware/iscsi_boot4/target0/flags": "3\n", "sys/firmware/iscsi_bootx/target0/flags": "3\n"}, links={
        "sys/class/iscsi_host/host4": f"sys/devices/pci0000:00/{EDU}/host4/iscsi_host/host4",
    }))
    assert guards(host, EDU) == [("storage", f"the boot over iSCSI (iscsi_boot4 of the firmware) is on {EDU}")]
