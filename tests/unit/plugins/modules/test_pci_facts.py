# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import details
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
    expected["devices"] = details.add(host.kernel, survey, facts=expected["devices"], fields=())
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
