# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables of which a template cannot be resolved: each is told by its name, and all at once."""

from __future__ import annotations

from collections import UserString

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.vfio.host.plugins.plugin_utils._templates import OMITTED, resolved

try:
    from ansible.template import trust_as_template as trusted
except ImportError:  # before 2.19 every text is a template
    trusted = str

OMIT = "__omit_place_holder__1"


class OfACause(Exception):
    """As errors of ansible-core before 2.19 are, which say their cause behind themselves."""

    orig_exc = ValueError("no such thing")


def same(value):
    if isinstance(value, Exception):
        raise value
    return value


@pytest.mark.parametrize("error, told", [
    (ValueError("division\n by zero"), "x cannot be resolved: division by zero"),
    (OfACause("no such thing. no such thing"), "x cannot be resolved: no such thing"),
    (OfACause("in a template: no such thing. no such thing"), "x cannot be resolved: in a template: no such thing"),
    (KeyError(), "x cannot be resolved: KeyError"),
    (ValueError("y" * 9000), f"x cannot be resolved: {'y' * 299}…"),
])
def test_an_error_is_told_once_with_its_variable(error, told):
    assert resolved(same, {"x": error, "y": 5}, names=["x", "y", "z"]) == ({"y": 5}, [told])


def test_an_error_of_what_is_within_is_found():
    class Lazy(list):
        def __iter__(self):
            raise ValueError("'nosuch' is undefined")

    assert resolved(same, {"x": {"a": [Lazy([1])]}}, names=["x"]) == ({}, ["x cannot be resolved: 'nosuch' is undefined"])


def test_what_is_omitted_goes_as_ansible_takes_it_from_the_arguments_of_a_task():
    written = {"omit": OMIT, "x": {"a": OMIT, "b": [{"c": OMIT, "d": 1}, OMIT]}, "y": OMIT}
    values, problems = resolved(same, written, names=["x", "y"])
    assert values == {"x": {"b": [{"d": 1}, OMIT]}}
    assert problems == [f"y cannot be resolved: {OMITTED}"]


def test_a_variable_that_is_omitted_is_told_so_by_every_release():
    templar = Templar(DataLoader())
    templar.available_variables = {"omit": OMIT}
    values, problems = resolved(templar.template, {"omit": OMIT, "y": trusted("{{ x | default(omit) }}")}, names=["y"])
    assert (values, problems) == ({}, [f"y cannot be resolved: {OMITTED}"])


def test_a_vaulted_text_of_older_releases_is_a_text():
    values, problems = resolved(same, {"x": {"a": UserString("s")}}, names=["x"])
    assert (problems, values) == ([], {"x": {"a": "s"}}) and isinstance(values["x"]["a"], str)
