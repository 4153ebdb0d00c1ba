# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Functions of s390: their UID or FID says which one is meant, at whatever address it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Nvme

ONE, TWIN, OTHER = "0002:00:00.0", "0003:00:00.0", "1234:00:00.0"


def two_disks(unique="1"):
    """The s390 host with a second NVMe disk, and with UIDs that firmware checks, or not."""
    spec = hosts.s390()
    disk = spec.functions[0]
    twin = replace(
        disk, address=TWIN, group="3", zpci=dict(disk.zpci, uid="0x3", function_id="0x00000013"), nvme=Nvme("nvme1", "Z03"),
    )
    functions = tuple(
        replace(one, zpci=dict(one.zpci, uid_is_unique=unique)) for one in (disk, twin, *spec.functions[1:])
    )
    return replace(spec, functions=functions)


def rename(host, names):
    """Address -> (new address, new zpci attributes), with the host off."""
    host.kernel.spec = replace(host.kernel.spec, functions=tuple(
        replace(one, address=names[one.address][0], zpci=dict(one.zpci, **names[one.address][1]))
        if one.address in names else one for one in host.kernel.spec.functions
    ))
    host.reboot()


def by(**match):
    return {"match": match}


@pytest.mark.parametrize("match", [{"uid": "0x2"}, {"uid": "0002"}, {"function_id": "12"}, {"address": ONE}])
def test_a_function_with_a_unique_uid_is_pinned_by_it(make_host, match):
    host = make_host(two_disks())
    host.take(by(**match))
    assert 'ATTR{uid_is_unique}=="1", ATTR{uid}=="0x2", ATTR{vendor}=="0x1b36"' in host.rules()
    assert f'KERNEL=="{ONE}"' not in host.rules() and '"address"' not in host.rules()
    host.reboot()
    assert host.drivers() == {ONE: "vfio-pci", TWIN: "nvme", OTHER: None}
    assert not host.take(by(**match))["changed"]
    host.release()
    assert (host.driver(ONE), host.rules()) == ("nvme", None)


def test_functions_whose_uids_were_swapped_have_the_driver_of_their_uid(make_host):
    host = make_host(two_disks())
    wish = by(uid="0x2"), dict(by(uid="0x3"), driver="native")
    host.take(*wish)
    # The domain is the UID, so the disk Z03 is at the other's address now.
    rename(host, {ONE: (TWIN, {"uid": "0x3"}), TWIN: (ONE, {"uid": "0x2"})})
    assert (host.driver(ONE), host.driver(TWIN)) == ("vfio-pci", "nvme")
    assert {one["status"] for one in host.take(*wish)["devices"]} == {"unchanged"}
    host.release()
    assert (host.driver(ONE), host.driver(TWIN)) == ("nvme", "nvme")


def test_a_uid_that_names_another_kind_of_function_now_has_it_taken_by_the_next_run(make_host):
    host = make_host(two_disks())
    host.take(by(uid="0x2"))
    rename(host, {ONE: (OTHER, {"uid": "0x1234"}), OTHER: (ONE, {"uid": "0x2"})})
    # A rule compares ids as well: it never takes what no run has seen.
    assert (host.driver(ONE), host.driver(OTHER)) == (None, "nvme")
    host.take(by(uid="0x2"))
    assert (host.driver(ONE), host.driver(OTHER)) == ("vfio-pci", "nvme")
    assert "0x15b3" in host.rules() and "0x1b36" not in host.rules()


def test_without_unique_uids_the_fid_pins_and_addresses_may_move(make_host):
    host = make_host(two_disks(unique="0"))
    host.take(by(function_id="0x12"))
    assert 'SUBSYSTEM=="pci", ATTR{function_id}=="0x00000012", ATTR{vendor}' in host.rules()
    rename(host, {ONE: (TWIN, {}), TWIN: (ONE, {})})
    assert (host.driver(TWIN), host.driver(ONE)) == ("vfio-pci", "nvme")
    assert not host.take(by(function_id="0x12"))["changed"]
    (device,) = host.release()["devices"]
    assert (device["address"], host.driver(TWIN)) == (TWIN, "nvme")


def test_a_uid_that_need_not_be_unique_matches_nothing_and_says_why(make_host):
    host = make_host(two_disks(unique="0"))
    with pytest.raises(PlanError) as error:
        host.take(by(uid="0x2"))
    assert "UIDs are not unique on this host (uid_is_unique is 0): match by function_id" in str(error.value)


def test_a_host_whose_uids_became_unique_keeps_its_devices(make_host):
    host = make_host(two_disks(unique="0"))
    host.take(by(function_id="0x12"))
    rename(host, {ONE: (ONE, {"uid_is_unique": "1"}), TWIN: (TWIN, {"uid_is_unique": "1"})})
    assert host.driver(ONE) == "vfio-pci"
    assert {one["status"] for one in host.take(by(function_id="0x12"))["devices"]} == {"unchanged"}
    assert "ATTR{uid}" in host.rules()
    host.reboot()
    assert (host.driver(ONE), host.driver(TWIN)) == ("vfio-pci", "nvme")


def test_an_absent_optional_function_keeps_its_rule_and_is_taken_wherever_it_comes(make_host):
    host = make_host(two_disks(unique="0"))
    wish = dict(by(function_id="0x13"), optional=True)
    host.take(wish)
    rules = host.rules()
    function = next(one for one in host.kernel.spec.functions if one.address == TWIN)
    host.unplug(TWIN)
    assert not host.take(wish)["changed"]
    host.plug(replace(function, address="0004:00:00.0"))
    assert host.driver("0004:00:00.0") == "vfio-pci"
    assert not host.take(wish)["changed"]
    assert host.rules() == rules


@pytest.mark.parametrize("old, new", [('{"uid": "0x2"}', '{"pchid": "0x2"}'), ('"uid": "0x2"', '"uid": "0x2*"'),
                                      ('{"uid": "0x2"}', '{}')])
def test_a_record_that_pins_nothing_is_an_error(make_host, old, new):
    host = make_host(two_disks())
    host.take(by(uid="0x2"))
    text = host.rules()
    assert old in text
    Path(f"{host.files.boot_rules}/60-vfio-host-p.rules").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(PlanError, match="this record cannot be read"):
        host.take(by(uid="0x2"))
