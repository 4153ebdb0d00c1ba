# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's data: what it says of hosts, how large it is, and that nothing of a host can become a part of the page."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet
from ansible_collections.vfio.host.plugins.plugin_utils._report.page import MARK, page
from ansible_collections.vfio.host.plugins.plugin_utils._report.record import record
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, UPLINK
from ansible_collections.vfio.host.tests.unit.plugins.plugin_utils import fleet

HOSTILE = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "'-alert(1)-'", "<!--", "]]>", "{{ 7 * 7 }}",
    "\u202egnp.exe", "\udce9", "\x1b[31m\x00", "\u2028", "&lt;b&gt;",
)


class Elements(HTMLParser):
    """The elements and attributes of a page, as a browser finds them."""

    def __init__(self, text):
        super().__init__()
        self.found, self.data, self._in = [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(sorted(name for name, dummy in attrs))))
        self._in = tag if tag != "script" or dict(attrs).get("id") != "data" else "data"

    def handle_data(self, data):
        self.data += data if self._in == "data" else ""

    def handle_endtag(self, tag):
        self._in = None


def made(hosts):
    """The page of host -> variables."""
    standings = [_fleet.standing(host, variables) for host, variables in hosts.items()]
    records = {host: one["passthrough_survey"]["record"] for host, one in hosts.items() if "record" in one.get("passthrough_survey", {})}
    return page(standings, records)


@pytest.fixture
def facts_of(result_of):
    """A function: FakeHost -> its facts as the survey reads them."""
    return lambda host: result_of(host, "pci_facts", owners=True)["ansible_facts"]["vfio_host"]


def test_a_made_up_host_has_the_fields_that_a_real_one_has(facts_of, host):
    real, ours = facts_of(host), fleet.facts(1)
    assert set(ours) == set(real)
    for one in ours["devices"].values():
        assert set(one) <= set(real["devices"][NIC]) and set(one["vfio"]) <= set(real["devices"][NIC]["vfio"])


def test_two_hundred_hosts_of_140_functions_are_less_than_two_megabytes_and_made_in_seconds():
    hosts = fleet.fleet(200)
    assert len(fleet.facts(0)["devices"]) == 140
    begun = time.process_time()
    text = made(hosts)
    assert time.process_time() - begun < 10
    assert len(text.encode()) < 2_000_000


def test_the_same_hosts_give_the_same_file_in_whatever_order_they_come():
    hosts = fleet.fleet(60)
    assert made(hosts) == made(dict(reversed(hosts.items())))


def test_a_later_run_knows_the_file_by_its_beginning():
    assert MARK in made({})[:4096]


def test_the_record_says_who_has_a_device_and_why_the_host_needs_another(facts_of, host):
    host.run({"guests": [{"match": {"net": "enp2s0"}}]})
    devices = {one["address"]: one for one in json.loads(record(facts_of(host)))["devices"]}
    assert (devices[NIC]["state"], devices[NIC]["policy"], devices[NIC]["driver"]) == ("taken", "guests", "vfio-pci")
    assert devices[NIC]["why"][0] == "was e1000e"
    assert devices[UPLINK]["state"] == "needed by the host" and devices[UPLINK]["why"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_a_host_tells_adds_an_element_an_attribute_or_a_script(facts_of, host, hostile):
    facts, harmless = facts_of(host), {"node1": fleet.registered(43)}
    result = fleet.registered(43)["passthrough_result"]
    for one in result["devices"]:
        one.update(policy=hostile, driver_before=hostile, address=hostile, identity=dict(one["identity"], name=hostile))
    result.update(warnings=[hostile], reboot_reasons=[hostile], undeclared=[{"kind": "policy", "name": hostile, "reason": hostile}])
    for one in facts["devices"].values():
        one.update(dict.fromkeys(("driver", "driver_override", "vendor_name", "device_name", "serial", "path", "vendor", "device"), hostile))
        one["net"], one["block"] = [{"name": hostile, "mac": hostile, "address": hostile}], [hostile]
        one["holders"], one["guards"] = [{"pid": 1, "command": hostile}], [{"kind": "network", "reason": hostile}]
    facts.update(kernel=hostile, platform=hostile)
    names = {f"node1{hostile}": {"passthrough_survey": {"record": record(facts)}, "passthrough_result": result}}
    failed = {"x": {"passthrough_survey": {"failed": True, "msg": hostile}}}
    expected, found = (Elements(made({**some, **failed})) for some in (harmless, names))
    assert {one for one in found.found if one not in expected.found} <= {("br", ()), ("small", ())}
    assert json.loads(found.data)["texts"]
    text = made({**names, **failed})
    assert text.encode() and "\u202e" not in text and "\x1b" not in text
    assert len(re.findall(r"<script", text)) == 2


@pytest.mark.parametrize("variables, state", [
    ({}, "missed"), ({"passthrough_survey": {"unreachable": True, "msg": "no route"}}, "unreachable"),
    ({"passthrough_checked": {"failed": True, "msg": "a\nb"}}, "refused"), ({"passthrough_result": {"failed": True, "msg": "x"}}, "failed"),
    ({"passthrough_result": {"failed": True, "msg": "x", "refusals": [{"kind": "guard", "guard": "network", "message": "x"}]}}, "refused"),
    ({"passthrough_result": {"failed": True, "module_stderr": "sh: no python"}}, "failed"),
    ({"passthrough_result": {"changed": False, "devices": []}}, "nothing"),
    ({"passthrough_result": {"changed": True, "reboot_required": True, "reboot_reasons": ["x"]}}, "waiting"),
])
def test_a_host_is_told_by_what_its_tasks_have_registered(variables, state):
    found = _fleet.standing("node1", variables)
    assert found.state == state
    assert bool(found.reasons) == (state in ("unreachable", "refused", "failed"))
    assert f'data-state="{state}"' in made({"node1": variables})


def test_a_service_that_waits_for_a_restart_is_no_change():
    limit = {
        "kind": "unit", "name": "guest.service", "limit_before": "2", "limit": "2", "pid": 7, "running": "1", "restart": True, "status": "unchanged",
    }
    text = made({"node1": {"passthrough_result": {"changed": False, "devices": [], "memlock": [limit], "restart": ["guest.service"]}}})
    assert 'data-state="declared"' in text and "a restart is required: guest.service" in text
    assert "guest.service: to lock 2" in text and "What a converge would change" not in text


def test_refusals_for_one_reason_stand_together_with_links_to_the_hosts():
    text = made(fleet.fleet(100))
    (part,) = re.findall(r'<section class="look".*?</section>', text, re.DOTALL)
    assert part.count("needed by the host (network)") == 1
    targets = re.findall(r'href="#(h-[0-9a-f]+)"', part)
    assert len(targets) == 8 and all(f'id="{one}"' in text for one in targets)
