# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import (
    NATIVE,
    VFIO,
    Alias,
    choose,
    matching,
    parse_builtin_modinfo,
    parse_modules_alias,
)
from ansible_collections.vfio.host.tests.unit.fake.model import alias

MLX5_VF = "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00"
TABLE = """\
# Aliases extracted from modules themselves.
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias symbol:vfio_pci_core_enable vfio_pci_core
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v00001DD8d00001003sv*sd*bc*sc*i* pds-vfio-pci
"""


def table(*rows):
    return [Alias(pattern, module, "modules.alias") for pattern, module in rows]


BASE = (alias(bus="vfio_pci"), "vfio_pci")
VARIANT = (alias("15b3", "101e", bus="vfio_pci"), "mlx5_vfio_pci")


def test_the_table_gives_the_aliases_of_one_bus_in_order():
    assert [one.module for one in parse_modules_alias(TABLE, VFIO)] == ["mlx5_vfio_pci", "vfio_pci", "pds_vfio_pci"]
    assert [one.module for one in parse_modules_alias(TABLE, NATIVE)] == ["mlx5_core"]


def test_the_first_and_the_last_line_of_a_table_count():
    assert len(parse_modules_alias("alias vfio_pci:v* a\nalias vfio_pci:v* b", VFIO)) == 2


def test_a_line_of_another_shape_is_passed_over():
    assert parse_modules_alias("alias vfio_pci:v*\nalias vfio_pci:v* a b\n# alias vfio_pci:v* c\n", VFIO) == []


def test_built_in_modules_have_their_aliases_too():
    blob = b"vfio_pci.license=GPL\0vfio_pci.alias=vfio_pci:v*d*sv*sd*bc*sc*i*\0igb.alias=pci:v*d*sv*sd*bc*sc*i*\0"
    assert parse_builtin_modinfo(blob, VFIO) == [
        Alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci", "modules.builtin.modinfo")
    ]


@pytest.mark.parametrize("blob, modules", [
    (b"a.alias=vfio_pci:v1", ["a"]),
    (b"a.description=see b.alias=vfio_pci:v1\0c-d.alias=vfio_pci:v1.alias=vfio_pci:v2\0", ["c_d"]),
    (b"a.alias=pci:v1\0b.alias=xvfio_pci:v1\0\0c.alias=vfio_pci:\xff\0", ["c"]),
    (b"", []),
])
def test_a_built_in_alias_is_a_whole_record_whose_key_is_alias(blob, modules):
    assert [one.module for one in parse_builtin_modinfo(blob, VFIO)] == modules


def test_the_base_driver_serves_what_no_variant_declares():
    choice = choose(table(BASE, VARIANT), MLX5_VF.replace("101E", "1017"))
    assert (choice.module, choice.driver, choice.alias) == ("vfio_pci", "vfio-pci", BASE[0])


def test_a_variant_beats_the_base_driver_wherever_it_stands():
    for rows in ((BASE, VARIANT), (VARIANT, BASE)):
        choice = choose(table(*rows), MLX5_VF)
        assert (choice.module, choice.alias) == ("mlx5_vfio_pci", VARIANT[0])


def test_a_variants_driver_is_not_guessed_from_its_module():
    assert choose(table(BASE, VARIANT), MLX5_VF).driver is None


def test_on_a_tie_the_first_line_wins_and_the_other_is_named():
    choice = choose(table(BASE, VARIANT, (VARIANT[0], "other_vfio_pci")), MLX5_VF)
    assert (choice.module, choice.ties) == ("mlx5_vfio_pci", ["other_vfio_pci"])
    assert "other_vfio_pci" in choice.reason


def test_a_module_does_not_tie_with_itself():
    assert choose(table(BASE, VARIANT, VARIANT), MLX5_VF).ties == []


def test_an_empty_table_leaves_the_base_driver():
    choice = choose([], MLX5_VF)
    assert (choice.module, choice.driver, choice.alias) == ("vfio_pci", "vfio-pci", None)


def test_a_blacklisted_variant_is_passed_over_and_named():
    choice = choose(table(BASE, VARIANT), MLX5_VF, disabled=("mlx5_vfio_pci",))
    assert (choice.module, choice.blacklisted) == ("vfio_pci", ["mlx5_vfio_pci"])
    assert "mlx5_vfio_pci" in choice.reason


@pytest.mark.parametrize(
    "pattern", ["vfio_pci:", "vfio_pci:v*", "vfio_pci:v[8]d*sv*sd*bc*sc*i*", "vfio_pci:vXd*sv*sd*bc*sc*i*"]
)
def test_a_pattern_of_another_shape_matches_nothing(pattern):
    assert matching(table((pattern, "x")), MLX5_VF) == []


def test_a_device_without_a_pci_modalias_matches_nothing():
    assert matching(table(BASE), "acpi:PNP0A08:") == []


def test_hex_digits_compare_as_they_are_written():
    assert matching(table((VARIANT[0].replace("101E", "101e"), "x")), MLX5_VF) == []


@pytest.mark.parametrize(("bus", "count"), [("pci", 1), ("vfio_pci", 0)])
def test_the_star_that_depmod_puts_behind_a_last_value_is_known_to_ordinary_aliases_only(bus, count):
    pattern = bus + ":v*d*sv*sd*bc02sc00i00*"
    assert len(matching(table((pattern, "x")), MLX5_VF)) == count


def test_a_modalias_that_a_later_kernel_made_longer_is_not_taken_for_the_shorter():
    assert [stars for stars, dummy in matching(table(BASE, VARIANT), MLX5_VF + "pv01")] == [7, 5]
    assert matching(table(("vfio_pci:v*d*sv*sd*bc*sc*i00", "x")), MLX5_VF + "pv01") == []
