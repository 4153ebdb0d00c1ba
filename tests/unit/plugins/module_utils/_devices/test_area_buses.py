# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bus numbers that move while the host is off: a boot gives the declared card, and never its twin."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, TWIN
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module, Net

NEXT = "0000:04:00.0"
TWIN_MAC, TWIN_SERIAL = "52:54:00:00:03:03", "52-54-00-ff-ff-00-03-03"
LOWER = Function("0000:02:00.0", "8086:10d3:8086:0000", "020000", group="40", parent="0000:00:05.0", net=(Net("enpnew", "52:54:00:00:09:09"),))


def by(**match):
    return {"match": match}


def shift(spec, *lower):
    """The spec with one bus more before the cards behind bus 1, and cards in a lower slot."""
    def moved(address):
        domain, bus, rest = address.split(":")
        return f"{domain}:{int(bus, 16) + 1:02x}:{rest}" if int(bus, 16) > 1 else address

    functions = tuple(
        replace(one, address=moved(one.address), parent=one.parent and moved(one.parent)) for one in spec.functions
        if one.address != hosts.PF
    )
    return replace(spec, functions=functions + lower)


def shifted(host):
    """The host after a boot with a card in a lower slot: what was at bus N is at N+1."""
    host.kernel.spec = shift(host.kernel.spec, LOWER)
    host.reboot()


@pytest.mark.parametrize("match", [
    {"mac": TWIN_MAC}, {"serial": TWIN_SERIAL}, {"path": "0000:00/08.0-00.0"}, {"path": "08.0-00.0"}, {"net": "enp3s0"},
])
def test_a_boot_gives_the_declared_card_and_not_the_twin_at_its_old_address(host, match):
    host.take(by(**match))
    shifted(host)
    assert (host.driver(NEXT), host.driver(TWIN), host.driver(NIC)) == ("vfio-pci", "e1000e", "e1000e")
    predicted = host.take(by(**match), check=True)
    assert [(one["address"], one["status"]) for one in predicted["devices"]] == [(NEXT, "unchanged")]
    host.take(by(**match))
    assert not host.take(by(**match))["changed"]
    host.release()
    assert host.driver(NEXT) == "e1000e"


@pytest.mark.parametrize("match", [
    {"address": TWIN}, {"address": TWIN, "vendor": "8086", "device": "10d3"}, {"address": [TWIN]},
])
def test_by_address_the_run_after_it_names_both_and_takes_neither(host, match):
    host.take(by(**match))
    shifted(host)
    assert (host.driver(NEXT), host.driver(TWIN)) == ("vfio-pci", "e1000e")
    before = host.snapshot()
    with pytest.raises(PlanError, match=f"another device is at {TWIN}: .*; the policy took .* serial {TWIN_SERIAL} there, which is at {NEXT} now"):
        host.take(by(**match))
    assert host.snapshot() == before
    host.take(NEXT)
    assert (host.driver(NEXT), host.driver(TWIN)) == ("vfio-pci", "e1000e")
    assert not host.take(NEXT)["changed"]


def test_a_glob_of_addresses_that_the_card_has_left_means_another_now(host):
    host.take(by(address="0000:03:*"))
    shifted(host)
    with pytest.raises(PlanError, match=f"another device is at {TWIN}"):
        host.take(by(address="0000:03:*"))
    assert host.driver(TWIN) == "e1000e"


def test_a_glob_of_addresses_that_still_has_the_card_takes_the_new_one_too(host):
    wish = dict(by(address="0000:0[1-9]:00.0", device="10d3"), optional=True)
    host.take(wish)
    shifted(host)
    host.take(wish)
    assert (host.driver("0000:02:00.0"), host.driver(TWIN), host.driver(NEXT)) == ("vfio-pci",) * 3
    assert not host.take(wish)["changed"]


def test_no_rule_names_a_bus_number(host):
    host.take(NIC, TWIN, NVME, EDU)
    rules = [line for line in host.rules().split("\n") if line.startswith('ACTION=="add", SUBSYSTEM=="pci"')]
    assert len(rules) == 4 + 2 and not [one for one in rules if "KERNEL" in one or ":02:" in one or ":03:" in one]
    assert f'DEVPATH=="/devices/pci0000:00/{NVME}"' in host.rules()


def by_address(text):
    """A rules file as the versions before wrote it."""
    lines = []
    for line in text.split("\n"):
        if line.startswith("# device "):
            kept = json.loads(line[len("# device "):])
            kept.pop("devpath")
            place = f'KERNEL=="{kept["address"]}"'
            line = f"# device {json.dumps(kept, sort_keys=True)}"
        if "TWIN" in line and "serial_number" in line:
            continue
        if "DEVPATH" in line:
            tokens = [place if token.startswith("DEVPATH") else token for token in line.split(", ") if "VFIO_HOST_TWIN" not in token]
            line = ", ".join(tokens)
        lines.append(line)
    return "\n".join(lines)


def test_a_file_of_an_earlier_version_is_read_and_rewritten_as_a_change_in_the_diff(host):
    wish = by(mac=TWIN_MAC)
    host.take(wish)
    new, path = host.rules(), f"{host.files.boot_rules}/60-vfio-host-p.rules"
    host.tree.put(path, by_address(new))
    assert f'KERNEL=="{TWIN}"' in host.rules() and "devpath" not in host.rules()
    host.reboot()
    assert host.driver(TWIN) == "vfio-pci"
    result = host.take(wish, check=True)
    assert [(one["address"], one["status"]) for one in result["devices"]] == [(TWIN, "unchanged")]
    assert result["changed"] and [(one["before"], one["after"]) for one in result["diff"]] == [(by_address(new), new)]
    host.take(wish)
    assert host.rules() == new
    assert not host.take(wish)["changed"]


def test_a_release_takes_records_of_an_earlier_version(host):
    host.take(by(mac=TWIN_MAC))
    host.tree.put(f"{host.files.boot_rules}/60-vfio-host-p.rules", by_address(host.rules()))
    host.reboot()
    host.release()
    assert (host.driver(TWIN), host.rules()) == ("e1000e", None)


def test_two_policies_follow_their_cards(host):
    wishes = {"a": [by(serial=TWIN_SERIAL)], "b": [by(serial="52-54-00-ff-ff-00-03-02")]}
    host.run(wishes)
    shifted(host)
    assert (host.driver(NIC), host.driver(TWIN), host.driver(NEXT)) == ("e1000e", "vfio-pci", "vfio-pci")
    host.run(wishes)
    assert not host.run(wishes)["changed"]


def test_an_absent_card_waits_in_its_slot_whatever_its_bus_is_by_then(host):
    wish = dict(by(serial=TWIN_SERIAL), optional=True)
    host.take(wish, EDU)
    gone = next(one for one in host.kernel.spec.functions if one.address == TWIN)
    host.unplug(TWIN)
    assert not host.take(wish, EDU)["changed"]
    host.kernel.spec = replace(host.kernel.spec, functions=tuple(one for one in host.kernel.spec.functions if one.address != TWIN))
    shifted(host)
    assert not host.take(wish, EDU)["changed"]
    host.plug(replace(gone, address=NEXT))
    assert host.driver(NEXT) == "vfio-pci"
    host.take(wish, EDU)
    assert not host.take(wish, EDU)["changed"]


# A kernel that shows serial numbers by itself.


def test_a_twin_in_the_slot_is_not_taken_where_the_kernel_shows_serial_numbers(make_host):
    spec = hosts.x86()
    shown = replace(spec, functions=tuple(replace(one, shows_serial=True) for one in spec.functions))
    host = make_host(shown)
    host.take(by(serial=TWIN_SERIAL))
    host.reboot()
    assert host.driver(TWIN) == "vfio-pci"
    host.kernel.spec = hosts.changed(host.kernel.spec, TWIN, dsn="52-54-00-ff-ff-00-03-0f")
    host.reboot()
    assert host.driver(TWIN) == "e1000e"


# Other shapes of hosts.

EPYC = tuple(
    one for domain, root in (("0000", "40"), ("0000", "80"), ("0001", "40"))
    for one in (
        Function(f"{domain}:{root}:01.1", "1022:1483", "060400", header_type=1),
        Function(
            f"{domain}:{int(root, 16) + 1:02x}:00.0", "8086:10d3:8086:0000", "020000", parent=f"{domain}:{root}:01.1",
            group=f"{domain}{root}", net=(Net(f"e{domain}{root}", f"52:54:00:{domain[:2]}:{domain[2:]}:{root}"),),
        ),
    )
)


def test_on_three_roots_each_card_has_its_own_path_and_its_rule_takes_it_alone(make_host):
    host = make_host(hosts.x86(functions=EPYC, mounts=("25 1 0:24 / / rw - tmpfs tmpfs rw",)))
    cards = [one.address for one in EPYC if one.parent]
    paths = {address: host.facts(address)["path"] for address in cards}
    assert list(paths.values()) == ["0000:40/01.1-00.0", "0000:80/01.1-00.0", "0001:40/01.1-00.0"]
    for address in cards:
        host.take(by(path=paths[address]))
        host.reboot()
        assert [one for one in cards if host.driver(one) == "vfio-pci"] == [address]
        host.release()


def test_a_power9_host_tells_its_phbs_apart(make_host):
    functions = tuple(
        one for number in range(4) for one in (
            Function(f"000{number}:00:00.0", "1014:04c1", "060400", header_type=1),
            Function(f"000{number}:01:00.0", "8086:10d3:8086:0000", "020000", group=str(number), parent=f"000{number}:00:00.0"),
        )
    )
    host = make_host(hosts.p9(functions=functions))
    host.take(by(path="0002:00/00.0-00.0"))
    host.reboot()
    assert [one.address for one in functions if host.driver(one.address) == "vfio-pci"] == ["0002:01:00.0"]


def test_functions_of_s390_have_a_path_each_and_go_on_by_uid(make_host):
    host = make_host(hosts.s390())
    assert [one["path"] for one in host.survey().facts()["devices"].values()] == ["0002:00/00.0", "1234:00/00.0"]
    host.take(by(path="0002:00/00.0"))
    assert "DEVPATH" not in host.rules() and 'ATTR{uid}=="0x2"' in host.rules()


def vmd(domain):
    return (
        Function("0000:00:0e.0", "8086:467f", "010400"),
        Function(f"{domain}:e0:06.0", "8086:9a09", "060400", header_type=1, parent="0000:00:0e.0", root="e0"),
        Function(f"{domain}:e1:00.0", "144d:a808:144d:a801", "010802", group="7", parent=f"{domain}:e0:06.0"),
    )


def test_a_disk_behind_vmd_is_known_whatever_domain_the_kernel_gives(make_host):
    host = make_host(hosts.x86(functions=vmd("10000"), mounts=("25 1 0:24 / / rw - tmpfs tmpfs rw",)))
    assert host.facts("10000:e1:00.0")["path"] == "0000:00/0e.0/e0/06.0-00.0"
    host.kernel.spec = replace(host.kernel.spec, functions=vmd("10001"))
    host.reboot()
    assert host.facts("10001:e1:00.0")["path"] == "0000:00/0e.0/e0/06.0-00.0"


def test_a_variant_follows_its_card_too(make_host):
    spec = hosts.with_modules(hosts.x86(), Module("e1000e_vfio_pci", ("e1000e_vfio_pci",), ("vfio_pci:v00008086d000010D3sv*sd*bc*sc*i*",)))
    host = make_host(spec)
    host.take(by(mac=TWIN_MAC))
    shifted(host)
    assert (host.driver(NEXT), host.driver(TWIN)) == ("e1000e_vfio_pci", "e1000e")
