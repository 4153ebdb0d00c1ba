# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._modules.spec import MODULE_SPEC
from ansible_collections.vfio.host.tests.unit.fake.kernel_modules import ModuleHost

WISH = [
    {"name": "vfio-pci", "options": {"disable_vga": True}, "before": ["nvme"]},
    {"name": "nouveau", "state": "disabled"},
    {"name": "zswap", "options": {"max_pool_percent": 30}},
]


@pytest.fixture
def host(host_path):
    return ModuleHost(host_path)


def test_check_run_check_again_run_again(run_module, host):
    predicted = run_module(host, "kernel_module", check=True, modules=WISH)
    assert host.loaded == []
    first = run_module(host, "kernel_module", modules=WISH)
    predicted.pop("invocation", None)
    first.pop("invocation", None)
    assert first == predicted and first["changed"]
    for check in (True, False):
        again = run_module(host, "kernel_module", check=check, modules=WISH)
        assert not again["changed"]
        assert [one["status"] for one in again["modules"]] == ["unchanged"] * 3


def test_the_result_has_what_the_documentation_says(run_module, host):
    result = run_module(host, "kernel_module", modules=WISH)
    assert result["cmdline_args"] == {"zswap.max_pool_percent": "30"}
    assert len(result["warnings"]) == 1
    assert result["modules"][1:] == [
        {
            "name": "vfio_pci", "kind": "loadable", "state_before": "unloaded", "state": "loaded", "options_before": {},
            "options": {"disable_vga": "Y"}, "elsewhere": {}, "cmdline_args": {}, "status": "changed",
            "reboot_required": False, "reboot_reasons": [],
        },
        {
            "name": "zswap", "kind": "builtin", "state_before": "builtin", "state": "builtin",
            "options_before": {"max_pool_percent": "20"}, "options": {"max_pool_percent": "30"}, "elsewhere": {},
            "cmdline_args": {"zswap.max_pool_percent": "30"}, "status": "changed", "reboot_required": False,
            "reboot_reasons": [],
        },
    ]


def test_every_finding_is_in_one_message(run_module, host):
    result = run_module(host, "kernel_module", modules=[{"name": "nothing"}, {"name": "vfio", "options": {"x": 1}}])
    assert result["failed"] and len(result["msg"].split("\n")) == 2


def test_all_that_is_wrong_with_the_keys_of_all_entries_is_in_one_message(run_module, host):
    result = run_module(host, "kernel_module", modules=[
        {"name": "vfio", "state": "lodaed", "at_boot": "perhaps"}, {"nmae": "x"}, {"name": "nvme", "force": ["netwrok"]},
    ])
    assert result["failed"] and result["msg"].split("\n") == [
        "modules[0] vfio: state 'lodaed' must be one of loaded, unloaded, disabled, absent",
        "modules[0] vfio: at_boot 'perhaps' must be true or false",
        "modules[1]: unknown option 'nmae'; there are: name, state, options, at_boot, before, force; did you mean name?",
        "modules[1]: name is missing: say which module",
        "modules[2] nvme: force: netwrok cannot be forced; there are: network, storage, console",
    ]


def test_an_entry_may_have_its_lists_and_mappings_as_texts_as_ansible_takes_them(run_module, host):
    entry = {"name": "vfio-pci", "options": "disable_vga=Y", "before": "nvme, e1000e"}
    result = run_module(host, "kernel_module", modules=[entry], now=False)
    assert result["modules"][0]["options"] == {"disable_vga": "Y"}
    assert "softdep nvme pre: vfio_pci" in host.read("etc/modprobe.d/vfio-host.conf")


def test_every_option_of_an_entry_is_one_that_the_plan_knows(run_module, host):
    entry = {"name": "vfio", "state": "loaded", "options": {}, "at_boot": True, "before": [], "force": []}
    assert set(entry) == set(MODULE_SPEC)
    assert run_module(host, "kernel_module", modules=[entry], now=False)["reboot_required"]
