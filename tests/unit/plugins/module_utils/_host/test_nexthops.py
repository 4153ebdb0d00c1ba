# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Next hops and rules by netlink: an answer, an error, what is cut off, and what the running kernel says."""

from __future__ import annotations

import errno
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import nexthops, sysfs
from ansible_collections.vfio.host.plugins.module_utils._host.nexthops import parse, parse_rules, parse_table

ERROR, DONE, NEWROUTE, NEWRULE = 2, 3, 24, 32


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind, body=b""):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def error(number, kind=ERROR):
    return message(kind, struct.pack("=i", -number) + bytes(16))


def route(*attributes):
    return message(NEWROUTE, bytes(12) + b"".join(attributes))


def hop(index, more=b""):
    return struct.pack("=HBBi", 8 + len(more), 0, 0, index) + more


def rule(table, *attributes, action=1):
    return message(NEWRULE, struct.pack("=BBBBBBBBI", 10, 0, 0, 0, table, 0, 0, action, 0) + b"".join(attributes))


GATEWAY = attribute(5, b"\x0a\0\0\1")
TWO = route(attribute(1, bytes(4)), attribute(9, hop(7, GATEWAY) + hop(9, GATEWAY)))


def test_an_answer_of_the_kernels_about_a_route_is_understood():
    """As Linux 6.12 answers for a route with two next hops of interfaces 7 and 9."""
    assert parse(TWO) == [7, 9]
    assert parse(route(attribute(4, struct.pack("=I", 7)))) == [7]
    assert parse(route(attribute(30, bytes(4)))) is None


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL])
def test_the_kernel_says_by_an_error_that_there_is_no_route(number):
    assert parse(error(number)) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOMEM, errno.ENOBUFS, errno.EOPNOTSUPP])
def test_another_error_is_no_answer(number):
    for answer in (lambda: parse(error(number)), lambda: parse_rules(error(number)), lambda: parse_rules(error(number, DONE))):
        with pytest.raises(OSError, match=".") as caught:
            answer()
        assert caught.value.errno == number


@pytest.mark.parametrize("data", [b"", bytes(16), bytes(40), message(ERROR), message(16, bytes(16))] + [TWO[:end] for end in range(0, len(TWO), 3)])
def test_what_is_cut_off_or_no_answer_is_an_error(data):
    for read in (parse, parse_rules):
        with pytest.raises(OSError, match="."):
            read(data[:max(0, len(data) - 1)])


@pytest.mark.parametrize("answer, expected", [
    (rule(255) + rule(254), None), (message(DONE, bytes(4)), False), (rule(255) + message(DONE, bytes(4)), False),
    (rule(255) + rule(0, attribute(15, struct.pack("=I", 1000))), True), (rule(100), True), (rule(253), True),
    (rule(100, action=6), None), (rule(0, action=4), None), (rule(0, attribute(19, b"\1")), True),
    (rule(254, attribute(15, struct.pack("=I", 254)), attribute(14, bytes(4))), None), (error(errno.EAFNOSUPPORT), False),
    (error(errno.EAFNOSUPPORT, DONE), False),
])
def test_rules_that_lead_to_another_table_than_the_usual_ones_are_told(answer, expected):
    """As the kernel dumps them (source: net/core/fib_rules.c fib_nl_fill_rule()): 252 and numbers above it are in an attribute."""
    assert parse_rules(answer) is expected


def test_a_kernel_that_cannot_be_asked_says_neither_that_there_is_no_hop_nor_that_there_is_no_rule(monkeypatch):
    def refuse(*dummy):
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported")

    monkeypatch.setattr(nexthops.socket, "socket", refuse)
    with pytest.raises(OSError, match="family"):
        sysfs.Sysfs().next_hops(bytes(4))
    assert sysfs.Sysfs().has_other_rules()


def entry(network, length, *attributes, table=100, sort=1):
    named = [attribute(1, bytes(network))] if network else []
    body = struct.pack("=BBBBBBBBI", 2, length, 0, 0, min(table, 252), 4, 0, sort, 0) + attribute(15, struct.pack("=I", table))
    return message(NEWROUTE, body + b"".join(named + list(attributes)))


def over(index):
    return attribute(4, struct.pack("=I", index))


LAST = message(DONE, bytes(4))


@pytest.mark.parametrize("answer, expected", [
    (entry((), 0, GATEWAY, over(7)) + LAST, ([(bytes(4), 0, [7])], True)),
    (entry((10, 1, 0, 0), 16, attribute(9, hop(7, GATEWAY) + hop(9))), ([(bytes((10, 1, 0, 0)), 16, [7, 9])], False)),
    (entry((10, 1, 0, 0), 16, over(1), sort=2) + entry((9, 0, 0, 0), 8, sort=6) + entry((8, 0, 0, 0), 8, over(1), sort=7) + LAST, ([], True)),
    (entry((), 0, attribute(30, b"\5\0\0\0")) + LAST, (None, False)), (LAST, ([], True)),
])
def test_the_routes_of_one_table_are_understood(answer, expected):
    """As Linux 6.18 dumps them (source: net/ipv4/fib_semantics.c fib_dump_info())."""
    assert parse_table(answer, 100) == expected


@pytest.mark.parametrize("answer", [
    b"", error(errno.ENOENT), error(errno.EPERM, DONE), entry((), 0, over(7), table=254), message(NEWROUTE), message(16, bytes(16)),
    entry((), 0, over(7))[:-5],
])
def test_what_is_no_dump_of_the_table_that_was_asked_for_is_an_error(answer):
    with pytest.raises(OSError, match="."):
        parse_table(answer, 100)


def test_a_table_that_the_kernel_does_not_tell_is_none(monkeypatch):
    def refuse(*dummy):
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    monkeypatch.setattr(nexthops.socket, "socket", refuse)
    assert sysfs.Sysfs().routes_in(254) is None
    assert sysfs.Sysfs("/nowhere").routes_in(254) is None


def test_a_table_of_very_many_routes_is_not_read_to_its_end(monkeypatch):
    class Line:
        """A kernel that never ends."""

        def __enter__(self):
            return self

        def __exit__(self, *dummy):
            return None

        def recv(self, dummy):
            return entry((10, 1, 0, 0), 16, over(7)) * 500

    monkeypatch.setattr(nexthops, "_asked", lambda *dummy, **more: Line())
    with pytest.raises(OSError, match="."):
        nexthops.routes_in(100)


def test_the_running_kernel_tells_the_routes_of_a_table():
    """With the interfaces of its default route, where it has one. Before Linux 4.20 it does not heed a table."""
    shown = []
    with suppress(OSError):
        shown = [line.split("\t") for line in Path("/proc/net/route").read_text(encoding="ascii").split("\n") if line]
    defaults = sorted({words[0] for words in shown if words[1] == words[7] == "00000000" and not int(words[3], 16) & 0x200} - {"*"})
    with suppress(OSError):
        told = nexthops.routes_in(254)
        assert told is None or sorted({one for network, length, names in told for one in names if not length}) == defaults


def test_the_running_kernel_answers():
    """Of a host without a network, or one that may not ask, there is no answer to compare."""
    with suppress(OSError):
        assert nexthops.interfaces_to(b"\x7f\0\0\1") in ([], ["lo"])
    with suppress(OSError):
        assert nexthops.has_other_rules() in (True, False)
