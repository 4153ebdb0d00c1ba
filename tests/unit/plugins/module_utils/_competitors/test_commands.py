# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts, units and files of attributes that bind devices or make VFs at boot."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.competitors import NULL, Script, heads, of_devices, of_vfs
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PF, TWIN, VF

RC = "etc/rc.local"
SURE, MAY = [("/etc/rc.local:2", False)], [("/etc/rc.local:2", True)]
OVERRIDE = f"/sys/bus/pci/devices/{NIC}/driver_override"


def test_a_script_that_writes_another_override_is_named_with_its_line(host):
    assert of_devices(host, {RC: Script(f"#!/bin/sh\n\necho e1000e > {OVERRIDE}\n")}, NIC) == [
        f"/etc/rc.local:3: 'echo e1000e > {OVERRIDE}' gives e1000e to {NIC} (Intel Corporation 82574L Gigabit Network "
        "Connection) of policy p, which is declared for vfio-pci; remove it there"
    ]


def test_a_script_of_modules_counts_where_it_is_run(host):
    path, text = "etc/sysconfig/modules/cards.modules", f"#!/bin/sh\necho e1000e > {OVERRIDE}\n"
    assert of_devices(host, {path: text}, NIC) == []
    assert heads(of_devices(host, {path: Script(text)}, NIC)) == [(f"/{path}:2", True)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"echo e1000e > {OVERRIDE}", SURE),
        (f'echo "e1000e" >"{OVERRIDE}"', SURE),
        (f"echo -n e1000e | sudo tee {OVERRIDE}", SURE),
        (f"printf 'e1000e\\n' | tee -a {OVERRIDE} >/dev/null", SURE),
        (f"echo e1000e > /sys/devices/pci0000:00/0000:00:06.0/{NIC}/driver_override", SURE),
        (f"echo vfio-pci > {OVERRIDE}", []),
        (f"echo > {OVERRIDE}", SURE),
        (f"# echo e1000e > {OVERRIDE}", []),
        (f"true # echo e1000e > {OVERRIDE}", []),
        (f"echo e1000e > /sys/bus/pci/devices/{TWIN}/driver_override", []),
        (f"D={NIC}; echo e1000e > /sys/bus/pci/devices/$D/driver_override", SURE),
        (f"D={TWIN}; echo e1000e > /sys/bus/pci/devices/${{D}}/driver_override", []),
        (f"for d in {TWIN} {NIC}; do echo e1000e > /sys/bus/pci/devices/$d/driver_override; done", SURE),
        ("for d in /sys/bus/pci/devices/*; do echo e1000e > $d/driver_override; done", MAY),
        ("for d in $(lspci -Dn | cut -f1); do echo e1000e > /sys/bus/pci/devices/$d/driver_override; done", MAY),
        ("for d in $(lspci -Dn -d 8086:10d3); do echo vfio-pci > /sys/bus/pci/devices/$d/driver_override; done", []),
        (f"driverctl set-override {NIC} e1000e", SURE),
        (f"driverctl -b pci --nosave set-override {NIC} e1000e", SURE),
        (f"driverctl set-override {NIC} vfio-pci", []),
        (f"driverctl set-override {TWIN} e1000e", []),
        (f"/usr/sbin/driverctl unset-override {NIC}", SURE),
        (f"dpdk-devbind.py -b e1000e {NIC}", SURE),
        ("dpdk-devbind.py --bind=e1000e 02:00.0", SURE),
        (f"dpdk-devbind.py --bind vfio-pci {NIC}", []),
        (f"echo {NIC} > /sys/bus/pci/drivers/e1000e/bind", SURE),
        (f"echo {NIC} > /sys/bus/pci/drivers/vfio-pci/unbind", SURE),
        (f"echo {NIC} > /sys/bus/pci/drivers/e1000e/unbind", []),
        (f"echo {TWIN} > /sys/bus/pci/drivers/vfio-pci/unbind", []),
        (f"echo 1 > /sys/bus/pci/devices/{NIC}/remove", SURE),
        (f"virsh nodedev-detach pci_{NIC.replace(':', '_').replace('.', '_')}", MAY),
        ("virsh nodedev-detach pci_0000_03_00_0", []),
        ("/opt/spdk/scripts/setup.sh", MAY),
        ("vfio-manage bind --all", MAY),
        (f"vfio-manage bind --device-id {TWIN}", []),
        ("echo hello", []),
    ],
)
def test_a_line_of_a_script_is_told_of_the_devices_that_it_is_about(host, line, expected):
    assert heads(of_devices(host, {RC: Script("#!/bin/sh\n" + line + "\n")}, NIC)) == expected


@pytest.mark.parametrize("line", ["cp /etc/bind/named.conf $(mktemp)", "ls -l /etc/bind", "mount -o bind $(pwd) /srv/bind.d"])
def test_a_line_about_a_name_server_or_a_mount_is_not_told(host, line):
    assert of_devices(host, {RC: Script(f"#!/bin/sh\n{line}\n")}, NIC) == []


def test_new_id_is_told_of_a_device_that_is_declared_native(host):
    line = Script("#!/bin/sh\necho 8086 10d3 > /sys/bus/pci/drivers/vfio-pci/new_id\n")
    assert heads(of_devices(host, {RC: line}, {"match": {"address": NIC}, "driver": "native"})) == SURE
    assert of_devices(host, {RC: line}, NIC) == []
    assert of_devices(host, {RC: line}, {"match": {"address": EDU}, "driver": "native"}) == []


def test_a_script_that_may_not_be_run_is_not_told(host):
    assert of_devices(host, {RC: f"#!/bin/sh\necho e1000e > {OVERRIDE}\n"}, NIC) == []


def test_a_script_that_rc_local_runs_is_read(host):
    files = {
        RC: Script("#!/bin/sh\n/usr/local/bin/cards.sh start\n"),
        "usr/local/bin/cards.sh": f"#!/bin/bash\nCARD={NIC}\necho e1000e > /sys/bus/pci/devices/$CARD/driver_override\n",
    }
    assert heads(of_devices(host, files, NIC)) == [("/usr/local/bin/cards.sh:3", True)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"echo 4 > /sys/bus/pci/devices/{PF}/sriov_numvfs", SURE),
        ("echo 4 > /sys/class/net/enp1s0/device/sriov_numvfs", SURE),
        ("echo 7 > /sys/class/net/enp1s0/device/sriov_numvfs", []),
        ("echo 4 > /sys/class/net/enp9s0/device/sriov_numvfs", []),
        ("N=4; echo $N > /sys/class/net/enp1s0/device/sriov_numvfs", SURE),
        ("echo $1 > /sys/class/net/enp1s0/device/sriov_numvfs", MAY),
        ("echo 4 > /sys/class/net/$PF/device/sriov_numvfs", MAY),
        ("echo 7 > /sys/class/net/${PF}/device/sriov_numvfs", []),
        ("PF=enp9s0; echo 4 > /sys/class/net/$PF/device/sriov_numvfs", []),
        ("for i in enp1s0 enp9s0; do echo 4 > /sys/class/net/$i/device/sriov_numvfs; done", SURE),
        ("echo 1 > /sys/class/net/enp1s0/device/sriov_drivers_autoprobe", SURE),
        ("cat /sys/class/net/enp1s0/device/sriov_totalvfs", []),
        ("modprobe igb max_vfs=4", MAY),
        ("modprobe igb max_vfs=7", []),
        ("modprobe ixgbe max_vfs=4", []),
    ],
)
def test_a_line_that_makes_vfs_is_told_of_its_card(host, line, expected):
    assert heads(of_vfs(host, {RC: Script("#!/bin/sh\n" + line + "\n")})) == expected


UNIT = "etc/systemd/system/vfs.service"
WANTED = "etc/systemd/system/multi-user.target.wants/vfs.service"
ECHO = "echo 4 > /sys/class/net/enp1s0/device/sriov_numvfs"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"[Service]\nExecStart=/bin/sh -c '{ECHO}'\n", [("/etc/systemd/system/vfs.service:2", False)]),
        (f"\ufeff[Service]\r\nExecStart=/bin/sh -c \\\r\n  '{ECHO}'\r\n", [("/etc/systemd/system/vfs.service:2", False)]),
        (f"[Service]\rExecStart=/bin/sh -c '{ECHO}'\0", [("/etc/systemd/system/vfs.service:2", False)]),
        (f'[Service]\nExecStart=-/usr/bin/bash -c "{ECHO}"\n', [("/etc/systemd/system/vfs.service:2", False)]),
        (f"[Service]\nExecStart=/bin/true\nExecStartPost=/bin/sh -c '{ECHO}'\n", [("/etc/systemd/system/vfs.service:3", False)]),
        (f"[Service]\nExecStart=/bin/sh -c \\\n  '{ECHO}'\n", [("/etc/systemd/system/vfs.service:2", False)]),
        (f"[Service]\nExecStart=/bin/sh -c '{ECHO}'\nExecStart=\nExecStart=/bin/true\n", []),
        (f"[Service]\n#ExecStart=/bin/sh -c '{ECHO}'\n", []),
        (f"[Service]\nExecStop=/bin/sh -c '{ECHO}'\n", []),
        (f"[Unit]\nDescription={ECHO}\n", []),
    ],
)
def test_a_unit_is_told_by_the_commands_that_it_starts(host, text, expected):
    assert heads(of_vfs(host, {UNIT: text, WANTED: ""})) == expected


def test_a_unit_that_no_target_wants_may_be_started(host):
    assert heads(of_vfs(host, {UNIT: f"[Service]\nExecStart=/bin/sh -c '{ECHO}'\n"})) == [
        ("/etc/systemd/system/vfs.service:2", True)
    ]


def test_a_masked_unit_is_not_told_and_a_drop_in_is(host):
    files = {UNIT: NULL, WANTED: "", UNIT + ".d/more.conf": f"[Service]\nExecStartPre=/bin/sh -c '{ECHO}'\n"}
    assert of_vfs(host, files) == []
    other = {"etc/systemd/system/ssh.service.d/x.conf": f"[Service]\nExecStartPre=/bin/sh -c '{ECHO}'\n"}
    assert heads(of_vfs(host, other)) == [("/etc/systemd/system/ssh.service.d/x.conf:2", True)]


def test_a_unit_that_runs_a_script_is_told_by_what_is_in_it(host):
    files = {
        UNIT: "[Service]\nType=oneshot\nExecStart=/usr/local/sbin/vfs enp1s0\n", WANTED: "",
        "usr/local/sbin/vfs": "#!/bin/sh\necho 4 > /sys/class/net/$1/device/sriov_numvfs\n",
    }
    assert heads(of_vfs(host, files)) == [("/usr/local/sbin/vfs:2", True)]


@pytest.mark.parametrize("place", ["usr/lib/systemd/system", "lib/systemd/system"])
def test_a_unit_of_a_package_is_told_where_somebody_has_enabled_it(host, place):
    text = f"[Service]\nExecStart=/bin/sh -c '{ECHO}'\n"
    assert of_vfs(host, {f"{place}/vfs.service": text}) == []
    assert heads(of_vfs(host, {WANTED: ""})) == [(f"/{place}/vfs.service:2", False)]
    assert of_vfs(host, {f"{UNIT}.d/a.conf": "[Service]\nExecStart=\n"}) == []
    assert heads(of_vfs(host, {f"{UNIT}.d/a.conf": "[Service]\nExecStartPre=/bin/true\n"})) == [(f"/{place}/vfs.service:2", False)]
    assert of_vfs(host, {UNIT: NULL}) == []


def test_a_template_of_a_package_is_told_of_the_instances_that_are_enabled(host):
    files = {"usr/lib/systemd/system/vfs@.service": f"[Service]\nExecStart=/bin/sh -c '{ECHO.replace('enp1s0', '%i')}'\n"}
    wants = "etc/systemd/system/multi-user.target.wants"
    assert of_vfs(host, {**files, f"{wants}/vfs@enp9s0.service": ""}) == []
    assert heads(of_vfs(host, {f"{wants}/vfs@enp1s0.service": ""})) == [("/usr/lib/systemd/system/vfs@.service:2", False)]


def test_the_service_of_dpdk_is_told_by_its_configuration_alone(host):
    files = {"usr/lib/systemd/system/dpdk.service": f"[Service]\nExecStart=/bin/sh -c '{ECHO}'\n"}
    assert of_vfs(host, {**files, "etc/systemd/system/multi-user.target.wants/dpdk.service": ""}) == []


@pytest.mark.parametrize(("command", "text"), [
    ("/bin/bash /usr/local/sbin/vfs", f"{ECHO}\n"), ("/usr/local/sbin/vfs", f"{ECHO}\n"), ("vfs --now", f"#!/bin/sh\n{ECHO}\n"),
])
def test_a_script_needs_neither_a_first_line_nor_a_directory_to_be_run(host, command, text):
    files = {UNIT: f"[Service]\nType=oneshot\nExecStart={command}\n", WANTED: "", "usr/local/sbin/vfs": text}
    assert heads(of_vfs(host, files)) == [(f"/usr/local/sbin/vfs:{text.count('#!') + 1}", True)]


@pytest.mark.parametrize("first", ["#!/bin/bash", "#!/usr/bin/env bash"])
def test_a_script_is_found_through_those_that_run_it(host, first):
    files = {
        RC: Script("#!/bin/sh\n/usr/local/bin/a\n"), "usr/local/bin/a": f"{first}\nexec /opt/b\n",
        "opt/b": "#!/bin/sh\n/usr/local/bin/a\n/opt/c\n", "opt/c": f"{ECHO}\n",
    }
    assert heads(of_vfs(host, files)) == [("/opt/c:1", True)]


@pytest.mark.parametrize(("path", "text"), [("opt/a", "\x7fELF\0" + f"\n{ECHO}\n"), ("opt/a.py", "#!/usr/bin/python3\nx = '/opt/b'\n")])
def test_what_is_no_script_of_a_shell_is_not_followed(host, path, text):
    assert of_vfs(host, {RC: Script(f"#!/bin/sh\n/{path}\n"), path: text, "opt/b": f"{ECHO}\n"}) == []


@pytest.mark.parametrize("path", [
    "etc/NetworkManager/dispatcher.d/pre-up.d/10-vfs", "usr/lib/NetworkManager/dispatcher.d/10-vfs", "var/lib/cloud/scripts/per-boot/vfs",
])
def test_a_script_of_a_directory_that_something_runs_at_boot_is_told(host, path):
    assert heads(of_vfs(host, {path: Script(f"#!/bin/sh\n{ECHO}\n")})) == [(f"/{path}:2", True)]


def test_braces_leave_open_which_card_is_meant(host):
    text = "w /sys/class/net/{enp1s0,enp2s0}/device/sriov_numvfs - - - - 4\n"
    assert heads(of_vfs(host, {"etc/tmpfiles.d/vfs.conf": text})) == [("/etc/tmpfiles.d/vfs.conf:1", True)]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("etc/sysfs.conf", "class/net/enp1s0/device/sriov_numvfs = 4\n", 1),
        ("etc/sysfs.d/vfs.conf", "bus/pci/devices/0000:01:00.0/sriov_numvfs=4\n", 1),
        ("etc/sysfs.conf", "# class/net/enp1s0/device/sriov_numvfs = 4\n", None),
        ("etc/sysfs.conf", "mode class/net/enp1s0/device/sriov_numvfs = 644\n", None),
        ("etc/sysfs.conf", "class/net/enp1s0/device/sriov_numvfs = 7\n", None),
        ("etc/sysfs.conf", "class/net/enp9s0/device/sriov_numvfs = 4\n", None),
        ("etc/tmpfiles.d/vfs.conf", "w /sys/class/net/enp1s0/device/sriov_numvfs - - - - 4\n", 1),
        ("usr/lib/tmpfiles.d/vfs.conf", "# vfs\nw! /sys/bus/pci/devices/0000:01:*/sriov_numvfs - - - - 4\n", 2),
        ("etc/tmpfiles.d/vfs.conf", "w- '/sys/class/net/enp1s0/device/sriov_numvfs' - - - - \"4\"\n", 1),
        ("etc/tmpfiles.d/vfs.conf", "#w /sys/class/net/enp1s0/device/sriov_numvfs - - - - 4\n", None),
        ("etc/tmpfiles.d/vfs.conf", "d /sys/class/net/enp1s0/device/sriov_numvfs - - - - 4\n", None),
        ("etc/tmpfiles.d/vfs.txt", "w /sys/class/net/enp1s0/device/sriov_numvfs - - - - 4\n", None),
    ],
)
def test_a_line_that_writes_an_attribute_at_boot_is_told(host, path, text, expected):
    assert heads(of_vfs(host, {path: text})) == ([] if expected is None else [(f"/{path}:{expected}", False)])


def test_a_tmpfiles_file_of_etc_masks_one_of_its_name(host):
    text = f"w {OVERRIDE} - - - - e1000e\n"
    assert heads(of_devices(host, {"usr/lib/tmpfiles.d/a.conf": text}, NIC)) == [("/usr/lib/tmpfiles.d/a.conf:1", False)]
    assert of_devices(host, {"etc/tmpfiles.d/a.conf": NULL}, NIC) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"pci {NIC} e1000e\n", [("/etc/dpdk/interfaces:1", False)]),
        (f"# pci {NIC} e1000e\n", []),
        (f"pci {NIC} vfio-pci\n", []),
        (f"pci {TWIN} uio_pci_generic\n", []),
    ],
)
def test_what_the_service_of_dpdk_binds_is_told(host, text, expected):
    assert heads(of_devices(host, {"etc/dpdk/interfaces": text}, NIC)) == expected


def test_driverctl_on_a_card_that_shall_have_vfs_is_told(host):
    assert of_vfs(host, {f"etc/driverctl.d/pci-{PF}": "vfio-pci\n", f"etc/driverctl.d/pci-{NIC}": "vfio-pci\n"}) == [
        f"/etc/driverctl.d/pci-{PF}: driverctl gives vfio-pci to {PF} (Intel Corporation 82576 Gigabit Network Connection), which is "
        "declared to have 7 VFs; remove this file"
    ]


@pytest.mark.parametrize(("line", "expected"), [("@reboot root", 1), ("5 4 * * * root", 0)])
def test_what_cron_runs_at_boot_is_told(host, line, expected):
    assert len(of_vfs(host, {"etc/cron.d/vfs": f"{line} {ECHO}\n"})) == expected


@pytest.fixture
def with_vfs(host):
    """A host whose card has VFs."""
    host.kernel.write(f"{host.kernel.pci_devices}/{PF}/sriov_numvfs", "2")
    return host


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"echo igbvf > /sys/bus/pci/devices/{PF}/virtfn0/driver_override", MAY),
        (f"echo igbvf > /sys/bus/pci/devices/{TWIN}/virtfn0/driver_override", []),
        ("echo igbvf > /sys/class/net/enp1s0/device/virtfn0/driver_override", MAY),
        ("echo igbvf > /sys/class/net/enp9s0/device/virtfn0/driver_override", []),
        (f"echo igbvf > /sys/bus/pci/devices/{VF}/driver_override", SURE),
        (f"if true; then\necho igbvf > /sys/bus/pci/devices/{VF}/driver_override\nfi", [("/etc/rc.local:3", True)]),
        (f"for i in 1; do\necho igbvf > /sys/bus/pci/devices/{VF}/driver_override\ndone", [("/etc/rc.local:3", False)]),
    ],
)
def test_a_vf_that_a_line_names_by_its_card_is_told(with_vfs, line, expected):
    assert heads(of_devices(with_vfs, {RC: Script("#!/bin/sh\n" + line + "\n")}, VF)) == expected


@pytest.mark.parametrize("place", ["etc", "run", "usr/local/lib"])
@pytest.mark.parametrize("specifier", ["%i", "%I"])
def test_a_template_is_told_of_the_interfaces_of_its_instances(host, place, specifier):
    path = f"{place}/systemd/system/sriov@.service"
    files = {path: f"[Service]\nExecStart=/bin/sh -c 'echo 4 > /sys/class/net/{specifier}/device/sriov_numvfs'\n"}
    assert heads(of_vfs(host, files)) == [(f"/{path}:2", True)]
    wants = "etc/systemd/system/multi-user.target.wants"
    assert of_vfs(host, {f"{wants}/sriov@enp9s0.service": NULL}) == []
    assert heads(of_vfs(host, {f"{wants}/sriov@enp1s0.service": NULL})) == [(f"/{path}:2", False)]
    assert of_vfs(host, {"etc/systemd/system/sriov@enp1s0.service.d/x.conf": "[Service]\nExecStart=\nExecStart=/bin/true\n"}) == []


@pytest.mark.parametrize(("specifier", "instance"), [("%i", NIC), ("%I", NIC), ("%I", NIC.replace(":", "\\x3a"))])
def test_a_template_is_told_of_the_devices_of_its_instances(host, specifier, instance):
    files = {
        "etc/systemd/system/bind@.service": f"[Service]\nExecStart=/usr/sbin/driverctl set-override {specifier} e1000e\n",
        f"etc/systemd/system/multi-user.target.wants/bind@{instance}.service": NULL,
    }
    assert heads(of_devices(host, files, NIC)) == [("/etc/systemd/system/bind@.service:2", False)]
    assert of_devices(host, {}, TWIN) == []


@pytest.mark.parametrize(("section", "told"), [("[sysfs]", True), ("[cards]\ntype=sysfs", True), ("[sysctl]", False), ("[sysfs]\ntype=net", False)])
def test_a_profile_of_tuned_is_told_of_its_cards_and_may_be_out_of_force(host, section, told):
    path = "etc/tuned/profiles/vfs/tuned.conf"
    text = f"[main]\ninclude=throughput\n{section}\n/sys/class/net/enp1s0/device/sriov_numvfs={{}}\n"
    line = text.count("\n")
    assert heads(of_vfs(host, {path: text.format(4)})) == ([(f"/{path}:{line}", True)] if told else [])
    assert heads(of_vfs(host, {"etc/tuned/active_profile": "balanced vfs\n"})) == ([(f"/{path}:{line}", False)] if told else [])
    assert of_vfs(host, {path: text.format(7)}) == []


@pytest.mark.parametrize("name", ["script.sh", "${i:PROFILE_DIR}/script.sh", "/etc/tuned/vfs/script.sh"])
@pytest.mark.parametrize("active", ["vfs", "balanced"])
def test_a_script_of_a_profile_of_tuned_is_told(host, name, active):
    files = {
        "etc/tuned/vfs/tuned.conf": f"[main]\nsummary=x\n[script]\nscript={name}\n", "etc/tuned/active_profile": f"{active}\n",
        "etc/tuned/vfs/script.sh": Script("#!/bin/bash\necho 4 > /sys/class/net/enp1s0/device/sriov_numvfs\n"),
    }
    assert heads(of_vfs(host, files)) == [("/etc/tuned/vfs/script.sh:2", True)]
