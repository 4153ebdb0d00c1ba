# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""--diff that a person can read."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.plugin_utils._diff import readable
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PF, TWIN
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost


def test_rules_are_one_short_line_for_each_device(result_of, host):
    result = result_of(
        host, "passthrough", check=True, initramfs=False, sriov=[{"match": {"address": PF}, "numvfs": 7}],
        devices={"g": [{"match": {"address": NIC}}], "none": [{"match": {"vendor": "8086", "device": "10d3", "serial": "S"}, "optional": True}]},
    )
    pieces = {one["after_header"]: one["after"] for one in readable(result["diff"])}
    text = pieces["/etc/udev/rules.d/60-vfio-host-g.rules"]
    assert f"{NIC}: driver vfio-pci\n" in text
    assert f"{PF}: 7 VFs\n" in pieces["/etc/udev/rules.d/59-vfio-host-sriov.rules"]
    assert "-v shows their text" in text
    assert max(len(line) for piece in pieces.values() for line in piece.splitlines()) < 80


def test_an_image_is_told_in_a_line_for_each_file(result_of, host_path):
    node = WholeHost(host_path / "whole", hosts.x86(), "intel_iommu=on")
    devices = {name: [{"match": {"address": address}}] for name, address in (("a", NIC), ("b", TWIN))}
    (piece,) = [one for one in readable(result_of(node, "passthrough", check=True, devices=devices)["diff"]) if one["after_header"] == "images"]
    image = f"/boot/initrd.img-{node.spec.kernel}:"
    assert piece["before"] == f"{image}\n  lacks /etc/udev/rules.d/60-vfio-host-a.rules,\n  /etc/udev/rules.d/60-vfio-host-b.rules\n"
    assert piece["after"] == f"{image} rebuilt by initramfs-tools\n"


def test_other_pieces_stay_as_they_are():
    piece = {"before_header": "PCI devices", "after_header": "PCI devices", "before": "a\n", "after": "b\n"}
    other = {"before_header": "/etc/modprobe.d/vfio-host.conf", "after_header": "/etc/modprobe.d/vfio-host.conf", "before": "", "after": "x\n"}
    assert readable([piece, other]) == [piece, other]


def test_a_file_that_goes_is_empty_afterwards():
    path = "/etc/udev/rules.d/60-vfio-host-g.rules"
    (found,) = readable([{"before_header": path, "after_header": path, "before": "# x\n", "after": ""}])
    assert found["after"] == ""
