# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each consumer gets, to the letter. The user guide says against which reader of each it was tried."""

from __future__ import annotations

import json
import shutil
import string
import subprocess
from xml.etree import ElementTree

import pytest

from ansible_collections.vfio.host.tests.unit.plugins.filter import handed
from ansible_collections.vfio.host.tests.unit.plugins.filter.handed import (
    AUDIO,
    DISK,
    GPU,
    NEEDED,
    PF,
    VARIANT,
    VF,
    VF2,
    VMD_DISK,
    by_address,
    facts,
    handover,
    refused,
    row,
)

QEMU = "qemu-system-x86_64"


@pytest.fixture
def warned(monkeypatch):
    """The warnings of the filter."""
    found = []
    monkeypatch.setattr(handed.plugin.display, "warning", found.append)
    return found


# --- libvirt ---------------------------------------------------------------------------------------------------------


def test_libvirt_gets_a_gpu_and_its_audio_function_as_one_card_where_the_bus_is_said():
    assert handover([AUDIO, GPU], to="libvirt", guest_bus=6) == """\
<hostdev mode="subsystem" type="pci" managed="no">
  <source>
    <address domain="0x0000" bus="0x01" slot="0x00" function="0x0" />
  </source>
  <address type="pci" domain="0x0000" bus="0x06" slot="0x00" function="0x0" multifunction="on" />
</hostdev>
<hostdev mode="subsystem" type="pci" managed="no">
  <source>
    <address domain="0x0000" bus="0x01" slot="0x00" function="0x1" />
  </source>
  <address type="pci" domain="0x0000" bus="0x06" slot="0x00" function="0x1" />
</hostdev>
"""


def test_libvirt_gets_a_vf_with_a_mac_address_as_an_interface():
    text = """\
<interface type="hostdev" managed="no">
  <mac address="52:54:00:12:34:56" />
  <source>
    <address type="pci" domain="0x0000" bus="0x02" slot="0x10" function="0x0" />
  </source>
</interface>
"""
    assert handover([VF], to="libvirt") == text
    assert handover([row(VF)], to="libvirt", facts=by_address(VF)) == text
    assert handover([row(VF)], to="libvirt", macs={"02:10.0": "52:54:00:12:34:56"}) == text


def with_attributes(*attributes, status="unchanged"):
    """The whole result of a run that has made the two VFs and set these attributes of them."""
    sriov = [{"address": PF["address"], "vfs": [VF["address"], VF2["address"]], "attributes": list(attributes), "status": status}]
    return {"changed": True, "devices": [row(VF), row(VF2)], "sriov": sriov}


def elements(text):
    return [(one.tag, None if one.find("mac") is None else one.find("mac").get("address")) for one in ElementTree.fromstring(f"<all>{text}</all>")]


def test_libvirt_does_not_get_to_set_what_the_pf_keeps_for_a_vf():
    """As an interface the VF would have the address of before the run, and no VLAN (source: src/util/virnetdev.c, virNetDevSetNetConfig)."""
    for values in ({"mac": "52:54:00:aa:00:00"}, {"vlan": 42, "qos": 0, "vlan_protocol": "802.1Q"}):
        data = with_attributes({"vf": 0, **values})
        for shape in (data, {"results": [data]}):
            assert elements(handover(shape, to="libvirt", facts=by_address(VF, VF2))) == [("hostdev", None), ("hostdev", None)]
        told = refused(data, "libvirt", facts=by_address(VF, VF2), macs={VF["address"]: "52:54:00:bb:00:00"})
        assert f"{VF['address']} has {'mac 52:54:00:aa:00:00' if 'mac' in values else 'vlan 42'} by its PF" in told


@pytest.mark.parametrize("values", [{"vlan": 0}, {"mac": "00:00:00:00:00:00"}, {"trust": True}, {"vf": 7, "mac": "52:54:00:aa:00:07"}])
def test_libvirt_gets_an_interface_where_its_pf_keeps_neither_address_nor_vlan(values):
    data = with_attributes({"vf": 0, **values})
    assert elements(handover(data, to="libvirt", facts=by_address(VF, VF2))) == [("interface", "52:54:00:12:34:56"), ("hostdev", None)]


@pytest.mark.parametrize("status", ["pending", "released"])
def test_attributes_that_no_vf_has_count_for_nothing(status):
    data = with_attributes({"vf": 0, "mac": "52:54:00:aa:00:00"}, status=status)
    assert elements(handover(data, to="libvirt", facts=by_address(VF)))[0] == ("interface", "52:54:00:12:34:56")


def test_libvirt_gets_what_the_facts_say_of_the_address_and_the_vlan_of_a_vf():
    kept = {"mac": "52:54:00:AA:00:00", "vlan": 0, "trust": None}
    assert elements(handover([{**VF, "vf_attributes": kept}], to="libvirt")) == [("interface", "52:54:00:aa:00:00")]
    assert elements(handover([{**VF2, "vf_attributes": kept}], to="libvirt")) == [("interface", "52:54:00:aa:00:00")]
    assert elements(handover([{**VF, "vf_attributes": {**kept, "mac": "00:00:00:00:00:00"}}], to="libvirt")) == [("interface", "52:54:00:12:34:56")]
    assert elements(handover([{**VF, "vf_attributes": {**kept, "vlan": 42}}], to="libvirt")) == [("hostdev", None)]


def test_libvirt_gets_no_interface_of_a_vf_whose_pf_has_none():
    """(source: src/util/virpci.c, virPCIGetVirtualFunctionInfo: "The PF device for VF %s has no network device name")"""
    found = by_address({**PF, "driver": "pci-pf-stub"}, VF)
    assert elements(handover([row(VF)], to="libvirt", facts=found)) == [("hostdev", None)]
    told = refused([row(VF)], "libvirt", facts=found, macs={VF["address"]: "52:54:00:bb:00:00"})
    assert f"the PF of {VF['address']} has no interface" in told
    up = by_address({**PF, "net": [{"name": "enp2s0", "mac": "52:54:00:00:00:01"}]}, VF)
    assert elements(handover([row(VF)], to="libvirt", facts=up)) == [("interface", "52:54:00:12:34:56")]


@pytest.mark.parametrize(
    "device",
    [VF2, {**VF, "class": "108000"}, {**PF, "driver": "vfio-pci", "net": VF["net"]}, {**VF, "net": [{"mac": "00:" * 19 + "01"}]}],
    ids=["no MAC", "no network device", "no VF", "InfiniBand"],
)
def test_libvirt_gets_as_a_host_device_what_it_takes_as_no_interface(device):
    assert handover([device], to="libvirt").startswith("<hostdev ")


@pytest.mark.parametrize(
    ("options", "driver"),
    [
        ({}, {"name": "vfio", "model": "mlx5_vfio_pci"}),
        ({"iommufd": True}, {"name": "vfio", "model": "mlx5_vfio_pci", "iommufd": "yes"}),
        ({"libvirt_version": "10.0.0"}, {"name": "vfio", "model": "mlx5_vfio_pci"}),
        ({"libvirt_version": "9.7.0"}, None),
    ],
)
def test_libvirt_gets_the_driver_of_a_variant_where_its_version_knows_the_word(options, driver):
    found = ElementTree.fromstring(handover([VARIANT], to="libvirt", **options)).find("driver")
    assert (None if found is None else found.attrib) == driver


def test_a_libvirt_of_before_variants_gets_none():
    assert "0000:3b:00.2 is on mlx5_vfio_pci" in refused([VARIANT], "libvirt", libvirt_version="9.0.0")


def test_nothing_that_libvirt_gets_is_managed_by_it():
    text = handover([GPU, AUDIO, VF, VARIANT, DISK, VMD_DISK], to="libvirt", iommufd=True, guest_bus=1)
    elements = list(ElementTree.fromstring(f"<devices>{text}</devices>"))
    assert [one.get("managed") for one in elements] == ["no"] * 6


def test_a_domain_other_than_0000_is_kept(warned):
    other = facts("0001:02:1f.7", "144d:a808", "010802")
    address = {"domain": "0x0001", "bus": "0x02", "slot": "0x1f", "function": "0x7"}
    assert ElementTree.fromstring(handover([other], to="libvirt")).find("source/address").attrib == address
    assert warned == []
    handover([VMD_DISK], to="libvirt")
    assert "QEMU 10.0 refuses" in warned[0]


# --- programs with a command line ------------------------------------------------------------------------------------


def test_qemu_gets_a_card_of_several_functions_behind_a_root_port_of_its_own():
    assert handover([GPU, AUDIO, VF], to="qemu") == (
        "-device pcie-root-port,id=vfio-port0,chassis=200,slot=0 "
        "-device vfio-pci,host=0000:01:00.0,bus=vfio-port0,addr=00.0,multifunction=on "
        "-device vfio-pci,host=0000:01:00.1,bus=vfio-port0,addr=00.1 "
        "-device vfio-pci,host=0000:02:10.0"
    )


def test_qemu_gets_iommufd_and_a_path_where_the_domain_is_wide():
    assert handover([VARIANT, VMD_DISK], to="qemu", iommufd=True) == (
        "-object iommufd,id=vfio-iommufd "
        "-device vfio-pci,host=0000:3b:00.2,iommufd=vfio-iommufd "
        "-device vfio-pci,sysfsdev=/sys/bus/pci/devices/10000:01:00.0,iommufd=vfio-iommufd"
    )


def arguments(text):
    """The devices of a line by QEMU's option, and what comes before each."""
    words = text.split()
    pairs = list(zip(words[::2], words[1::2]))
    ports = [word for pair in pairs for word in pair if not pair[1].startswith("vfio-pci")]
    return [[*ports, *pair] for pair in pairs if pair[1].startswith("vfio-pci")]


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"no {QEMU} here, whose option parser this is for")
def test_qemu_finds_nothing_wrong_but_that_there_are_no_such_devices():
    # Addresses that no machine has.
    places = ["0000:fe:1f.0", "0000:fe:1f.1", "000f:fe:1f.0", "1fffe:fe:1f.0"]
    devices = [{**one, "address": place} for one, place in zip([GPU, AUDIO, VF, VMD_DISK], places)]
    found = by_address(*devices, {**PF, "driver": "vfio-pci"})
    text = handover(devices, to="qemu", facts=found, vf_token="14d63f20-8445-11ea-8900-1f9ce7d5650d")
    assert len(arguments(text)) == 4
    for words in arguments(text):
        line = [QEMU, "-M", "q35", "-nodefaults", "-display", "none", "-S", *words]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        assert "no such host device" in done.stderr, (words, done.stderr)


def test_cloud_hypervisor_gets_paths():
    assert handover([AUDIO, GPU, VMD_DISK], to="cloud_hypervisor") == (
        "--device path=/sys/bus/pci/devices/0000:01:00.0/ path=/sys/bus/pci/devices/0000:01:00.1/ "
        "path=/sys/bus/pci/devices/10000:01:00.0/"
    )
    assert handover([DISK], to="cloud_hypervisor", iommufd="yes").startswith("--platform iommufd=on --device path=")


def test_dpdk_gets_addresses():
    assert handover([VF2, VF], to="dpdk") == "-a 0000:02:10.0 -a 0000:02:10.2"


def test_vpp_gets_its_section():
    assert handover([VF], to="vpp") == "dpdk {\n  uio-driver vfio-pci\n  dev 0000:02:10.0\n}\n"


def test_spdk_gets_what_setup_may_take_and_a_controller_for_each_nvme():
    found = handover([DISK, VMD_DISK, facts("0000:00:04.0", "8086:0b00", "088000", iommu_group="9")], to="spdk")
    assert found["environment"] == {"PCI_ALLOWED": "0000:00:04.0 0000:05:00.0 10000:01:00.0"}
    params = [one["params"] for one in found["config"]["subsystems"][0]["config"]]
    assert params == [
        {"name": "Nvme0", "trtype": "PCIe", "traddr": "0000:05:00.0"},
        {"name": "Nvme1", "trtype": "PCIe", "traddr": "10000:01:00.0"},
    ]


# --- clusters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [[AUDIO, GPU], [row(AUDIO), row(GPU)]], ids=["facts", "rows"])
def test_kubevirt_is_offered_the_first_function_of_a_card(data):
    assert handover(data, to="kubevirt", name="nvidia.com/AD102") == {"spec": {"configuration": {"permittedHostDevices": {
        "pciHostDevices": [{"pciVendorSelector": "10DE:2684", "resourceName": "nvidia.com/AD102", "externalResourceProvider": False}],
    }}}}


def test_kubevirt_gets_one_selector_for_devices_of_the_same_ids():
    found = handover([VF, VF2, DISK], to="kubevirt", name="example.com/dev")
    devices = found["spec"]["configuration"]["permittedHostDevices"]["pciHostDevices"]
    assert [one["pciVendorSelector"] for one in devices] == ["8086:10CA", "144D:A808"]


def test_the_sriov_device_plugin_gets_selectors_and_an_attachment():
    found = handover([VF, VF2], to="sriov_device_plugin", name="example.com/vf_pool")
    assert found["config"] == {"resourceList": [{
        "resourceName": "vf_pool",
        "resourcePrefix": "example.com",
        "selectors": {
            "vendors": ["8086"], "devices": ["10ca"], "drivers": ["vfio-pci"], "pciAddresses": ["0000:02:10.0", "0000:02:10.2"],
        },
    }]}
    assert found["config_map"]["kind"] == "ConfigMap"
    assert json.loads(found["config_map"]["data"]["config.json"]) == found["config"]
    attachment = found["network_attachment_definition"]
    assert attachment["metadata"] == {"name": "vf-pool", "annotations": {"k8s.v1.cni.cncf.io/resourceName": "example.com/vf_pool"}}
    assert json.loads(attachment["spec"]["config"]) == {"cniVersion": "0.3.1", "name": "vf-pool", "type": "sriov"}


def test_the_sriov_device_plugin_gets_accelerators_under_their_type_and_nothing_it_does_not_see():
    accelerator = facts("0000:07:00.0", "8086:0d8f", "120000", iommu_group="50")
    found = handover([accelerator], to="sriov_device_plugin", name="acc")
    assert found["config"]["resourceList"][0]["deviceType"] == "accelerator"
    assert found["network_attachment_definition"] is None
    assert "0000:05:00.0: its class is 010802" in refused([DISK], "sriov_device_plugin")
    assert "cannot be one resource" in refused([accelerator, VF], "sriov_device_plugin")


def test_sriov_cni_gets_no_card_that_is_not_a_vf():
    found = handover([{**PF, "driver": "vfio-pci"}], to="sriov_device_plugin", name="cards")
    assert found["network_attachment_definition"] is None


def test_nova_gets_each_device_as_not_managed():
    assert handover([VARIANT, VF], to="nova", tags={"physical_network": "physnet1"}) == """\
[pci]
device_spec = {"vendor_id": "8086", "product_id": "10ca", "address": "0000:02:10.0", "managed": "no", "physical_network": "physnet1"}
device_spec = {"vendor_id": "15b3", "product_id": "101e", "address": "0000:3b:00.2", "managed": "no", "physical_network": "physnet1"}
"""


def test_nova_gets_an_alias_for_each_function_of_a_card_and_one_for_devices_alike():
    text = handover([GPU, AUDIO, {**GPU, "address": "0000:81:00.0", "iommu_group": "77"}], to="nova", name="gpu")
    assert text.partition("alias")[1:] == ("alias", """ = {"name": "gpu", "vendor_id": "10de", "product_id": "2684", "device_type": "type-PCI"}
alias = {"name": "gpu-1", "vendor_id": "10de", "product_id": "22ba", "device_type": "type-PCI"}
""")


@pytest.mark.parametrize(
    ("device", "kind"), [(VF, "type-VF"), ({**PF, "driver": "vfio-pci"}, "type-PF"), (DISK, "type-PCI")], ids=["VF", "PF", "neither"],
)
def test_nova_gets_the_type_of_a_device(device, kind):
    assert f'"device_type": "{kind}"' in handover([device], to="nova", name="x")
    assert "give the facts" in refused([row(device)], "nova", name="x")


def test_nova_gets_no_alias_of_two_types():
    assert "one device type" in refused([VF, DISK], "nova", name="x")


def substituted(value):
    """What oslo.config makes of a value (source: oslo_config/cfg.py, ConfigOpts._substitute)."""
    return string.Template(value.replace("\\$", "$$")).safe_substitute({"b": "another option"})


@pytest.mark.parametrize("hostile", ['a$b"\n[DEFAULT]\ndebug = true', "a\\$b", "a\\\\$b$$b", "$"])
def test_nothing_in_a_tag_leaves_its_line_or_is_another_option_to_nova(hostile):
    lines = handover([DISK], to="nova", tags={"traits": hostile}).splitlines()
    assert len(lines) == 2
    assert json.loads(substituted(lines[1].partition(" = ")[2]))["traits"] == hostile


def test_proxmox_gets_a_whole_card_or_a_function_and_the_warning(warned):
    assert handover([AUDIO, GPU, DISK], to="proxmox", **NEEDED["proxmox"]) == (
        "gpu0\n"
        "\tmap id=10de:2684,iommugroup=14,node=node1,path=0000:01:00,subsystem-id=1043:88e2\n"
        "\tmap id=144d:a808,iommugroup=41,node=node1,path=0000:05:00.0,subsystem-id=1043:88e2\n"
    )
    assert "after each boot" in warned[0]


def test_proxmox_gets_no_whole_card_of_which_a_function_is_missing():
    usb = facts("0000:01:00.2", "10de:1ad6", "0c0330")
    assert "0000:01:00.2 is not handed over" in refused([GPU, AUDIO], "proxmox", facts=by_address(GPU, AUDIO, usb))
    assert "0000:01:00.0 is not handed over" in refused([AUDIO, usb], "proxmox")


def test_proxmox_needs_the_group_of_this_boot():
    assert "give the facts of this boot" in refused([row(DISK)], "proxmox")
    assert "iommugroup=41" in handover([row(DISK)], to="proxmox", facts=by_address(DISK), **NEEDED["proxmox"])


def test_proxmox_needs_the_subsystem_ids_too():
    assert "its subsystem ids" in refused([{**DISK, "subsystem_device": None}], "proxmox")


def test_proxmox_gets_a_variant_where_the_guest_keeps_the_driver():
    assert "driver=keep" in refused([VARIANT], "proxmox")
    assert "path=0000:3b:00.2" in handover([VARIANT], to="proxmox", keep_driver=True, **NEEDED["proxmox"])


def test_incus_gets_a_gpu_with_its_card_and_other_devices_one_by_one(warned):
    assert handover([AUDIO, GPU, VF], to="incus", name="dev") == {
        "dev0": {"type": "gpu", "gputype": "physical", "pci": "0000:01:00.0"},
        "dev1": {"type": "pci", "address": "0000:02:10.0"},
    }
    assert "0000:01:00.1" in warned[0]


# --- what one card is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "ports"),
    [
        ([GPU, AUDIO], 1),
        ([row(GPU), row(AUDIO)], 1),
        ([GPU, {**AUDIO, "iommu_group": "15"}], 0),
        ([VF, {**VF2, "iommu_group": VF["iommu_group"]}], 0),
        ([row(VF), row(VF2)], 0),
        ([GPU, {**AUDIO, "address": "0000:02:00.1"}], 0),
        ([GPU, {**AUDIO, "address": "0001:01:00.1"}], 0),
    ],
    ids=["one group", "groups not known", "two groups", "VFs", "like functions", "two slots", "two domains"],
)
def test_functions_of_a_slot_are_one_card_where_they_share_a_group(devices, ports):
    assert handover(devices, to="qemu").count("pcie-root-port") == ports
