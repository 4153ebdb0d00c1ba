# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module on hosts that have everything: an IOMMU to turn on, a boot loader, images."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, PAIR, PAIR2
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

WISH = {
    "devices": {"guests": [{"match": {"address": NIC}}, {"match": {"serial": "NV01"}}]},
    "modules": [{"name": "vfio-pci", "options": {"disable_vga": True}}],
    "kernel_cmdline": {"iommu": "pt"},
}
DROPIN = "/etc/default/grub.d/zz-vfio-host.cfg"
OFF = "quiet intel_iommu=off"


@pytest.fixture
def make_whole(host_path):
    """A function (line, table) -> a WholeHost with the lab's devices."""
    count = iter(range(1000))
    return lambda line="", table="DMAR", **changes: WholeHost(
        host_path / f"whole{next(count)}", hosts.x86(**changes), line, table,
    )


def statuses(result):
    return {one["address"]: one["status"] for one in result["devices"]}


def test_from_an_iommu_that_is_off_to_devices_on_vfio_with_one_reboot(run_module, make_whole):
    host = make_whole(OFF)
    assert not host.spec.iommu
    first = run_module(host, "passthrough", **WISH)
    assert first["changed"] and first["reboot_required"]
    assert statuses(first) == {NIC: "pending", NVME: "pending"}
    assert "the running kernel was not started with intel_iommu=on" in first["reboot_reasons"]
    assert (host.driver(NIC), host.override(NIC)) == ("e1000e", None)
    again = run_module(host, "passthrough", **WISH)
    assert not again["changed"]
    assert again["reboot_reasons"] == first["reboot_reasons"]
    host.reboot()
    assert host.spec.iommu
    last = run_module(host, "passthrough", **WISH)
    assert not last["changed"] and not last["reboot_required"]
    assert statuses(last) == {NIC: "unchanged", NVME: "unchanged"}
    assert (host.driver(NIC), host.driver(NVME)) == ("vfio-pci", "vfio-pci")


@pytest.mark.parametrize("table, line", [
    ("DMAR", ""), ("DMAR", "iommu=off intel_iommu=on"), ("IVRS", "amd_iommu=off"), ("IVRS", "iommu=off quiet"),
])
def test_the_iommu_is_turned_on_whatever_kept_it_off(run_module, make_whole, table, line):
    host = make_whole(line, table)
    assert not host.spec.iommu
    assert run_module(host, "passthrough", devices=WISH["devices"])["reboot_required"]
    host.reboot()
    assert host.spec.iommu
    assert not run_module(host, "passthrough", devices=WISH["devices"])["changed"]


def test_check_mode_says_the_same_and_touches_nothing(run_module, make_whole):
    host = make_whole(OFF)
    before = host.snapshot("/run/vfio-host")
    predicted = run_module(host, "passthrough", check=True, **WISH)
    assert host.snapshot("/run/vfio-host") == before
    done = run_module(host, "passthrough", **WISH)
    for key in ("changed", "devices", "modules", "kernel_cmdline", "initramfs", "reboot_required", "reboot_reasons", "diff"):
        assert predicted[key] == done[key], key


def test_one_key_an_area(run_module, make_whole):
    result = run_module(make_whole(OFF), "passthrough", kernel_config={"VFIO_PCI": ["y", "m"]}, **WISH)
    assert result["kernel_cmdline"]["backend"] == "grub"
    assert result["kernel_cmdline"]["args"]["intel_iommu"]["status"] == "pending"
    assert [one["name"] for one in result["modules"]] == ["vfio_pci"]
    assert result["kernel_config"]["VFIO_PCI"]["met"]
    assert result["initramfs"]["tool"] == "initramfs-tools"
    assert [one["status"] for one in result["initramfs"]["images"]] == ["rebuilt"]


def test_areas_that_nothing_is_declared_for_are_left_out(run_module, make_whole):
    host = make_whole("intel_iommu=on")
    result = run_module(host, "passthrough", devices=WISH["devices"], modules=[], kernel_cmdline={}, initramfs=False)
    assert not {"modules", "kernel_config", "kernel_cmdline", "initramfs"} & set(result)
    assert host.grub.calls == []


def test_the_image_holds_what_this_run_writes(run_module, make_whole):
    host = make_whole("intel_iommu=on")
    run_module(host, "passthrough", **WISH)
    assert {path.rsplit("/", 1)[-1] for path in host.held()} == {"60-vfio-host-guests.rules", "vfio-host.conf"}
    built = host.images.log[:]
    assert not run_module(host, "passthrough", **WISH)["changed"]
    assert host.images.log == built


def test_all_problems_of_all_areas_come_at_once(run_module, make_whole):
    host = make_whole(OFF)
    before = host.snapshot("/run/vfio-host")
    result = run_module(
        host, "passthrough", devices={"guests": [{"match": {"serial": "NOSUCH"}}]}, modules=[{"name": "nosuch"}],
        kernel_config={"NOSUCH_SYMBOL_HERE": "y"}, kernel_cmdline={"bad name": "x"},
    )
    for word in ("serial=NOSUCH matches no device", "nosuch", "NOSUCH_SYMBOL_HERE", "'bad name' is no argument's name"):
        assert word in result["msg"]
    assert host.snapshot("/run/vfio-host") == before


def test_no_iommu_in_firmware_is_one_sentence(run_module, make_whole):
    result = run_module(make_whole(table=None), "passthrough", devices=WISH["devices"])
    assert result["msg"].splitlines() == [result["msg"]]
    assert "switch on VT-d or AMD-Vi" in result["msg"]


def test_an_iommu_to_turn_on_without_a_boot_loader_to_tell_is_one_sentence(run_module, make_whole):
    host = make_whole(OFF)
    os.unlink(f"{host.root}/boot/grub/grub.cfg")
    result = run_module(host, "passthrough", devices=WISH["devices"])
    assert result["msg"].splitlines() == [result["msg"]]
    assert result["msg"].startswith("the IOMMU is off, and only the kernel command line turns it on, but no boot loader found")


def test_arguments_without_a_boot_loader_to_take_them_are_named_as_what_was_declared(run_module, make_whole):
    host = make_whole("intel_iommu=on")
    os.unlink(f"{host.root}/boot/grub/grub.cfg")
    result = run_module(host, "passthrough", kernel_cmdline={"iommu": "pt"})
    assert result["msg"].startswith("kernel_cmdline: no boot loader found")


def test_what_the_inventory_says_of_the_iommu_wins(run_module, make_whole):
    host = make_whole(OFF)
    result = run_module(host, "passthrough", devices=WISH["devices"], kernel_cmdline={"intel_iommu": "off"})
    assert "cannot be taken: no IOMMU group" in result["msg"]


def test_devices_for_this_boot_only_do_not_wait_for_the_next(run_module, make_whole):
    result = run_module(make_whole(OFF), "passthrough", devices=WISH["devices"], at_boot=False)
    assert "cannot be taken: no IOMMU group" in result["msg"]


def test_native_devices_need_no_iommu(run_module, make_whole):
    host = make_whole(OFF)
    result = run_module(host, "passthrough", devices={"p": [{"match": {"address": NIC}, "driver": "native"}]})
    assert not result["changed"] and "kernel_cmdline" not in result


def test_groups_are_looked_at_once_the_iommu_is_on(run_module, make_whole):
    host = make_whole(OFF)
    wish = {"p": [{"match": {"address": PAIR}}]}
    assert run_module(host, "passthrough", devices=wish)["reboot_required"]
    host.reboot()
    assert PAIR2 in run_module(host, "passthrough", devices=wish)["msg"]


def test_guards_hold_for_devices_that_wait(run_module, make_whole):
    result = run_module(make_whole(OFF), "passthrough", devices={"p": [{"match": {"address": hosts.UPLINK}}]})
    assert "is needed by this host" in result["msg"]


def test_everything_is_taken_back(run_module, make_whole):
    host = make_whole(OFF)
    # An image under construction goes with the process, which here goes on.
    places = "/run", "/sys", "/proc", "/boot", "/lib", "/dev", "/var/tmp"
    before = host.snapshot(*places)
    for dummy in range(2):
        run_module(host, "passthrough", **WISH)
        host.reboot()
    result = run_module(host, "passthrough", state="absent")
    assert result["changed"]
    assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "nvme")
    assert host.snapshot(*places) == before
    assert host.held() == {}
    assert not run_module(host, "passthrough", state="absent")["changed"]
    host.reboot()
    assert not host.spec.iommu


def test_only_what_is_named_is_taken_back(run_module, make_whole):
    host = make_whole("intel_iommu=on")
    run_module(host, "passthrough", **WISH)
    run_module(host, "passthrough", state="absent", modules=[{"name": "vfio-pci"}])
    assert host.driver(NIC) == "vfio-pci"
    assert host.files.read(host.files.modprobe_conf) is None
    assert "iommu=pt" in host.grub.boots()
    assert {path.rsplit("/", 1)[-1] for path in host.held()} == {"60-vfio-host-guests.rules"}


def test_nothing_named_is_an_error_and_symbols_are_not_taken_back(run_module, make_whole):
    host = make_whole()
    assert "nothing is declared" in run_module(host, "passthrough")["msg"]
    assert "cannot be taken back by symbol" in run_module(
        host, "passthrough", state="absent", kernel_config={"VFIO_PCI": "y"},
    )["msg"]


def test_an_argument_that_two_declarations_want_otherwise_is_refused(run_module, make_whole):
    host = make_whole(OFF)
    result = run_module(
        host, "passthrough", kernel_config={"INTEL_IOMMU_DEFAULT_ON": "y"}, kernel_cmdline={"intel_iommu": "off"},
    )
    assert "make them one" in result["msg"]


def test_a_symbol_that_only_an_argument_meets_gets_it(run_module, make_whole):
    host = make_whole(OFF)
    result = run_module(host, "passthrough", kernel_config={"INTEL_IOMMU_DEFAULT_ON": "y"})
    assert result["kernel_config"]["INTEL_IOMMU_DEFAULT_ON"]["by"] == "cmdline"
    assert "intel_iommu=on" in host.grub.boots()


def test_images_that_do_not_build_undo_everything(run_module, make_whole):
    host = make_whole("quiet intel_iommu=on")
    before = host.snapshot("/run/vfio-host")
    host.images.complaints["mkinitramfs"] = "no space left"
    result = run_module(host, "passthrough", **WISH)
    assert "no space left" in result["msg"]
    after = host.snapshot("/run/vfio-host")
    assert {path for path in set(before) | set(after) if before.get(path) != after.get(path)} <= {
        # What was loaded stays loaded, and harms nobody.
        path for path in set(before) | set(after) if "/vfio" in path and path.startswith("/sys")
    }
    assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "nvme")


@pytest.mark.exhaustive
def test_a_run_that_is_killed_anywhere_is_gone_on_with(run_module, make_whole):
    """Killed before each step of the run, at the power cut too: the next run, or the next boot and run, ends as declared."""
    def run(host):
        return run_module(host, "passthrough", **WISH)

    for reboot in (False, True):
        for dummy, host in deaths(lambda: make_whole("quiet intel_iommu=on"), run, 8):
            if reboot:
                host.reboot()
            run(host)
            assert (host.driver(NIC), host.driver(NVME)) == ("vfio-pci", "vfio-pci")
            assert not run(host)["changed"]


def test_a_file_that_cannot_be_written_undoes_everything(run_module, make_whole):
    for index in range(60):
        host = make_whole("quiet intel_iommu=on")
        before = host.snapshot("/run", "/sys", "/proc")
        host.faults.reset()
        host.faults.fail_at(index, errno.ENOSPC)
        result = run_module(host, "passthrough", **WISH)
        if not result.get("failed"):
            break
        assert host.snapshot("/run", "/sys", "/proc") == before
        assert (host.driver(NIC), host.driver(NVME)) == ("e1000e", "nvme")
