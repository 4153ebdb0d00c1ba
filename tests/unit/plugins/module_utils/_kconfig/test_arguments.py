# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel arguments that decide a symbol: which there are depends on the architecture."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake.kernel_modules import ModuleHost

CONFIG = """\
CONFIG_VFIO=m
CONFIG_VFIO_PCI=m
# CONFIG_IOMMU_DEFAULT_PASSTHROUGH is not set
CONFIG_ARM_SMMU=y
CONFIG_ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT=y
CONFIG_ARM_SMMU_V3=y
"""


@pytest.fixture
def make(host_path):
    return lambda **more: ModuleHost(host_path, config=CONFIG, **more)


def look(host, **symbols):
    return host.plan(config=symbols, enforce=False).result()["options"]


@pytest.mark.parametrize("machine", ["aarch64", "s390x", "ppc64le", "riscv64"])
def test_an_argument_of_x86_means_nothing_elsewhere(make, machine):
    host = make(machine=machine, cmdline="quiet iommu=pt intel_iommu=on")
    assert look(host, IOMMU_DEFAULT_PASSTHROUGH="y")["IOMMU_DEFAULT_PASSTHROUGH"]["met"] is False
    made = host.plan(config={"IOMMU_DEFAULT_PASSTHROUGH": "y"}, carries_args=True)
    assert made.cmdline_args == {"iommu.passthrough": "1"}


def test_on_x86_it_does(make):
    host = make(machine="x86_64", cmdline="quiet iommu=pt")
    assert look(host, IOMMU_DEFAULT_PASSTHROUGH="y")["IOMMU_DEFAULT_PASSTHROUGH"]["met"] is True


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
@pytest.mark.parametrize("first, last, met", [("1", "0", False), ("0", "1", True)])
def test_the_generic_argument_counts_everywhere_and_its_last_word_wins(make, machine, first, last, met):
    host = make(machine=machine, cmdline=f"iommu.passthrough={first} iommu.passthrough={last}")
    assert look(host, IOMMU_DEFAULT_PASSTHROUGH="y")["IOMMU_DEFAULT_PASSTHROUGH"]["met"] is met


@pytest.mark.parametrize("written", ["arm-smmu.disable_bypass=0", "arm_smmu.disable_bypass=N", "arm_smmu.disable-bypass=off"])
def test_a_name_is_the_same_with_dashes_and_underscores(make, written):
    found = look(make(machine="aarch64", cmdline=written), ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT="n")
    assert found["ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT"]["met"] is True
    assert found["ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT"]["by"] == "cmdline"


def test_what_lets_unknown_devices_of_an_smmu_through_is_an_argument(make):
    made = make(machine="aarch64", cmdline="").plan(config={"ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT": "n"}, carries_args=True)
    assert made.cmdline_args == {"arm-smmu.disable_bypass": "0"}


def test_an_smmuv3_is_there_by_the_kernel_s_own_configuration(make):
    assert look(make(machine="aarch64"), ARM_SMMU_V3=["y", "m"])["ARM_SMMU_V3"]["met"] is True


def test_an_smmuv3_is_of_arm64_alone(host_path):
    found = look(ModuleHost(host_path, config=None, machine="s390x"), ARM_SMMU_V3="y")["ARM_SMMU_V3"]
    assert (found["value"], found["met"]) == ("n", False)
    assert "it exists on arm64 only" in found["reason"]


@pytest.mark.parametrize("symbol, module", [("VFIO_PLATFORM", "vfio_platform"), ("VFIO_AMBA", "vfio_amba"), ("VFIO_FSL_MC", "vfio_fsl_mc")])
def test_vfio_of_other_buses_stands_in_for_no_symbol_of_pci(host_path, symbol, module):
    host = ModuleHost(host_path, config=None, machine="aarch64", modules={module: ((), {})})
    found = look(host, VFIO_PCI=["y", "m"], **{symbol: "m"})
    assert found["VFIO_PCI"]["met"] is False
    assert found[symbol]["met"] is True
