# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving back where the native driver refuses the device, is not there any more, or is another than before."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.area import Unfinished
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE, REPORT
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, TWIN
from ansible_collections.vfio.host.tests.unit.fake.model import Module

UIO = Module("uio_pci_generic", ("uio_pci_generic",))
# Two drivers for one card, of which a kernel has both, or the one in the tree only.
VENDORS = Module("vendors_nic", ("vendors_nic",), hosts.MODULES[2].aliases)


def without_module(host, *names):
    """A boot of a kernel that lacks modules."""
    host.kernel.spec = replace(host.kernel.spec, modules=tuple(one for one in host.kernel.spec.modules if one.name not in names))
    host.tree.spec = host.kernel.spec
    host.tree.install()
    host.reboot()


def rows(result):
    return {one["address"]: (one["status"], one["driver"], one["override"]) for one in result["devices"]}


def failed(host, run):
    """(messages, result) of a run that does all but something."""
    with pytest.raises(Unfinished) as caught:
        run(host)
    return caught.value.messages, caught.value.plans["devices"].result()


# What had no driver.


def test_what_had_no_driver_since_its_native_one_refuses_it_is_released_with_a_warning(host):
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    host.kernel._detach(NIC)
    host.take(NIC, NVME)
    result = host.release()
    assert rows(result) == {NVME: ("released", "nvme", None), NIC: ("released", None, None)}
    assert result["warnings"] == [
        f"{NIC} (Intel Corporation 82574L Gigabit Network Connection) is given back without a driver: e1000e, which declares it, did "
        "not take it; the kernel log may say why"
    ]
    assert (host.driver(NIC), host.override(NIC), host.rules()) == (None, None, None)
    assert not host.release()["changed"]


def test_what_had_no_driver_and_whose_native_one_takes_it_now_has_that(host):
    host.kernel._detach(NIC)
    host.take(NIC)
    predicted = host.release(check=True)
    assert host.release() == predicted
    assert (host.driver(NIC), predicted["warnings"]) == ("e1000e", [])


def test_a_standing_rules_device_that_its_native_driver_refuses_is_released(host):
    host.kernel.refusals["e1000e", TWIN] = errno.EIO
    host.reboot()
    host.take({"match": {"vendor": "8086", "device": "10d3"}, "optional": True})
    host.reboot()
    host.release()
    assert (host.driver(NIC), host.driver(TWIN), host.override(TWIN)) == ("e1000e", None, None)


# What had a driver that is gone.


def test_what_had_a_driver_whose_module_is_gone_is_released_and_check_mode_says_so(host):
    host.take(NIC, NVME)
    without_module(host, "e1000e")
    predicted = host.release(check=True)
    result = host.release()
    assert result == predicted
    assert rows(result) == {NVME: ("released", "nvme", None), NIC: ("released", None, None)}
    assert result["warnings"] == [
        f"{NIC} (Intel Corporation 82574L Gigabit Network Connection) had driver e1000e, and no driver or module of kernel "
        f"{host.survey().kernel} serves it now: it is given back without a driver"
    ]
    assert not host.release()["changed"]


def test_what_had_a_driver_from_elsewhere_that_is_gone_goes_to_the_kernels_own(make_host):
    spec = hosts.x86()
    host = make_host(replace(spec, modules=(VENDORS,) + spec.modules))
    host.take({"match": {"address": NIC}, "driver": "vendors_nic"})
    host.release()
    host.kernel._detach(NIC)
    host.kernel.write(f"{host.kernel.pci_drivers}/vendors_nic/bind", NIC)
    host.take(NIC)
    assert '"driver": "vendors_nic"' in host.rules()
    without_module(host, "vendors_nic")
    host.kernel.modprobe("e1000e")
    predicted = host.release(check=True)
    result = host.release()
    assert result == predicted
    assert rows(result) == {NIC: ("released", "e1000e", None)}


def test_what_had_a_driver_from_elsewhere_that_is_gone_and_the_kernels_own_refuses_it_is_released(make_host):
    spec = hosts.x86()
    host = make_host(replace(spec, modules=(VENDORS,) + spec.modules))
    host.kernel.modprobe("vendors_nic")
    host.kernel._detach(NIC)
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver_override", "vendors_nic")
    host.kernel.write(f"{host.kernel.pci_drivers}/vendors_nic/bind", NIC)
    host.take(NIC)
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    without_module(host, "vendors_nic")
    host.kernel.modprobe("e1000e")
    result = host.release()
    assert rows(result) == {NIC: ("released", None, None)}
    assert "e1000e, which declares it, did not take it" in result["warnings"][0]


# What the kernel gives.


def test_a_row_of_a_release_says_what_the_kernel_has_and_not_what_was_there_before(make_host):
    host = make_host(hosts.with_modules(hosts.x86(), UIO))
    host.kernel.modprobe("uio_pci_generic")
    host.kernel._detach(NIC)
    host.kernel.write(f"{host.kernel.pci_devices}/{NIC}/driver_override", "uio_pci_generic")
    host.kernel.write(f"{host.kernel.pci_drivers}/uio_pci_generic/bind", NIC)
    host.take(NIC)
    assert '"driver": "uio_pci_generic"' in host.rules()
    predicted = host.release(check=True)
    result = host.release()
    assert result == predicted
    assert (rows(result), host.driver(NIC)) == ({NIC: ("released", "e1000e", None)}, "e1000e")


def test_where_two_drivers_declare_a_device_the_row_names_the_one_that_has_it(make_host):
    spec = hosts.x86()
    host = make_host(replace(spec, modules=spec.modules + (VENDORS,)))
    host.take(NIC)
    host.kernel.modprobe("vendors_nic")
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    result = host.release()
    assert (rows(result)[NIC], host.driver(NIC)) == (("released", "vendors_nic", None), "vendors_nic")


# What its native driver refuses now.


def test_a_device_that_cannot_be_given_back_keeps_no_other_one(host):
    host.take(NIC, NVME, TWIN)
    host.kernel.refusals["nvme", NVME] = errno.EIO
    messages, result = failed(host, lambda host: host.release())
    (message,) = messages
    assert message.startswith(f"{NVME} (") and message.endswith(
        "no native driver took it back in 1 seconds; see what the kernel log says of it; it could not be given back, all else was done, and "
        "its record stays: run again when that is mended"
    )
    assert rows(result) == {
        NVME: ("failed", None, None), NIC: ("released", "e1000e", None), TWIN: ("released", "e1000e", None),
    }
    assert (host.driver(NIC), host.driver(TWIN), host.driver(NVME), host.override(NVME)) == ("e1000e", "e1000e", None, None)
    assert NVME in host.rules(volatile=True) and NIC not in host.rules(volatile=True)


def test_what_could_not_be_given_back_is_tried_again_by_the_next_release(host):
    host.take(NIC, NVME)
    host.kernel.refusals["nvme", NVME] = errno.EIO
    failed(host, lambda host: host.release())
    again, dummy = failed(host, lambda host: host.release())
    assert again[0].startswith(NVME)
    del host.kernel.refusals["nvme", NVME]
    predicted = host.release(check=True)
    assert host.release() == predicted
    assert (host.driver(NVME), host.rules(volatile=True)) == ("nvme", None)
    assert not host.release()["changed"]


def test_what_could_not_be_given_back_is_free_after_a_boot(host):
    host.take(NIC, NVME)
    host.kernel.refusals["nvme", NVME] = errno.EIO
    failed(host, lambda host: host.release())
    del host.kernel.refusals["nvme", NVME]
    host.reboot()
    assert (host.driver(NVME), host.override(NVME), host.rules(), host.release()["changed"]) == ("nvme", None, None, False)


@pytest.mark.parametrize("wish", [
    {"p": [{"match": {"address": TWIN}}]}, {"p": [], "other": [{"match": {"address": TWIN}}]}, {"other": [{"match": {"address": TWIN}}]},
])
def test_a_device_that_leaves_a_policy_and_cannot_keeps_nothing_from_being_taken(host, wish):
    host.take(NIC, NVME)
    host.kernel.refusals["nvme", NVME] = errno.EIO
    messages, dummy = failed(host, lambda host: host.run(wish, undeclared=RELEASE))
    assert len(messages) == 1 and messages[0].startswith(NVME)
    assert (host.driver(NIC), host.driver(TWIN), host.driver(NVME)) == ("e1000e", "vfio-pci", None)
    del host.kernel.refusals["nvme", NVME]
    host.run(wish, undeclared=RELEASE)
    assert host.driver(NVME) == "nvme"
    assert not host.run(wish, undeclared=RELEASE)["changed"]
    host.reboot()
    assert (host.driver(NVME), host.driver(TWIN)) == ("nvme", "vfio-pci")


def test_where_a_take_fails_after_it_all_is_put_back(host):
    host.take(NIC, NVME)
    rules = host.rules()
    host.kernel.refusals.update({("nvme", NVME): errno.EIO, ("vfio-pci", TWIN): errno.EINVAL})
    with pytest.raises(ApplyError) as caught:
        host.run({"p": [], "z": [{"match": {"address": TWIN}}]}, undeclared=REPORT)
    assert not isinstance(caught.value, Unfinished)
    assert (host.driver(NIC), host.driver(NVME), host.driver(TWIN)) == ("vfio-pci", "vfio-pci", "e1000e")
    assert (host.rules(), host.rules(volatile=True)) == (rules, None)


def test_what_a_vfio_driver_takes_again_stays_usable_and_keeps_no_other_one(host):
    host.take(EDU, NIC)
    host.kernel.write(f"{host.kernel.pci_drivers}/vfio-pci/new_id", "1234 11e8")
    messages, dummy = failed(host, lambda host: host.release())
    assert "vfio-pci took it again without an override" in messages[0]
    assert (host.driver(NIC), host.driver(EDU), host.override(EDU)) == ("e1000e", "vfio-pci", "vfio-pci")
    assert EDU in host.rules(volatile=True)


def test_a_declared_native_driver_that_refuses_puts_all_back(host):
    host.take(NIC)
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    with pytest.raises(ApplyError, match="no native driver took it back") as caught:
        host.take({"match": {"address": NIC}, "driver": "native"}, NVME)
    assert not isinstance(caught.value, Unfinished)
    assert (host.driver(NIC), host.driver(NVME)) == ("vfio-pci", "nvme")


# Why.


@pytest.mark.parametrize(("wish", "options", "reason"), [
    ({"p": None}, {"present": False}, "the task gives policy p back"),
    (None, {"present": False}, "the task gives policy p back"),
    ({"p": []}, {"undeclared": REPORT}, "policy p declares no device any more"),
    ({"p": [{"match": {"address": NVME}}]}, {}, "policy p no longer declares it"),
    ({}, {"undeclared": RELEASE}, "nobody declares policy p any more, and the task gives back what nobody declares"),
])
def test_a_row_says_why_its_device_is_given_back(host, wish, options, reason):
    host.take(NIC)
    for check in (True, False):
        result = host.run(wish, check=check, **options)
        (one,) = [one for one in result["devices"] if one["address"] == NIC]
        assert one["choice"]["reason"] == reason
