# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations, parse_matches, parse_policy_name
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError

MATCH = {"address": "0000:02:00.0"}


def entry(**options):
    return parse_declarations({"p": [dict(options, match=MATCH)]})["p"][0]


def test_an_entry_has_defaults():
    found = entry()
    assert (found.driver, found.count, found.iommu_group, found.optional) == ("auto", None, "refuse", False)
    assert found.where == "policy p, devices[0]"


@pytest.mark.parametrize(
    ("option", "given", "meant"),
    [
        ("driver", "mlx5_vfio_pci", "mlx5_vfio_pci"),
        ("driver", "native", "native"),
        ("count", 2, 2),
        ("count", "2", 2),
        ("count", 0, 0),
        ("optional", True, True),
        ("optional", "yes", True),
        ("optional", "False", False),
        ("optional", "on", True),
        ("optional", 1, True),
        ("iommu_group", "extend", "extend"),
    ],
)
def test_an_option_means(option, given, meant):
    assert getattr(entry(**{option: given}), option) == meant


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("driver", 'vfio"pci'),
        ("driver", "vfio'pci"),
        ("driver", "vfio pci"),
        ("driver", "vfio-pci\n"),
        ("driver", ""),
        ("driver", "-rf"),
        ("driver", "../x"),
        ("driver", "a" * 65),
        ("driver", None),
        ("driver", 7),
        ("driver", ["vfio-pci"]),
        ("count", -1),
        ("count", "two"),
        ("count", 1.5),
        ("count", True),
        ("count", []),
        ("count", "\u00b2"),
        ("optional", "perhaps"),
        ("optional", None),
        ("optional", 2),
        ("iommu_group", "take"),
        ("iommu_group", None),
        ("iommu_group", ["refuse"]),
        ("fallback", "auto"),
        ("fallback", "native"),
        ("fallback", 'x"'),
        ("fallback", 7),
        ("drivr", "auto"),
    ],
)
def test_a_bad_option_is_refused_by_name(option, given):
    with pytest.raises(InputError) as caught:
        entry(**{option: given})
    assert len(caught.value.messages) == 1
    assert caught.value.messages[0].startswith("policy p, devices[0]: ")
    assert option in caught.value.messages[0]


def test_a_fallback_is_the_name_of_a_driver():
    assert entry(fallback="vfio-pci").fallback == "vfio-pci"
    assert entry().fallback is entry(fallback=None).fallback is None


@pytest.mark.parametrize("driver", ["native", "vfio-pci"])
def test_a_fallback_that_is_never_taken_is_refused(driver):
    with pytest.raises(InputError, match=f"fallback 'vfio-pci' is never taken with driver '{driver}'"):
        entry(driver=driver, fallback="vfio-pci")


@pytest.mark.parametrize("name", ["gpus", "a-1", "0", "a" * 64])
def test_a_policy_name_is_accepted(name):
    assert parse_policy_name(name) == name


@pytest.mark.parametrize("name", ["", "a/b", "a\n", "a\nb", "../a", "A", "a b", "a_b", 'a"', "a" * 65, None, 7, "ä"])
def test_a_policy_name_is_refused(name):
    with pytest.raises(InputError, match="policy"):
        parse_policy_name(name)


@pytest.mark.parametrize("name", [7, True, 1.5])
def test_a_policy_name_that_is_no_text_is_told_to_be_quoted(name):
    with pytest.raises(InputError, match=f"policy {name}: write the name in quotes: without them YAML read it as {name}"):
        parse_policy_name(name)


@pytest.mark.parametrize("devices", [None, "all", {"match": MATCH}, 7])
def test_devices_must_be_a_list(devices):
    with pytest.raises(InputError, match="policy p: .* must be a list"):
        parse_declarations({"p": devices})


def test_an_empty_list_says_how_to_release():
    with pytest.raises(InputError, match="state: absent"):
        parse_declarations({"p": []})


@pytest.mark.parametrize("value", [None, "0000:02:00.0", []])
def test_an_entry_must_be_a_mapping(value):
    with pytest.raises(InputError, match=r"devices\[0\]: must be a mapping"):
        parse_declarations({"p": [value]})


def test_all_errors_of_all_policies_come_at_once():
    with pytest.raises(InputError) as caught:
        parse_declarations(
            {
                "a/b": [],
                "q": [{"match": {}}, {"match": MATCH, "driver": '"', "count": -1}],
                "r": [{"match": {"x": 1, "y": 2}}],
            }
        )
    assert len(caught.value.messages) == 6


def test_matches_of_the_facts_module_are_numbered():
    assert len(parse_matches([MATCH, MATCH])) == 2
    with pytest.raises(InputError) as caught:
        parse_matches([MATCH, {"a": 1}, {}])
    assert [message.split(":")[0] for message in caught.value.messages] == ["match[1]", "match[2]"]
