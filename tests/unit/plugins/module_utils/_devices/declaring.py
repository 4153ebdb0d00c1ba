# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations that tests run on a host, one after another, and what is asked of the host in between."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import REPORT
from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Request
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import SLOT

BY_NAME = {"match": {"net": "enp2s0"}}
KIND = {"match": {"vendor": "8086", "device": "10d3"}, "optional": True}
NEW = "0000:07:00.0"
NEW_CARD = hosts.e1000e(NEW, "30", SLOT, 7)


def by(*addresses):
    return [{"match": {"address": one}} for one in addresses]


def converge(host, wish, undeclared=REPORT, **options):
    """A run as check mode predicts it, after which a second run and a run after a reboot change nothing; the first one's result."""
    predicted = host.run(wish, check=True, undeclared=undeclared, **options)
    result = host.run(wish, undeclared=undeclared, **options)
    assert result == predicted
    assert not host.run(wish, undeclared=undeclared, **options)["changed"]
    host.reboot()
    assert not host.run(wish, undeclared=undeclared, **options)["changed"]
    return result


def swap(host, one, other):
    """Two functions in each other's slots, with the host off."""
    found = {function.address: function for function in host.kernel.spec.functions}
    moved = {
        address: replace(found[source], **{key: getattr(found[address], key) for key in ("address", "group", "parent")})
        for address, source in ((one, other), (other, one))
    }
    host.kernel.spec = replace(
        host.kernel.spec, functions=tuple(moved.get(function.address, function) for function in host.kernel.spec.functions)
    )
    host.reboot()


def undeclared(host, wish, how=REPORT):
    return [one["name"] for one in plan(host, wish, how).undeclared]


def plan(host, wish, how):
    request = Request(policies=wish, undeclared=how)
    return host.area.plan(host.area.read(request), request)
