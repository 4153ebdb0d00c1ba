# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path

import pytest
from virtlab import command, host


def pairs(line, option):
    return [line[index + 1] for index, word in enumerate(line) if word == option]


def devices(line):
    return {item["id"]: item for item in map(json.loads, (d for d in pairs(line, "-device") if d.startswith("{")))}


@pytest.fixture
def line(description):
    return command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)


def test_the_same_host_gives_the_same_line(description, line):
    again = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                            overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert again == line


def test_another_initramfs_takes_the_place_of_the_image_s_own(description, line):
    other = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                            overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222, initrd=Path("/tmp/new"))
    assert pairs(line, "-initrd") == ["/cache/image/initrd"]
    assert pairs(other, "-initrd") == ["/tmp/new"]
    assert pairs(other, "-kernel") == ["/cache/image/vmlinuz"]


def test_ssh_is_forwarded_on_the_loopback_alone(line):
    assert pairs(line, "-netdev") == ["user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22"]
    assert devices(line)["system-nic"]["netdev"] == "ssh"


def test_a_port_is_a_root_port_with_its_slot(line):
    assert devices(line)["slot2"] == {
        "driver": "pcie-root-port", "id": "slot2", "bus": "pcie.0", "addr": "06", "slot": 2, "chassis": 2,
    }


def test_a_nic_has_its_mac_and_no_boot_rom(line):
    assert devices(line)["nic-a"] == {
        "driver": "e1000e", "id": "nic-a", "bus": "slot1", "mac": "52:54:00:76:01:01", "romfile": "",
    }


def test_an_absent_device_is_not_there_at_start(line):
    assert "disk-a" not in devices(line)
    assert "disk-a-media" not in " ".join(line)


def test_a_sound_device_that_is_plugged_in_later_has_where_its_sound_goes_from_the_start(description):
    description["devices"].append({"id": "sound", "model": "virtio-sound-pci", "bus": "slot2", "options": {"audiodev": "silence"},
                                   "present": False})
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert pairs(line, "-audiodev") == ["none,id=silence"]
    assert "sound" not in devices(line)


def test_what_is_plugged_in_later_is_not_there_at_start(description, line):
    later = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                            overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222, without={"nic-a"})
    assert set(devices(line)) - set(devices(later)) == {"nic-a"}


def test_a_resumed_host_waits_for_its_state_and_keeps_its_console(description, line):
    resumed = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                              overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222, incoming=True)
    assert resumed == (*line, "-incoming", "defer")
    assert "file,id=console,path=/state/console.log,append=on" in resumed


def test_an_nvme_comes_after_its_medium(description):
    description["devices"][1]["present"] = True
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    media = next(index for index, word in enumerate(line) if '"disk-a-media"' in word and "null-co" in word)
    device = next(index for index, word in enumerate(line) if '"serial": "NV01"' in word)
    assert media < device
    assert devices(line)["disk-a"]["drive"] == "disk-a-media"


def test_the_iommu_precedes_what_it_serves(line):
    iommu = line.index("intel-iommu,intremap=on,caching-mode=on")
    assert all(iommu < index for index, word in enumerate(line) if '"driver": "e1000e"' in word)


def test_a_host_without_iommu_has_none(description):
    description["iommu"] = "none"
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert not any("iommu," in word for word in line)


def test_the_kernel_speaks_on_the_serial_console(description):
    words = command.kernel_command_line(host.parse("box", description))
    assert {"console=ttyS0", "loglevel=7", "systemd.hostname=box", "no_timer_check", "intel_iommu=on"} <= set(words)
    assert "quiet" not in words


@pytest.mark.parametrize("accel, words", [("kvm", ["kvm", "host"]), ("tcg", ["tcg,thread=single", "max,la57=off"])])
def test_the_accelerator_decides_the_cpu(description, accel, words):
    line = command.command(host=host.parse("box", description), accel=accel, image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert pairs(line, "-accel") + pairs(line, "-cpu") == words


def test_what_qemu_says_in_the_background_is_kept(line):
    assert pairs(line, "-D") == ["/state/qemu.log"] and pairs(line, "-d") == ["strace"]


def test_what_names_a_function_precedes_it(description):
    description.update(architecture="s390x", machine="s390-ccw-virtio", iommu="zpci", ports=[])
    description["disk"] = {"model": "virtio-blk-ccw", "bus": "virtual-css", "options": {"devno": "fe.0.0001"}}
    description["nic"] = {"model": "virtio-net-ccw", "bus": "virtual-css", "mac": "52:54:00:76:00:01"}
    description["devices"] = [dict(description["devices"][0], bus="pci.0", zpci={"uid": 0x1234, "fid": 5})]
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert line[0] == "qemu-system-s390x"
    assert list(devices(line)) == ["system-disk", "system-nic", "nic-a-zpci", "nic-a"]
    assert devices(line)["nic-a-zpci"] == {"driver": "zpci", "id": "nic-a-zpci", "uid": 0x1234, "fid": 5, "target": "nic-a"}
    # A ROM is for PCI.
    assert "romfile" not in devices(line)["system-nic"]


def test_a_disk_of_a_size_keeps_what_is_written(description):
    description["devices"].append({"id": "kept", "model": "nvme", "bus": "slot2", "serial": "K1", "size": "512M"})
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    (medium,) = [one for one in map(json.loads, pairs(line, "-blockdev")) if one["node-name"] == "kept-media"]
    assert (medium["driver"], medium["filename"]) == ("file", "/state/kept.raw")
    assert devices(line)["kept"]["drive"] == "kept-media"


def test_a_card_with_a_network_is_on_one_of_its_own_from_the_start(description):
    description["devices"].append({"id": "late", "model": "e1000e", "bus": "slot2", "mac": "52:54:00:76:0a:01", "network": True, "present": False})
    parsed = host.parse("box", description)
    line = command.command(host=parsed, accel="tcg", image=Path("/cache/image"), overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    (network,) = [one for one in pairs(line, "-netdev") if one.startswith("user,id=late-network,")]
    assert "restrict=on" in network
    assert command.properties(parsed.device("late"))["netdev"] == "late-network"


def test_appended_arguments_come_last(description):
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222, append=("root=/dev/x",))
    assert pairs(line, "-append")[0].endswith(" root=/dev/x")


def pseries(description):
    description.update(architecture="ppc64el", machine="pseries", iommu="hypervisor", ports=[{"id": "phb1", "slot": 1}])
    description["disk"].update(bus="pci.0")
    description["nic"].update(bus="pci.0")
    description["devices"] = [{"id": "nic-a", "model": "e1000e", "bus": "phb1.0", "mac": "52:54:00:76:01:01"}]
    return description


def test_a_port_of_pseries_is_a_host_bridge_with_its_index(description):
    made = devices(command.command(host=host.parse("box", pseries(description)), accel="tcg", image=Path("/cache/image"),
                                   overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222))
    assert made["phb1"] == {"driver": "spapr-pci-host-bridge", "id": "phb1", "index": 1}
    assert made["nic-a"]["bus"] == "phb1.0"


def test_the_smmu_is_a_part_of_the_arm_machine(description):
    description.update(architecture="arm64", machine="virt", iommu="smmuv3")
    made = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert pairs(made, "-machine") == ["virt,gic-version=3,its=on", "iommu=smmuv3"]


def wired(description):
    description["devices"][0]["wire"] = {"end": "near", "other": "far"}
    return host.parse("box", description)


def test_a_nic_with_a_wire_is_at_one_end_of_two_sockets_that_hosts_of_a_state_directory_share(description):
    line = command.command(host=wired(description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/box/disk.qcow2"), state=Path("/state/box"), ssh_port=2222)
    assert devices(line)["nic-a"]["netdev"] == "nic-a-wire"
    assert ("dgram,id=nic-a-wire,local.type=unix,local.path=/state/wire-near.sock,remote.type=unix,remote.path=/state/wire-far.sock"
            in pairs(line, "-netdev"))


def test_a_nic_that_is_plugged_in_later_has_its_wire_from_the_start(description):
    line = command.command(host=wired(description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222, without={"nic-a"})
    assert any("id=nic-a-wire" in word for word in pairs(line, "-netdev"))


def test_what_a_serial_port_writes_goes_nowhere(description):
    description["devices"].append({"id": "port", "model": "pci-serial", "bus": "slot2", "options": {"chardev": "unheard"}})
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert "null,id=unheard" in pairs(line, "-chardev")


def test_a_serial_port_on_pci_can_be_the_console_in_place_of_the_machine_s(description):
    description["devices"].append({"id": "port", "model": "pci-serial", "bus": "slot2", "options": {"chardev": "console"}})
    line = command.command(host=host.parse("box", description), accel="tcg", image=Path("/cache/image"),
                           overlay=Path("/state/disk.qcow2"), state=Path("/state"), ssh_port=2222)
    assert pairs(line, "-chardev") == ["file,id=console,path=/state/console.log,append=on"]
    assert pairs(line, "-serial") == []
    assert line.index("file,id=console,path=/state/console.log,append=on") < next(i for i, word in enumerate(line) if '"id": "port"' in word)
