# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VFs of s390, which no emulation has: they come by events of the platform, after the number was written.

Sources: drivers/pci/iov.c sriov_add_vfs() with no_vf_scan, arch/s390/pci/pci_iov.c zpci_iov_link_virtfn(): domain and bus are
the PF's, and physfn and virtfn links are as elsewhere.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module, alias

PF = "0001:00:00.0"
VFS = ["0001:00:10.0", "0001:00:10.2"]


def zpci(function_id, vfn):
    return {
        "uid": "0x1", "uid_is_unique": "1", "function_id": function_id, "pchid": "0x0100", "pft": "0x0f", "pfgid": "0x01",
        "vfn": vfn, "port": "1",
    }


@pytest.fixture
def host(make_host):
    vfs = tuple(
        Function(address, "15b3:101e", "020000", group=str(10 + index), numa=None, physfn=PF, reset="flr",
                 zpci=zpci(f"0x0000010{index + 1}", f"0x000{index + 1}"))
        for index, address in enumerate(VFS)
    )
    pf = Function(PF, "15b3:101d", "020000", group="5", numa=None, sriov_total=2, vfs=vfs, reset="flr", zpci=zpci("0x00000100", "0x0000"))
    spec = hosts.s390()
    module = Module("mlx5_core", ("mlx5_core",), (alias("15b3", "101d"), alias("15b3", "101e")), initramfs=True)
    return make_host(replace(spec, functions=spec.functions + (pf,), modules=(module,) + spec.modules))


@pytest.fixture
def wish():
    return {
        "sriov": [{"match": {"address": PF}, "numvfs": 2}], "devices": {"guests": [{"match": {"physfn": PF}, "count": 2}]},
        "initramfs": False,
    }


def test_a_run_waits_until_they_have_come_and_no_native_driver_has_one(run_module, host, wish):
    result = run_module(host, "passthrough", **wish)
    assert not result.get("failed"), result
    assert [host.driver(one) for one in VFS] == ["vfio-pci"] * 2
    assert not run_module(host, "passthrough", **wish)["changed"]


def test_a_boot_takes_them_when_they_come(run_module, host, wish):
    run_module(host, "passthrough", **wish)
    host.reboot()
    host.kernel.pause(1)
    assert [host.driver(one) for one in VFS] == ["vfio-pci"] * 2
    assert not run_module(host, "passthrough", **wish)["changed"]


def test_they_are_given_back(run_module, host, wish):
    run_module(host, "passthrough", **wish)
    run_module(host, "passthrough", state="absent")
    assert not [one for one in VFS if one in host.kernel.functions]
