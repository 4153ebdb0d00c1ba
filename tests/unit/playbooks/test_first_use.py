# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first hour: what a person sees on terminals of 80 and of 120 columns, by playbook, role and module together, on one host."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module, alias
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

GPU, SOUND = "0000:41:00.0", "0000:41:00.1"
CONFIG = "CONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\nCONFIG_VFIO_IOMMU_TYPE1=m\n"
NAMES = "10de  NVIDIA Corporation\n\t1e04  TU102 [GeForce RTX 2080 Ti Rev. A]\n\t10f7  TU102 High Definition Audio Controller\n"

DECLARED = """\
passthrough_devices:
  gpus: [{match: {address: "41:00.0"}, iommu_group: extend}]
  nics: [{match: {net: enp2s0}}]
  vfs: [{match: {physfn: enp1s0, vf: 0-1}}]
passthrough_sriov:
  - {match: {net: enp1s0}, numvfs: 4, vfs: [{mac_base: "52:54:00:aa:00:00"}, {vf: 0-1, vlan: 42}]}
passthrough_modules: [{name: vfio-pci, options: {disable_vga: true}}]
"""
ROWS_80 = """\
  + gpus   41:00.0 [10de:1e04] NVIDIA TU102 [GeForc…  nouveau -> vfio-pci
  + gpus   41:00.1 [10de:10f7] NVIDIA TU102 High De…  snd_hda_intel -> vfio-pci
      in the IOMMU group of 0000:41:00.0
  + nics   02:00.0 [8086:10d3] Intel 82574L Gigabit…  e1000e -> vfio-pci
  + vfs    01:10.0 VF 0 of 01:00.0                    (new) -> vfio-pci
  + vfs    01:10.2 VF 1 of 01:00.0                    (new) -> vfio-pci
  ~ VFs    01:00.0 Intel 82576 Gigabit Network Conn…  0 -> 4
      new: 01:10.0 01:10.2 01:10.4 01:10.6
      VF 0: mac=52:54:00:aa:00:00 vlan=42 qos=0 vlan_protocol=802.1Q
      VF 1: mac=52:54:00:aa:00:01 vlan=42 qos=0 vlan_protocol=802.1Q
      VF 2: mac=52:54:00:aa:00:02
      VF 3: mac=52:54:00:aa:00:03
  ~ module vfio_pci                                   unloaded -> loaded
  ~ module vfio_pci disable_vga                       (unknown) -> Y
  ~ image  /boot/initrd.img-6.12.107+deb13-amd64
      lacks /etc/modprobe.d/vfio-host.conf,
      /etc/udev/rules.d/59-vfio-host-sriov.rules,
      /etc/udev/rules.d/60-vfio-host-gpus.rules,
      /etc/udev/rules.d/60-vfio-host-nics.rules,
      /etc/udev/rules.d/60-vfio-host-vfs.rules,
      /etc/udev/rules.d/61-vfio-host-sriov.rules
  + file   /etc/modprobe.d/vfio-host.conf
  + file   /etc/modules-load.d/vfio-host.conf
  + file   /etc/udev/rules.d/61-vfio-host-sriov.rules
  + file   /etc/udev/rules.d/59-vfio-host-sriov.rules
  + file   /etc/udev/rules.d/60-vfio-host-gpus.rules
  + file   /etc/udev/rules.d/60-vfio-host-nics.rules
  + file   /etc/udev/rules.d/60-vfio-host-vfs.rules
"""
ROWS_120 = """\
  + gpus   41:00.0 [10de:1e04] NVIDIA TU102 [GeForce RTX 2080 Ti Rev. A]                      nouveau -> vfio-pci
  + gpus   41:00.1 [10de:10f7] NVIDIA TU102 High Definition Audio Controller                  snd_hda_intel -> vfio-pci
      in the IOMMU group of 0000:41:00.0
  + nics   02:00.0 [8086:10d3] Intel 82574L Gigabit Network Connection                        e1000e -> vfio-pci
  + vfs    01:10.0 VF 0 of 01:00.0                                                            (new) -> vfio-pci
  + vfs    01:10.2 VF 1 of 01:00.0                                                            (new) -> vfio-pci
  ~ VFs    01:00.0 Intel 82576 Gigabit Network Connection                                     0 -> 4
      new: 01:10.0 01:10.2 01:10.4 01:10.6
      VF 0: mac=52:54:00:aa:00:00 vlan=42 qos=0 vlan_protocol=802.1Q
      VF 1: mac=52:54:00:aa:00:01 vlan=42 qos=0 vlan_protocol=802.1Q
      VF 2: mac=52:54:00:aa:00:02
      VF 3: mac=52:54:00:aa:00:03
  ~ module vfio_pci                                                                           unloaded -> loaded
  ~ module vfio_pci disable_vga                                                               (unknown) -> Y
  ~ image  /boot/initrd.img-6.12.107+deb13-amd64
      lacks /etc/modprobe.d/vfio-host.conf, /etc/udev/rules.d/59-vfio-host-sriov.rules,
      /etc/udev/rules.d/60-vfio-host-gpus.rules, /etc/udev/rules.d/60-vfio-host-nics.rules,
      /etc/udev/rules.d/60-vfio-host-vfs.rules, /etc/udev/rules.d/61-vfio-host-sriov.rules
  + file   /etc/modprobe.d/vfio-host.conf
  + file   /etc/modules-load.d/vfio-host.conf
  + file   /etc/udev/rules.d/61-vfio-host-sriov.rules
  + file   /etc/udev/rules.d/59-vfio-host-sriov.rules
  + file   /etc/udev/rules.d/60-vfio-host-gpus.rules
  + file   /etc/udev/rules.d/60-vfio-host-nics.rules
  + file   /etc/udev/rules.d/60-vfio-host-vfs.rules
"""
# Each by itself is told by the host, so that it is asked once for all of them.
MISTAKES = {
    "a: [{match: {net: enp2s0}, driver: vfio_pci}]": "passthrough_devices.a[0]: unknown driver 'vfio_pci'; did you mean vfio-pci?",
    "b: [{match: {serial: NV02}}]": "passthrough_devices.b[0]: serial=NV02 matches no device of this host; the nearest serial of this host is nv01",
    "c: [{match: {physfn: enp1s0, vf: 0}}]": "there are no VFs of 0000:01:00.0: declare their number, in passthrough_sriov (at ",
    "d: [{match: {device: '10d3'}, count: 3}]": "passthrough_devices.d[0]: count is 3, but device=10d3 matches 2: 0000:02:00.0, 0000:03:00.0",
    "e: [{match: {net: 'enp.*'}}]": "passthrough_devices.e[0]: net=enp.* matches no device of this host; net takes globs (* and ?), and no regular expressions",
    "f: [{match: {net: ens3}}]": "0000:00:03.0 (device [1af4:1000]) is needed by this host: ens3 carries the default route on 0000:00:03.0; to give it up ",
    "g: [{match: {net: enp5s1}}]": "0000:05:01.0 (Intel Corporation [8086:100e]): user space cannot have its IOMMU group 9, since these members stay with the ",
    "h: [{match: {net: enp3s0}}]\n  i: [{match: {address: '03:00.0'}}]": "0000:03:00.0 is claimed twice: for vfio-pci by passthrough_devices.h[0], for ",
}


@pytest.fixture
def node(host_path):
    """A whole host with a graphics card and its sound function in one IOMMU group."""
    port = hosts.root_port("0000:00:0d.0", "39")
    card = (
        port, Function(GPU, "10de:1e04", "030000", group="40", parent=port.address, reset="flr"),
        Function(SOUND, "10de:10f7", "040300", group="40", parent=port.address, reset="pm"),
    )
    drivers = (Module("nouveau", ("nouveau",), (alias("10de", "1e04"),)), Module("snd_hda_intel", ("snd_hda_intel",), (alias("10de", "10f7"),)))
    spec = hosts.with_modules(hosts.x86(), *drivers)
    spec = replace(spec, functions=spec.functions + card, pci_ids=NAMES + spec.pci_ids)
    made = WholeHost(host_path / "node1", spec, "intel_iommu=on")
    made.tree.put(made.tree.root / "boot" / f"config-{spec.kernel}", CONFIG)
    return made


def table(played):
    """What the collection itself has printed: neither Ansible's headings nor its own words about a task."""
    own = ("PLAY", "TASK", "ok: ", "changed: ", "included: ", "skipping: ", "fatal: ", "[WARNING]", "[ERROR]", "Origin: ")
    return "".join(f"{line}\n" for line in played.lines if line and not line.startswith(own))


def wish(variables):
    """What the role asks the module for, of these variables."""
    return {name[len("passthrough_"):]: value for name, value in yaml.safe_load(variables).items()}


def test_plan_and_run_are_the_same_rows_in_the_width_of_the_terminal_and_the_survey_knows_them_afterwards(play_on, node):
    assert table(play_on(node, "converge", DECLARED, "--check")) == (
        f"node1  plan: nothing is done yet\n{ROWS_80}Plan: 5 to take, 4 to change, 7 files.\n"
    )
    assert table(play_on(node, "converge", DECLARED, columns=120)) == f"node1  done\n{ROWS_120}Done: 5 taken, 4 changed, 7 files.\n"
    survey = table(play_on(node, "survey", DECLARED))
    assert max(map(len, (survey + ROWS_80).splitlines())) <= 79 and max(map(len, ROWS_120.splitlines())) <= 119
    free, taken, needed = (survey.split(f"{head}\n")[1] for head in ("FREE", "TAKEN", "NEEDED BY THE HOST"))
    assert "  03:00.0 [8086:10d3] e1000e     g15 Intel 82574L Gigabit Network Connection,\n" in free.split("TAKEN")[0]
    assert """\
  02:00.0 [8086:10d3] vfio-pci g14 Intel 82574L Gigabit Network Connection,
          policy nics, was e1000e, was enp2s0 mac 52:54:00:00:03:02,
          serial 52-54-00-ff-ff-00-03-02, path 0000:00/06.0-00.0
""" in taken.split("NEEDED")[0]
    assert "ens3 carries the default route, path 0000:00/03.0\n" in needed


def test_a_policy_that_is_renamed_one_that_is_left_and_a_release_are_told_by_their_devices(play_on, run_module, node):
    run_module(node, "passthrough", **wish(DECLARED))
    played = play_on(node, "verify", DECLARED.replace("nics:", "guests:").replace("  gpus:", "  # gpus:"))
    assert """\
node1  not as declared: nothing is changed
  ~ guests 02:00.0 [8086:10d3] Intel 82574L Gigabit Network Co…  vfio-pci, kept
      of policy nics before
  ~ image  /boot/initrd.img-6.12.107+deb13-amd64
      lacks /etc/udev/rules.d/60-vfio-host-guests.rules; still holds
      /usr/lib/udev/rules.d/60-vfio-host-nics.rules
""" in table(played)
    assert played.status != 0 and played.screen.count("of policy nics before") == 1 and "changed=0" in played.screen
    assert played.screen.count("[WARNING]: policy gpus is on the host") == played.screen.count("[WARNING]") == 1
    left = "policy gpus is on the host and nobody declares it (0000:41:00.0, 0000:41:00.1): declare it (passthrough_devices, where gpus: [] gives it "
    assert sum(line.startswith(left) for line in played.lines) == 1
    given = table(play_on(node, "release", DECLARED, "--check"))
    for row in (
        "  - gpus  41:00.0 [10de:1e04] NVIDIA TU102 [GeForce…  vfio-pci -> nouveau\n",
        "  ~ VFs   01:00.0 Intel 82576 Gigabit Network Conne…  4 -> 0\n      gone: 01:10.0 01:10.2 01:10.4 01:10.6\n",
        "Plan: 3 to give back, 2 to change, 7 files.\n",
    ):
        assert row in given, given
    assert "no longer declares" not in given and max(map(len, given.splitlines())) <= 79


def test_every_mistake_is_one_line_with_the_place_in_the_inventory_and_nothing_is_touched(play_on, node):
    def state():  # what it has read of images, it keeps in /run
        return {path: content for path, content in node.snapshot().items() if not path.startswith("/run/vfio-host")}

    before = state()
    played = play_on(node, "converge", "passthrough_devices:\n" + "".join(f"  {one}\n" for one in MISTAKES))
    # Before 2.19 Ansible prints no message of several lines, and the collection does.
    told = (played.screen.partition("[ERROR]: ")[2].partition("\nOrigin: ")[0] or table(played)).splitlines()
    for number, words in enumerate(MISTAKES.values(), 2):
        (line,) = [line for line in told if words in line]
        assert f"(at inventory/host_vars/node1.yml:{number}" in line
    assert len(told) == len(MISTAKES) and "optional: true" not in played.screen and state() == before


def test_nothing_declared_is_not_green_without_a_word(play_on, node):
    assert table(play_on(node, "verify")) == "node1  nothing is declared, so nothing was verified\n"
