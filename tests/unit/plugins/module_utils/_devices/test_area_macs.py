# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A MAC is the card's own, whatever address is in use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices.area import Scan
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN
from ansible_collections.vfio.host.tests.unit.fake.model import Net

FIRST, SECOND, CLONED = "52:54:00:00:03:02", "52:54:00:00:03:03", "02:aa:00:00:00:01"


def by(**match):
    return {"match": match}


def with_nets(one, other):
    return hosts.changed(hosts.changed(hosts.x86(), NIC, net=(one,)), TWIN, net=(other,))


def bond(**more):
    """Two cards in a bond, which has the first one's address."""
    return with_nets(
        Net("enp2s0", FIRST, bonded=True, **more), Net("enp3s0", FIRST, permanent=SECOND, bonded=True, **more)
    )


@pytest.mark.parametrize("spec", [
    bond(), bond(told=False),
    # A team's port has no such file.
    with_nets(Net("enp2s0", FIRST), Net("enp3s0", FIRST, permanent=SECOND)),
    with_nets(Net("enp2s0", CLONED, permanent=FIRST), Net("enp3s0", CLONED, permanent=SECOND)),
], ids=["bond", "bond before 5.6", "team", "cloned"])
@pytest.mark.parametrize("mac, taken, left", [(FIRST, NIC, TWIN), (SECOND, TWIN, NIC), (SECOND.upper(), TWIN, NIC)])
def test_a_port_is_matched_by_its_permanent_address(make_host, spec, mac, taken, left):
    host = make_host(spec)
    host.take(by(mac=mac))
    assert (host.driver(taken), host.driver(left)) == ("vfio-pci", "e1000e")
    assert f'"mac": "{mac.lower()}"' in host.rules()
    assert not host.take(by(mac=mac))["changed"]
    host.reboot()
    assert (host.driver(taken), host.driver(left)) == ("vfio-pci", "e1000e")
    assert not host.take(by(mac=mac))["changed"]


def test_facts_have_the_permanent_address_and_the_one_in_use(make_host):
    host = make_host(bond())
    assert host.facts(TWIN)["net"] == [{"name": "enp3s0", "mac": SECOND, "address": FIRST}]
    assert host.facts(NIC)["net"] == [{"name": "enp2s0", "mac": FIRST, "address": FIRST}]


def test_where_nothing_tells_a_permanent_address_the_one_in_use_counts(make_host):
    host = make_host(with_nets(Net("enp2s0", FIRST), Net("enp3s0", CLONED, permanent=SECOND, told=False)))
    assert host.facts(TWIN)["net"] == [{"name": "enp3s0", "mac": CLONED, "address": CLONED}]


def test_what_another_network_namespace_says_is_not_believed(make_host, monkeypatch):
    host = make_host(bond(told=False))
    index = host.kernel.number(f"{host.kernel.net}/enp3s0/ifindex")
    monkeypatch.setattr(host.kernel, "permanent_addresses", lambda: {index: (CLONED, "02:bb:00:00:00:01")})
    assert host.facts(TWIN)["net"][0]["mac"] == SECOND


def test_a_host_without_changed_addresses_is_not_asked_by_netlink(host, monkeypatch):
    def refuse():
        raise AssertionError("asked")

    monkeypatch.setattr(host.kernel, "permanent_addresses", refuse)
    assert host.facts(NIC)["net"][0]["mac"] == FIRST


def test_below_another_root_nobody_asks_the_running_kernel(tmp_path):
    assert Sysfs(str(tmp_path)).permanent_addresses() == {}


def test_an_address_that_is_only_in_use_matches_nothing_and_the_error_says_whose_it_is(make_host):
    host = make_host(with_nets(Net("enp2s0", FIRST), Net("enp3s0", CLONED, permanent=SECOND)))
    with pytest.raises(PlanError, match=f"matches no device .*; {CLONED} is in use by enp3s0 .{TWIN}., whose permanent address, which counts, is {SECOND}"):
        host.take(by(mac=CLONED))


# Records of the versions before, which kept the address in use.


def old_record(host, new, old):
    path = f"{host.files.boot_rules}/60-vfio-host-p.rules"
    assert new in host.rules()
    host.tree.put(path, host.rules().replace(f'"mac": "{new}"', f'"mac": "{old}"').replace(f"mac={new}", f"mac={old}"))


def test_a_device_on_vfio_is_known_by_the_address_that_an_earlier_version_recorded(make_host):
    host = make_host(with_nets(Net("enp2s0", FIRST), Net("enp3s0", CLONED, permanent=SECOND)))
    host.take(by(mac=SECOND))
    old_record(host, SECOND, CLONED)
    host.reboot()
    assert not host.take(by(mac=CLONED))["changed"]
    assert host.driver(TWIN) == "vfio-pci"


def test_two_cards_that_were_recorded_with_one_address_are_an_error_that_names_both(make_host):
    host = make_host(bond())
    host.take(by(mac=[FIRST, SECOND]))
    old_record(host, SECOND, FIRST)
    host.reboot()
    before = host.snapshot()
    with pytest.raises(PlanError, match=f"mac {FIRST} is known of 2 devices: {NIC}, {TWIN}; .*add address"):
        host.take(by(mac=FIRST))
    assert host.snapshot() == before
    host.take(by(mac=FIRST, address=NIC))
    assert (host.driver(NIC), host.driver(TWIN)) == ("vfio-pci", "e1000e")


def test_what_a_device_shows_now_goes_before_what_was_recorded(make_host):
    host = make_host(bond())
    host.take(by(mac=[FIRST, SECOND]), now=False)
    old_record(host, SECOND, FIRST)
    result = host.take(by(mac=FIRST))
    assert [one["address"] for one in result["devices"] if one["status"] == "bound"] == [NIC]
    assert host.driver(TWIN) == "e1000e"


def test_a_thousand_addresses_in_one_entry_select_the_two_that_are_there(make_host):
    host = make_host(bond())
    macs = [f"52:54:01:00:{number >> 8:02x}:{number & 255:02x}" for number in range(1000)]
    wish = dict(by(mac=macs[:500] + [SECOND] + macs[500:] + [FIRST]), count=2)
    host.take(wish)
    assert not host.take(wish)["changed"]
    host.reboot()
    assert (host.driver(NIC), host.driver(TWIN)) == ("vfio-pci", "vfio-pci")
    assert not host.take(wish)["changed"]


def test_two_interfaces_of_one_device_may_have_one_address(make_host):
    spec = hosts.changed(hosts.x86(), NIC, net=(Net("enp2s0", FIRST), Net("enp2s0d1", FIRST)))
    host = make_host(spec)
    host.take(by(mac=FIRST))
    assert host.driver(NIC) == "vfio-pci"


def test_a_record_keeps_names_and_own_addresses_alone(make_host):
    host = make_host(bond())
    host.take(by(mac=SECOND))
    assert f'"net": [{{"mac": "{SECOND}", "name": "enp3s0"}}]' in host.rules()
    assert replace(Scan(host.kernel, host.files).host.policies["p"][0]).was["net"] == [{"name": "enp3s0", "mac": SECOND}]
