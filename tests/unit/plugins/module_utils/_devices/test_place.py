# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a function is: unique on every host, and free of what moves."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.place import DEVPATH, beside, functions_on, place_of, roots_in, vf_path, vf_slots

EPYC = "/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0"
VMD = "/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0"
# From a device tree; from ACPI tables a host bridge of arm64 is where x86 has it.
ARM = "/sys/devices/platform/soc@0/40000000.pcie/pci0001:00/0001:00:01.0/0001:03:00.0"
# Hosts with two and more of a kind, each with the functions that one may take for another.
HOSTS = [
    [EPYC, EPYC.replace(":40", ":80").replace(":41", ":81"), EPYC.replace("0000", "0001")],
    [f"/sys/devices/pci{number:04d}:00/{number:04d}:00:00.0/{number:04d}:01:00.0" for number in range(5)],
    ["/sys/devices/pci0002:00/0002:00:00.0", "/sys/devices/pci1234:00/1234:00:00.0", "/sys/devices/pci1234:00/1234:00:00.1"],
    [VMD, VMD.replace(":0e.0", ":0f.0").replace("10000", "10001"), VMD.replace("e0", "80").replace("e1", "81")],
    [ARM, ARM.replace("0001", "0002").replace("40000000", "50000000")],
    # Two controllers that a device tree does not number get domains in the order of probing: their nodes tell them apart.
    ["/sys/devices/platform/4010000000.pcie/pci0000:00/0000:00:05.0/0000:01:00.0",
     "/sys/devices/platform/8010000000.pcie/pci0001:00/0001:00:05.0/0001:01:00.0"],
    ["/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0/0000:03:04.0/0000:05:00.0",
     "/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0/0000:03:05.0/0000:06:00.0"],
]


@pytest.mark.parametrize("directory, path, devpath", [
    (EPYC, "0000:40/01.1-00.0", "/devices/pci0000:40/0000:40:01.1/0000:??:00.0"),
    ("/tmp/x" + EPYC, "0000:40/01.1-00.0", "/devices/pci0000:40/0000:40:01.1/0000:??:00.0"),
    ("/sys/devices/pci0000:00/0000:00:09.0", "0000:00/09.0", "/devices/pci0000:00/0000:00:09.0"),
    ("/sys/devices/pci0003:00/0003:00:00.0/0003:01:00.0", "0003:00/00.0-00.0", "/devices/pci0003:00/0003:00:00.0/0003:??:00.0"),
    # The domain behind the endpoint is the next free one, and the bus is the firmware's.
    (VMD, "0000:00/0e.0/e0/06.0-00.0", "/devices/pci0000:00/0000:00:0e.0/pci?????:e0/?????:e0:06.0/?????:??:00.0"),
    ("/sys/devices/platform/4010000000.pcie/pci0000:00/0000:00:05.0/0000:01:00.0", "0000:00/05.0-00.0",
     "/devices/platform/4010000000.pcie/pci0000:00/0000:00:05.0/0000:??:00.0"),
    ("/sys/devices/pci0009:00/0009:00:00.0/0009:01:00.0", "0009:00/00.0-00.0", "/devices/pci0009:00/0009:00:00.0/0009:??:00.0"),
    (ARM, "0001:00/01.0-00.0", "/devices/platform/soc@0/40000000.pcie/pci0001:00/0001:00:01.0/0001:??:00.0"),
])
def test_a_place_begins_with_the_root_and_has_no_bus_number_behind_it(directory, path, devpath):
    place = place_of(directory)
    assert (place.path, place.devpath) == (path, devpath)
    assert DEVPATH.match(devpath) and fnmatchcase(directory[directory.index("/devices/"):], devpath)


@pytest.mark.parametrize("directory, functions, slots", [
    (EPYC, ("0000:40:01.1", "0000:41:00.0"), "01.1-00.0"),
    (VMD, ("0000:00:0e.0", "10000:e0:06.0", "10000:e1:00.0"), "0e.0-06.0-00.0"),
    (ARM, ("0001:00:01.0", "0001:03:00.0"), "01.0-00.0"),
    # The way of a device whose link in the bus's directory is of another shape.
    ("/sys/bus/pci/devices/0000:02:00.0", ("0000:02:00.0",), "00.0"),
])
def test_the_functions_on_the_way_are_named_from_the_root_and_so_are_their_slots(directory, functions, slots):
    assert (functions_on(directory), place_of(directory).slots) == (functions, slots)


@pytest.mark.parametrize("directories", HOSTS)
def test_no_two_functions_of_a_host_have_one_path_and_each_pattern_fits_its_own_alone(directories):
    places = [place_of(one) for one in directories]
    assert len({one.path for one in places}) == len(directories)
    for place in places:
        assert [one for one in directories if fnmatchcase(one[len("/sys"):], place.devpath)] == [directories[places.index(place)]]


@pytest.mark.parametrize("moved", [
    EPYC.replace("0000:41:", "0000:47:"), VMD.replace("10000:e1", "10000:e5"), VMD.replace("10000:", "10001:"), ARM.replace(":03:", ":09:"),
])
def test_what_moves_changes_neither_path_nor_pattern(moved):
    here = next(one for one in (EPYC, VMD, ARM) if one[:30] == moved[:30])
    assert moved != here and place_of(moved) == place_of(here)._replace(root=place_of(moved).root)


@pytest.mark.parametrize("other", [
    EPYC.replace("01.1", "01.2"), EPYC.replace("pci0000:40", "pci0000:60"), EPYC.replace("41:00.0", "41:00.1"),
    EPYC + "/0000:42:00.0", "/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/net/x", EPYC.replace("/0000:41", "/power/0000:41"),
    EPYC.rsplit("/", 1)[0],
])
def test_another_place_is_not_fitted_across_a_slash(other):
    assert not fnmatchcase(other[len("/sys"):], place_of(EPYC).devpath)


@pytest.mark.parametrize("directory", [
    "/sys/bus/pci/devices/0000:02:00.0", "/sys/devices/a\"b/pci0000:00/0000:00:01.0", "/sys/devices/a*/pci0000:00/0000:00:01.0",
    "/sys/devices/a|b/pci0000:00/0000:00:01.0", "/sys/devices/virtual/x",
])
def test_what_a_rule_cannot_say_has_no_pattern(directory):
    assert place_of(directory).devpath is None


def test_a_vf_is_named_by_its_pf_and_index_and_beside_it():
    assert vf_path("0000:00/05.0-00.0", 3) == "0000:00/05.0-00.0/vf3"
    assert vf_slots("05.0-00.0", "0000:01:10.6") == "05.0-10.6"
    assert beside("/devices/pci0000:00/0000:00:05.0/0000:??:00.0", "0000:01:10.6") == "/devices/pci0000:00/0000:00:05.0/0000:01:10.6"


@pytest.mark.parametrize("directory, root", [(EPYC, "0000:40"), (VMD, None), (ARM, "0001:00")])
def test_a_pattern_tells_its_last_root_where_that_is_fixed(directory, root):
    assert roots_in(place_of(directory).devpath) == root
