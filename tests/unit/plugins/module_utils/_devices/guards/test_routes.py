# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses as people and the kernel write them, against the standard library; any text is understood or left out."""

from __future__ import annotations

import ipaddress

import pytest

from ansible_collections.vfio.host.plugins.module_utils._devices import mounts
from ansible_collections.vfio.host.plugins.module_utils._devices.guards import filesystems
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.connections import connections
from ansible_collections.vfio.host.plugins.module_utils._devices.guards.routes import parse_address, read_tables, show_address

# ruff: noqa: E402
hypothesis = pytest.importorskip("hypothesis", reason="property tests run where hypothesis is installed")

from hypothesis import strategies as st


@hypothesis.given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_an_address_is_read_as_the_standard_library_writes_it(address):
    written = ipaddress.ip_address(address)
    expected = getattr(written, "ipv4_mapped", None) or written
    for text in (str(written), written.exploded, f"[{written}]", f"{written}%eth0", show_address(address)):
        assert parse_address(text) == expected.packed


def test_the_last_four_bytes_may_be_written_as_those_of_ipv4():
    """As the kernel prints an address of IPv4 in the shape of IPv6 (source: lib/vsprintf.c ip6_compressed_string())."""
    assert parse_address("::ffff:10.0.9.7") == parse_address("[::ffff:10.0.9.7%eth0]") == bytes((10, 0, 9, 7))
    assert parse_address("64:ff9b::192.0.2.33") == ipaddress.ip_address("64:ff9b::192.0.2.33").packed


# Hypothesis seldom makes a run of zeroes.
@hypothesis.given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16) | st.lists(
    st.sampled_from([b"\0\0", b"\0\x09", b"\xfe\x80"]), min_size=8, max_size=8,
).map(b"".join))
def test_an_address_is_written_as_the_standard_library_writes_it(address):
    written = ipaddress.ip_address(address)
    # One that has an IPv4 address in it is seen here in that shape.
    hypothesis.assume(getattr(written, "ipv4_mapped", None) is None)
    assert show_address(address) == str(written)


@pytest.mark.parametrize("text", [
    "", "nas", "10.0.0", "10.0.0.256", "1.2.3.4.5", "::g", "1::2::3", ":", "1:2", "1.2.3.-4", "::1.2.3", "::ffff:10.0.0.999", "10.0.0.1:80", "1.2.3.4::",
    ":3260::", "::1:", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", ":::", "1:::2", "0x1::", "1_0::", "+1::", "1.+2.3.4", "\u0661.2.3.4", " 1.2.3.4", "1 ::",
])
def test_what_is_no_address_is_none(text):
    assert parse_address(text) is None


@hypothesis.given(st.text(max_size=40))
def test_no_text_is_a_traceback(text):
    parse_address(text)
    for line in (text, "h\n" + text, text * 3):
        for mount in mounts.parse_mountinfo(line + " - " + line) + mounts.parse_mountinfo(f"1 2 0:3 / {text} rw - {text} {text} x"):
            mounts.layers(mount)
            mounts.option(mount, "addr")
            mounts.Holding([mount]).of(text)
            filesystems.stands_on(mount)
            filesystems.servers(mount)
        mounts.parse_fstab(line)
        mounts.parse_swaps(line)
        mounts.parse_map(line)
        filesystems.further_devices(line)
        mounts.boot_devices(line)


@hypothesis.given(st.binary(max_size=200))
def test_no_boot_entry_is_a_traceback(data):
    mounts.booted_partition(data)
    mounts.booted_partition(b"\1\0\0\0\4\0\0\0" + data)
    mounts.is_of_network(b"\1\0\0\0\4\0\0\0" + data)


def test_tables_of_a_kernel_are_understood():
    trie = "Main:\n  +-- 0.0.0.0/0 3 0 4\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n  |-- 10.0.2.15\n"
    trie += "Id 7:\n  |-- 0.0.0.0\n     /0 link UNICAST tos=0x10\nId 8:\n  |-- 0.0.0.0\n     /0 universe UNREACHABLE\n"
    tables = read_tables("", "", trie=trie, inet6="")
    assert tables.hidden == ["7"]
    assert connections("") == {}
