# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever files of others hold, every reader ends, with sentences of one line."""

from __future__ import annotations

import pytest

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._competitors.claim import Target, fits_pattern, sentences
from ansible_collections.vfio.host.plugins.module_utils._competitors.table import competition
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import parse_modalias
from ansible_collections.vfio.host.tests.unit.fake.competitors import Script, of_devices, of_vfs, put
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF

PLACES = (
    "etc/udev/rules.d/70-x.rules", "etc/systemd/network/10-x.link", "etc/systemd/network/10-x.network", "etc/netplan/x.yaml",
    "etc/nmstate/x.yml", "etc/sysfs.conf", "etc/tmpfiles.d/x.conf", "etc/libvirt/qemu/x.xml", "etc/nova/nova.conf",
    "etc/pve/qemu-server/1.conf", "etc/pve/mapping/pci.cfg", "etc/dpdk/interfaces", "etc/mkinitcpio.conf", "etc/dracut.conf",
    "etc/initramfs-tools/modules", "etc/NetworkManager/system-connections/x", "etc/sysconfig/network-scripts/ifcfg-x",
    "etc/network/interfaces", "etc/systemd/system/x.service", "etc/rc.local", "etc/driverctl.d/pci-x", "etc/crontab",
    "etc/sriov-operator/pci/x", "etc/sysconfig/modules/x.modules",
)
WORDS = st.sampled_from((
    'KERNEL=="', 'ATTR{driver_override}="', 'ATTR{sriov_numvfs}="4"', 'RUN+="', 'GOTO="', 'LABEL="', '"', "\\", "\n", " ", ", ", "[Match]\n",
    "[Link]\n", "Driver=", "Path=", "MACAddress=", "SR-IOVVirtualFunctions=", "9" * 5000, "[SR-IOV]\n", "VirtualFunction=", "[sriov]\ntotal-vfs=",
    "network:\n", "  ethernets:\n", "    a:\n", "      virtual-function-count: ", "link: a", "{", "[", "[z-a]", "*", "$", "${", "$(", "`", "'",
    "echo ", " > ", "/sys/bus/pci/devices/", NIC, "/driver_override", "/sys/class/net/", "enp1s0", "/device/sriov_numvfs", "if ", "fi", "done", "}",
    "for d in ", "; do ", "driverctl set-override ", "w ", " - - - - ", "<domain>", "<hostdev managed='yes' type='pci'>", "<source>", "<address bus='x'/>",
    "[pci]\n", "device_spec = ", "[" * 3000, "hostpci0: ", "MODULES=(", "force_drivers+=", "e1000e", "ids=8086:10d3", "vfio_pci", "pci ", "@reboot ",
    "[Service]\nExecStart=", "iface a inet manual\n up ", "source ", "\x00", "\ufeff", "\u2028", "0x", "managed",
))


def targets():
    modalias = "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"
    ids = parse_modalias(modalias)
    nets = (("enp1s0", "52:54:00:00:02:00"),)
    return [
        Target(NIC, "card", ids, modalias, "e1000e", "p", "vfio-pci", "vfio_pci", frozenset(["e1000e"]), nets),
        Target(PF, "card", ids, modalias, "igb", natives=frozenset(["igb"]), nets=nets, numvfs=7),
    ]


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow], deadline=None)
@hypothesis.given(st.lists(st.one_of(WORDS, st.text(max_size=5)), max_size=40).map("".join))
def test_no_text_ends_a_run_or_a_line(host, text):
    put(host, {place: Script(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")) for place in PLACES})
    found = competition(host.kernel)
    for sentence in sentences([*found.claims, *found.overrides], targets()) + list(found.notes):
        assert sentence.encode("utf-8")


@pytest.mark.parametrize(("pattern", "answer"), [("[z-a]", None), ("a[!b]c", True), ("a[b]c", False), ("a?c", True), ("\\axc", True), ("[", False)])
def test_a_glob_is_read_as_fnmatch_reads_it(pattern, answer):
    assert fits_pattern(pattern, ["axc"]) is answer


@pytest.mark.parametrize(("value", "is_told"), [("7", False), ("0x7", False), ("07", False), ("010", True), ("+7", False), ("8", True), ("x", True)])
def test_a_number_is_read_as_the_kernel_reads_it(host, value, is_told):
    assert bool(of_vfs(host, {"etc/tmpfiles.d/x.conf": f"w /sys/bus/pci/devices/{PF}/sriov_numvfs - - - - {value}\n"})) is is_told


def test_a_line_that_is_too_long_is_told_with_may(host):
    line = "true " + "x" * 5000 + f"; echo e1000e > /sys/bus/pci/devices/{NIC}/driver_override"
    (sentence,) = of_devices(host, {"etc/rc.local": Script(f"#!/bin/sh\n{line}\n")}, NIC)
    assert sentence.startswith("/etc/rc.local:2: ") and " may " in sentence
