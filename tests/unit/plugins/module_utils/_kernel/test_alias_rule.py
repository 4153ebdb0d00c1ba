# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The choice of a driver against the kernel's rule, stated here a second time, over generated tables."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import VFIO, choose, parse_modules_alias

WIDE = st.sampled_from(["00008086", "000010DE", "0000101E"])
NARROW = st.sampled_from(["00", "02", "0C"])
NAMES = ("v", "d", "sv", "sd", "bc", "sc", "i")


def ids(star):
    """A strategy of the text after the colon; with ``star`` a field may be '*'."""
    wide = WIDE | st.just("*") if star else WIDE
    narrow = NARROW | st.just("*") if star else NARROW
    return st.tuples(*[wide] * 4 + [narrow] * 3).map(lambda values: "".join(map("".join, zip(NAMES, values))))


ROWS = st.lists(
    st.tuples(ids(star=True), st.sampled_from(["vfio_pci", "a_vfio_pci", "b-vfio-pci", "c_vfio_pci"])), max_size=12
)


def kernels_answer(rows, device):
    """The module that the fewest stars win for; the first of equals; the base module where nothing matches."""
    best = None
    for pattern, module in rows:
        if fnmatchcase(device, pattern) and (best is None or pattern.count("*") < best[0]):
            best = (pattern.count("*"), module.replace("-", "_"), pattern)
    return best[1:] if best else ("vfio_pci", None)


@hypothesis.given(rows=ROWS, device=ids(star=False))
def test_the_choice_is_the_kernels(rows, device):
    text = "".join(f"alias vfio_pci:{pattern} {module}\n" for pattern, module in rows)
    choice = choose(parse_modules_alias(text, VFIO), "pci:" + device)
    module, pattern = kernels_answer(rows, device)
    assert choice.module == module
    assert choice.alias == (pattern and f"vfio_pci:{pattern}")


@hypothesis.given(rows=ROWS, device=ids(star=False))
def test_ties_are_the_other_modules_that_match_as_exactly(rows, device):
    text = "".join(f"alias vfio_pci:{pattern} {module}\n" for pattern, module in rows)
    choice = choose(parse_modules_alias(text, VFIO), "pci:" + device)
    matching = [
        (pattern.count("*"), module.replace("-", "_")) for pattern, module in rows if fnmatchcase(device, pattern)
    ]
    fewest = min((stars for stars, dummy in matching), default=0)
    assert set(choice.ties) == {module for stars, module in matching if stars == fewest} - {choice.module}
