# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The survey of a host, as a person sees it at 80 and at 120 columns."""

from __future__ import annotations

import time

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils import _draft, _survey
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, PF, ROOT_DISK, UPLINK


@pytest.fixture
def facts_of(result_of):
    """A function: FakeHost -> its facts as the survey reads them."""
    return lambda host: result_of(host, "pci_facts", owners=True)["ansible_facts"]["vfio_host"]


def sections(facts):
    return {address: _survey.state_of(device, facts) for address, device in facts["devices"].items()}


def test_a_host_of_which_nothing_is_taken(facts_of, host, is_golden):
    facts = facts_of(host)
    is_golden("survey-free", lambda width: _survey.lines(facts, host="node1", width=width))


def test_what_is_taken_says_its_policy_and_what_it_was(facts_of, host, is_golden):
    host.run({"guests": [{"match": {"net": "enp2s0"}}], "storage": [{"match": {"serial": "NV01"}}]})
    facts = facts_of(host)
    is_golden("survey-taken", lambda width: _survey.lines(facts, host="node1", width=width))


def test_vfs_say_their_number_and_their_card(result_of, facts_of, host, is_golden):
    result_of(host, "sriov_vfs", devices=[{"match": {"address": PF}, "numvfs": 3}])
    facts = facts_of(host)
    facts["devices"] = {address: one for address, one in facts["devices"].items() if address.startswith("0000:01:")}
    is_golden("survey-vfs", lambda width: _survey.lines(facts, host="node1", width=width))


@pytest.mark.parametrize("name, spec", [("s390", hosts.s390()), ("p9", hosts.p9()), ("no-iommu", hosts.x86(iommu=False))])
def test_other_hosts(facts_of, make_host, is_golden, name, spec):
    facts = facts_of(make_host(spec))
    is_golden(f"survey-{name}", lambda width: _survey.lines(facts, host="node1", width=width))


def test_a_reason_that_all_have_is_said_once(facts_of, make_host):
    facts = facts_of(make_host(hosts.x86(iommu=False)))
    texts = [line.text for line in _survey.lines(facts, host="node1", width=200)]
    assert sum("no IOMMU group" in text for text in texts) == 1


def test_what_the_host_needs_is_not_free(facts_of, host):
    found = sections(facts_of(host))
    assert (found[UPLINK], found[ROOT_DISK], found[NIC]) == (_survey.NEEDED, _survey.NEEDED, _survey.FREE)


def test_a_reason_does_not_repeat_the_address_of_its_row_and_one_interface_says_all_it_carries(facts_of, host):
    device = facts_of(host)["devices"][UPLINK]
    device["guards"] = [
        {"kind": "network", "reason": f"ens3 carries {what} on {UPLINK}", "brief": f"ens3 carries {what}", "interface": "ens3", "carries": what}
        for what in ("the default route", "the controller's connection from 10.0.2.2")
    ]
    assert _survey.needs(device) == ["ens3 carries the default route and the controller's connection from 10.0.2.2"]


def test_what_a_reason_says_is_not_read(facts_of, host):
    device = facts_of(host)["devices"][NIC]
    hostile = {"kind": "storage", "reason": f"/srv/x carries y over {NIC} is on nvme0n1 on {NIC}", "brief": f"/srv/x carries y over {NIC} is on nvme0n1"}
    device["guards"] = [dict(hostile, interface=None, carries=None), {"kind": "storage", "reason": f"of an older version on {NIC}"}]
    assert _survey.needs(device) == [f"/srv/x carries y over {NIC} is on nvme0n1", f"of an older version on {NIC}"]


def test_a_name_with_the_words_of_a_sentence_is_shown_as_it_is(make_host, facts_of):
    mount = f"30 1 259:0 / /srv/on\\040{NVME} rw - ext4 /dev/nvme0n1 rw"
    device = facts_of(make_host(hosts.x86(mounts=hosts.x86().mounts + (mount,))))["devices"][NVME]
    assert _survey.needs(device) == [f"/srv/on {NVME} is on nvme0n1"]


def test_what_is_tied_to_what_the_host_keeps_is_not_free(facts_of, host):
    facts = facts_of(host)
    assert sections(facts)[PAIR] == _survey.FREE
    facts["devices"][PAIR2]["guards"] = [{"kind": "network", "reason": "x"}]
    assert sections(facts)[PAIR] == _survey.REFUSED
    facts["devices"][PAIR2].update({"guards": [], "class": "0c0500", "driver": "i801_smbus"})
    assert _survey.why_not(facts["devices"][PAIR], facts) == "in an IOMMU group with what the host keeps"
    facts["devices"][PAIR2]["driver"] = None
    assert sections(facts)[PAIR] == _survey.FREE


def test_the_chipset_is_counted_and_listed_with_more_verbosity(facts_of, host):
    facts = facts_of(host)
    short = [line.text for line in _survey.lines(facts, host="node1", width=79)]
    long = [line.text for line in _survey.lines(facts, host="node1", width=79, verbose=True)]
    assert "CHIPSET" not in short and "CHIPSET" in long
    assert "of the chipset, which -v lists" in short[-1]


def test_what_is_on_vfio_without_a_policy_is_taken(facts_of, host):
    host.kernel.modprobe("vfio_pci")
    host.kernel.write(f"{host.kernel.pci_drivers}/e1000e/unbind", NIC)
    host.kernel.write(f"{host.kernel.pci_drivers}/vfio-pci/new_id", "8086 10d3")
    facts = facts_of(host)
    assert sections(facts)[NIC] == _survey.TAKEN
    assert "taken by id, without an override" in _survey.fragments(facts["devices"][NIC], _survey.numbered(facts))


def test_a_rules_file_that_no_run_wrote_is_a_warning_and_no_failure(run_module, host):
    host.run({"guests": [{"match": {"net": "enp2s0"}}]})
    path = f"{host.files.boot_rules}/60-vfio-host-guests.rules"
    host.files.put(path, host.files.read(path).replace('"driver"', '"drivr"'))
    result = run_module(host, "pci_facts", owners=True)
    assert result["ansible_facts"]["vfio_host"]["owners"] == {}
    assert any("60-vfio-host-guests.rules" in str(one) for one in result["warnings"])


def test_owners_are_told_of_the_devices_that_are_asked_for(run_module, host):
    host.run({"guests": [{"match": {"net": "enp2s0"}}], "storage": [{"match": {"serial": "NV01"}}]})
    found = run_module(host, "pci_facts", owners=True, match=[{"address": NIC}])["ansible_facts"]["vfio_host"]["owners"]
    assert list(found) == [NIC] and NVME not in found
    assert (found[NIC]["policy"], found[NIC]["was"]["driver"], found[NIC]["was"]["net"][0]["name"]) == ("guests", "e1000e", "enp2s0")


def test_a_host_of_thousands_of_functions_is_surveyed_in_a_moment(facts_of, host):
    facts = facts_of(host)
    card = facts["devices"][NIC]
    for number in range(4096):
        address = f"0000:{0x40 + number // 256:02x}:{number // 8 % 32:02x}.{number % 8}"
        facts["devices"][address] = dict(card, address=address, physfn=PF, is_vf=True, iommu_group=str(1000 + number))
        facts["iommu"]["groups"][str(1000 + number)] = [address]
    begun = time.process_time()
    texts = [line.text for line in _survey.lines(facts, host="node1", width=79)]
    _draft.text(facts, host="node1")
    assert any("VF 4095 of 01:00.0" in text for text in texts)
    assert time.process_time() - begun < 5


def test_policies_that_nobody_declares_are_named_with_what_to_do(run_module, host):
    host.take(NIC)
    host.run({"spare": [{"match": {"address": EDU}}], "left": [{"match": {"vendor": "ffff"}, "optional": True}]})
    facts = run_module(host, "pci_facts", owners=True)["ansible_facts"]["vfio_host"]
    assert "spare" in facts["policies"] and "p" in facts["policies"]
    told = " ".join(line.text.strip() for line in _survey.undeclared(facts, {"p"}, width=79)).strip()
    assert told == (
        f"on the host, and not in passthrough_devices: {', '.join(sorted(set(facts['policies']) - {'p'}))}, "
        "declare them (an empty list gives a policy back), or say passthrough_undeclared: release"
    )
    assert _survey.undeclared(facts, facts["policies"], width=79) == []
