# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Booleans as YAML and templates give them: every entry takes what Ansible takes."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.options import truth_of
from ansible_collections.vfio.host.plugins.module_utils._devices.match import parse_match
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import parse as parse_nodes
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import parse_entries

MATCH = {"address": "0000:02:00.0"}
TRUE, FALSE = (True, "True", "yes", "on", "1", 1, " true "), (False, "False", "no", "off", "0", 0)
NEITHER = ("perhaps", "tomorrow", "never", 2, None, [], {}, "")


def nodes(value):
    problems = []
    found = parse_nodes({"p": {"symlink": value}}, None, problems=problems)
    if problems:
        raise InputError(*problems)
    return found["p"].symlink


ENTRIES = {
    "optional": lambda value: parse_declarations({"p": [{"match": MATCH, "optional": value}]})["p"][0].optional,
    "autoprobe": lambda value: parse_entries([{"match": MATCH, "numvfs": 1, "autoprobe": value}], "sriov", present=True)[0].autoprobe,
    "at_boot": lambda value: parse_wishes([{"name": "vfio_pci", "at_boot": value}])[0].at_boot,
    "symlink": nodes,
    "is_vf": lambda value: parse_match({"is_vf": value}, "here").wanted["is_vf"] == ("true",),
}


@pytest.mark.parametrize("value", TRUE + FALSE)
@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_takes_a_boolean_as_ansible_does(key, value):
    assert truth_of(value) is ENTRIES[key](value) is (value in TRUE)


@pytest.mark.parametrize("value", [value for value in NEITHER if value is not None])
@pytest.mark.parametrize("key", ENTRIES)
def test_what_is_no_boolean_is_refused(key, value):
    assert truth_of(value) is None
    with pytest.raises(InputError, match=key):
        ENTRIES[key](value)
