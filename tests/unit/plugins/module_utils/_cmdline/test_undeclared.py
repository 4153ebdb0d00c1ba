# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments that a task has set and that nobody declares any more, asked of every back end."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline import area
from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal, recover
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import IGNORE, RELEASE, REPORT
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import HOSTS
from ansible_collections.vfio.host.tests.unit.fake.faults import deaths

LINE = "ro  intel_iommu=off amd_iommu=off quiet console=tty0 panic=5"
BOTH = {"intel_iommu": "on", "iommu": "pt"}


@pytest.fixture(params=sorted(HOSTS))
def host(request, tmp_path):
    return HOSTS[request.param](tmp_path, LINE)


def run(host, args, undeclared=None, check=False, meant=None, drop=None):
    request = Request(args, undeclared=undeclared, meant=meant or {}, drop=drop or {})
    plan = run_areas({"cmdline": (host.area, request)}, check, open_journal=lambda: Journal(host.kernel, host.files))["cmdline"]
    return dict(report([plan]), **plan.result(), undeclared=list(plan.undeclared))


def booted(host, name):
    """The values of an argument in what boots next."""
    plan = run_areas({"cmdline": (host.area, Request({name: "x"}))}, True)["cmdline"]
    return parse(plan.state.boot.entries[0][1]).values(name)


def names(result):
    return [one["name"] for one in result["undeclared"]]


def test_what_nobody_declares_is_reported_and_stays(host):
    run(host, BOTH)
    result = run(host, {"iommu": "pt"}, REPORT)
    assert (names(result), result["changed"], booted(host, "intel_iommu")) == (["intel_iommu"], False, ["on"])
    (reason,) = [one["reason"] for one in result["undeclared"]]
    assert reason.startswith("kernel argument intel_iommu=on was changed on the command line and nobody declares it: declare it (")
    assert reason in result["warnings"]
    assert sorted(names(run(host, {}, REPORT))) == ["intel_iommu", "iommu"]
    assert names(run(host, BOTH, REPORT)) == []


@pytest.mark.parametrize("how", [None, IGNORE])
def test_nobody_who_declares_single_arguments_is_told(host, how):
    run(host, BOTH)
    result = run(host, {"iommu": "pt"}, how)
    assert (names(result), result["changed"], result["warnings"]) == ([], False, [])


def test_what_is_given_back_is_as_before_and_the_rest_stays(host):
    run(host, BOTH, drop={"amd_iommu": "off"})
    assert booted(host, "amd_iommu") == []
    predicted = run(host, {"iommu": "pt"}, RELEASE, check=True)
    result = run(host, {"iommu": "pt"}, RELEASE)
    assert (predicted["changed"], predicted["args"]) == (result["changed"], result["args"])
    assert [booted(host, one) for one in ("intel_iommu", "iommu", "amd_iommu", "console", "panic")] == [
        ["off"], ["pt"], ["off"], ["tty0"], ["5"],
    ]
    assert not run(host, {"iommu": "pt"}, RELEASE)["changed"]
    assert names(run(host, {"iommu": "pt"}, REPORT)) == []


def test_what_a_task_has_said_to_be_absent_is_nobodys_to_declare_or_to_give_back(host):
    run(host, {"iommu": "pt"})
    run_areas({"cmdline": (host.area, Request({"panic": None}, False))}, False, open_journal=lambda: Journal(host.kernel, host.files))
    assert names(run(host, {"iommu": "pt"}, REPORT)) == []
    run(host, {}, RELEASE)
    assert (booted(host, "iommu"), booted(host, "panic")) == ([], [])


def test_all_that_is_given_back_leaves_nothing_of_ours(host):
    run(host, BOTH)
    result = run(host, {}, RELEASE)
    assert result["changed"]
    assert (booted(host, "intel_iommu"), booted(host, "iommu")) == (["off"], [])
    assert result["args"]["intel_iommu"]["wanted"] == result["args"]["iommu"]["wanted"] == []
    plan = run_areas({"cmdline": (host.area, Request(None, False))}, True)["cmdline"]
    assert not plan.changed


@pytest.mark.parametrize("meant", [{"intel-iommu": None, "iommu": None}, {"intel_iommu": ("on",), "iommu": ("pt", "nopt")}])
def test_what_something_else_rests_on_is_meant(host, meant):
    run(host, BOTH)
    assert names(run(host, {}, REPORT, meant=meant)) == []
    assert not run(host, {}, RELEASE, meant=meant)["changed"]


def test_another_value_than_the_one_meant_goes_and_off_does_not_come_back(host):
    run(host, {"intel_iommu": "sm_on"})
    assert names(run(host, {}, REPORT, meant={"intel_iommu": ("on",)})) == ["intel_iommu"]
    run(host, {}, RELEASE, meant={"intel_iommu": ("on",)})
    assert booted(host, "intel_iommu") == []


def test_a_host_whose_boot_loader_cannot_be_told_is_a_warning_where_nothing_is_declared(host, monkeypatch):
    run(host, BOTH)

    def find(*dummy):
        raise PlanError("no boot loader")

    monkeypatch.setattr(area, "find", find)
    result = run(host, {}, REPORT)
    assert result["warnings"] == ["whether kernel arguments are left that nobody declares cannot be told: no boot loader"]
    for how, args in ((RELEASE, {}), (REPORT, {"iommu": "pt"})):
        with pytest.raises(PlanError, match="no boot loader"):
            run(host, args, how)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(HOSTS))
def test_a_run_that_is_killed_is_gone_on_with(tmp_path, name):
    roots = iter(tmp_path / str(index) for index in range(100))

    def prepared():
        host = HOSTS[name](next(roots), LINE)
        run(host, BOTH)
        return host

    for index, host in deaths(prepared, lambda host: run(host, {"iommu": "pt"}, RELEASE), 0):
        recover(host.kernel, host.files)  # as every run does first
        run(host, {"iommu": "pt"}, RELEASE)
        assert (booted(host, "intel_iommu"), booted(host, "iommu")) == (["off"], ["pt"]), f"killed before step {index}"
        assert not run(host, {"iommu": "pt"}, RELEASE)["changed"]
