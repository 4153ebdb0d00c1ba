# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users and groups by name: the host's own files, and what else knows them."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._host.accounts import GROUP, USER, Account, Accounts
from ansible_collections.vfio.host.tests.unit.fake import hosts


def test_a_user_of_the_host_s_own_files_is_asked_of_nobody(host):
    host.faults.reset()
    assert Accounts(host.kernel).find(USER, "vm") == Account("vm", 900, True)
    assert host.faults.log == []


def test_the_image_s_accounts_count_and_those_of_etc_go_before_them(host):
    host.tree.put(host.tree.root / "usr/lib/group", "qemu:x:107:\nkvm:x:36:\n")
    accounts = Accounts(host.kernel)
    assert (accounts.find(GROUP, "qemu"), accounts.find(GROUP, "kvm").number) == (Account("qemu", 107, True), 993)


def test_what_the_network_knows_is_found_and_marked(make_host):
    accounts = Accounts(make_host(hosts.x86(name_service={("passwd", "carol"): 20001})).kernel)
    found = accounts.find(USER, "carol")
    assert (found, found.is_system) == (Account("carol", 20001, False), False)


def test_nobody_knows_what_nobody_knows(host):
    host.tree.put(host.tree.root / "etc/passwd", "root:x:0:0::/:\nbroken\n+::::::\nodd:x:1x:0::/:\n")
    accounts = Accounts(host.kernel)
    assert [accounts.find(USER, name) for name in ("ghost", "broken", "odd")] == [None] * 3
    assert (accounts.name(USER, 0), accounts.name(USER, 4711)) == ("root", "4711")


def test_of_two_lines_of_one_name_the_first_counts_and_no_number_is_too_long(host):
    host.tree.put(host.tree.root / "etc/group", f"twice:x:7:\ntwice:x:8:\nlong:x:{'9' * 5000}:\n")
    accounts = Accounts(host.kernel)
    assert (accounts.find(GROUP, "twice"), accounts.find(GROUP, "long")) == (Account("twice", 7, True), None)
