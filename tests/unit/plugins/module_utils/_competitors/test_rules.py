# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of udev that others wrote are named where they contradict a declaration, and only there."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.competitors import NULL, Script, heads, of_devices, of_vfs
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PF, TWIN

RULES = "etc/udev/rules.d/70-cards.rules"
HERE = "/" + RULES
SURE, MAY = [(f"{HERE}:1", False)], [(f"{HERE}:1", True)]
GIVES = 'ATTR{driver_override}="e1000e"'


def test_a_rule_that_writes_another_override_is_named_with_line_and_remedy(host):
    text = f'# cards\nACTION=="add", SUBSYSTEM=="pci", KERNEL=="{NIC}", {GIVES}\n'
    assert of_devices(host, {RULES: text}, NIC) == [
        f'{HERE}:2: a rule of udev with ATTR{{driver_override}}="e1000e" gives e1000e to {NIC} (Intel Corporation 82574L Gigabit '
        "Network Connection) of policy p, which is declared for vfio-pci; remove it there"
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\0", "\n\r"])
def test_a_line_ends_where_udev_ends_it(host, end):
    text = end.join(["# cards", f'KERNEL=="{TWIN}", \\', f"  {GIVES}", f'KERNEL=="{NIC}", \\', f"  {GIVES}", ""])
    assert heads(of_devices(host, {RULES: text}, NIC)) == [(f"{HERE}:4", False)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (f'KERNEL=="{NIC}", {GIVES}', SURE),
        (f'KERNEL=="{TWIN}", {GIVES}', []),
        (f'KERNEL!="{NIC}", {GIVES}', []),
        (f'KERNEL=="0000:02:*", {GIVES}', SURE),
        (f'KERNEL=="0000:0[3-9]:*", {GIVES}', []),
        (f'KERNEL=="0000:01:00.0|{NIC}", {GIVES}', SURE),
        (f'SUBSYSTEM=="usb", {GIVES}', []),
        (f'SUBSYSTEM=="pci", ATTR{{vendor}}=="0x8086", ATTR{{device}}=="0x10d3", {GIVES}', SURE),
        (f'SUBSYSTEM=="pci", ATTR{{vendor}}=="0x10de", {GIVES}', []),
        (f'SUBSYSTEM=="pci", ATTR{{class}}=="0x0200*", {GIVES}', SURE),
        (f'SUBSYSTEM=="pci", ATTR{{class}}=="0x03*", {GIVES}', []),
        (f'SUBSYSTEM=="pci", ATTR{{boot_vga}}=="0", {GIVES}', MAY),
        (f'SUBSYSTEM=="pci", ENV{{PCI_ID}}=="8086:10D3", {GIVES}', SURE),
        (f'SUBSYSTEM=="pci", ENV{{PCI_SLOT_NAME}}=="{NIC}", {GIVES}', SURE),
        (f'SUBSYSTEM=="pci", ENV{{PCI_CLASS}}=="20000", {GIVES}', SURE),
        (f'SUBSYSTEM=="pci", ENV{{MY_CARD}}=="1", {GIVES}', MAY),
        (f'SUBSYSTEM=="pci", DRIVER=="e1000e", {GIVES}', MAY),
        (f'SUBSYSTEM=="pci", DRIVER=="nouveau", {GIVES}', []),
        (f'SUBSYSTEM=="pci", KERNELS=="0000:00:06.0", {GIVES}', SURE),
        (f'SUBSYSTEM=="pci", KERNELS=="0000:00:08.0", {GIVES}', []),
        (f'SUBSYSTEM=="pci", PROGRAM=="/bin/mine", {GIVES}', MAY),
        (f'SUBSYSTEM=="pci", TEST=="/etc/mine", {GIVES}', MAY),
        (f'KERNEL=="{NIC}", ATTR{{driver_override}}="vfio-pci"', []),
        (f'KERNEL=="{NIC}", ATTR{{driver_override}}="$env{{MINE}}"', MAY),
        (f'KERNEL=="{NIC}", ATTR{{driver_override}}==\"e1000e\"', []),
        (f'KERNEL==i"0000:02:00.0", {GIVES}', SURE),
        (f'KERNEL=="{TWIN}", ATTR{{[pci/{NIC}]driver_override}}="e1000e"', MAY),
        (f'KERNEL=="{NIC}", ATTR{{[pci/{TWIN}]driver_override}}="e1000e"', []),
        (f'KERNEL=="{TWIN}", ATTR{{../{NIC}/driver_override}}="e1000e"', MAY),
        (f'SUBSYSTEM=="pci", KERNEL=="{NIC}", ATTR{{remove}}="1"', SURE),
        (f'KERNEL=="{NIC}", DRIVER=="vfio-pci", ATTR{{driver/unbind}}="$kernel"', MAY),
        (f'KERNEL=="{NIC}", DRIVER=="e1000e", ATTR{{driver/unbind}}="$kernel"', []),
        (f'KERNEL=="{NIC}", RUN+="/usr/bin/driverctl set-override $kernel e1000e"', SURE),
        (f'KERNEL=="{TWIN}", RUN+="/usr/bin/driverctl set-override $kernel e1000e"', []),
        (f'KERNEL=="{NIC}", RUN+="/usr/bin/driverctl set-override {TWIN} e1000e"', []),
        (f'KERNEL=="{TWIN}", RUN+="/usr/bin/driverctl set-override {NIC} e1000e"', MAY),
        (f'KERNEL=="{NIC}", RUN+="/bin/sh -c \'echo e1000e > /sys$devpath/driver_override\'"', SURE),
        (f'KERNEL=="{NIC}", RUN+="/bin/sh -c \'echo e1000e > /sys/bus/pci/devices/%k/driver_override\'"', SURE),
        (f'KERNEL=="{NIC}", RUN+="/usr/bin/logger hello"', []),
        (f'ACTION=="remove", KERNEL=="{NIC}", {GIVES}', []),
        (f'ACTION=="add", {GIVES}, KERNEL=="{NIC}"', SURE),
        (f'ACTION=="add",KERNEL=="{NIC}",{GIVES}', SURE),
        (f'ACTION=="add" KERNEL=="{NIC}" {GIVES}', SURE),
        (f'# KERNEL=="{NIC}", {GIVES}', []),
    ],
)
def test_a_rule_is_told_of_the_devices_that_it_fits(host, rule, expected):
    assert heads(of_devices(host, {RULES: rule + "\n"}, NIC)) == expected


def test_lines_that_a_backslash_joins_are_one_rule_with_comments_between(host):
    text = f'\n\nSUBSYSTEM=="pci", \\\n# which card\n  KERNEL=="{NIC}", \\\n  {GIVES}\n'
    assert heads(of_devices(host, {RULES: text}, NIC)) == [(f"{HERE}:3", False)]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('SUBSYSTEM!="pci", GOTO="end"', [(f"{HERE}:2", False)]),
        ('SUBSYSTEM=="pci", GOTO="end"', []),
        ('ENV{MINE}!="1", GOTO="end"', [(f"{HERE}:2", True)]),
        ('SUBSYSTEM=="pci", ENV{MINE}="1"', [(f"{HERE}:2", False)]),
    ],
)
def test_a_rule_that_is_jumped_over_is_not_told(host, head, expected):
    text = f'{head}\nKERNEL=="{NIC}", {GIVES}\nLABEL="end"\n'
    assert heads(of_devices(host, {RULES: text}, NIC)) == expected


@pytest.mark.parametrize(("value", "expected"), [("1", [(f"{HERE}:2", False)]), ("2", [])])
def test_a_property_that_the_file_sets_is_known(host, value, expected):
    text = f'KERNEL=="{NIC}", ENV{{CARD}}="1"\nKERNEL=="{NIC}", ENV{{CARD}}=="{value}", {GIVES}\n'
    assert heads(of_devices(host, {RULES: text}, NIC)) == expected


@pytest.mark.parametrize("place", ["run", "usr/local/lib", "usr/lib", "lib"])
def test_rules_of_every_directory_are_read_and_one_of_etc_masks_them(host, place):
    path, text = f"{place}/udev/rules.d/70-cards.rules", f'KERNEL=="{NIC}", {GIVES}\n'
    assert heads(of_devices(host, {path: text}, NIC)) == [(f"/{path}:1", False)]
    assert of_devices(host, {RULES: "# nothing\n"}, NIC) == []


@pytest.mark.parametrize("mask", [NULL, ""])
def test_a_masked_rules_file_does_nothing(host, mask):
    files = {"usr/lib/udev/rules.d/70-cards.rules": f'KERNEL=="{NIC}", {GIVES}\n', RULES: mask}
    assert of_devices(host, files, NIC) == []


def test_only_files_whose_names_end_in_rules_are_read(host):
    assert of_devices(host, {RULES + ".bak": f'KERNEL=="{NIC}", {GIVES}\n'}, NIC) == []


@pytest.mark.parametrize(("action", "is_may"), [('ACTION=="add", ', True), ("", False)])
def test_a_rule_before_ours_has_the_last_word_only_by_later_events(host, action, is_may):
    path = "etc/udev/rules.d/10-cards.rules"
    assert heads(of_devices(host, {path: f'{action}KERNEL=="{NIC}", {GIVES}\n'}, NIC)) == [(f"/{path}:1", is_may)]


def test_a_line_that_is_no_rule_is_said_not_to_be_understood(host):
    text = f'KERNEL=="{NIC}", ATTR{{driver_override}}=e1000e\n'
    assert of_devices(host, {RULES: text}, NIC) == [f"{HERE}:1: the rule of udev is not understood, not checked"]


def test_a_line_that_is_no_rule_and_speaks_of_no_driver_is_passed_over(host):
    assert of_devices(host, {RULES: f'KERNEL=="{NIC}", RUN+=hello, ATTR{{remove}}=\n'}, NIC) == []


def test_the_script_that_a_rule_runs_is_read(host):
    files = {
        RULES: f'SUBSYSTEM=="pci", KERNEL=="{NIC}", RUN+="/usr/local/sbin/mine"\n',
        "usr/local/sbin/mine": '#!/bin/sh\necho e1000e > "/sys/bus/pci/devices/$PCI_SLOT_NAME/driver_override"\n',
    }
    assert heads(of_devices(host, files, NIC)) == [("/usr/local/sbin/mine:2", True)]
    assert of_devices(host, files, EDU) == []


@pytest.mark.parametrize("key", ["PROGRAM", "IMPORT{program}"])
@pytest.mark.parametrize("op", ["=", "=="])
def test_a_program_that_a_rule_asks_is_run_whatever_the_operator(host, key, op):
    rule = f'KERNEL=="{NIC}", {key}{op}"/bin/sh -c \'echo e1000e > /sys/bus/pci/devices/%k/driver_override\'"\n'
    assert heads(of_devices(host, {RULES: rule}, NIC)) == [(f"{HERE}:1", True)]


@pytest.mark.parametrize("place", ["usr/lib/udev", "lib/udev"])
def test_a_program_without_a_directory_is_one_of_udev_s_own(host, place):
    files = {
        RULES: f'KERNEL=="{NIC}", RUN+="cards %k"\n',
        f"{place}/cards": Script("#!/bin/sh\necho e1000e > /sys/bus/pci/devices/$1/driver_override\n"),
    }
    assert heads(of_devices(host, files, NIC)) == [(f"/{place}/cards:2", True)]


def test_what_is_not_declared_or_not_for_the_boot_is_not_told(host):
    files = {RULES: f'KERNEL=="{NIC}", {GIVES}\n'}
    assert of_devices(host, files, EDU) == []
    assert of_devices(host, files, NIC, at_boot=False) == []


def test_a_device_declared_native_is_told_of_a_rule_for_vfio(host):
    rule = f'KERNEL=="{NIC}", ATTR{{driver_override}}="vfio-pci"\n'
    native = {"match": {"address": NIC}, "driver": "native"}
    (sentence,) = of_devices(host, {RULES: rule}, native)
    assert "gives vfio-pci to" in sentence and "declared for its native driver" in sentence
    assert of_devices(host, {RULES: f'KERNEL=="{NIC}", {GIVES}\n'}, native) == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (f'KERNEL=="{PF}", ATTR{{sriov_numvfs}}="4"', SURE),
        (f'KERNEL=="{PF}", ATTR{{sriov_numvfs}}="7"', []),
        ('SUBSYSTEM=="net", KERNEL=="enp1s0", ATTR{device/sriov_numvfs}="4"', SURE),
        ('SUBSYSTEM=="net", KERNEL=="enp9s0", ATTR{device/sriov_numvfs}="4"', []),
        ('SUBSYSTEM=="net", KERNEL=="eth3", ATTR{device/sriov_numvfs}="4"', MAY),
        ('SUBSYSTEM=="net", ATTR{address}=="52:54:00:00:02:00", ATTR{device/sriov_numvfs}="4"', SURE),
        ('SUBSYSTEM=="net", ENV{ID_NET_DRIVER}=="igb", ATTR{device/sriov_numvfs}="4"', MAY),
        ('SUBSYSTEM=="net", ENV{ID_NET_DRIVER}=="mlx5_core", ATTR{device/sriov_numvfs}="4"', []),
        ('SUBSYSTEM=="net", KERNELS=="0000:01:00.0", ATTR{device/sriov_numvfs}="4"', SURE),
        ('SUBSYSTEM=="net", KERNELS=="0000:02:00.0", ATTR{device/sriov_numvfs}="4"', []),
        (f'KERNEL=="{PF}", ATTR{{sriov_drivers_autoprobe}}="1"', SURE),
        (f'KERNEL=="{PF}", ATTR{{sriov_drivers_autoprobe}}="0"', []),
        (f'KERNEL=="{PF}", ATTR{{driver_override}}="vfio-pci"', SURE),
        (f'KERNEL=="{PF}", ATTR{{driver_override}}="igb"', []),
        ('SUBSYSTEM=="net", KERNEL=="enp1s0", RUN+="/bin/sh -c \'echo 4 > /sys/class/net/enp1s0/device/sriov_numvfs\'"', SURE),
        ('SUBSYSTEM=="net", NAME=="enp1s0", RUN+="/bin/sh -c \'echo 4 > /sys/class/net/$name/device/sriov_numvfs\'"', SURE),
    ],
)
def test_a_rule_about_vfs_is_told_of_the_cards_that_it_fits(host, rule, expected):
    assert heads(of_vfs(host, {RULES: rule + "\n"})) == expected


def test_a_card_that_shall_have_no_vfs_is_told_of_a_rule_that_makes_some(host):
    (sentence,) = of_vfs(host, {RULES: f'KERNEL=="{PF}", ATTR{{sriov_numvfs}}="4"\n'}, number=0)
    assert sentence == (
        f'{HERE}:1: a rule of udev with ATTR{{sriov_numvfs}}="4" makes 4 VFs of {PF} (Intel Corporation 82576 Gigabit Network '
        "Connection), which is declared to have 0 VFs; remove it there"
    )


@pytest.mark.parametrize("program", ["PROGRAM=", "RUN+=", "IMPORT{program}="])
@pytest.mark.parametrize("path", ["/sys%p", "/sys$devpath", "/sys/$devpath", "/sys$env{DEVPATH}"])
def test_a_program_that_removes_the_device_of_the_event_is_told(host, program, path):
    rule = f'ACTION=="add", SUBSYSTEM=="pci", ATTR{{vendor}}=="0x8086", {program}"/bin/sh -c \'echo 1 > {path}/remove\'"\n'
    assert heads(of_devices(host, {RULES: rule}, NIC)) == MAY


def test_a_script_that_removes_the_device_of_the_event_is_told(host):
    files = {
        RULES: 'ACTION=="add", SUBSYSTEM=="pci", ATTR{vendor}=="0x8086", RUN+="/usr/local/bin/gone"\n',
        "usr/local/bin/gone": Script("#!/bin/sh\necho 1 > /sys$DEVPATH/remove\n"),
    }
    assert heads(of_devices(host, files, NIC)) == [("/usr/local/bin/gone:2", True)]
