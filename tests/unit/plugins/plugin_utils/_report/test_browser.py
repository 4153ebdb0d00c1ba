# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report in a real browser: it shows, filters and is used by keyboard alone, in light and in dark, and no host's word runs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils import _fleet
from ansible_collections.vfio.host.plugins.plugin_utils._report.page import page
from ansible_collections.vfio.host.tests.tools import browser as browsers
from ansible_collections.vfio.host.tests.unit.plugins.plugin_utils import fleet

PROGRAM = browsers.program()
# A browser shows the same page, whichever Python made it.
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here, and the packages of the machine have none"),
]
HOSTILE = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
SHOWN = "document.getElementById('shown').textContent"
VISIBLE = "[...document.querySelectorAll('details.host')].filter((one) => !one.hidden)"
FOCUS = "document.activeElement.id || document.activeElement.textContent.trim()"
# Seconds that are generous on a machine with other things to do: a person waits for one.
PATIENCE = 15 if os.environ.get("VFIO_HOST_LONG") else 30


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The file of a fleet of 200 hosts, and that of a hostile one."""
    directory = tmp_path_factory.mktemp("report")
    for name, hosts in (("fleet", fleet.fleet(200)), ("hostile", {f"node {HOSTILE}": hostile()})):
        standings = [_fleet.standing(host, one) for host, one in hosts.items()]
        records = {host: one["passthrough_survey"]["record"] for host, one in hosts.items() if "record" in one["passthrough_survey"]}
        (directory / f"{name}.html").write_text(page(standings, records))
    return directory


def hostile():
    variables = fleet.registered(43)
    told = json.loads(variables["passthrough_survey"]["record"])
    for one in told["devices"]:
        one.update(name=HOSTILE, policy=HOSTILE, driver=HOSTILE, why=[HOSTILE], own=[HOSTILE])
    variables["passthrough_survey"] = {"record": json.dumps(told)}
    variables["passthrough_result"]["warnings"] = [HOSTILE]
    return variables


@pytest.fixture(scope="module")
def chromium():
    with browsers.Browser(PROGRAM) as browser:
        yield browser


@pytest.fixture
def shown(chromium, reports):
    """The browser with the fleet's report, as new."""
    chromium.troubles.clear()
    chromium.size(1280, 900)
    chromium.colours("light")
    chromium.open(reports / "fleet.html")
    yield chromium
    assert chromium.troubles == []


def settle(browser):
    """Let what was typed, and what is near the window, have their effect."""
    browser.ask("new Promise((done) => setTimeout(() => requestAnimationFrame(() => setTimeout(done, 50)), 200))")


def choose(browser, name, value):
    browser.ask(f"(() => {{ const one = document.getElementById('{name}'); one.value = {json.dumps(value)}; "
                "one.dispatchEvent(new Event(one.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true})); })()")
    settle(browser)


def test_it_is_there_within_a_moment_and_says_how_many_hosts_are_how(shown):
    begun = time.monotonic()
    shown.open(Path(shown.ask("decodeURI(location.pathname)")))
    assert time.monotonic() - begun < PATIENCE
    chips = shown.ask("[...document.querySelectorAll('.chip')].map((one) => one.textContent.trim())")
    assert chips == ["4 failed", "4 unreachable", "8 refused", "4 waits for a reboot", "8 would change", "172 as declared"]
    assert shown.ask(SHOWN) == "Shown: 200 of 200 hosts, 26,880 of 26,880 devices"


@pytest.mark.parametrize("state, number", [("failed", 4), ("unreachable", 4), ("refused", 8)])
def test_hosts_in_trouble_are_at_the_top_and_one_click_away(shown, state, number):
    assert shown.ask(f"document.querySelector('.look').textContent.includes('{state}')")
    shown.ask(f"document.querySelector('.chip.{state}').click()")
    settle(shown)
    assert shown.ask(f"{VISIBLE}.map((one) => one.dataset.state)") == [state] * number
    assert shown.ask(f"{VISIBLE}.every((one) => one.open)")


def test_filters_of_devices_filter_hosts_and_their_devices(shown):
    choose(shown, "policy", "gpus")
    some = shown.ask(SHOWN)
    choose(shown, "kind", "network")
    assert shown.ask(SHOWN).startswith("Shown: 0 of 200 hosts, 0 of") and shown.ask("!document.getElementById('none').hidden")
    choose(shown, "kind", "display")
    assert shown.ask(SHOWN) == some
    choose(shown, "host", "node003")
    rows = shown.ask("[...document.querySelectorAll('details[open] tbody tr')].map((row) => row.cells[5].textContent)")
    assert rows and set(rows) == {"gpus"}
    choose(shown, "state", "free")
    assert shown.ask(SHOWN).startswith("Shown: 0 of 200")


def test_a_search_finds_a_mac_address_and_a_reason(shown):
    device = next(one for one in fleet.facts(7)["devices"].values() if one["net"])
    choose(shown, "text", device["net"][0]["mac"].upper())
    assert shown.ask(SHOWN).startswith("Shown: 1 of 200 hosts, 1 of")
    assert shown.ask("document.querySelector('details[open] tbody tr').cells[1].textContent") == device["address"]
    choose(shown, "text", "no route to host")
    assert shown.ask(SHOWN).startswith("Shown: 4 of 200 hosts")


def test_members_of_an_iommu_group_stand_together(shown):
    choose(shown, "host", "node003")
    bodies = shown.ask("[...document.querySelectorAll('details[open] tbody')].map((one) => [...one.rows].map((row) => row.cells[0].textContent))")
    assert all(len(set(one)) == 1 for one in bodies) and any(len(one) > 1 for one in bodies)
    assert len({one[0] for one in bodies}) == len(bodies)


def test_the_keyboard_reaches_everything_in_the_order_of_the_page_and_works(shown):
    seen = []
    for dummy in range(60):
        shown.key("Tab")
        if shown.ask("getComputedStyle(document.activeElement).outlineStyle") == "none":
            seen.append(f"{shown.ask(FOCUS)}: no outline")
        seen.append(shown.ask(FOCUS))
        if shown.ask("document.activeElement.tagName") == "SUMMARY":
            break
    assert seen[0] == "To the hosts" and seen[1] == "theme" and seen[2] == "4 failed"
    order = [one for one in seen if one in ("text", "host", "policy", "kind", "state", "open", "close", "reset")]
    assert order == ["text", "host", "policy", "kind", "state", "open", "close", "reset"]
    assert not [one for one in seen if "no outline" in one] and len(seen) < 60
    shown.key("Enter")
    settle(shown)
    assert shown.ask("document.activeElement.parentElement.open")
    for dummy in range(8):  # back to the search
        shown.key("Tab", shift=True)
    assert shown.ask(FOCUS) == "text"
    shown.type("node123")
    settle(shown)
    assert shown.ask(f"{VISIBLE}.length") == 1 and shown.ask(f"{VISIBLE}[0].open")


def test_a_chip_is_a_button_that_says_whether_it_is_pressed(shown):
    for dummy in range(3):
        shown.key("Tab")
    assert shown.ask("document.activeElement.getAttribute('aria-pressed')") == "false"
    shown.key("Space")
    settle(shown)
    assert shown.ask("document.activeElement.getAttribute('aria-pressed')") == "true" and shown.ask(f"{VISIBLE}.length") == 4


def test_a_link_at_the_top_opens_its_host_and_has_the_focus_there(shown):
    shown.ask("document.querySelector('.look a').focus()")
    shown.key("Enter")
    settle(shown)
    assert shown.ask("document.activeElement.tagName") == "SUMMARY" and shown.ask("document.activeElement.parentElement.open")


def test_every_control_has_a_name(shown):
    nameless = shown.ask(
        "[...document.querySelectorAll('button, input, select, a, summary')].filter((one) => !(one.textContent.trim() || one.labels?.length)).length"
    )
    assert nameless == 0


def contrast(browser, selector):
    """Of text against what is behind it, as WCAG 2 counts it."""
    return browser.ask("""((selector) => {
      const parse = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = (rgb) => rgb.slice(0, 3).map((one) => one / 255).map((one) => one <= .03928 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4)
        .reduce((sum, one, index) => sum + one * [.2126, .7152, .0722][index], 0);
      const back = (one) => { for (; one; one = one.parentElement) { const found = parse(getComputedStyle(one).backgroundColor);
        if (found.length < 4 || found[3] > 0) return found; } return [255, 255, 255]; };
      return Math.min(...[...document.querySelectorAll(selector)].map((one) => {
        const [high, low] = [light(parse(getComputedStyle(one).color)), light(back(one))].sort((a, b) => b - a);
        return (high + .05) / (low + .05); }));
    })(""" + json.dumps(selector) + ")")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_can_be_read(shown, scheme):
    shown.colours(scheme)
    choose(shown, "host", "node003")
    is_dark = shown.ask("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert is_dark == (scheme == "dark")
    for selector in ("body", ".chip", ".badge", ".brief, .about, .sum", "a", "td", "td small", "button", "label", "#shown"):
        assert contrast(shown, selector) >= 4.5, selector


@pytest.mark.parametrize("scheme, wanted", [("light", "dark"), ("dark", "light")])
def test_the_switch_beats_the_system(shown, scheme, wanted):
    shown.colours(scheme)
    choose(shown, "theme", wanted)
    assert (shown.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)") == (wanted == "light")
    choose(shown, "theme", "")


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_window(shown, width):
    shown.size(width, 900)
    choose(shown, "host", "node043")
    settle(shown)
    assert shown.ask("document.querySelectorAll('details[open] tbody tr').length") == 140
    assert shown.ask("document.documentElement.scrollWidth") <= width


def test_all_hosts_open_at_once_without_a_wait(shown):
    begun = time.monotonic()
    shown.ask("document.getElementById('open').click()")
    settle(shown)
    assert time.monotonic() - begun < PATIENCE
    assert shown.ask(f"{VISIBLE}.every((one) => one.open)")


def test_paper_has_the_open_hosts_and_no_controls(shown):
    choose(shown, "host", "node003")
    shown.colours("dark", "print")
    assert shown.ask("getComputedStyle(document.querySelector('form')).display") == "none"
    assert shown.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.ask("document.querySelectorAll('details[open] tbody tr').length") == 140


def test_without_script_hosts_reasons_and_what_is_taken_can_be_read(chromium, reports):
    chromium.troubles.clear()
    chromium.open(reports / "fleet.html", script=False)
    assert chromium.ask("document.querySelector('form').hidden")
    assert chromium.ask("document.querySelectorAll('details.host').length") == 200
    assert chromium.ask("document.querySelector('details[data-state=declared] noscript').textContent.includes('policy gpus')")
    assert chromium.troubles == []


def test_no_word_of_a_host_runs_in_a_browser(chromium, reports):
    chromium.troubles.clear()
    chromium.open(reports / "hostile.html")
    settle(chromium)
    chromium.ask("document.getElementById('open').click()")
    choose(chromium, "text", "onerror")
    assert chromium.ask("window.ran === undefined")
    assert chromium.ask("document.querySelectorAll('img').length") == 0
    assert chromium.ask("document.querySelector('details[open] tbody tr').cells[5].textContent") == HOSTILE
    assert chromium.troubles == []
