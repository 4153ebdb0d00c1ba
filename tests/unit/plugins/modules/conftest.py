# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules through their main(), on a fake host."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common import warnings

from ansible_collections.vfio.host.plugins.module_utils._core import task
from ansible_collections.vfio.host.plugins.modules import (
    driver_override,
    initramfs,
    kernel_cmdline,
    kernel_config,
    kernel_module,
    passthrough,
    pci_facts,
    prove,
    sriov_vfs,
)
from ansible_collections.vfio.host.tests.unit.fake.sriov import SMALL
from ansible_collections.vfio.host.tests.unit.plugins.modules.confirming import Systemd

try:
    from ansible.module_utils import _internal
except ImportError:  # before 2.19
    _internal = None

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:

    @contextmanager
    def patch_module_args(args):
        """What ansible-core has from 2.19 on."""
        before, basic._ANSIBLE_ARGS = basic._ANSIBLE_ARGS, json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
        try:
            yield
        finally:
            basic._ANSIBLE_ARGS = before


MODULES = {
    "driver_override": driver_override,
    "initramfs": initramfs,
    "kernel_cmdline": kernel_cmdline,
    "kernel_config": kernel_config,
    "kernel_module": kernel_module,
    "passthrough": passthrough,
    "pci_facts": pci_facts,
    "prove": prove,
    "sriov_vfs": sriov_vfs,
}


@pytest.fixture
def small(make_host):
    """A small host with a PF."""
    return make_host(SMALL)


@pytest.fixture
def systemd(host):
    """The host's systemd, which keeps the timer of ``confirm``."""
    return Systemd(host)


@pytest.fixture
def run_module(monkeypatch, capsys):
    """A function (host, module's name, check=, options) -> the result that Ansible would get."""

    def run(host, name, check=False, **options):
        monkeypatch.setattr(task, "Sysfs", lambda **dummy: host.kernel)
        monkeypatch.setattr(task, "Files", lambda: host.files)
        for reader in (pci_facts, prove):
            monkeypatch.setattr(reader, "Sysfs", lambda **dummy: host.kernel)
        monkeypatch.setattr(prove, "Files", lambda *dummy: host.files)
        # What other tests import makes this process a controller, which shows warnings instead of returning them.
        if _internal is not None:
            monkeypatch.setattr(_internal, "is_controller", False)
        for kind in ("_global_warnings", "_global_deprecations"):
            getattr(warnings, kind).clear()  # of one process, and so of all tests
        arguments = dict(options, _ansible_check_mode=check, _ansible_remote_tmp="/tmp")
        with patch_module_args(arguments), pytest.raises(SystemExit) as caught:
            MODULES[name].main()
        output = capsys.readouterr()
        assert output.err == ""
        result = json.loads(output.out)
        assert bool(caught.value.code) == bool(result.get("failed"))
        return result

    return run
