# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of VFs that network managers set: .link and .network files, netplan, nmstate, NetworkManager, ifcfg, ifupdown."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vfio.host.tests.unit.fake.competitors import NULL, heads, of_devices, of_vfs
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF

MAC = "52:54:00:00:02:00"
LINK = "etc/systemd/network/10-pf.link"
HERE = "/" + LINK
FOUR = "[Link]\nSR-IOVVirtualFunctions=4\n"


def link(match, body=FOUR):
    return f"[Match]\n{match}\n{body}"


def test_a_link_file_with_another_number_is_named_with_line_and_remedy(host):
    assert of_vfs(host, {LINK: link(f"PermanentMACAddress={MAC}")}) == [
        f"{HERE}:4: SR-IOVVirtualFunctions=4 makes 4 VFs of {PF} (Intel Corporation 82576 Gigabit Network Connection), which is "
        "declared to have 7 VFs; remove it there, or declare the same number"
    ]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (f"MACAddress={MAC}", False),
        (f"MACAddress=00:11:22:33:44:55 {MAC.upper()}", False),
        (f"PermanentMACAddress={MAC.replace(':', '-')}", False),
        ("PermanentMACAddress=5254.0000.0200", False),
        ("MACAddress=00:11:22:33:44:55", None),
        ("Path=pci-0000:01:00.0", False),
        ("Path=pci-0000:01:*", False),
        ("Path=pci-0000:02:00.0", None),
        ("Driver=igb", False),
        ("Driver=igb*", False),
        ("Driver=!igb", None),
        ("Driver=mlx5_core", None),
        ("OriginalName=*", False),
        ("OriginalName=enp1s0", False),
        ("OriginalName=enp9s0", None),
        ("OriginalName=eth0", True),
        ("Type=ether", False),
        ("Type=wlan", None),
        ("Kind=bridge", None),
        ("Property=ID_PATH=pci-0000:01:00.0", True),
        ("Host=other", True),
        ("Driver=igb\nPath=pci-0000:02:00.0", None),
        ("# Driver=igb", None),
    ],
)
def test_a_link_file_is_told_of_the_cards_that_it_matches(host, match, expected):
    found = heads(of_vfs(host, {LINK: link(match)}))
    assert [is_may for dummy, is_may in found] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("[Link]\nSR-IOVVirtualFunctions=7\n", None),
        ("[Link]\nName=x\n", None),
        ("[Link]\nSR-IOVVirtualFunctions=\n", None),
        ("[Link]\nSR-IOVVirtualFunctions=4\nSR-IOVVirtualFunctions=2\n", "2"),
        ("[Link]\nSR-IOVVirtualFunctions=4\nSR-IOVVirtualFunctions=\n", None),
        ("[Link]\nSR-IOVVirtualFunctions=0\n", "0"),
        ("[SR-IOV]\nVirtualFunction=0\nVLANId=3\n[SR-IOV]\nVirtualFunction=3\n", "4"),
        ("[SR-IOV]\nVirtualFunction=6\n", None),
        ("[Network]\nSR-IOVVirtualFunctions=4\n", None),
        ("; [Link]\n#SR-IOVVirtualFunctions=4\n", None),
    ],
)
def test_the_number_of_a_link_file_is_read_as_systemd_reads_it(host, body, value):
    found = of_vfs(host, {LINK: link("Driver=igb", body)})
    assert [f"makes {value} VFs" in one for one in found] == ([] if value is None else [True])


def test_only_the_first_link_file_that_matches_counts(host):
    files = {LINK: link("Driver=igb", "[Link]\nName=pf0\n"), "usr/lib/systemd/network/20-all.link": link("OriginalName=*")}
    assert of_vfs(host, files) == []
    assert heads(of_vfs(host, {LINK: link("Property=X=1", "[Link]\nName=pf0\n")})) == [
        ("/usr/lib/systemd/network/20-all.link:4", True)
    ]


@pytest.mark.parametrize("mask", [NULL, "", "[Match]\nDriver=other\n"])
def test_a_link_file_of_etc_takes_the_place_of_one_of_its_name(host, mask):
    assert of_vfs(host, {"usr/lib/systemd/network/10-pf.link": link("Driver=igb"), LINK: mask}) == []


def test_a_drop_in_of_a_link_file_is_read_with_it(host):
    files = {LINK: link("Driver=igb", "[Link]\nName=pf0\n"), "run/systemd/network/10-pf.link.d/vfs.conf": FOUR}
    assert heads(of_vfs(host, files)) == [("/run/systemd/network/10-pf.link.d/vfs.conf:2", False)]


def test_a_card_that_is_declared_for_vfio_is_not_told_of_numbers(host):
    assert of_devices(host, {LINK: link("OriginalName=*")}, NIC) == []


@pytest.mark.parametrize(("number", "expected"), [(4, []), (3, [("/etc/systemd/network/pf.network:4", False)])])
def test_a_network_file_about_a_vf_that_will_not_be_there_is_told(host, number, expected):
    text = "[Match]\nName=enp1s0\n[SR-IOV]\nVirtualFunction=3\nTrust=yes\n"
    assert heads(of_vfs(host, {"etc/systemd/network/pf.network": text}, number=number)) == expected


NETPLAN = "etc/netplan/50-vfs.yaml"
PLAN = "/" + NETPLAN


def plan(*lines):
    return "network:\n  version: 2\n  ethernets:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (plan("enp1s0:", "  virtual-function-count: 4"), [(f"{PLAN}:5", False)]),
        (plan("enp1s0:", "  virtual-function-count: 7"), []),
        (plan("enp1s0:", "  virtual-function-count: 4 # four"), [(f"{PLAN}:5", False)]),
        (plan("# enp1s0:", "#  virtual-function-count: 4"), []),
        (plan("enp9s0:", "  virtual-function-count: 4"), []),
        (plan("'enp1s0':", '  virtual-function-count: "4"'), [(f"{PLAN}:5", False)]),
        (plan("pf:", "  match:", f"    macaddress: {MAC}", "  virtual-function-count: 4"), [(f"{PLAN}:7", False)]),
        (plan("pf:", "  match: ", "    driver: igb", "  virtual-function-count: 4"), [(f"{PLAN}:7", False)]),
        (plan("pf:", "  match:", "    driver: mlx5*", "  virtual-function-count: 4"), []),
        (plan("pf:", "  match:", "    name: enp1s*", "  set-name: pf0", "  virtual-function-count: 4"), [(f"{PLAN}:8", False)]),
        (plan("enp1s0:", "  dhcp4: true", "vf0:", "  link: enp1s0", "vf1:", "  link: enp1s0"), [(f"{PLAN}:9", False)]),
        (plan("enp1s0:", "  embedded-switch-mode: switchdev"), [(f"{PLAN}:5", True)]),
        (plan("enp1s0: {virtual-function-count: 4}"), [(f"{PLAN}:4", False)]),
        (plan("enp1s0:", "  virtual-function-count: 4", "enp2s0:", "  dhcp4: true") + "  vlans: {}\n", [(f"{PLAN}:5", False)]),
    ],
)
def test_netplan_is_told_of_the_cards_that_it_names(host, text, expected):
    assert heads(of_vfs(host, {NETPLAN: text})) == expected


@pytest.mark.parametrize(("match", "expected"), [
    ("match: {name: enp1s0}", [(f"{PLAN}:5", False)]), ("match: {name: enp9s0}", []), ("match: { driver: igb, name: 'enp1*' }", [(f"{PLAN}:5", False)]),
    ('match: {"macaddress": "52:54:00:00:02:00"}', [(f"{PLAN}:5", False)]), ("match: {macaddress: 52:54:00:00:09:00}", []),
    ("match: *pf", [(f"{PLAN}:5", True)]), ("match: {name: {a: b}}", [(f"{PLAN}:5", True)]),
])
def test_a_match_of_netplan_in_one_line_is_read_or_left_open(host, match, expected):
    assert heads(of_vfs(host, {NETPLAN: plan("pf:", f"  {match}", "  virtual-function-count: 4")})) == [
        (where.replace(":5", ":6"), may) for where, may in expected
    ]


def test_a_card_of_netplan_without_settings_has_the_vfs_that_link_to_it(host):
    assert heads(of_vfs(host, {NETPLAN: plan("enp1s0: {}", "vf1:", "  link: enp1s0")})) == [(f"{PLAN}:6", False)]


def test_netplan_in_a_style_that_is_not_read_is_said_not_to_be_understood(host):
    assert of_vfs(host, {NETPLAN: plan("enp1s0: {virtual-function-count: 4}")}) == [f"{PLAN}:4: is not understood, not checked"]
    assert of_vfs(host, {NETPLAN: plan("enp1s0: {dhcp4: true}")}) == []


def test_a_later_netplan_file_wins_and_one_of_run_masks_its_name(host):
    files = {NETPLAN: plan("enp1s0:", "  virtual-function-count: 4"), "etc/netplan/60-more.yaml": plan("enp1s0:", "  virtual-function-count: 7")}
    assert of_vfs(host, files) == []
    assert heads(of_vfs(host, {"run/netplan/60-more.yaml": plan("enp1s0:", "  dhcp4: true")})) == [(f"{PLAN}:5", False)]


def test_the_state_that_nmstate_applies_at_boot_is_told(host):
    text = "interfaces:\n- name: enp1s0\n  ethernet:\n    sr-iov:\n      total-vfs: 2\n"
    assert heads(of_vfs(host, {"etc/nmstate/pf.yml": text})) == [("/etc/nmstate/pf.yml:5", True)]
    assert of_vfs(host, {"etc/nmstate/pf.yml": text.replace("enp1s0", "enp9s0")}) == []


KEYFILE = "etc/NetworkManager/system-connections/pf.nmconnection"
NM = "/" + KEYFILE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[connection]\ninterface-name=enp1s0\n[sriov]\ntotal-vfs=4\n", [(f"{NM}:4", False)]),
        ("[connection]\ninterface-name=enp1s0\n[sriov]\ntotal-vfs=7\n", []),
        ("[connection]\ninterface-name=enp9s0\n[sriov]\ntotal-vfs=4\n", []),
        ("[connection]\ninterface-name=enp1s0\nautoconnect=false\n[sriov]\ntotal-vfs=4\n", [(f"{NM}:5", True)]),
        (f"[ethernet]\nmac-address={MAC}\n[sriov]\ntotal-vfs=4\n", [(f"{NM}:4", False)]),
        ("[match]\npath=pci-0000:01:00.0;\n[sriov]\ntotal-vfs=4\n", [(f"{NM}:4", False)]),
        ("[match]\ndriver=mlx5_core;\n[sriov]\ntotal-vfs=4\n", []),
        ("[connection]\nid=any\n[sriov]\ntotal-vfs=4\n", [(f"{NM}:4", True)]),
        ("[connection]\ninterface-name=enp1s0\n[sriov]\nautoprobe-drivers=true\ntotal-vfs=7\n", [(f"{NM}:4", False)]),
        ("[connection]\ninterface-name=enp1s0\n#[sriov]\n#total-vfs=4\n", []),
    ],
)
def test_a_keyfile_of_networkmanager_is_told_of_the_cards_that_it_is_for(host, text, expected):
    assert heads(of_vfs(host, {KEYFILE: text})) == expected


@pytest.mark.parametrize(("match", "told"), [
    ("interface-name:enp1s0", True), ("interface-name:=enp1s0", True), ("interface-name:enp1*;except:interface-name:enp1s1", True), ("enp1s0", True),
    (f"mac:{MAC}", True), (MAC, True), ("driver:igb", True), ("*", True), ("except:interface-name:enp9s0", True), ("type:ethernet", True), (None, True),
    ("interface-name:enp9s0", False), ("*,except:enp1s0", False), ("mac:52:54:00:99:99:99", False), ("driver:mlx5_core", False),
])
def test_networkmanagers_own_configuration_is_told_of_the_cards_that_it_is_for(host, match, told):
    text = "[main]\nplugins=keyfile\n[device-pf]\n" + ("" if match is None else f"match-device={match}\n") + "sriov-num-vfs={}\n"
    line = text.count("\n")
    path = "etc/NetworkManager/conf.d/pf.conf"
    assert heads(of_vfs(host, {path: text.format(4)})) == ([(f"/{path}:{line}", True)] if told else [])
    assert of_vfs(host, {path: text.format(7)}) == []


def test_a_drop_in_of_networkmanager_hides_its_namesake(host):
    text = "[device]\nsriov-num-vfs=4\n"
    assert heads(of_vfs(host, {"etc/NetworkManager/NetworkManager.conf": text})) == [("/etc/NetworkManager/NetworkManager.conf:2", True)]
    files = {"etc/NetworkManager/NetworkManager.conf": "[main]\n", "usr/lib/NetworkManager/conf.d/a.conf": text, "etc/NetworkManager/conf.d/a.conf": "[main]\n"}
    assert of_vfs(host, files) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('DEVICE="enp1s0"\nSRIOV_TOTAL_VFS="4"\n', [("/etc/sysconfig/network-scripts/ifcfg-pf:2", False)]),
        ("DEVICE=enp9s0\nSRIOV_TOTAL_VFS=4\n", []),
        (f"HWADDR={MAC.upper()}\nONBOOT=no\nSRIOV_TOTAL_VFS=4\n", [("/etc/sysconfig/network-scripts/ifcfg-pf:3", True)]),
    ],
)
def test_an_ifcfg_file_is_told_of_its_card(host, text, expected):
    files = {"etc/sysconfig/network-scripts/ifcfg-pf": text, "etc/sysconfig/network-scripts/ifcfg-pf.bak": text}
    assert heads(of_vfs(host, files)) == expected


INTERFACES = "etc/network/interfaces"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iface enp1s0 inet manual\n  pre-up echo 4 > /sys/class/net/enp1s0/device/sriov_numvfs\n", [("/etc/network/interfaces:2", False)]),
        ("iface enp1s0 inet manual\n  up echo 4 > /sys/class/net/$IFACE/device/sriov_numvfs\n", [("/etc/network/interfaces:2", False)]),
        ("iface enp9s0 inet manual\n  up echo 4 > /sys/class/net/$IFACE/device/sriov_numvfs\n", []),
        ("iface enp1s0 inet manual\n  up echo 7 > /sys/class/net/$IFACE/device/sriov_numvfs\n", []),
        ("iface enp1s0 inet manual\n  up \\\n    echo 4 > /sys/class/net/$IFACE/device/sriov_numvfs\n", [("/etc/network/interfaces:2", False)]),
        ("iface enp1s0 inet manual\n  # up echo 4 > /sys/class/net/$IFACE/device/sriov_numvfs\n", []),
    ],
)
def test_a_command_of_ifupdown_is_told_of_its_card(host, text, expected):
    assert heads(of_vfs(host, {INTERFACES: text})) == expected


def test_what_a_sourced_file_sources_is_read(host):
    text = "iface enp1s0 inet manual\n  up echo 4 > /sys/class/net/$IFACE/device/sriov_numvfs\n"
    files = {INTERFACES: "source /etc/net/a\n", "etc/net/a": "source /etc/net/b\nsource /etc/net/a\n", "etc/net/b": text}
    assert heads(of_vfs(host, files)) == [("/etc/net/b:2", False)]


@pytest.mark.parametrize("name", ["PRE_UP_SCRIPT", "POST_UP_SCRIPT"])
def test_a_script_that_wicked_runs_is_read(host, name):
    files = {
        "etc/sysconfig/network/ifcfg-enp1s0": f"BOOTPROTO=none\n{name}='wicked:/etc/vfs.sh'\n",
        "etc/vfs.sh": "echo 4 > /sys/class/net/$2/device/sriov_numvfs\n",
    }
    assert heads(of_vfs(host, files)) == [("/etc/vfs.sh:1", True)]


def test_what_interfaces_sources_is_read(host):
    text = "iface enp1s0 inet manual\n  up echo 4 > /sys/bus/pci/devices/0000:01:00.0/sriov_numvfs\n"
    files = {INTERFACES: "source /etc/gone '/etc/net/*.cfg'\n", "etc/net/a.cfg": text, "etc/network/interfaces.d/b": text}
    assert heads(of_vfs(host, files)) == [("/etc/network/interfaces.d/b:2", False), ("/etc/net/a.cfg:2", False)]


@pytest.mark.parametrize(("text", "is_told"), [
    ({"pciAddress": PF, "numVfs": 4, "name": "enp1s0", "vfGroups": []}, True),
    ({"pciAddress": PF, "name": "enp1s0"}, True),
    ({"pciAddress": PF, "numVfs": 7}, False),
    ({"pciAddress": PF, "numVfs": 4, "externallyManaged": True}, False),
    ({"pciAddress": "0000:09:00.0", "numVfs": 4}, False),
    ({"pciAddress": PF, "numVfs": "4"}, False),
    ({"pciAddress": 1, "numVfs": 4}, False),
    ([], False),
    ("[" * 100000, False),
    ("", False),
])
def test_what_the_operator_of_kubernetes_has_set_is_told(host, text, is_told):
    path = f"etc/sriov-operator/pci/{PF}"
    found = of_vfs(host, {path: text if isinstance(text, str) else json.dumps(text)})
    assert heads(found) == ([(f"/{path}", True)] if is_told else [])
    assert all("take it out of the SriovNetworkNodePolicy" in one for one in found)


@pytest.mark.parametrize(("path", "text", "expected"), [
    ("var/lib/os-net-config/sriov_config.yaml", "- device_type: pf\n  link_mode: legacy\n  name: enp1s0\n  numvfs: 4\n", [4]),
    ("var/lib/os-net-config/sriov_config.yaml", "- device_type: pf\n  name: enp9s0\n  numvfs: 4\n", []),
    ("var/lib/os-net-config/sriov_config.yaml", "- device_type: pf\n  name: enp1s0\n  numvfs: 7\n", []),
    ("etc/sriov-netplan-shim/interfaces.yaml", "interfaces:\n    enp9s0:\n        num_vfs: 2\n    enp1s0:\n        num_vfs: 64\n", [5]),
    ("etc/sriov-netplan-shim/interfaces.yaml", "interfaces: {}\n", []),
])
def test_a_list_of_numbers_that_a_service_sets_at_boot_is_told(host, path, text, expected):
    assert heads(of_vfs(host, {path: text})) == [(f"/{path}:{line}", True) for line in expected]
