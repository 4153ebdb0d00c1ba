# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""modprobe.d and the command line about drivers of cards that shall have VFs, and scripts of install lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import contradictions
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.competitors import heads, of_devices, of_vfs
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, TWIN

CONF = "etc/modprobe.d/a.conf"
HERE = "/" + CONF


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("options igb max_vfs=4", False),
        ("options igb max_vfs=7", None),
        ("options igb max_vfs=0", None),
        ("options igb max_vfs=4,0", True),
        ("options igb debug=1", None),
        ("options ixgbe max_vfs=4", None),
        ("# options igb max_vfs=4", None),
        ("options igb debug=1 \\\n max_vfs=4", False),
        ("blacklist igb", False),
        ("install igb /bin/false", False),
        ("install igb* /bin/true", False),
        ("install igb /sbin/modprobe --ignore-install igb", None),
        ("blacklist igbvf", None),
        ("install igb /usr/local/sbin/mine", True),
    ],
)
def test_a_line_about_the_driver_of_a_card_that_shall_have_vfs_is_told(host, line, expected):
    assert heads(of_vfs(host, {CONF: line + "\n"})) == ([] if expected is None else [(f"{HERE}:1", expected)])


def test_the_last_setting_of_an_option_counts_and_of_install_lines_the_first(host):
    files = {CONF: "options igb max_vfs=4\n", "etc/modprobe.d/b.conf": "options igb max_vfs=7\n"}
    assert of_vfs(host, files) == []
    files = {CONF: "install igb modprobe -i igb\n", "etc/modprobe.d/b.conf": "install igb /bin/true\n"}
    assert of_vfs(host, files) == []


def test_the_command_line_is_read_as_modprobe_d_is(make_host):
    host = make_host(hosts.x86(cmdline="quiet igb.max_vfs=4 modprobe.blacklist=igb"))
    assert heads(of_vfs(host, {})) == [("/proc/cmdline", False), ("/proc/cmdline", False)]


@pytest.mark.parametrize(("line", "device", "told"), [
    ("alias pci:v00008086d000010D3sv* vfio-pci", {"driver": "native"}, True),
    ("alias pci:v00008086d000010D3sv* e1000e", {"driver": "native"}, False),
    ("alias pci:v00008086d000010D4sv* vfio-pci", {"driver": "native"}, False),
    ("alias pci:v00008086d000010D3sv* vfio-pci", {}, False),
    ("alias e1000e off", {}, False),
])
def test_an_alias_that_takes_the_place_of_a_devices_own_is_told_where_that_driver_is_declared(host, line, device, told):
    assert heads(of_devices(host, {CONF: line + "\n"}, dict(device, match={"address": TWIN}))) == ([(f"{HERE}:1", True)] if told else [])


def test_an_alias_in_the_place_of_a_cards_own_is_told_where_it_shall_have_vfs(host):
    assert heads(of_vfs(host, {CONF: "alias pci:v00008086d000010C9* vfio-pci\n"})) == [(f"{HERE}:1", True)]


@pytest.mark.parametrize(("argument", "told"), [
    ("xen-pciback.hide=(0000:03:00.0)(07:00.0)", [("/proc/cmdline", False)]),
    ("xen-pciback.hide=(3:0.0)", [("/proc/cmdline", False)]),
    ("xen_pciback.hide=(03:*.*)", [("/proc/cmdline", False)]),
    ("xen-pciback.hide=(0000:03:00.0) xen-pciback.hide=(04:00.0)", []),
    ("xen-pciback.hide=(10000:03:00.0)", []),
    ("rd.driver.pre=e1000e,nvme", [("/proc/cmdline", True)]),
    ("rd.driver.pre=vfio-pci", []),
    ("rd.driver.pre=", []),
])
def test_what_the_command_line_gives_to_another_driver_is_told(make_host, argument, told):
    host = make_host(hosts.x86(cmdline=f"quiet {argument}"))
    assert heads(of_devices(host, {}, {"match": {"address": TWIN}})) == told


def test_a_card_that_is_hidden_by_xen_makes_no_vfs(make_host):
    assert heads(of_vfs(make_host(hosts.x86(cmdline="xen-pciback.hide=(01:00.0)")), {})) == [("/proc/cmdline", False)]


def test_a_card_that_shall_have_no_vfs_needs_no_driver(host):
    assert of_vfs(host, {CONF: "blacklist igb\n"}, number=0) == []


def test_a_built_in_driver_cannot_be_blacklisted(make_host):
    modules = tuple(replace(one, builtin=True, file=None) if one.name == "igb" else one for one in hosts.MODULES)
    assert of_vfs(make_host(hosts.x86(modules=modules)), {CONF: "blacklist igb\n"}) == []


SCRIPT = "install vfio-pci /usr/local/sbin/mine\n"


def test_what_the_script_of_an_install_line_does_to_declared_devices_is_named(host):
    script = f"#!/bin/sh\necho vfio-pci > /sys/bus/pci/devices/{TWIN}/driver_override\nmodprobe -i vfio-pci\n"
    files = {CONF: SCRIPT, "usr/local/sbin/mine": script}
    native = {"match": {"address": TWIN}, "driver": "native"}
    assert heads(of_devices(host, files, native)) == [("/usr/local/sbin/mine:2", True)]
    assert heads(of_devices(host, files, NIC)) == [(f"{HERE}:1", False)]


def test_devices_of_a_host_without_competitors_have_no_warnings(host):
    assert of_devices(host, {}, NIC, EDU) == []
    assert of_vfs(host, {}) == []


NATIVE = {"match": {"address": NIC}, "driver": "native"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("blacklist e1000e", 1),
        ("install e1000e /bin/true", 1),
        ("blacklist e1000", 0),
        ("options pci-stub ids=8086:10d3", 1),
        ("options pci-stub ids=8086:10d4", 0),
    ],
)
def test_what_keeps_a_device_that_is_declared_native_from_its_driver_is_told(host, line, expected):
    assert heads(of_devices(host, {CONF: line + "\n"}, NATIVE)) == [(f"{HERE}:1", False)] * expected
    assert of_devices(host, {CONF: line + "\n"}, NIC) == []


@pytest.mark.parametrize("driver, expected", [("vfio-pci", []), ("native", ["e1000e"])])
def test_the_settings_of_a_native_driver_are_looked_at_once_and_where_it_is_declared(host, monkeypatch, driver, expected):
    asked = []
    monkeypatch.setattr(contradictions, "_disabling", lambda dummy, module: asked.append(module) or [])
    of_devices(host, {}, *({"match": {"address": one}, "driver": driver} for one in (NIC, TWIN)))
    assert asked == expected
