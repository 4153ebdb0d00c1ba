# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A driver whose probe refuses the device: everything is put back, or the declared fallback is taken, and remembered."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import rules as device_rules
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record, Refusal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, TWIN, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Module, alias

VARIANT = "virtio_vfio_pci"
REFUSES = (VARIANT, VIRTIO)


def at(address, **options):
    return dict(options, match={"address": address})


WISH = at(VIRTIO, fallback="vfio-pci")


@pytest.fixture
def refusing(make_host):
    """A host with a variant for the virtio NIC that refuses it."""
    host = make_host(hosts.with_modules(hosts.x86(), hosts.VARIANT))
    host.kernel.refusals[REFUSES] = errno.EINVAL
    return host


def tries(host, address=VIRTIO, driver=VARIANT):
    """How often a driver was asked for a device since the last reset."""
    return host.faults.log.count(("write", f"/sys/bus/pci/drivers/{driver}/bind", address))


def another_kernel(host, release="6.13.0-test"):
    """The same modules of another kernel, running."""
    os.rename(host.kernel.module_tree, f"{host.root}/lib/modules/{release}")
    (host.tree.root / "proc/sys/kernel/osrelease").write_text(release + "\n")


def test_without_a_fallback_all_is_put_back_and_the_message_says_what_to_do(refusing):
    with pytest.raises(ApplyError) as caught:
        refusing.take(NIC, VIRTIO)
    message, rest = caught.value.messages
    assert message.startswith(f"{VIRTIO} (device [1af4:1041]): virtio_vfio_pci does not bind: ")
    assert "EINVAL (Invalid argument)" in message
    assert message.endswith("; name another driver, or declare one for this case: fallback: vfio-pci")
    assert rest == "everything that this task had changed was put back as it was"
    assert (refusing.driver(NIC), refusing.driver(VIRTIO), refusing.rules()) == ("e1000e", "virtio-pci", None)


def test_the_fallback_is_taken_and_the_evidence_says_why(refusing):
    result = refusing.take(NIC, WISH)
    (device,) = [one for one in result["devices"] if one["address"] == VIRTIO]
    assert (device["driver"], device["override"], device["status"]) == ("vfio-pci", "vfio-pci", "bound")
    assert (device["choice"]["source"], device["choice"]["module"]) == ("fallback", "vfio_pci")
    assert device["choice"]["reason"] == (
        "virtio_vfio_pci refused the device with EINVAL, and policy p, devices[1] declares this fallback"
    )
    assert (refusing.driver(VIRTIO), refusing.driver(NIC)) == ("vfio-pci", "vfio-pci")


def test_the_second_run_changes_nothing_and_asks_nobody(refusing):
    refusing.take(WISH)
    refusing.faults.reset()
    predicted, second = refusing.take(WISH, check=True), refusing.take(WISH)
    assert not predicted["changed"] and not second["changed"]
    assert second["devices"] == predicted["devices"]
    assert second["devices"][0]["choice"]["source"] == "fallback"
    assert refusing.faults.log == []


def test_the_next_boot_takes_the_fallback(refusing):
    refusing.take(WISH)
    refusing.reboot()
    assert refusing.driver(VIRTIO) == "vfio-pci"
    assert not refusing.take(WISH)["changed"]
    assert tries(refusing) == 0


def test_check_mode_knows_no_refusal_before_the_first(refusing):
    (device,) = refusing.take(WISH, check=True)["devices"]
    assert device["choice"]["source"] == "auto"


def test_a_variant_that_does_not_refuse_is_taken(refusing):
    refusing.kernel.refusals.clear()
    refusing.take(WISH)
    assert refusing.driver(VIRTIO) == VARIANT
    assert "refused" not in refusing.rules()


def test_another_kernel_is_asked_again(refusing):
    refusing.take(WISH)
    another_kernel(refusing)
    refusing.faults.reset()
    assert refusing.take(WISH)["changed"]
    assert (tries(refusing), refusing.driver(VIRTIO)) == (1, "vfio-pci")
    assert not refusing.take(WISH)["changed"]


def test_another_kernel_whose_variant_does_not_refuse_gets_it(refusing):
    refusing.take(WISH)
    another_kernel(refusing)
    refusing.kernel.refusals.clear()
    refusing.take(WISH)
    assert refusing.driver(VIRTIO) == VARIANT
    assert not refusing.take(WISH)["changed"]


def test_another_kernel_is_not_asked_of_a_device_in_use(refusing):
    refusing.take(WISH)
    another_kernel(refusing)
    refusing.kernel.hold(VIRTIO, 4242, "qemu")
    assert not refusing.take(WISH)["changed"]


def test_another_kernel_is_not_asked_for_the_next_boot(refusing):
    refusing.take(WISH)
    another_kernel(refusing)
    assert not refusing.take(WISH, now=False)["changed"]


def test_another_fallback_asks_again(refusing):
    refusing.take(WISH)
    refusing.faults.reset()
    refusing.take(at(VIRTIO, fallback="virtio-pci"))
    assert (tries(refusing), refusing.driver(VIRTIO)) == (1, "virtio-pci")


def test_without_the_fallback_it_is_asked_again_and_the_fallback_stays_where_it_refuses(refusing):
    refusing.take(WISH)
    rules = refusing.rules()
    with pytest.raises(ApplyError, match="virtio_vfio_pci does not bind"):
        refusing.take(VIRTIO)
    assert (refusing.driver(VIRTIO), refusing.rules()) == ("vfio-pci", rules)


def test_a_pinned_driver_has_a_fallback_too(host):
    host.kernel.refusals["vfio-pci", NIC] = errno.ENODEV
    host.take(at(NIC, driver="vfio-pci", fallback="e1000e"))
    assert (host.driver(NIC), host.override(NIC)) == ("e1000e", "e1000e")
    assert not host.take(at(NIC, driver="vfio-pci", fallback="e1000e"))["changed"]


def test_all_that_refuse_are_found_in_one_round(host):
    for address in (NIC, TWIN):
        host.kernel.refusals["vfio-pci", address] = errno.EIO
    host.take(at(NIC, fallback="e1000e"), at(TWIN, fallback="e1000e"), EDU, NVME)
    assert [tries(host, one, "vfio-pci") for one in (NIC, TWIN)] == [1, 1]
    assert [tries(host, one, "vfio-pci") for one in (EDU, NVME)] == [2, 2]
    assert (host.driver(NIC), host.driver(TWIN), host.driver(EDU)) == ("e1000e", "e1000e", "vfio-pci")


def test_a_failure_beside_a_refusal_puts_all_back(refusing):
    refusing.kernel.refusals["vfio-pci", NVME] = errno.EIO
    with pytest.raises(ApplyError) as caught:
        refusing.take(WISH, NVME)
    assert NVME in caught.value.messages[0]
    assert (refusing.driver(VIRTIO), refusing.driver(NVME), refusing.rules()) == ("virtio-pci", "nvme", None)


def test_a_fallback_that_refuses_as_well_puts_all_back_and_says_both(refusing):
    refusing.kernel.refusals["vfio-pci", VIRTIO] = errno.EIO
    with pytest.raises(ApplyError) as caught:
        refusing.take(WISH, NIC)
    assert "vfio-pci does not bind" in caught.value.messages[0]
    assert "it is the fallback, since virtio_vfio_pci refused the device with EINVAL" in caught.value.messages[0]
    assert (refusing.driver(VIRTIO), refusing.driver(NIC), refusing.rules()) == ("virtio-pci", "e1000e", None)


def test_where_not_all_could_be_put_back_no_fallback_is_tried(refusing):
    refusing.kernel.refusals["virtio-pci", VIRTIO] = errno.EIO
    with pytest.raises(ApplyError, match="could not be put back"):
        refusing.take(WISH)
    assert tries(refusing, VIRTIO, "vfio-pci") == 0


def test_a_driver_that_takes_too_long_does_not_refuse(refusing):
    refusing.kernel.refusals.clear()
    refusing.kernel.slow[REFUSES] = 1000
    with pytest.raises(ApplyError, match="did not bind in"):
        refusing.take(WISH)


def test_a_fallback_that_cannot_be_had_is_refused_before_anything_is_touched(refusing):
    before = refusing.snapshot()
    with pytest.raises(PlanError) as caught:
        refusing.take(at(VIRTIO, fallback="nosuch"), at(NIC, fallback="igb"), at(PAIR, fallback="e1000", iommu_group="ignore"))
    assert len(caught.value.messages) == 2
    assert "unknown driver 'nosuch'" in caught.value.messages[0]
    assert f"driver igb does not declare {NIC}" in caught.value.messages[1]
    assert refusing.snapshot() == before


def test_a_fallback_may_be_forced(refusing):
    forced = {"force": ("driver",)}
    refusing.take(at(VIRTIO, fallback="igb"), **forced)
    assert refusing.driver(VIRTIO) == "igb"
    assert not refusing.take(at(VIRTIO, fallback="igb"), **forced)["changed"]


def test_what_a_group_adds_has_the_fallback_of_its_entry(make_host):
    both = Module("pair_vfio_pci", ("pair",), (alias("8086", "100e", bus="vfio_pci"),))
    host = make_host(hosts.with_modules(hosts.x86(), both))
    host.kernel.refusals["pair", hosts.PAIR2] = errno.EINVAL
    host.take(at(PAIR, iommu_group="extend", fallback="vfio-pci"))
    assert (host.driver(PAIR), host.driver(hosts.PAIR2)) == ("pair", "vfio-pci")


def test_releasing_forgets_the_refusal(refusing):
    refusing.take(WISH)
    refusing.release()
    assert refusing.driver(VIRTIO) == "virtio-pci"
    refusing.faults.reset()
    refusing.take(WISH)
    assert tries(refusing) == 1


def test_a_record_of_a_refusal_is_written_and_read():
    ids = {"vendor": "1af4", "device": "1041", "subsystem_vendor": "1af4", "subsystem_device": "1100", "class": "020000"}
    record = Record(
        VIRTIO, ids, "vfio-pci", "vfio_pci", {"driver": None, "net": [], "serial": None},
        refused=Refusal(VARIANT, VARIANT, "6.12", "EINVAL", "vfio-pci"),
    )
    text = device_rules.render("p", [record])
    assert device_rules.parse(text, "x") == [record]
    assert device_rules.parse(device_rules.render("p", [replace(record, refused=None)]), "x") == [replace(record, refused=None)]
    with pytest.raises(PlanError, match="cannot be read"):
        device_rules.parse(text.replace('"kernel": "6.12"', '"kernel": 6'), "x")
