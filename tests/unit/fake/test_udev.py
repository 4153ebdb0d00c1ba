# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The udev simulator takes what udev takes of our rules, and nothing that it does not understand."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, TWIN
from ansible_collections.vfio.host.tests.unit.fake.udev import RuleSyntaxError, parse_rule

TAKE = f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{NIC}", ATTR{{vendor}}=="0x8086"'


def rules(host, *lines, directory="boot_rules", name="60-x.rules"):
    host.tree.put(f"{getattr(host.files, directory)}/{name}", "".join(line + "\n" for line in lines))
    host.reboot() if directory == "boot_rules" else host.udev.reload()


def test_an_attribute_is_written_where_all_matches_fit(host):
    rules(host, TAKE + ', ATTR{driver_override}="vfio-pci"')
    assert host.override(NIC) == "vfio-pci"
    assert host.override(TWIN) is None


def test_a_match_after_an_assignment_still_guards_it(host):
    rules(host, 'ATTR{driver_override}="vfio-pci", KERNEL=="' + EDU + '"')
    assert host.override(EDU) == "vfio-pci"
    assert host.override(NIC) is None


def test_an_env_of_one_rule_is_seen_by_the_next(host):
    rules(host, TAKE + ', ENV{X}="a b"', 'ENV{X}=="a b", ATTR{driver_override}="stub"')
    assert host.override(NIC) == "stub"


def test_modules_load_after_all_rules(host):
    rules(host, TAKE + ', RUN{builtin}+="kmod load vfio_pci"', TAKE + ', ATTR{driver_override}="vfio-pci"')
    assert host.driver(NIC) == "vfio-pci"


def test_etc_hides_a_file_of_the_same_name_in_run(host):
    rules(host, TAKE + ', ATTR{driver_override}="etc"')
    rules(host, TAKE + ', ATTR{driver_override}="run"', directory="volatile_rules")
    host.udev.add(NIC)
    assert host.override(NIC) == "etc"


def test_a_refused_write_is_passed_over(host):
    rules(host, TAKE + ', ATTR{driver/unbind}="0000:ff:00.0"', TAKE + ', ATTR{driver_override}="x"')
    assert host.override(NIC) == "x"


def test_an_attribute_of_another_function_is_matched_and_written(host):
    rules(host, TAKE + f', ATTR{{[pci/{TWIN}]device}}=="0x10d3", ATTR{{[pci/{TWIN}]driver_override}}="x"')
    assert (host.override(TWIN), host.override(NIC)) == ("x", None)


def test_a_module_that_is_imported_is_there_for_the_next_rule(host):
    rules(
        host, TAKE + ', IMPORT{builtin}="kmod load vfio_pci"',
        TAKE + ', TEST=="[subsystem/pci]drivers/vfio-pci", ATTR{driver_override}="x"',
    )
    assert host.override(NIC) == "x"


def test_a_driver_that_binds_is_an_event_of_its_own(host):
    rules(host, f'ACTION=="bind", KERNEL=="{NIC}", DRIVER=="e1000e", ATTR{{driver_override}}="x"')
    assert host.override(NIC) == "x"


@pytest.mark.parametrize(
    "line",
    [
        'KERNEL="x"',
        'RUN+="/bin/sh"',
        'ATTR{x}=="a" ATTR{y}="b"',
        'KERNEL=="a", PROGRAM="x"',
        'ATTR{x}="$env{y}"',
        "KERNEL==x",
    ],
)
def test_what_is_not_simulated_is_an_error(host, line):
    with pytest.raises(RuleSyntaxError):
        rules(host, TAKE + ', ENV{X}="1"', 'ENV{X}=="1", ' + line)


def test_what_was_read_of_an_attribute_is_remembered_for_the_event(host):
    rules(
        host, TAKE + ', ATTR{driver_override}=="(null)", ATTR{driver_override}="x"',
        TAKE + ', ATTR{driver_override}=="x", ATTR{driver_override}="y"',
    )
    assert host.override(NIC) == "x"
    host.udev.add(NIC)
    assert host.override(NIC) == "y"


@pytest.mark.parametrize("pattern, fits", [
    (f"/devices/pci0000:00/0000:00:06.0/{NIC}", True), ("/devices/pci0000:00/0000:00:06.0/0000:??:00.0", True),
    ("/devices/pci0000:00/0000:00:08.0/0000:??:00.0", False), ("/devices/*:00.0", True), ("/devices/pci0000:00?0000:00:06.0/*", True),
    ("*/net/*", False), ("/devices/pci0000:00/0000:00:06.0", False),
])
def test_a_devpath_is_compared_by_glob_and_a_slash_is_a_character_as_any(host, pattern, fits):
    rules(host, f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{NIC}", DEVPATH=="{pattern}", ATTR{{driver_override}}="x"')
    assert (host.override(NIC) == "x") is fits


def test_a_write_to_uevent_is_an_event_with_words_in_it(host):
    rules(
        host, f'ACTION=="add", KERNEL=="{TWIN}", ATTR{{[pci/{NIC}]uevent}}="add 5f1c7e34-3d4b-4d0e-9a53-0d5c6d0a7b11 A=1"',
        'ACTION=="add", ENV{SYNTH_ARG_A}=="1", ATTR{driver_override}="x"',
    )
    assert (host.override(NIC), host.override(TWIN)) == ("x", None)


def test_a_rule_parses_to_its_tokens():
    assert parse_rule('ENV{A}=="x", ATTR{[subsystem/pci]drivers_probe}="$kernel"') == [
        ("ENV", "A", "==", "x"),
        ("ATTR", "[subsystem/pci]drivers_probe", "=", "$kernel"),
    ]
