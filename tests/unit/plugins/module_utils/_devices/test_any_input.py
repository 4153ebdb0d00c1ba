# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a user writes: it is understood, or refused with an error of ours; no traceback, no line too many."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._devices import hotplug_rules, rules
from ansible_collections.vfio.host.plugins.module_utils._devices.match import FIELDS, Selector, parse_match
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.udev import parse_file

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(sorted(FIELDS)) | st.text(max_size=8)
TEXTS = st.text(st.characters(), max_size=20)
IDS = {"vendor": "8086", "device": "10d3", "subsystem_vendor": "8086", "subsystem_device": "0000", "class": "020000"}
DEVICE = Device(
    "0000:02:00.0",
    IDS,
    net=[{"name": "e", "mac": "m"}],
    serial="S",
    zpci=dict(dict.fromkeys(("uid", "function_id", "pchid", "pft", "pfgid", "vfn", "port"), "0x1"), uid_is_unique=True),
)


@hypothesis.given(st.dictionaries(KEYS, VALUES, max_size=4) | VALUES)
def test_a_match_is_understood_or_refused(value):
    with suppress(InputError):
        Selector({DEVICE.address: DEVICE}).select(parse_match(value, "here"))


@hypothesis.given(
    st.fixed_dictionaries(
        {"match": st.just({"vendor": "8086"})},
        optional=dict.fromkeys(("driver", "count", "iommu_group", "optional", "other"), VALUES),
    )
)
def test_an_entry_is_understood_or_refused(value):
    with suppress(InputError):
        parse_declarations({"p": [value]})


@hypothesis.given(st.text(max_size=12), VALUES)
def test_a_policy_is_understood_or_refused(name, devices):
    with suppress(InputError):
        parse_declarations({name: devices})


@hypothesis.given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_whatever_a_device_was_called_a_record_is_one_line_and_comes_back(name, mac, serial, released):
    record = Record(
        "0000:02:00.0",
        IDS,
        "vfio-pci",
        "vfio_pci",
        {"driver": "e1000e", "net": [{"name": name, "mac": mac}], "serial": serial},
        released,
    )
    text = rules.render("p", [record])
    lines = text.split("\n")
    assert len(lines) == len(
        rules.render("p", [Record("0000:02:00.0", IDS, "vfio-pci", "vfio_pci", {}, released)]).split("\n")
    )
    assert [line for line in lines if line and not line.startswith("#")] == [
        line for line in lines if line.startswith(("ACTION", "ENV"))
    ]
    assert rules.parse(text, "x") == [record]
    assert all(parse_file(text))


@hypothesis.given(st.text(max_size=60), VALUES)
def test_a_tampered_record_is_refused_or_harmless(line, value):
    for text in (f"# device {line}", "# device {" + line + "}"):
        with suppress(PlanError):
            for record in rules.parse(text, "x"):
                assert all(parse_file(rules.render("p", [record])))


@hypothesis.given(st.sampled_from(["patterns", "driver", "module"]), VALUES, st.text(max_size=12))
def test_a_tampered_standing_rule_is_refused_or_one_line_of_rule(key, value, glob):
    kept = {"patterns": {"vendor": ["8086"]}, "driver": "vfio-pci", "module": "vfio_pci"}
    for changed in (dict(kept, **{key: value}), dict(kept, patterns={"vendor": [glob]})):
        with suppress(PlanError):
            for one in hotplug_rules.parse("# standing " + json.dumps(changed), "x"):
                assert all(parse_file(f"{one.comment()}\n{one.rule('p')}\n"))
                assert len((one.comment() + one.rule("p")).splitlines()) == 1


@hypothesis.given(st.sampled_from(["address", "ids", "driver", "module", "was"]), VALUES)
@hypothesis.example("driver", "0")
def test_a_record_with_one_field_spoilt_is_refused_or_harmless(key, value):
    kept = {
        "address": "0000:02:00.0",
        "ids": IDS,
        "driver": "vfio-pci",
        "module": "vfio_pci",
        "was": {"driver": None, "net": [], "serial": None},
    }
    whole = rules.render("p", rules.parse("# device " + json.dumps(kept), "x"))
    with suppress(PlanError):
        for record in rules.parse("# device " + json.dumps(dict(kept, **{key: value})), "x"):
            assert len(rules.render("p", [record]).splitlines()) == len(whole.splitlines())
