# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fake kernel gives the answers that extensions/molecule/shared/kernel.yml gets from a real one."""

from __future__ import annotations

from ansible_collections.vfio.host.tests.unit.fake import conversation
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, PF, SLOT, VF


def test_the_fake_kernel_answers_as_a_real_one(host):
    kernel = host.kernel
    for module in ("vfio_pci", "igbvf"):
        kernel.modprobe(module)
    before = host.snapshot("/sys/class/vfio-dev")
    found = conversation.hold(
        {"nic": NIC, "free": EDU, "pf": PF, "vf": VF, "port": SLOT},
        lambda path, value: kernel.write(f"{kernel.pci}/{path}", value),
        lambda path: kernel.read(f"{kernel.pci}/{path}"),
        lambda path: kernel.link(f"{kernel.pci}/{path}"),
    )
    assert found == []
    assert host.snapshot("/sys/class/vfio-dev") == before
