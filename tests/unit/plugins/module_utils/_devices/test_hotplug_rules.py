# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kind of device that is declared before there is one: the rule that takes it, and what it must never take."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.hotplug_rules import Standing, parse
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, SLOT, TWIN, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module
from ansible_collections.vfio.host.tests.unit.fake.udev import parse_rule

NEW = "0000:07:00.0"
NEW_CARD = hosts.e1000e(NEW, "30", SLOT, 7)
KIND = {"match": {"vendor": "8086", "device": "10d3"}, "optional": True}
VIRTIO_CARD = Function(NEW, "1af4:1041:1af4:1100", "020000", group="30", parent=SLOT)
STANDING = Standing({"vendor": ("8086",), "device": ("10d*",)}, "vfio-pci", "vfio_pci")


@pytest.fixture
def bare(make_host):
    """The lab's host without any e1000e or modern virtio, but with their drivers loaded."""
    spec = hosts.x86()
    host = make_host(
        replace(spec, functions=tuple(one for one in spec.functions if one.address not in (NIC, TWIN, VIRTIO)))
    )
    host.kernel.modprobe("e1000e")
    return host


def test_a_kind_that_was_never_there_is_taken_when_it_is_plugged_in(bare):
    result = bare.take(KIND)
    assert (result["changed"], result["devices"]) == (True, [])
    assert not bare.take(KIND)["changed"]
    bare.plug(NEW_CARD)
    assert (bare.driver(NEW), bare.override(NEW)) == ("vfio-pci", "vfio-pci")


def test_the_run_after_that_has_nothing_to_do_and_a_boot_takes_it_again(bare):
    bare.take(KIND)
    bare.plug(NEW_CARD)
    again = bare.take(KIND)
    assert (again["changed"], [one["status"] for one in again["devices"]]) == (False, ["unchanged"])
    bare.unplug(NEW)
    assert not bare.take(KIND)["changed"]
    bare.kernel.spec = replace(bare.kernel.spec, functions=bare.kernel.spec.functions + (NEW_CARD,))
    bare.reboot()
    assert bare.driver(NEW) == "vfio-pci"
    assert not bare.take(KIND)["changed"]


@pytest.mark.parametrize("edit", [
    lambda host: host.release(),
    lambda host: host.take(EDU),
    lambda host: host.take(EDU, dict(KIND, driver="native")),
])
def test_what_it_took_is_given_back_with_it(bare, edit):
    bare.take(KIND, EDU)
    bare.plug(NEW_CARD)
    edit(bare)
    assert (bare.driver(NEW), bare.override(NEW)) == ("e1000e", None)
    bare.unplug(NEW)
    bare.plug(NEW_CARD)
    assert bare.driver(NEW) == "e1000e"


def test_a_release_is_what_check_mode_predicts_and_leaves_nothing(bare):
    aside = "/sys/module", "/sys/bus/pci/drivers", "/sys/class/vfio-dev"  # drivers that were loaded meanwhile
    before = bare.snapshot(*aside)
    bare.take(KIND)
    bare.plug(NEW_CARD)
    assert bare.release(check=True) == bare.release()
    bare.unplug(NEW)
    assert bare.snapshot(*aside) == before
    assert not bare.release()["changed"]


def test_the_entry_may_lose_its_option_and_the_device_is_recorded(bare):
    bare.take(KIND)
    bare.plug(NEW_CARD)
    assert bare.take({"match": KIND["match"]})["changed"]
    assert not bare.take({"match": KIND["match"]})["changed"]
    assert "# standing" not in bare.rules() and NEW in bare.rules()
    assert bare.driver(NEW) == "vfio-pci"


def test_what_is_there_is_taken_and_recorded_as_ever_and_more_may_come(host):
    host.take(KIND)
    assert '"enp2s0"' in host.rules() and "# standing" in host.rules()
    assert not host.take(KIND)["changed"]
    host.plug(NEW_CARD)
    assert host.driver(NEW) == "vfio-pci"
    assert not host.take(KIND)["changed"]


def test_for_this_boot_only_it_ends_with_the_boot(bare):
    bare.take(KIND, at_boot=False)
    bare.plug(NEW_CARD)
    assert bare.driver(NEW) == "vfio-pci"
    assert not bare.take(KIND, at_boot=False)["changed"]
    bare.reboot()
    bare.plug(NEW_CARD)
    assert bare.driver(NEW) == "e1000e"


@pytest.mark.parametrize("entry", [
    {"match": KIND["match"], "count": 0},
    dict(KIND, driver="native"),
    {"match": dict(KIND["match"], serial="x"), "optional": True},
    {"match": {"address": NEW}, "optional": True},
    {"match": {"vendor": "8086", "device": "10d[3]"}, "optional": True},
])
def test_only_optional_entries_by_ids_stand(bare, entry):
    bare.take(EDU, entry)
    assert "# standing" not in bare.rules()
    bare.plug(NEW_CARD)
    assert bare.driver(NEW) == "e1000e"


def test_without_the_option_a_kind_is_the_devices_that_are_there(host):
    host.take({"match": KIND["match"]})
    host.plug(NEW_CARD)
    assert (host.driver(NIC), host.driver(NEW)) == ("vfio-pci", "e1000e")


def test_a_device_that_the_host_needs_is_refused_before_a_rule_could_take_it(host):
    with pytest.raises(PlanError, match="is needed by this host"):
        host.take({"match": {"vendor": "1af4"}, "optional": True})
    assert host.rules() is None


def test_it_takes_no_bridge(bare):
    bare.take({"match": {"vendor": "abcd"}, "optional": True})
    bare.plug(Function(NEW, "abcd:0001", "060400", group="30", parent=SLOT, header_type=1))
    assert bare.driver(NEW) == "pcieport"


@pytest.mark.parametrize("rival", [
    {"match": {"serial": "S1"}, "driver": "native", "optional": True},
    {"match": {"vendor": "8086", "subsystem_vendor": "8086"}, "driver": "native", "optional": True},
    {"match": {"class": "02", "vendor": "8086", "subsystem_device": "9999"}, "driver": "e1000e", "optional": True},
])
def test_it_stays_away_where_another_entry_may_mean_the_device(bare, rival):
    spec = bare.kernel.spec
    bare.kernel.spec = replace(spec, functions=tuple(one for one in spec.functions if not one.ids.startswith("8086")))
    bare.reboot()
    result = bare.run({"a": [KIND], "b": [rival]})
    assert any("policy a, devices[0]: a device that is plugged in later waits for the next run" in one
               and "policy b, devices[0] may mean it too" in one for one in result["warnings"])
    assert bare.rules("a") is None


@pytest.mark.parametrize("other", [
    {"match": {"vendor": "1234", "device": "11e8"}, "driver": "native"},
    {"match": {"address": EDU}, "driver": "native"},
])
def test_an_entry_about_other_devices_is_no_rival(bare, other):
    bare.take(KIND, other)
    assert "# standing" in bare.rules()


def test_a_rule_for_one_device_goes_before_the_rule_for_its_kind(make_host):
    host = make_host(hosts.x86())
    host.run({"a": [{"match": {"address": NIC}, "driver": "e1000e"}]})
    text = host.rules("a") + "\n" + STANDING.rule("a") + "\n"
    host.tree.put(f"{host.files.boot_rules}/60-vfio-host-a.rules", text)
    host.reboot()
    assert (host.override(NIC), host.override(TWIN)) == ("e1000e", "vfio-pci")


def test_a_device_that_another_policys_rule_would_take_belongs_to_that_policy(bare):
    bare.run({"a": [KIND]})
    bare.plug(NEW_CARD)
    with pytest.raises(PlanError, match=f"{NEW} belongs to policy a, and policy b"):
        bare.run({"b": [{"match": {"address": NEW}, "driver": "native"}]})


def test_a_policy_of_rules_without_devices_is_warned_of_too(bare):
    bare.run({"a": [KIND]})
    assert any("policy a has devices on this host" in one for one in bare.run({"b": [{"match": {"address": EDU}}]})["warnings"])


def test_without_an_iommu_there_is_no_rule_that_would_leave_a_device_without_driver(make_host):
    spec = hosts.x86(iommu=False)
    host = make_host(replace(spec, functions=tuple(one for one in spec.functions if one.address not in (NIC, TWIN))))
    assert any("the IOMMU is off" in one for one in host.take(KIND)["warnings"])
    assert host.rules() is None


# The driver.


def with_edu_only(*modules):
    edu = tuple(one for one in hosts.x86().functions if one.address == EDU)
    return hosts.with_modules(hosts.x86(functions=edu), *modules)


def test_a_variant_that_the_ids_decide_is_the_rules_driver(make_host):
    host = make_host(with_edu_only(hosts.VARIANT))
    wish = {"match": {"vendor": "1af4", "device": "1041"}, "optional": True}
    host.take(wish)
    host.plug(VIRTIO_CARD)
    assert host.driver(NEW) == "virtio_vfio_pci"
    assert not host.take(wish)["changed"]


@pytest.mark.parametrize(("match", "driver"), [
    ({"vendor": "1af4", "device": "1041"}, "virtio_vfio_pci"),
    ({"vendor": "1af4", "device": "1042"}, "vfio-pci"),
    ({"vendor": "8086"}, "vfio-pci"),
    ({"vendor": ["1af4", "8086"], "device": "10d3"}, "vfio-pci"),
])
def test_a_driver_that_is_certain_needs_no_word(make_host, match, driver):
    result = make_host(with_edu_only(hosts.VARIANT)).take({"match": match, "optional": True})
    assert not [one for one in result["warnings"] if "leaves open" in one]
    assert f'ATTR{{driver_override}}="{driver}"' in result["diff"][0]["after"]


@pytest.mark.parametrize("match", [{"vendor": "1af4"}, {"class": "02"}, {"vendor": "1af4", "device": ["1041", "1042"]}])
def test_a_driver_that_the_match_leaves_open_is_the_base_driver_and_that_is_said(make_host, match):
    result = make_host(with_edu_only(hosts.VARIANT)).take({"match": match, "optional": True})
    assert any("gets vfio-pci until the next run" in one and "virtio_vfio_pci" in one for one in result["warnings"])


@pytest.mark.parametrize(("kind", "driver"), [("030200", "odd"), ("0200", "vfio-pci")])
def test_an_alias_of_a_class_is_compared_too(make_host, kind, driver):
    host = make_host(with_edu_only(Module("odd_vfio_pci", ("odd",), ("vfio_pci:v*d*sv*sd*bc03sc02i*",))))
    host.take({"match": {"class": kind}, "optional": True})
    assert f'ATTR{{driver_override}}="{driver}"' in host.rules()


def test_a_driver_that_does_not_exist_is_an_error_before_there_is_a_device(bare):
    with pytest.raises(PlanError, match="devices.0.: unknown driver 'nosuch'"):
        bare.take(dict(KIND, driver="nosuch"))


# The record.


def test_what_is_written_parses_to_the_same():
    assert parse(STANDING.comment(), "x") == [STANDING]
    assert parse_rule(STANDING.rule("p"))


@pytest.mark.parametrize(("change", "caught"), [
    ({}, True), ({"device": "10e3"}, False), ({"vendor": "1234"}, False), ({"class": "060400"}, False),
])
def test_it_knows_what_it_takes(change, caught):
    ids = dict(
        {"vendor": "8086", "device": "10d3", "subsystem_vendor": "0", "subsystem_device": "0", "class": "020000"}, **change
    )
    assert STANDING.catches(Device("0000:02:00.0", ids)) is caught


@pytest.mark.parametrize("changes", [
    {"patterns": ...}, {"patterns": {}}, {"patterns": {"address": ["*"]}}, {"patterns": {"vendor": []}},
    {"patterns": {"vendor": ['8086", RUN+="x']}}, {"patterns": {"colour": ["8086"]}}, {"patterns": {"vendor": [7]}},
    {"patterns": ["vendor"]}, {"driver": ...}, {"driver": 'x"'}, {"module": "$(x)"}, {"driver": None},
])
def test_a_tampered_record_is_refused_with_file_and_line(changes):
    kept = dict(json.loads(STANDING.comment()[len("# standing "):]), **changes)
    text = "#\n# standing " + json.dumps({key: value for key, value in kept.items() if value is not Ellipsis})
    with pytest.raises(PlanError, match=r"/etc/x\.rules, line 2: this record cannot be read"):
        parse(text, "/etc/x.rules")
