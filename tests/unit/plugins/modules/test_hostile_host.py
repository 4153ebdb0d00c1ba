# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a host shows of itself: a run understands it or refuses it, and nothing but files of ours comes of it.

With VFIO_HOST_LONG set there are as many inputs as the promise says, 20,000 with those of the other property tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from tempfile import TemporaryDirectory

import pytest

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, ROOT_DISK, TWIN
from ansible_collections.vfio.host.tests.unit.fake.udev import parse_file

COUNT = 2000 if os.environ.get("VFIO_HOST_LONG") else 25
SETTINGS = hypothesis.settings(
    max_examples=COUNT, deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
# A small host, since each input has one of its own.
SPEC = hosts.x86(
    functions=tuple(
        replace(one, parent=None) for one in hosts.x86().functions if one.address in (ROOT_DISK, NIC, TWIN, NVME, EDU)
    )
)
MINE = ("/etc/udev/rules.d/60-vfio-host-", "/run/udev/rules.d/60-vfio-host-")
DEVICE = "/sys/bus/pci/devices/{0}/{1}"
ATTRIBUTES = (
    "modalias", "driver_override", "numa_node", "boot_vga", "config", "reset_method", "class", "vendor", "revision",
    "sriov_totalvfs", "sriov_drivers_autoprobe",
)
MODULES = f"/lib/modules/{SPEC.kernel}/"
PLACES = [DEVICE.format(address, name) for address in (NIC, EDU) for name in ATTRIBUTES] + [
    "/proc/net/route", "/proc/net/ipv6_route", "/proc/self/mountinfo", "/proc/swaps", "/proc/cmdline",
    "/sys/class/net/enp2s0/address", "/sys/class/nvme/nvme0/serial",
    MODULES + "modules.alias", MODULES + "modules.builtin", MODULES + "modules.builtin.modinfo", MODULES + "modules.dep",
    "/etc/modprobe.d/hostile.conf", "/etc/driverctl.d/pci-" + NIC, "/usr/share/misc/pci.ids",
    "/etc/udev/rules.d/60-vfio-host-p.rules", "/run/udev/rules.d/60-vfio-host-p.rules",
]
RENDERED = set()  # every rules file that came of it
# What would do harm in a rule, a line of modprobe.d, a number or a name.
HARM = st.sampled_from([
    b'", RUN+="/bin/sh -c evil', b"\n", b"\n# device {}", b"\\\n", b"\0", b"\xff\xfe", b"$attr{x}", b"%p", b"`id`", b"$(id)", b"../../",
    b"(null)", b"install vfio_pci /bin/evil\n", b"options vfio-pci ids=\n", b"alias vfio_pci:v*d* evil module\n", b"-1", b"0x", b"9" * 40,
    b" - ", b"\t", b"*", b"[", "\u2028".encode(), b"pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00", b"",
])
WISHES = st.lists(
    st.sampled_from([
        {"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}}, {"match": {"address": EDU}}, {"match": {"vendor": "8086"}},
        {"match": {"class": "02"}, "optional": True}, {"match": {"address": TWIN}, "driver": "native"},
        {"match": {"vendor": "8086", "device": "10d3"}, "optional": True},
    ]),
    min_size=1, max_size=3,
)


@st.composite
def spoilt(draw):
    """A place, and how what is there is changed: (start of the cut, its length, what comes in its place)."""
    harm = draw(st.binary(max_size=24) | HARM)
    return draw(st.sampled_from(PLACES)), draw(st.integers(0, 120)), draw(st.sampled_from([0, 0, 1, 4, 400])), harm


def spoil(host, place, start, length, harm):
    path = host.root + place
    content = b""
    if os.path.exists(path):
        with open(path, "rb") as stream:
            content = stream.read()
    os.makedirs(os.path.dirname(os.path.realpath(path)), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(content[:start] + harm + content[start + length:])


def files(host):
    """Everything but what the kernel shows, and what is ours."""
    return host.snapshot("/sys", "/proc", "/dev", *MINE)


def check_rules(text):
    if text not in RENDERED:
        assert all(parse_file(text))
        RENDERED.add(text)


def test_whatever_a_host_shows_a_run_ends_with_an_error_of_ours_or_with_rules(host_path):
    @SETTINGS
    @hypothesis.given(st.lists(spoilt(), min_size=1, max_size=3), WISHES)
    def one(changes, wishes):
        with TemporaryDirectory(dir=host_path) as directory:
            host = FakeHost(directory, SPEC)
            for change in changes:
                spoil(host, *change)
            host.udev.reload = lambda: None  # what was there before is not ours to judge
            before, theirs = files(host), [host.rules("p"), host.rules("p", volatile=True)]
            for act in (lambda: host.take(*wishes, check=True), lambda: host.take(*wishes), host.release):
                try:
                    act()
                except VfioHostError as error:
                    assert all("\n" not in message.strip() for message in error.messages)
                assert files(host) == before
                for text in (host.rules("p"), host.rules("p", volatile=True)):
                    if text is not None and text not in theirs:
                        check_rules(text)

    one()
    assert RENDERED


def udev_verifies():
    """Whether there is an udevadm that verifies rules: since systemd 254."""
    program = shutil.which("udevadm")
    return program and not subprocess.run([program, "verify", "--help"], check=False, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL).returncode


@pytest.mark.skipif(not udev_verifies(), reason="no udevadm verify here: only the fake udev has read the rules of hostile hosts")
def test_udev_takes_all_these_rules(tmp_path):
    for number, text in enumerate(sorted(RENDERED)):
        (tmp_path / f"{number:05}.rules").write_text(text, encoding="utf-8", errors="surrogateescape")
    done = subprocess.run(
        ["udevadm", "verify", "--no-style", str(tmp_path)], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")
