# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What managers of guests rebind, and what images of early user space load first, is named for declared devices."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.vfio.host.tests.unit.fake.competitors import Script, heads, of_devices, of_vfs
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PF, VF

DOMAIN = "etc/libvirt/qemu/web.xml"
ADDRESS = "<address domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>"


def domain(device):
    return f"<domain type='kvm'>\n  <devices>\n    {device}\n  </devices>\n</domain>\n"


def test_a_managed_device_of_libvirt_is_named_with_its_line(host):
    text = domain(f"<hostdev mode='subsystem' type='pci' managed='yes'>\n <source>\n{ADDRESS}</source></hostdev>")
    assert of_devices(host, {DOMAIN: text}, NIC) == [
        f"/{DOMAIN}:3: managed='yes' of <hostdev> may rebind to another driver, now and then, {NIC} (Intel Corporation 82574L Gigabit "
        "Network Connection) of policy p, which is declared for vfio-pci; say managed='no' there"
    ]


@pytest.mark.parametrize("kind", ["libxl", "ch"])
def test_guests_of_libvirts_other_hypervisors_are_read(host, kind):
    text = domain(f"<hostdev type='pci' managed='yes'><source>{ADDRESS}</source></hostdev>")
    assert heads(of_devices(host, {f"etc/libvirt/{kind}/web.xml": text}, NIC)) == [(f"/etc/libvirt/{kind}/web.xml:3", True)]


@pytest.mark.parametrize("encoding", ["klingon", "zlib", "rot13", "utf-16", "euc-jp", "idna"])
def test_a_file_of_libvirt_is_read_whatever_encoding_it_declares(host, encoding):
    text = f"<?xml version='1.0' encoding='{encoding}'?>" + domain(f"<hostdev type='pci' managed='yes'><source>{ADDRESS}</source></hostdev>")
    assert len(of_devices(host, {DOMAIN: text}, NIC)) == 1


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (f"<hostdev type='pci' managed='no'><source>{ADDRESS}</source></hostdev>", 0),
        (f"<hostdev type='pci'><source>{ADDRESS}</source></hostdev>", 0),
        (f'<hostdev managed="yes" type="pci"><source>{ADDRESS.replace(chr(39), chr(34))}</source></hostdev>', 1),
        (f"<hostdev type='pci' managed='yes'><source>{ADDRESS.replace('0x02', '0x03')}</source></hostdev>", 0),
        (f"<hostdev type='pci' managed='yes'><source>{ADDRESS.replace('0x02', '0x03')}</source>{ADDRESS}</hostdev>", 0),
        (f"<hostdev type='usb' managed='yes'><source>{ADDRESS}</source></hostdev>", 0),
        (f"<interface type='hostdev' managed='yes'><source>{ADDRESS}</source></interface>", 1),
        (f"<!-- <hostdev type='pci' managed='yes'><source>{ADDRESS}</source></hostdev> -->", 0),
    ],
)
def test_only_what_is_managed_and_declared_is_told(host, device, expected):
    assert heads(of_devices(host, {DOMAIN: domain(device)}, NIC)) == [(f"/{DOMAIN}:3", True)] * expected


def test_a_pool_of_vfs_is_told_by_its_addresses(host):
    text = f"<network>\n<forward mode='hostdev' managed='yes'>\n{ADDRESS.replace('<address', '<address type=' + chr(39) + 'pci' + chr(39))}</forward></network>"
    path = "etc/libvirt/qemu/networks/pool.xml"
    assert heads(of_devices(host, {path: text}, NIC)) == [(f"/{path}:2", True)]
    assert of_devices(host, {path: text}, EDU) == []


@pytest.mark.parametrize(("name", "expected"), [("enp1s0", 1), ("enp9s0", 0)])
def test_a_pool_of_the_vfs_of_a_card_is_told_of_them(host, name, expected):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    path = "etc/libvirt/qemu/networks/pool.xml"
    files = {path: f"<network>\n<forward mode='hostdev' managed='yes'><pf dev='{name}'/></forward></network>"}
    assert heads(of_devices(host, files, VF)) == [(f"/{path}:2", True)] * expected
    # The card itself stays with its driver.
    assert of_vfs(host, files) == []
    assert of_devices(host, files, NIC) == []


def test_a_domain_that_is_no_xml_is_said_not_to_be_understood(host):
    (sentence,) = of_devices(host, {DOMAIN: "<domain managed='yes'\n"}, NIC)
    assert sentence.startswith(f"/{DOMAIN}: is not understood (") and sentence.endswith("), not checked")


def test_a_domain_that_declares_entities_is_not_expanded(host):
    text = "<!DOCTYPE d [<!ENTITY a 'managed'>]><domain>&a;</domain>"
    assert of_devices(host, {DOMAIN: text}, NIC) == [f"/{DOMAIN}: is not understood (it declares entities), not checked"]


NOVA = "etc/nova/nova.conf"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"address": "0000:02:00.0"}', 1),
        ('{"address": "0000:02:00.0", "managed": "no"}', 0),
        ('{"address": "0000:02:00.*", "managed": "yes"}', 1),
        ('{"address": "*:03:*"}', 0),
        ('{"vendor_id": "8086", "product_id": "10D3"}', 1),
        ('{"vendor_id": "10de", "product_id": "2684"}', 0),
        ('[{"vendor_id": "10de"}, {"devname": "enp2s0"}]', 1),
        ('{"devname": "enp9s0"}', 0),
    ],
)
@pytest.mark.parametrize("option", ["device_spec", "passthrough_whitelist"])
def test_a_managed_device_of_nova_is_told(host, option, value, expected):
    text = f"[DEFAULT]\n{option} = x\n[pci]\n# {option} = {{}}\n{option} = {value}\n"
    assert heads(of_devices(host, {NOVA: text}, NIC)) == [(f"/{NOVA}:5", True)] * expected


def test_a_device_spec_that_is_no_json_is_said_not_to_be_understood(host):
    assert of_devices(host, {NOVA: "[pci]\ndevice_spec = {'address': 1}\n"}, NIC) == [
        f"/{NOVA}:2: device_spec is not understood, not checked"
    ]


PVE = "etc/pve/qemu-server/100.conf"
NATIVE = {"match": {"address": NIC}, "driver": "native"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hostpci0: 0000:02:00.0,pcie=1", 1),
        ("hostpci0: 02:00,x-vga=1", 1),
        ("hostpci1: host=0000:03:00.0;0000:02:00.0", 1),
        ("hostpci0: 0000:03:00", 0),
        ("hostpci0: 0000:02:00.1", 0),
        ("hostpci0: 0000:02:00.0,driver=keep", 0),
        ("hostpci0: mapping=card,pcie=1", 1),
        ("hostpci0: mapping=other", 0),
        ("#hostpci0: 0000:02:00.0", 0),
        ("net0: 0000:02:00.0", 0),
        ("[snapshot]\nhostpci0: 0000:02:00.0", 0),
    ],
)
def test_a_guest_of_proxmox_binds_vfio_pci_to_what_is_declared_otherwise(host, line, expected):
    mapping = "card\n\tmap id=8086:10d3,iommugroup=1,node=a,path=0000:02:00.0\nother\n\tmap node=a,path=0000:03:00\n"
    files = {PVE: f"cores: 2\n{line}\n", "etc/pve/mapping/pci.cfg": mapping}
    assert heads(of_devices(host, files, NATIVE)) == [(f"/{PVE}:2", False)] * expected
    assert of_devices(host, files, NIC) == []


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("etc/dracut.conf.d/a.conf", '# x\nforce_drivers+=" e1000e "\n', 2),
        ("usr/lib/dracut/dracut.conf.d/a.conf", "force_drivers+=' vfio-pci e1000e '\n", 1),
        ("etc/dracut.conf.d/a.conf", 'x=1\nexport force_drivers+=" \\\n  e1000e\n"\n', 2),
        ("etc/dracut.conf.d/a.conf", 'kernel_cmdline="ro rd.driver.pre=igb,e1000e"\n', 1),
        ("etc/dracut.conf.d/a.conf", 'kernel_cmdline="ro rd.driver.blacklist=e1000e"\n', None),
        ("etc/modules-load.d/a.conf", "# x\n;y\n  e1000e\n", 3),
        ("usr/lib/modules-load.d/a.conf", "igb\nvfio-pci\n", None),
        ("etc/modules-load.d/vfio-host.conf", "e1000e\n", None),
        ("usr/lib/modules-load.d/vfio-host.conf", "e1000e\n", 1),
        ("etc/modules", "e1000e debug=1\n", 1),
        ("etc/dracut.conf.d/a.conf", '# force_drivers+=" e1000e "\n', None),
        ("etc/dracut.conf.d/a.conf", 'add_drivers+=" e1000e "\n', None),
        ("etc/dracut.conf.d/a.conf", 'force_drivers+=" vfio-pci "\n', None),
        ("etc/dracut.conf.d/a.conf", 'omit_drivers+=" e1000e "\n', None),
        ("etc/initramfs-tools/modules", "# e1000e\nvfio_pci\ne1000e InterruptThrottleRate=1\n", 3),
        ("etc/initramfs-tools/modules", "igb\n", None),
        ("usr/share/initramfs-tools/modules.d/card", "e1000e\n", 1),
        ("etc/conf.d/modules", 'modules="igb"\nmodules_6_12="vfio-pci e1000e"\n', 2),
        ("etc/conf.d/modules", '#modules="e1000e"\nmodule_e1000e_args="x=1"\n', None),
        ("etc/mkinitcpio.conf", "MODULES=(vfio_pci e1000e)\n", 1),
        ("etc/mkinitcpio.conf", 'MODULES="e1000e"\nMODULES=()\n', None),
        ("etc/mkinitcpio.conf", "#MODULES=(e1000e)\nMODULES=(vfio_pci\n  # e1000e\n)\n", None),
        ("etc/mkinitcpio.conf.d/a.conf", "MODULES+=(e1000e)\n", 1),
    ],
)
def test_a_native_driver_that_an_image_loads_early_is_told(host, path, text, line):
    assert heads(of_devices(host, {path: text}, NIC)) == ([] if line is None else [(f"/{path}:{line}", True)])
    assert of_devices(host, {}, NATIVE) == []


def test_etc_modules_counts_where_no_systemd_runs(host):
    assert of_devices(host, {"etc/modules": "e1000e\n", "run/systemd/system/x": ""}, NIC) == []


def test_a_hook_below_the_directory_of_a_guest_is_told(host):
    path = "etc/libvirt/hooks/qemu.d/win10/release/end/revert.sh"
    files = {path: Script(f"#!/bin/bash\nvirsh nodedev-reattach pci_{NIC.replace(':', '_').replace('.', '_')}\n")}
    assert heads(of_devices(host, files, NIC)) == [(f"/{path}:2", True)]


def test_a_hook_of_mkinitcpio_that_writes_an_override_is_told(host):
    files = {"etc/initcpio/hooks/cards": f"run_hook() {{\n  echo e1000e > /sys/bus/pci/devices/{NIC}/driver_override\n}}\n"}
    assert heads(of_devices(host, files, NIC)) == [("/etc/initcpio/hooks/cards:2", True)]


def test_ids_in_the_modules_of_an_image_are_told_of_a_device_that_is_declared_native(host):
    files = {"etc/initramfs-tools/modules": "vfio\nvfio_pci ids=10de:1b80,8086:10d3\n"}
    assert heads(of_devices(host, files, NATIVE)) == [("/etc/initramfs-tools/modules:2", False)]
    assert of_vfs(host, {}) == []


@pytest.mark.parametrize(("path", "loaded"), [
    (None, []), (DOMAIN, ["guests"]), ("etc/pve/qemu-server/100.conf", ["guests"]), ("etc/netplan/a.yaml", ["netplan"]),
])
def test_what_reads_files_that_few_hosts_have_is_loaded_where_there_are_some(tmp_path, path, loaded):
    if path is not None:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("x")
    code = "\n".join([
        f"import sys; sys.path[:] = {sys.path!r}",
        "from ansible_collections.vfio.host.plugins.module_utils._competitors import table",
        "from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs",
        f"table.competition(Sysfs({str(tmp_path)!r}))",
        "print(*[name for name in ('guests', 'netplan') if table.__name__.replace('table', name) in sys.modules])",
    ])
    told = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert told.stdout.split() == loaded
