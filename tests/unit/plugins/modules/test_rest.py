# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run that failed could not put back: the next one tries once more."""

from __future__ import annotations

import errno
import json
import os

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME

WISH = {"policy": "p", "devices": [{"match": {"address": one}} for one in (NIC, NVME, EDU)]}


def now(host):
    return host.snapshot("/sys/class/vfio-dev", "/sys/module", "/sys/bus/pci/drivers", "/run/vfio-host")


@pytest.fixture
def failed(run_module, host, monkeypatch):
    """A host on which a run has failed, and has left the NVMe on VFIO; its state before, and the lines of the run's message."""
    before, real = now(host), host.kernel.write

    def write(path, value):
        if path.endswith("/vfio-pci/bind") and value == NIC or path.endswith(f"{NVME}/driver_override") and value == "nvme":
            raise OSError(errno.ENOMEM, "no")
        real(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(host.kernel, "write", write)
        message = run_module(host, "driver_override", **WISH)["msg"]
    return before, message.split("\n")


def test_the_message_says_what_is_left_and_who_tries_again(host, failed):
    dummy, lines = failed
    assert f"{NVME} (" in lines[1] and "could not be put back to driver nvme" in lines[1]
    assert lines[2:] == ["the next run tries once more to put that back"]
    assert host.driver(NVME) == "vfio-pci" and host.rules("p") is None
    kept = json.loads(host.files.read(host.files.journal + "/journal.json"))
    assert [(kind, fields["address"]) for kind, fields in kept["resources"]] == [("Binding", NVME)]


@pytest.mark.parametrize("options", [{"policy": "p", "state": "absent"}, {"policy": "other", "state": "absent"}])
def test_whatever_the_next_run_is_about_it_puts_the_rest_back_and_says_so(run_module, host, failed, options):
    before, dummy = failed
    checked = run_module(host, "driver_override", check=True, **options)
    assert "could not put everything back: the next run puts back what is left, and plans then" in str(checked["warnings"])
    assert host.driver(NVME) == "vfio-pci"
    done = run_module(host, "driver_override", **options)
    assert "could not put everything back: the rest was put back as it was" in str(done["warnings"])
    assert now(host) == before
    assert not os.path.exists(host.root + "/run/vfio-host")
    assert "warnings" not in run_module(host, "driver_override", **options)


def test_what_is_declared_again_is_taken(run_module, host, failed):
    assert not run_module(host, "driver_override", **WISH).get("failed")
    assert [host.driver(one) for one in (NIC, NVME, EDU)] == ["vfio-pci"] * 3
    again = run_module(host, "driver_override", **WISH)
    assert (again["changed"], "warnings" in again) == (False, False)


def test_it_is_tried_once_more_and_not_for_ever(run_module, host, failed):
    host.kernel.refusals["nvme", NVME] = errno.EIO
    told = run_module(host, "driver_override", policy="p", state="absent")
    assert f"{NVME} could not be put back to driver nvme" in str(told["warnings"])
    del host.kernel.refusals["nvme", NVME]
    assert "warnings" not in run_module(host, "driver_override", policy="p", state="absent")


def test_a_boot_ends_it(run_module, host, failed):
    host.reboot()
    assert host.driver(NVME) == "nvme"
    assert "warnings" not in run_module(host, "driver_override", policy="p", state="absent")
