# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The choice of a driver over ten thousand tables, against the rule as libvirt's virPCIDeviceFindBestVFIOVariant goes by it.

It is stated here on its own, over the text of a table as it lies on the disk, odd lines included.
"""

from __future__ import annotations

import random

from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import VFIO, choose, parse_modules_alias

TABLES = 10000
VALUES = {
    "v": ("00008086", "000010DE", "000015B3"), "d": ("0000101E", "000010D3"), "sv": ("00008086", "0000FFFF"),
    "sd": ("00000000", "000000DC"), "bc": ("02", "0D"), "sc": ("00", "0B"), "i": ("00", "DC"),
}
MODULES = ("vfio_pci", "mlx5_vfio_pci", "mlx5-vfio-pci", "xe_vfio_pci", "a-b_c-d")
ODD_LINES = (
    "# alias vfio_pci:v*d*sv*sd*bc*sc*i* commented", " alias vfio_pci:v*d*sv*sd*bc*sc*i* indented",
    "alias  vfio_pci:v*d*sv*sd*bc*sc*i* two_blanks", "alias pci:v*d*sv*sd*bc*sc*i* native",
    "alias vfio_pci: nothing", "alias vfio_pci:v*d* short", "alias vfio_pci:d*v*sv*sd*bc*sc*i* swapped",
    "alias vfio_pci:v**d*sv*sd*bc*sc*i* two_stars", "alias vfio_pci:vd*sv*sd*bc*sc*i* empty",
    "alias vfio_pci:v[8]d*sv*sd*bc*sc*i* brackets", "alias vfio_pci:v?d*sv*sd*bc*sc*i* question",
    "alias vfio_pci:v0000808*d*sv*sd*bc*sc*i* half", "alias vfio_pci:v*d*sv*sd*bc*sc*i*x more", "alias symbol:vfio_pci x",
    "",
)


def random_line(pick, device):
    """A line of a table: most of them fit the device in most values, so that several lines compete."""
    if pick.random() < 0.15:
        return pick.choice(ODD_LINES)
    values = []
    for name, choices in VALUES.items():
        value = pick.choice(("*", "*", device[name], device[name], pick.choice(choices)))
        if pick.random() < 0.03:
            value = value.lower()
        if pick.random() < 0.03:
            value += "*"
        values.append(name + value)
    return f"alias vfio_pci:{''.join(values)} {pick.choice(MODULES)}"


def value_of(text, name, following):
    """The value between two names, and what is left behind it; None where a name is not where it must be."""
    if not text.startswith(name):
        return None
    text = text[len(name):]
    end = text.find(following) if following else len(text.split()[0]) if text.split() and text[0] != " " else 0
    return None if end < 0 else (text[:end], text[end:])


def libvirts_answer(table, device):
    """The module that libvirt takes, '-' and '_' as one; the base module where it takes none."""
    names, best = list(VALUES), (8, "vfio_pci")
    for line in table.split("\n")[1:]:
        if not line.startswith("alias vfio_pci:"):
            continue
        rest, stars = line[len("alias vfio_pci:"):], 0
        for name, following in zip(names, names[1:] + [""]):
            found = value_of(rest, name, following)
            if found is None or found[0] not in ("*", device[name]):
                break
            stars, rest = stars + (found[0] == "*"), found[1]
        else:
            if stars < best[0]:
                best = (stars, rest.strip().replace("-", "_"))
    return best[1]


def test_ten_thousand_tables_give_what_libvirt_takes():
    pick, variants = random.Random(2021), 0
    for number in range(TABLES):
        device = {name: pick.choice(choices) for name, choices in VALUES.items()}
        lines = [random_line(pick, device) for dummy in range(pick.randrange(8))]
        table = "\n".join(["# Aliases extracted from modules themselves."] + lines + [""])
        modalias = "pci:" + "".join(name + value for name, value in device.items())
        expected = libvirts_answer(table, device)
        assert choose(parse_modules_alias(table, VFIO), modalias).module == expected, f"table {number}:\n{table}{modalias}"
        variants += expected != "vfio_pci"
    assert variants > TABLES / 5
