# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with several roots: a path says nothing of which."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.place import place_of
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Net

ONE, TWO, FAR, OTHER = "0000:41:00.0", "0000:81:00.0", "0001:41:00.0", "0000:42:00.0"
PATH = "01.1-00.0"


def card(address, number, port):
    return Function(
        address, "8086:10d3:8086:0000", "020000", group=str(number), parent=port, net=(Net(f"eth{number}", f"52:54:00:00:00:{number:02x}"),),
    )


CARDS = (card(ONE, 41, "0000:40:01.1"), card(TWO, 42, "0000:80:01.1"), card(FAR, 43, "0001:40:01.1"), card(OTHER, 44, "0000:40:02.1"))
PORTS = tuple(
    Function(address, "1b36:000c", "060400", header_type=1)
    for address in ("0000:40:01.1", "0000:40:02.1", "0000:80:01.1", "0001:40:01.1")
)


def with_cards(*addresses):
    # / is in memory: where it could not be told, each card might be what reaches it.
    return hosts.x86(
        functions=PORTS + tuple(one for one in CARDS if one.address in addresses), mounts=("25 1 0:24 / / rw - tmpfs tmpfs rw",),
    )


@pytest.fixture
def many(make_host):
    """Two sockets' roots and another domain, with alike cards below alike ports."""
    return make_host(with_cards(ONE, TWO, FAR, OTHER))


def by(**match):
    return {"match": match}


def taken(host):
    return [address for address in (ONE, TWO, FAR, OTHER) if host.driver(address) == "vfio-pci"]


@pytest.mark.parametrize("entry", [
    by(path=PATH), by(path=[PATH]), by(path=PATH, vendor="8086"), dict(by(path=PATH), count=3), dict(by(path=PATH), count=1),
    dict(by(path=PATH), optional=True), by(path="01.1-*"), by(path="*-00.0", vendor="8086"), by(path=["02.1-00.0", PATH]),
    dict(by(path=PATH), driver="native"),
])
def test_a_path_below_several_roots_is_an_error_that_names_all_devices(many, entry):
    before = many.snapshot()
    for check in (True, False):
        with pytest.raises(PlanError) as caught:
            many.take(entry, check=check)
        (message,) = caught.value.messages
        assert message.startswith(f"policy p, devices[0]: path {PATH} is the place of 3 devices: {ONE}, {TWO}, {FAR}; ")
        assert message.endswith("add address, or another field that tells")
    assert many.snapshot() == before


@pytest.mark.parametrize("match, found", [
    ({"path": PATH, "address": TWO}, [TWO]),
    ({"path": PATH, "address": "0001:*"}, [FAR]),
    ({"path": PATH, "net": "eth41"}, [ONE]),
    ({"path": "02.1-00.0"}, [OTHER]),
    ({"path": ["02.1-00.0", PATH], "address": "0000:4*"}, [ONE, OTHER]),
    ({"path": "0?.1-00.0", "address": "0000:4*"}, [ONE, OTHER]),
])
def test_a_path_with_what_tells_the_devices_apart_is_taken(many, match, found):
    many.take(by(**match))
    assert taken(many) == found
    assert not many.take(by(**match))["changed"]


def test_two_functions_of_s390_have_one_path(make_host):
    with pytest.raises(PlanError, match="path 00.0 is the place of 2 devices: 0002:00:00.0, 1234:00:00.0"):
        make_host(hosts.s390()).take(by(path="00.0"))


def test_a_card_that_comes_below_another_root_is_told_and_not_taken_as_well(make_host):
    host = make_host(with_cards(ONE))
    host.take(by(path=PATH))
    host.kernel.spec = with_cards(ONE, TWO)
    host.reboot()
    with pytest.raises(PlanError, match=f"place of 2 devices: {ONE}, {TWO}"):
        host.take(by(path=PATH))
    assert taken(host) == [ONE]


@pytest.mark.parametrize("other, root", [(TWO, "0000:80"), (FAR, "0001:40")])
def test_the_one_below_another_root_is_not_taken_in_place_of_one_that_is_gone(make_host, other, root):
    host = make_host(with_cards(ONE))
    host.take(by(path=PATH))
    host.kernel.spec = with_cards(other)
    host.reboot()
    with pytest.raises(PlanError) as caught:
        host.take(by(path=PATH))
    (message,) = caught.value.messages
    assert message.startswith(f"policy p, devices[0]: path {PATH} is the place of {other} below root {root} now, and was that of {ONE}")
    assert host.driver(other) == "e1000e"
    host.take(by(path=PATH, address=other))
    assert host.driver(other) == "vfio-pci"


def test_a_bus_number_that_moved_below_one_root_is_no_other_place(make_host):
    host = make_host(with_cards(ONE))
    host.take(by(path=PATH))
    moved = replace(CARDS[0], address="0000:43:00.0")
    host.kernel.spec = hosts.x86(functions=PORTS + (moved,))
    host.reboot()
    host.take(by(path=PATH))
    assert host.driver("0000:43:00.0") == "vfio-pci"
    assert not host.take(by(path=PATH))["changed"]


def test_a_list_or_a_glob_of_paths_does_not_say_which_of_them_a_record_is_of(make_host):
    host = make_host(with_cards(ONE))
    wish = by(path=[PATH, "02.1-00.0"])
    host.take(wish)
    host.kernel.spec = with_cards(OTHER)
    host.reboot()
    host.take(wish)
    assert host.driver(OTHER) == "vfio-pci"


@pytest.mark.parametrize("target, root", [
    ("/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0", "0000:40"),
    ("/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0", "10000:e0"),
    ("/sys/devices/virtual/x", None),
])
def test_a_device_is_below_the_last_root_on_its_way(target, root):
    assert place_of(target).root == root
