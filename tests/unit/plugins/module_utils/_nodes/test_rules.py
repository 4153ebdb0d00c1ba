# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nodes as udev gets them: one device after the other, of every shape of place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._nodes.rules import Entry, link, parse, place_now, render
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import Wish

IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "8086", "subsystem_device": "0000", "class": "020000"}
NIC = Device(
    "0000:02:00.0", IDS, path="0000:00/06.0-00.0", devpath="/devices/pci0000:00/0000:00:06.0/0000:??:00.0", above=("0000:00:06.0",),
)
VF = Device("0000:03:10.2", IDS, path="0000:00/06.0-00.0/vf1", devpath=NIC.devpath, physfn=NIC.address, vf=1)
# Behind VMD: a host bridge whose domain is a running number.
NVME = Device(
    "10000:e1:00.0", IDS, devpath="/devices/pci0000:00/0000:00:0e.0/pci?????:e0/?????:e0:06.0/?????:??:00.0",
    above=("0000:00:0e.0", "10000:e0:06.0"),
)
KVM = Wish("guests", group="kvm", mode=0o660, symlink=True)


@pytest.mark.parametrize("device, place", [
    (NIC, "/devices/pci0000:00/0000:00:06.0/0000:02:00.0"),
    (VF, "/devices/pci0000:00/0000:00:06.0/0000:03:10.2"),
    (NVME, "/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0"),
])
def test_a_place_has_the_bus_numbers_of_now(device, place):
    assert place_now(device, {NIC.address: NIC}) == place


def test_what_fits_no_function_is_a_path_that_sysfs_does_not_have():
    assert "??" in place_now(replace(NIC, above=()), {})


def test_what_has_no_pattern_of_a_path_has_no_place():
    assert place_now(replace(NIC, devpath=None), {}) is None


def test_links_of_two_devices_are_two():
    assert link("guests", VF, kind="group") == "vfio/by-policy/guests/0000:00-06.0-00.0-vf1/group"
    assert link("guests", replace(NIC, zpci={"uid": "0x12", "uid_is_unique": True, "function_id": "0x5"}), kind="cdev") == (
        "vfio/by-policy/guests/uid-0x12/cdev"
    )


def test_what_is_rendered_is_read_back():
    entries = {"guests": Entry(KVM, (NIC.address, VF.address)), None: Entry(Wish(None, group="kvm", mode=0o660))}
    text = render(entries, {NIC.address: NIC, VF.address: VF})
    assert parse(text, "x") == entries
    assert 'ACTION=="add|change", SUBSYSTEM=="misc", KERNEL=="iommu", OWNER="root", GROUP="kvm", MODE="0660"' in text


@pytest.mark.parametrize("old, new", [
    ('"0660"', '"0666"'), ('"0660"', '"660"'), ('"kvm"', '"k vm"'), ('"guests"', '"Guests!"'), ('"owner": "root", ', ""),
    ("0000:02:00.0", "0000:02:00.0\\\\"), ("[", "{"),
])
def test_a_record_that_no_run_wrote_is_an_error(old, new):
    text = render({"guests": Entry(KVM, (NIC.address,))}, {NIC.address: NIC})
    with pytest.raises(PlanError, match="rules, line 4: this record cannot be read"):
        parse(text.replace(old, new), "70.rules")


def test_nothing_to_say_is_no_file():
    assert render({}, {}) is None
