# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""rpm-ostree, which deletes one occurrence for each time that it is named, and appends at the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.ostree import difference, patched
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import OstreeHost


def run(host, args=None, present=True, check=False):
    plans = list(run_areas({"cmdline": (host.area, Request(args, present))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


@pytest.mark.parametrize("line, args, present, wanted", [
    ("root=UUID=1 iommu=off iommu=off rw", {"iommu": "pt"}, True, "root=UUID=1 rw iommu=pt"),
    ("console=ttyS0 rw console=ttyS0", {"console": "ttyS0"}, False, "rw"),
    ("console=tty0 rw console=ttyS0 console=tty0", {"console": "tty0"}, False, "rw console=ttyS0"),
    ("quiet rw quiet", {"quiet": None}, False, "rw"),
    ("iommu iommu=pt rw iommu=off iommu=pt", {"iommu": "pt"}, True, "rw iommu=pt"),
])
def test_an_argument_that_occurs_more_than_once_is_changed_each_time(tmp_path, line, args, present, wanted):
    host = OstreeHost(tmp_path, line)
    assert run(host, args, present)["changed"]
    assert host.boots() == wanted
    assert not run(host, args, present)["changed"]
    run(host, None, False)
    (name,) = args
    if present:
        assert set(parse(host.boots()).texts(name)) == set(parse(line).texts(name))


def test_a_call_that_did_nothing_is_not_undone_into_more_than_was_there(tmp_path):
    host = OstreeHost(tmp_path, "root=UUID=1 iommu=off iommu=off rw")
    host.fail["rpm-ostree"] = 1
    with pytest.raises(ApplyError, match="put back as it was"):
        run(host, {"iommu": "pt"})
    assert host.boots() == "root=UUID=1 iommu=off iommu=off rw"


def test_a_call_that_did_it_all_and_failed_is_undone(tmp_path):
    class Late(OstreeHost):
        def do_rpm_ostree(self, verb, *words):
            super().do_rpm_ostree(verb, *words)
            return (1, "", "error: late\n") if len(self.calls) == 1 else None

    host = Late(tmp_path, "iommu=off rw iommu=off")
    # It can append only, so the words come back in another order.
    with pytest.raises(ApplyError, match="error: late"):
        run(host, {"iommu": "pt"})
    assert sorted(host.boots().split()) == ["iommu=off", "iommu=off", "rw"]


def test_what_would_be_inits_is_refused_before_anything_is_touched(tmp_path):
    host = OstreeHost(tmp_path, "root=UUID=1 -- single")
    with pytest.raises(PlanError, match="behind a bare --"):
        run(host, {"iommu": "pt"}, check=True)
    assert host.calls == []


WORDS = st.lists(st.sampled_from(("a=1", "a=2", "a", "b", "b=1", "c")), max_size=7)


@given(now=WORDS, wanted=WORDS)
def test_the_tools_arithmetic_comes_to_the_line_that_is_wanted(now, wanted):
    names = ["a", "b"]
    kept = [text for text in now if text == "c"]
    delete, append = difference(" ".join(now), " ".join(wanted), names=names)
    made = patched(now, delete=delete, append=append)
    assert [text for text in made if text == "c"] == kept
    assert all(parse(" ".join(made)).texts(name) == parse(" ".join(wanted)).texts(name) for name in names)
