# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with devices that native drivers serve, and the refusal to take one that somebody has open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import BLOCK, Node
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Made, Module, alias

SOUND, GPU, XHCI, CARD = "0000:00:1b.0", "0000:00:1c.0", "0000:00:1d.0", "0000:00:1e.0"
CONTROL = "snd/controlC0"
RAW = Node(BLOCK, "259:0")


def native(address, pci_class, driver, *made, **more):
    """A function with a native driver that makes device nodes."""
    device = f"{int(address[8:10], 16):04x}"
    function = Function(address, f"8086:{device}", pci_class, group=str(20 + int(address[8:10], 16)), made=made, **more)
    return function, Module(driver, (driver,), (alias("8086", device),), initramfs=True)


DEVICES = (
    native(SOUND, "040300", "snd_hda_intel", Made("sound/card0/controlC0", "sound", "116:5", CONTROL)),
    native(
        GPU, "030200", "amdgpu", Made("drm/card1", "drm", "226:1", "dri/card1"),
        Made("drm/renderD128", "drm", "226:128", "dri/renderD128"),
    ),
    native(
        XHCI, "0c0330", "xhci_hcd", Made("usb1/1-1/input/input5/event5", "input", "13:69", "input/event5"),
        Made("usb1/1-2", "usb", "189:4", "bus/usb/001/005"), Made("usb1/1-3/host6/6:0:0:0/scsi_generic/sg0", "scsi_generic", "21:0", "sg0"),
    ),
    native(
        CARD, "020000", "mlx5_core", Made("infiniband_verbs/uverbs0", "infiniband_verbs", "231:192", "infiniband/uverbs0"),
        Made("mlx5_core.sf.2/vdpa0/vhost-vdpa-0", "char", "511:0", "vhost-vdpa-0"), Made("ptp/ptp0", "ptp", "248:0", "ptp0"),
        Made("tty/ttyS4", "tty", "4:68", "ttyS4"), Made("odd/odd0", "odd", "499:0", "odd0"),
    ),
)


def spec(**changes):
    plain = hosts.x86()
    modules = tuple(module for dummy, module in DEVICES)
    return replace(plain, functions=plain.functions + tuple(one for one, dummy in DEVICES), modules=modules + plain.modules, **changes)


def refused(host, *entries, **options):
    """The message that check mode and the run both end with, before anything is written."""
    before, messages = host.snapshot(), []
    for check in (True, False):
        host.faults.reset()
        with pytest.raises(PlanError) as caught:
            host.take(*entries, check=check, **options)
        messages.append("; ".join(caught.value.messages))
        assert not [one for one in host.faults.log if one[:2] != ("command", "udevadm settle --timeout=5")]
        assert host.snapshot() == before
    assert messages[0] == messages[1]
    return messages[0]
