# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that lacks a program: the run ends with a sentence that names it, and everything is as it was."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, TWIN


@pytest.fixture
def without(monkeypatch):
    """A function (host, program): it cannot be started, as the modules' own runner says it."""

    def remove(host, program):
        run = host.kernel.run

        def answer(words):
            if words[0] == program:
                return 127, "", f"{program} cannot be started: ENOENT (No such file or directory)"
            return run(words)

        monkeypatch.setattr(host.kernel, "run", answer)

    return remove


@pytest.mark.parametrize("program", ["modprobe", "udevadm"])
def test_a_program_that_is_missing_is_named_and_all_is_put_back(run_module, host, without, program):
    drivers, overrides = host.drivers(), [host.override(one) for one in (NIC, TWIN)]
    without(host, program)
    result = run_module(host, "passthrough", devices={"guests": [{"match": {"address": [NIC, TWIN]}}]}, initramfs=False)
    assert result["failed"] and f"{program} cannot be started: ENOENT" in result["msg"]
    assert "refusals" not in result
    assert (host.drivers(), [host.override(one) for one in (NIC, TWIN)]) == (drivers, overrides)
    assert not host.kernel.exists(f"{host.files.boot_rules}/60-vfio-host-guests.rules")


def test_without_getent_a_name_that_the_files_do_not_have_is_not_called_unknown(run_module, host, without):
    without(host, "getent")
    result = run_module(
        host, "passthrough", devices={"guests": [{"match": {"address": NIC}}]}, nodes={"guests": {"group": "far-away"}}, initramfs=False,
    )
    assert result["failed"] and "getent cannot be started: ENOENT" in result["msg"]
    assert "there is no group" not in result["msg"] and host.driver(NIC) == "e1000e"
