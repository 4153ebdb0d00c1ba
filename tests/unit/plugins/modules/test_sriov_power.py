# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VFs of POWER, which no emulation has room for.

Sources: arch/powerpc/platforms/powernv/pci-sriov.c pnv_pci_sriov_enable(): each VF is a partitionable endpoint of its own, and what a host
bridge lacks for them is an errno of the write. arch/powerpc/platforms/pseries/pci.c pseries_pci_sriov_enable(), pseries_pcibios_sriov_disable(): a
guest's kernel turns the probing of VFs off with the first and on with the last.
"""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module, alias

PF = "0001:01:00.0"
VFS = ["0001:01:00.2", "0001:01:00.3"]
# What was loaded stays loaded, and harms nobody.
LEFT = ("/run/vfio-host", "/sys/module", "/sys/bus/pci/drivers/vfio-pci", "/sys/class/vfio-dev")


def with_vfs(opal):
    """A host with a card that can have two VFs, each of which has a group of its own."""
    vfs = tuple(
        Function(address, "15b3:101e", "020000", group=str(10 + index), parent="0001:00:00.0", numa="0", physfn=PF, reset="flr")
        for index, address in enumerate(VFS)
    )
    pf = Function(PF, "15b3:101d", "020000", group="5", parent="0001:00:00.0", numa="0", sriov_total=2, vfs=vfs, vf_layout=(2, 1), reset="flr")
    spec = hosts.p9(opal=opal)
    module = Module("mlx5_core", ("mlx5_core",), (alias("15b3", "101d"), alias("15b3", "101e")), initramfs=True)
    others = tuple(one for one in spec.functions if one.address != PF)
    return replace(spec, functions=others + (pf,), modules=(module,) + spec.modules)


@pytest.fixture(params=[True, False], ids=["bare-metal", "guest"])
def host(make_host, request):
    return make_host(with_vfs(request.param))


def wish(**pf):
    return {
        "sriov": [dict({"match": {"address": PF}, "numvfs": 2}, **pf)], "devices": {"guests": [{"match": {"physfn": PF}, "count": 2}]},
        "initramfs": False,
    }


def autoprobe(host):
    return host.kernel.read(f"{host.kernel.pci_devices}/{PF}/sriov_drivers_autoprobe") == "1"


def probed(host, is_on):
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_drivers_autoprobe", str(int(is_on)))


def test_they_are_made_and_taken_and_no_native_driver_has_one(run_module, host):
    seen = []
    heard = host.kernel._on_bind
    host.kernel._on_bind = lambda address: (seen.append((address, host.driver(address))), heard(address))
    result = run_module(host, "passthrough", **wish())
    assert not result.get("failed"), result
    assert [one for one in seen if one[0] in VFS] == [(one, "vfio-pci") for one in VFS]
    assert not run_module(host, "passthrough", **wish())["changed"]


def test_a_boot_takes_them(run_module, host):
    run_module(host, "passthrough", **wish())
    host.reboot()
    assert [host.driver(one) for one in VFS] == ["vfio-pci"] * 2
    assert not run_module(host, "passthrough", **wish())["changed"]


@pytest.mark.parametrize("wanted", [False, True])
def test_their_probing_is_as_declared_whatever_the_kernel_makes_of_it(run_module, host, wanted):
    assert not run_module(host, "passthrough", **wish(autoprobe=wanted)).get("failed")
    assert autoprobe(host) is wanted
    assert not run_module(host, "passthrough", **wish(autoprobe=wanted))["changed"]


@pytest.mark.parametrize("before", [False, True])
def test_they_are_given_back_and_probing_is_as_it_was(run_module, host, before):
    probed(host, before)
    run_module(host, "passthrough", **wish())
    run_module(host, "passthrough", state="absent")
    assert not [one for one in VFS if one in host.kernel.functions]
    assert autoprobe(host) is before


@pytest.mark.exhaustive
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("opal", [True, False], ids=["bare-metal", "guest"])
def test_a_run_that_fails_anywhere_puts_number_and_probing_back(run_module, make_host, opal, before):
    failed = 0
    for index in range(60):
        host = make_host(with_vfs(opal))
        probed(host, before)
        was = host.snapshot(*LEFT)
        host.faults.reset()
        host.faults.fail_at(index, errno.EIO)
        if not run_module(host, "passthrough", **wish()).get("failed"):
            continue
        failed += 1
        assert host.snapshot(*LEFT) == was, index
    assert failed > 5


@pytest.mark.parametrize("number, words", [
    (errno.EBUSY, "its host bridge may not have so many partitionable endpoints or windows free"),
    (errno.ENOSPC, "has to be 64-bit and prefetchable"),
    (errno.ENXIO, "a host bridge of this kind has no VFs"),
    (errno.ENOMEM, "the firmware gave them no room on the bus"),
])
def test_what_a_host_bridge_lacks_is_said_and_nothing_is_left(run_module, host, monkeypatch, number, words):
    before = host.snapshot(*LEFT)

    def refuse(*dummy):
        raise OSError(number, "refused")

    monkeypatch.setattr(host.kernel, "_numvfs", refuse)
    result = run_module(host, "passthrough", **wish())
    assert result["failed"]
    assert f"sriov_numvfs: {errno.errorcode[number]}" in result["msg"] and words in result["msg"]
    assert host.snapshot(*LEFT) == before
