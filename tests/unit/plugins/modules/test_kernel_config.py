# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.kernel_modules import ModuleHost

CONFIG = "CONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\nCONFIG_VFIO_PCI_VGA=y\n# CONFIG_IOMMUFD is not set\n"
WISH = {"VFIO_PCI": ["y", "m"], "VFIO_NOIOMMU": "n", "CONFIG_VFIO_PCI_VGA": False}


@pytest.fixture
def host(host_path):
    return ModuleHost(host_path, config=CONFIG)


def test_check_run_check_again_run_again(run_module, host):
    predicted = run_module(host, "kernel_config", check=True, options=WISH)
    first = run_module(host, "kernel_config", options=WISH)
    predicted.pop("invocation", None)
    first.pop("invocation", None)
    assert first == predicted and first["changed"]
    for check in (True, False):
        assert not run_module(host, "kernel_config", check=check, options=WISH)["changed"]


def test_the_result_has_what_the_documentation_says(run_module, host):
    result = run_module(host, "kernel_config", options=WISH)
    path = host.path("boot/config-6.12.0-test")
    assert result["options"]["VFIO_PCI_VGA"] == {
        "wanted": ["n"], "value": "y", "source": path, "met": True, "by": "option",
        "reason": f"it is y in {path}; vfio_pci.disable_vga is Y",
    }
    assert [one["name"] for one in result["modules"]] == ["vfio_pci"]


def test_without_enforce_nothing_changes_and_nothing_fails(run_module, host):
    before = host.snapshot()
    result = run_module(host, "kernel_config", options=dict(WISH, IOMMUFD="y"), enforce=False)
    assert [one["met"] for one in result["options"].values()] == [True, True, False, False]
    assert not result["changed"] and not result["reboot_required"]
    assert host.snapshot() == before


def test_every_unmet_symbol_is_in_one_message(run_module, host):
    result = run_module(host, "kernel_config", options=dict(WISH, IOMMUFD="y", MLX5_VFIO_PCI="m"))
    assert result["failed"] and len(result["msg"].split("\n")) == 2
