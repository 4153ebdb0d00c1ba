# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard 'console': displays, the framebuffer, serial ports."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, ROOT_PORT, VGA, VIRTIO
from ansible_collections.vfio.host.tests.unit.fake.model import Stacked

MARKED = "it is the firmware's display (boot_vga)"
UNMARKED = "the firmware marks no display, so every display counts"


def consoles(host):
    return {
        address: [guard["reason"] for guard in device.guards if guard["kind"] == "console"]
        for address, device in host.survey().devices.items() if any(one["kind"] == "console" for one in device.guards)
    }


@pytest.fixture
def with_displays(make_host):
    """A function: a host with the VGA controller, and a second function of ``second``, a class."""

    def make(second="038000", boot_vga=False, **changes):
        spec = hosts.changed(hosts.x86(**changes), VGA, boot_vga=boot_vga)
        return make_host(hosts.changed(spec, EDU, pci_class=second))

    return make


def test_the_firmwares_display_is_the_console(host):
    assert consoles(host) == {VGA: [MARKED]}


def test_boot_vga_of_what_is_no_display_is_not_asked(make_host):
    assert consoles(make_host(hosts.changed(hosts.x86(), EDU, boot_vga=True))) == {VGA: [MARKED]}


def test_an_only_display_is_the_console_whatever_the_firmware_used(make_host, with_displays):
    assert consoles(make_host(hosts.changed(hosts.x86(), VGA, boot_vga=False))) == {VGA: ["it is the only display"]}
    assert consoles(with_displays("030200")) == {VGA: ["it is the only display"]}


@pytest.mark.parametrize("second", ["030000", "030100", "038000"])
def test_where_the_firmware_marks_none_every_display_counts(with_displays, second):
    assert consoles(with_displays(second)) == {VGA: [UNMARKED], EDU: [UNMARKED]}


def test_where_the_firmware_marks_one_another_display_is_free(with_displays):
    assert consoles(with_displays(boot_vga=True)) == {VGA: [MARKED]}


@pytest.mark.parametrize("name", ["boot_display", "drm/card1/boot_display"])
def test_the_kernels_boot_display_is_the_console_and_the_others_are_free(with_displays, name):
    host = with_displays(files={f"sys/devices/pci0000:00/{EDU}/{name}": "1\n"})
    assert consoles(host) == {EDU: ["it is the firmware's display (boot_display)"]}


def test_a_display_that_is_not_the_kernels_boot_display_is_free(with_displays):
    assert consoles(with_displays(boot_vga=True, files={f"sys/devices/pci0000:00/{EDU}/boot_display": "0\n"})) == {VGA: [MARKED]}


def test_the_device_of_the_framebuffer_is_the_console_beside_the_firmwares_display(with_displays):
    host = with_displays(boot_vga=True, links={
        "sys/class/graphics/fb0": f"sys/devices/pci0000:00/{EDU}/graphics/fb0", "sys/class/graphics/fb1": f"sys/devices/pci0000:00/{VGA}",
    })
    assert consoles(host) == {VGA: [MARKED], EDU: [f"the framebuffer fb0 is on {EDU}"]}


@pytest.mark.parametrize("words, is_needed", [("fbcon=map:1", True), ("fbcon=map:01 quiet", True), ("fbcon=font:VGA8x8", False)])
def test_where_consoles_are_mapped_to_framebuffers_each_of_these_counts(with_displays, words, is_needed):
    host = with_displays(boot_vga=True, cmdline=words, links={
        "sys/class/graphics/fb0": f"sys/devices/pci0000:00/{VGA}/graphics/fb0", "sys/class/graphics/fb1": f"sys/devices/pci0000:00/{EDU}/graphics/fb1",
    })
    assert consoles(host).get(EDU) == ([f"the framebuffer fb1 is on {EDU}"] if is_needed else None)


@pytest.mark.parametrize("name", ["BOOTFB", "efifb", "simple-framebuffer.0", "ofdrm"])
def test_the_firmwares_framebuffer_is_where_its_memory_is(with_displays, name):
    iomem = (
        "00000000-00000fff : Reserved\nc0000000-febfffff : PCI Bus 0000:00\n"
        f"  c0000000-cfffffff : {EDU}\n    c0000000-c02fffff : {name}\n  d0000000-dfffffff : {VGA}\n"
    )
    host = with_displays(boot_vga=True, files={"proc/iomem": iomem}, links={
        "sys/class/graphics/fb0": "sys/devices/platform/simple-framebuffer.0/graphics/fb0",
    })
    assert consoles(host) == {VGA: [MARKED], EDU: [f"the framebuffer fb0 is on {EDU}"]}


def test_what_is_said_in_the_row_of_a_device_is_a_whole_sentence(with_displays):
    host = with_displays(boot_vga=True, files={"sys/class/tty/console/active": "ttyS4\n"}, links={
        "sys/class/graphics/fb0": f"sys/devices/pci0000:00/{EDU}/graphics/fb0",
        "sys/class/tty/ttyS4": f"sys/devices/pci0000:00/{EDU}/tty/ttyS4",
    })
    assert [guard["brief"] for guard in host.survey().devices[EDU].guards] == [
        "the framebuffer fb0 is on it", "ttyS4, a console of the kernel, is on it",
    ]


def test_the_firmwares_framebuffer_over_several_parts_of_a_functions_memory_is_on_that(make_host):
    spec = hosts.changed(hosts.x86(
        iomem="c0000000-febfffff : PCI Bus 0000:00\n  c0000000-c02fffff : BOOTFB\n",
        links={"sys/class/graphics/fb0": "sys/devices/platform/simple-framebuffer.0/graphics/fb0"},
    ), EDU, pci_class="038000", bars=((0xC0000000, 0xC01FFFFF), (0xC0200000, 0xC03FFFFF)))
    assert consoles(make_host(spec)) == {VGA: [MARKED], EDU: [f"the framebuffer fb0 is on {EDU}"]}


@pytest.mark.parametrize("below", ["tty/ttyS4", f"{NIC}:0/{NIC}:0.0/tty/ttyS4"])
def test_a_serial_port_with_a_console_of_the_kernel_is_guarded_with_its_bridge(make_host, below):
    host = make_host(hosts.changed(hosts.x86(
        files={"sys/class/tty/console/active": "tty0 ttyS4\n"},
        links={"sys/class/tty/ttyS4": f"sys/devices/pci0000:00/{ROOT_PORT}/{NIC}/{below}"},
    ), NIC, pci_class="070002"))
    reason = f"ttyS4, a console of the kernel, is on {NIC}"
    assert consoles(host) == {VGA: [MARKED], NIC: [reason], ROOT_PORT: [f"{reason}, which is behind it"]}


def test_a_serial_port_without_a_console_is_free(make_host):
    host = make_host(hosts.x86(
        files={"sys/class/tty/console/active": "tty0 ttyS0\n"},
        links={"sys/class/tty/ttyS4": f"sys/devices/pci0000:00/{EDU}/tty/ttyS4", "sys/class/tty/ttyS0": "sys/devices/pnp0/00:00/tty/ttyS0"},
    ))
    assert consoles(host) == {VGA: [MARKED]}


def test_a_console_whose_terminal_is_not_to_be_seen_may_be_on_any_serial_port(make_host):
    spec = hosts.changed(hosts.x86(files={"sys/class/tty/console/active": "tty0 ttyS9\n"}), EDU, pci_class="070002")
    reason = "what /sys/class/tty/ttyS9 would say of the console cannot be read (ENOENT), so everything with a terminal counts"
    assert consoles(make_host(spec)) == {VGA: [MARKED], EDU: [reason]}


def test_a_console_of_virtio_guards_every_function_that_may_bring_it(make_host):
    host = make_host(hosts.x86(files={"sys/class/tty/console/active": "hvc0\n"}, links={
        "sys/class/tty/hvc0": "sys/devices/virtual/tty/hvc0",
        "sys/bus/virtio/drivers/virtio_console/virtio9": f"sys/devices/pci0000:00/0000:00:0b.0/{VIRTIO}/virtio9",
    }))
    assert consoles(host)[VIRTIO] == [f"hvc0, a console of the kernel, is on {VIRTIO}"]


@pytest.mark.parametrize("argument, is_there", [("ttyS4", True), ("kms,kbd,ttyS4,115200", True), ("kbd", False), ("", False)])
def test_the_terminal_of_the_kernels_debugger_is_guarded(make_host, argument, is_there):
    host = make_host(hosts.x86(
        files={"sys/class/tty/console/active": "tty0\n", "sys/module/kgdboc/parameters/kgdboc": argument + "\n"},
        links={"sys/class/tty/ttyS4": f"sys/devices/pci0000:00/{EDU}/tty/ttyS4"},
    ))
    assert consoles(host) == {VGA: [MARKED], **({EDU: [f"ttyS4, the terminal of kgdb, is on {EDU}"]} if is_there else {})}


@pytest.mark.parametrize("enabled, name, expected", [("1", "enp2s0", [NIC, ROOT_PORT]), ("0", "enp2s0", []), ("1", "br7", [NIC, ROOT_PORT])])
def test_what_the_kernel_sends_its_messages_over_is_guarded(make_host, enabled, name, expected):
    target = "sys/kernel/config/netconsole/to-log"
    host = make_host(hosts.x86(
        files={f"{target}/enabled": enabled + "\n", f"{target}/dev_name": name + "\n"}, interfaces=(Stacked("br7", ("enp2s0",)),),
    ))
    found = consoles(host)
    assert found.pop(VGA) == [MARKED]
    assert sorted(found) == sorted(expected)
    assert all("to-log of netconsole, a console of the kernel, goes over " in one for some in found.values() for one in some)


def test_a_netconsole_without_an_interface_may_go_over_any(make_host):
    host = make_host(hosts.x86(files={f"sys/kernel/config/netconsole/a/{name}": text for name, text in (("enabled", "1\n"), ("dev_name", "\n"))}))
    assert {NIC, VIRTIO} <= set(consoles(host))


# Of a kernel (source: fs/proc/consoles.c show_console_dev()).
CONSOLES = "tty0                 -WU (EC    )    4:7\nnetcon0              -W- (E  p  )\n"


@pytest.mark.parametrize("files, cmdline, is_needed", [
    ({}, "quiet", True), ({}, "netconsole=@/enp3s0,@10.0.0.1/", False),
    ({"sys/kernel/config/netconsole/a/enabled": "1\n", "sys/kernel/config/netconsole/a/dev_name": "enp3s0\n"}, "quiet", False),
    ({"sys/kernel/config/netconsole/a/enabled": "0\n", "sys/kernel/config/netconsole/a/dev_name": "enp3s0\n"}, "quiet", True),
])
def test_a_netconsole_of_which_no_file_tells_may_go_over_any_interface(make_host, files, cmdline, is_needed):
    """Its targets are the module's parameter, which sysfs does not show."""
    host = make_host(hosts.x86(files={"proc/consoles": CONSOLES, **files}, cmdline=cmdline))
    reason = f"netconsole, a console of the kernel, goes over what cannot be told, so every interface that is up counts: enp2s0 on {NIC}"
    assert consoles(host).get(NIC) == ([reason] if is_needed else None)


def test_without_netconsole_no_interface_is_a_console(make_host):
    assert set(consoles(make_host(hosts.x86(files={"proc/consoles": CONSOLES.replace("netcon0", "ttyS0  ")})))) == {VGA}
