# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module whose driver has a device that the host needs stays, unless the guard is given up."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NVME, ROOT_DISK, UPLINK
from ansible_collections.vfio.host.tests.unit.fake.model import Disk, Nvme
from ansible_collections.vfio.host.tests.unit.fake.unread import Refusing

ON_NVME = "25 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw"
UPLINK_ROUTE = "enp2s0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"


@pytest.fixture
def host_on_nvme(make_host):
    """/ on NVMe, the uplink on e1000e."""
    nvme = Nvme("nvme0", "NV01", Disk("nvme0n1", "259:0", "", (("nvme0n1p1", "259:1"),)))
    return make_host(hosts.changed(hosts.x86(mounts=(ON_NVME,), cmdline="quiet", routes=(UPLINK_ROUTE,)), NVME, nvme=nvme))


def disabled(*names, state="disabled", **more):
    return [dict({"name": name, "state": state}, **more) for name in names]


@pytest.mark.parametrize("state, now", [("disabled", True), ("disabled", False), ("unloaded", True)])
def test_the_module_of_the_roots_disk_is_neither_disabled_nor_unloaded(run_module, host_on_nvme, state, now):
    before = host_on_nvme.snapshot()
    result = run_module(host_on_nvme, "kernel_module", modules=disabled("nvme", state=state), now=now)
    assert f"module nvme is needed by this host: its driver has {NVME}" in result["msg"]
    assert "/ is on nvme0n1p1" in result["msg"]
    assert "say force: [storage] in this entry of modules[0] nvme (the role's passthrough_modules), or for the whole task" in result["msg"]
    assert host_on_nvme.snapshot() == before


def test_the_module_of_the_uplink_is_not_disabled(run_module, host_on_nvme):
    result = run_module(host_on_nvme, "kernel_module", modules=disabled("e1000e"))
    assert "enp2s0 carries the default route" in result["msg"] and "say force: [network]" in result["msg"]


@pytest.mark.parametrize("how", [{"force": ["storage"]}, {"modules": disabled("nvme", force=["storage"])}])
def test_a_module_is_disabled_where_the_guard_is_given_up(run_module, host_on_nvme, how):
    result = run_module(host_on_nvme, "kernel_module", **dict({"modules": disabled("nvme")}, **how))
    assert result["changed"], result


def test_giving_up_one_guard_gives_up_no_other(run_module, host_on_nvme):
    assert "is needed by this host" in run_module(host_on_nvme, "kernel_module", modules=disabled("nvme"), force=["network", "console"])["msg"]
    both = disabled("nvme", force=["storage"]) + disabled("e1000e")
    result = run_module(host_on_nvme, "kernel_module", modules=both)
    assert "module e1000e is needed" in result["msg"] and "module nvme is needed" not in result["msg"]


@pytest.mark.parametrize("name", ["modalias", "physfn", "driver_override"])
def test_the_module_of_a_device_of_which_it_cannot_be_told_what_it_is_stays(run_module, host_on_nvme, name):
    directory = host_on_nvme.kernel.device_directory(NVME)
    call = "target" if name == "physfn" else "read_bytes"
    Refusing(host_on_nvme.kernel).victim = (call, f"{directory}/{name}")
    message = run_module(host_on_nvme, "kernel_module", modules=disabled("nvme"))["msg"]
    assert f"its driver has {NVME}: what it is cannot be read, so whether this host needs it cannot be told" in message
    assert run_module(host_on_nvme, "kernel_module", modules=disabled("nvme"), force=["network", "storage", "console"])["changed"]


def test_a_module_that_drives_nothing_needed_is_disabled_without_a_word(run_module, host_on_nvme):
    assert run_module(host_on_nvme, "kernel_module", modules=disabled("e1000"))["changed"]


def test_a_module_that_the_needed_one_needs_is_needed_as_well(run_module, host_on_nvme):
    sys = host_on_nvme.tree.sys
    host_on_nvme.tree.put(sys / "module/igb/holders/nvme")
    result = run_module(host_on_nvme, "kernel_module", modules=disabled("igb"))
    assert f"module igb is needed by this host: module nvme needs it, whose driver has {NVME}" in result["msg"]


def test_a_driver_between_the_disk_and_its_pci_function_is_needed(run_module, make_host):
    host = make_host(hosts.x86())
    device = host.tree.sys / f"devices/pci0000:00/{ROOT_DISK}/virtio1"
    host.tree.link(host.tree.sys / "bus/virtio/drivers/virtio_blk/module", host.tree.sys / "module/igb")
    host.tree.link(device / "driver", host.tree.sys / "bus/virtio/drivers/virtio_blk")
    result = run_module(host, "kernel_module", modules=disabled("igb"))
    assert f"module igb is needed by this host: its driver has {ROOT_DISK}" in result["msg"]


def test_the_whole_declaration_refuses_it_with_everything_else(run_module, host_on_nvme):
    wish = {"modules": disabled("nvme"), "devices": {"p": [{"match": {"address": UPLINK}}]}, "initramfs": False}
    assert "module nvme is needed by this host" in run_module(host_on_nvme, "passthrough", **wish)["msg"]
    assert run_module(host_on_nvme, "passthrough", **dict(wish, force=["storage"]))["changed"]
