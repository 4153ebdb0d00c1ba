# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines that the module prove prints."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils import _proof

OPENED = {
    "address": "0000:02:00.0", "status": "opened", "node": "/dev/vfio/14", "back_end": "type1v2", "reset": "reset by flr", "reason": None,
    "regions": [{"name": "bar0", "size": 131072}, {"name": "bar1", "size": 0}, {"name": "config", "size": 4096}],
    "interrupts": [{"name": "intx", "count": 1}, {"name": "msi", "count": 0}, {"name": "msix", "count": 5}, {"name": "request", "count": 1}],
}
HELD = dict(OPENED, address="0000:03:00.0", status="in_use", reason="in use by process 862 (qemu)")
FAILED = dict(OPENED, address="0001:04:00.0", status="failed", reason="VFIO_SET_IOMMU (type1v2): EPERM (Operation not permitted): " + "why " * 30)


def texts(rows, width=79):
    return [line.text for line in _proof.lines(rows, host="node1", width=width)]


def test_a_device_that_was_opened_says_how_and_what_it_has():
    assert texts([OPENED], 120) == [
        "node1  opened as a client does",
        "  = 02:00.0 /dev/vfio/14 by type1v2, 2 regions, intx 1 msix 5, reset by flr",
        "1 device: 1 opened.",
    ]


def test_each_device_that_was_not_says_why_and_the_sum_counts_all():
    found = texts([OPENED, HELD, FAILED])
    assert "  ~ 03:00.0 in use by process 862 (qemu)" in found and found[3].startswith("  ! 0001:04:00.0 VFIO_SET_IOMMU (type1v2): EPERM")
    assert found[-1] == "3 devices: 1 opened, 1 in use, 1 cannot be opened."


@pytest.mark.parametrize("width", [79, 100])
def test_no_line_is_wider_than_the_terminal(width):
    assert max(map(len, texts([OPENED, HELD, FAILED], width))) <= width


def test_where_nothing_is_on_vfio_that_is_said():
    assert texts([]) == ["node1  no device is on VFIO, so none was opened"]
