# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.leaving import printable
from ansible_collections.vfio.host.plugins.module_utils._devices import details
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.modules import pci_facts
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, TWIN


def facts(run_module, host, **options):
    return run_module(host, "pci_facts", **options)["ansible_facts"]["vfio_host"]


def test_the_facts_are_the_whole_host(run_module, host):
    result = run_module(host, "pci_facts")
    assert set(result) - {"invocation", "warnings"} == {"ansible_facts"}
    assert list(result["ansible_facts"]) == ["vfio_host"]
    survey = host.survey()
    expected = survey.facts()
    expected["devices"] = details.add(host.kernel, survey, usage=Usage(host.kernel), facts=expected["devices"], fields=())
    assert result["ansible_facts"]["vfio_host"] == expected


def test_details_are_read_where_a_task_names_them(run_module, host):
    host.tree.put(host.tree.directory(NIC) / "local_cpulist", "0-3\n")
    (one,) = facts(run_module, host, match=[{"address": NIC}], details=["cpus"])["devices"].values()
    assert (one["cpus"], one["bars"], one["vpd"]) == ("0-3", None, None)


def test_check_mode_gives_the_same(run_module, host):
    assert facts(run_module, host, check=True) == facts(run_module, host)


def test_a_match_narrows_the_devices_and_only_them(run_module, host):
    found = facts(run_module, host, match=[{"vendor": "8086", "device": "10d3"}])
    assert sorted(found["devices"]) == [NIC, TWIN]
    assert found["iommu"] == host.survey().facts()["iommu"]


def test_of_several_matches_each_counts(run_module, host):
    assert sorted(
        facts(run_module, host, match=[{"net": "enp2s0"}, {"net": "enp3s0"}, {"net": "none"}])["devices"]
    ) == [NIC, TWIN]


def test_bad_matches_fail_with_all_of_them(run_module, host):
    result = run_module(host, "pci_facts", match=[{"x": "1"}, {"vendor": "zz"}])
    assert result["failed"]
    assert [line.split(":")[0] for line in result["msg"].splitlines()] == ["match[0]", "match[1]"]


def test_without_root_there_are_facts_and_one_warning(run_module, host):
    host.kernel.is_root = False
    result = run_module(host, "pci_facts")
    assert len(result["warnings"]) == 1
    assert "not root" in str(result["warnings"][0])
    assert result["ansible_facts"]["vfio_host"]["devices"][NIC]["holders"] is None


@pytest.mark.parametrize("spec", [hosts.x86(functions=()), hosts.x86(iommu=False), hosts.s390(), hosts.p9()])
def test_any_linux_has_facts(run_module, make_host, spec):
    assert len(facts(run_module, make_host(spec))["devices"]) == len(spec.functions)


def test_a_device_taken_by_id_is_told_and_by_a_match_only_those_asked_for(run_module, host):
    host.kernel.modprobe("vfio_pci")
    for address in (NIC, TWIN):
        host.kernel.write(f"{host.kernel.pci_drivers}/e1000e/unbind", address)
    host.kernel.write(f"{host.kernel.pci_drivers}/vfio-pci/new_id", "8086 10d3")
    (warning,) = map(str, run_module(host, "pci_facts")["warnings"])
    assert "on vfio-pci without an override, taken by id" in warning and NIC in warning and TWIN in warning
    (warning,) = map(str, run_module(host, "pci_facts", match=[{"address": NIC}])["warnings"])
    assert NIC in warning and TWIN not in warning
    assert "warnings" not in run_module(host, "pci_facts", match=[{"address": NVME}])
    host.take(NIC, TWIN)
    assert "warnings" not in run_module(host, "pci_facts")


@pytest.mark.parametrize("many", [1, 2, 3, 7])
def test_a_host_of_many_devices_has_the_same_result_as_a_small_one(run_module, host, monkeypatch, many):
    options = {"match": [{"class": ["02", "0108", "06"]}], "details": ["cpus"], "owners": True}
    expected = run_module(host, "pci_facts", **options)
    monkeypatch.setattr(pci_facts, "MANY", many)
    found = run_module(host, "pci_facts", **options)
    assert len(found["ansible_facts"]["vfio_host"]["devices"]) > many
    assert found["ansible_facts"] == expected["ansible_facts"]


@pytest.mark.parametrize("count", [0, 1, pci_facts.MANY, pci_facts.MANY + 1, 3 * pci_facts.MANY])
@pytest.mark.parametrize("name", ["plain", "caf\udce9", "\U0001f480 \"devices\": {}"])
def test_parts_of_a_result_are_its_json(count, name):
    devices = {f"{number}{name}": {"name": name, "net": [], "devices": {}} for number in range(count)}
    facts = {"platform": name, "iommu": {"groups": {name: [name]}}, "devices": devices, "owners": {name: {}}}
    result = {"ansible_facts": {"vfio_host": facts}, "invocation": {"module_args": {"match": [{"net": name}]}}}
    assert "".join(pci_facts.texts(result)) == json.dumps(printable(result))


def test_devices_do_not_share_what_only_one_of_them_has(run_module, host):
    host.take(NIC)
    devices = facts(run_module, host)["devices"]
    assert devices[NIC]["vfio"]["node"] is not None
    assert [devices[address]["vfio"]["node"] for address in (TWIN, NVME)] == [None, None]
