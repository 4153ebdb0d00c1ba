# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The one table of Kconfig symbols and what stands in for them at run time, each with its kernel source. Pure.

A symbol that is not here is still compared with the kernel's configuration; nothing stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass

X86, S390, POWER, ARM64 = "x86", "s390", "powerpc", "arm64"

_MACHINES = (
    ("x86", X86), ("i386", X86), ("i486", X86), ("i586", X86), ("i686", X86), ("s390", S390), ("ppc", POWER),
    ("aarch64", ARM64), ("arm64", ARM64),
)


@dataclass(frozen=True)
class Switch:
    """An argument of the kernel command line: ``key`` with ``value`` among its comma-separated words.

    ``only``: the architectures whose kernels know it; none: all.
    """

    key: str
    value: str
    only: tuple[str, ...] = ()

    def is_named(self, name: str) -> bool:
        """Whether an argument of this name is it: to the kernel '-' and '_' are one (source: kernel/params.c parameq())."""
        return name.replace("-", "_") == self.key.replace("-", "_")

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True)
class Row:
    """One symbol. ``source``: where in the kernel its meaning is to be read.

    ``module``: what it builds, as a file or built in: y is met by loading it at boot, n by disabling it. ``off``:
    (module, option, value) that does what n does; ``on``: likewise for y, where the option could undo a y. ``yes``,
    ``no``: kernel arguments that do what y or n does; with ``built`` no argument makes up for an n, it only undoes
    one. ``only``, ``never``: architectures. ``implied_by``: a kernel that has this symbol on and does not know the
    row's has the row's always on. ``gone``: what became of it.
    """

    source: str
    module: str | None = None
    off: tuple[str, str, str] | None = None
    on: tuple[str, str, str] | None = None
    yes: tuple[Switch, ...] = ()
    no: tuple[Switch, ...] = ()
    built: bool = False
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    implied_by: str | None = None
    gone: str = ""


_INTEL = "Documentation/admin-guide/kernel-parameters.txt intel_iommu="
# iommu=pt is x86's (source: arch/x86/kernel/pci-dma.c iommu_setup()); elsewhere nobody reads it.
_PASSTHROUGH = (Switch("iommu.passthrough", "1"), Switch("iommu", "pt", only=(X86,)))
_NO_PASSTHROUGH = (Switch("iommu.passthrough", "0"), Switch("iommu", "nopt", only=(X86,)))

ROWS = {
    "VFIO": Row("drivers/vfio/Makefile: vfio.o", module="vfio"),
    "VFIO_GROUP": Row("drivers/vfio/Kconfig; before it became an option, part of VFIO", implied_by="VFIO"),
    "VFIO_CONTAINER": Row("drivers/vfio/Kconfig; before it became an option, part of VFIO", implied_by="VFIO"),
    "VFIO_DEVICE_CDEV": Row("drivers/vfio/Kconfig: needs IOMMUFD, not with SPAPR_TCE_IOMMU"),
    "VFIO_IOMMU_TYPE1": Row("drivers/vfio/Makefile: vfio_iommu_type1.o", module="vfio_iommu_type1"),
    "VFIO_IOMMU_SPAPR_TCE": Row(
        "drivers/vfio/Makefile: vfio_iommu_spapr_tce.o", module="vfio_iommu_spapr_tce", only=(POWER,),
    ),
    "VFIO_SPAPR_EEH": Row(
        "drivers/vfio/Makefile up to 6.3: vfio_spapr_eeh.o; then in SPAPR_TCE",
        module="vfio_spapr_eeh", only=(POWER,), gone="it became a part of VFIO_IOMMU_SPAPR_TCE",
    ),
    "VFIO_VIRQFD": Row("drivers/vfio/Makefile up to 6.2: vfio_virqfd.o; then a part of vfio.o", module="vfio_virqfd"),
    # vfio.ko has the parameter only with this symbol, and its default is N.
    "VFIO_NOIOMMU": Row(
        "drivers/vfio/vfio_main.c, group.c: #ifdef CONFIG_VFIO_NOIOMMU enable_unsafe_noiommu_mode",
        off=("vfio", "enable_unsafe_noiommu_mode", "N"),
    ),
    "VFIO_PCI_CORE": Row("drivers/vfio/pci/Makefile: vfio-pci-core.o", module="vfio_pci_core"),
    "VFIO_PCI": Row("drivers/vfio/pci/Makefile: vfio-pci.o", module="vfio_pci"),
    "VFIO_PCI_VGA": Row(
        "drivers/vfio/pci/vfio_pci.c: #ifdef CONFIG_VFIO_PCI_VGA disable_vga",
        off=("vfio_pci", "disable_vga", "Y"), on=("vfio_pci", "disable_vga", "N"), only=(X86,),
    ),
    "VFIO_PCI_IGD": Row("drivers/vfio/pci/vfio_pci.c: vfio_pci_open_device, no option turns it off", only=(X86,)),
    # nointxmask changes how INTx is masked, and does not take it away.
    "VFIO_PCI_INTX": Row("drivers/vfio/pci/Kconfig: def_bool y if !S390", never=(S390,)),
    "VFIO_PCI_MMAP": Row("drivers/vfio/pci/Kconfig: def_bool y if !S390", never=(S390,)),
    "VFIO_PCI_ZDEV": Row("drivers/vfio/pci/Kconfig, 5.9 to 5.19", only=(S390,), gone="it became VFIO_PCI_ZDEV_KVM"),
    "VFIO_PCI_ZDEV_KVM": Row("drivers/vfio/pci/Kconfig: S390 && KVM", only=(S390,)),
    "VFIO_PCI_NVLINK2": Row(
        "drivers/vfio/pci/Kconfig, 5.0 to 5.12", only=(POWER,), gone="it left the kernel after 5.12",
    ),
    "MLX5_VFIO_PCI": Row("drivers/vfio/pci/mlx5/Makefile", module="mlx5_vfio_pci"),
    "HISI_ACC_VFIO_PCI": Row("drivers/vfio/pci/hisilicon/Makefile", module="hisi_acc_vfio_pci", only=(ARM64,)),
    "PDS_VFIO_PCI": Row("drivers/vfio/pci/pds/Makefile", module="pds_vfio_pci"),
    "VIRTIO_VFIO_PCI": Row("drivers/vfio/pci/virtio/Makefile", module="virtio_vfio_pci"),
    "NVGRACE_GPU_VFIO_PCI": Row("drivers/vfio/pci/nvgrace-gpu/Makefile", module="nvgrace_gpu_vfio_pci", only=(ARM64,)),
    "QAT_VFIO_PCI": Row("drivers/vfio/pci/qat/Makefile", module="qat_vfio_pci"),
    "ISM_VFIO_PCI": Row("drivers/vfio/pci/ism/Makefile", module="ism_vfio_pci", only=(S390,)),
    "XE_VFIO_PCI": Row("drivers/vfio/pci/xe/Makefile", module="xe_vfio_pci"),
    "VFIO_MDEV": Row("drivers/vfio/mdev/Makefile: mdev.o", module="mdev"),
    # Devices of the platform, AMBA, CDX and fsl-mc buses, which are no PCI functions: none of these gives one to user space.
    "VFIO_PLATFORM": Row("drivers/vfio/platform/Makefile: vfio-platform.o", module="vfio_platform"),
    "VFIO_AMBA": Row("drivers/vfio/platform/Makefile: vfio-amba.o", module="vfio_amba"),
    "VFIO_CDX": Row("drivers/vfio/cdx/Makefile: vfio-cdx.o", module="vfio_cdx"),
    "VFIO_FSL_MC": Row("drivers/vfio/fsl-mc/Makefile: vfio-fsl-mc.o", module="vfio_fsl_mc"),
    "VFIO_AP": Row("drivers/s390/crypto/Makefile: vfio_ap.o", module="vfio_ap", only=(S390,)),
    "VFIO_CCW": Row("drivers/s390/cio/Makefile: vfio_ccw.o", module="vfio_ccw", only=(S390,)),
    "IOMMUFD": Row("drivers/iommu/iommufd/Makefile: iommufd.o", module="iommufd"),
    "VIRTIO_IOMMU": Row("drivers/iommu/Makefile: virtio-iommu.o", module="virtio_iommu"),
    "ARM_SMMU": Row("drivers/iommu/arm/arm-smmu/Makefile: arm_smmu.o", module="arm_smmu"),
    "ARM_SMMU_V3": Row("drivers/iommu/arm/arm-smmu-v3/Makefile: arm_smmu_v3.o", module="arm_smmu_v3", only=(ARM64,)),
    "ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT": Row(
        "drivers/iommu/arm/arm-smmu/arm-smmu.c: disable_bypass, of SMMUv1 and v2", yes=(Switch("arm-smmu.disable_bypass", "1"),),
        no=(Switch("arm-smmu.disable_bypass", "0"),),
    ),
    "IOMMU_DEFAULT_PASSTHROUGH": Row(
        "drivers/iommu/iommu.c: iommu_set_def_domain_type; arch/x86/kernel/pci-dma.c: iommu_setup",
        yes=_PASSTHROUGH, no=_NO_PASSTHROUGH,
    ),
    "IOMMU_DEFAULT_DMA_STRICT": Row(
        "drivers/iommu/iommu.c: iommu_dma_setup", yes=(Switch("iommu.strict", "1"),), no=(Switch("iommu.strict", "0"),),
    ),
    "IOMMU_DEFAULT_DMA_LAZY": Row(
        "drivers/iommu/iommu.c: iommu_dma_setup", yes=(Switch("iommu.strict", "0"),), no=(Switch("iommu.strict", "1"),),
    ),
    # intel_iommu=on turns a driver on that is there; it does not make one.
    "INTEL_IOMMU": Row(
        "drivers/iommu/intel/iommu.c: intel_iommu_setup", yes=(Switch("intel_iommu", "on"),),
        no=(Switch("intel_iommu", "off"),), only=(X86,), built=True,
    ),
    "INTEL_IOMMU_DEFAULT_ON": Row(
        _INTEL, yes=(Switch("intel_iommu", "on"),), no=(Switch("intel_iommu", "off"),), only=(X86,),
    ),
    "INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON": Row(
        _INTEL, yes=(Switch("intel_iommu", "sm_on"),), no=(Switch("intel_iommu", "sm_off"),), only=(X86,),
    ),
    "AMD_IOMMU": Row(
        "drivers/iommu/amd/init.c: parse_amd_iommu_options", no=(Switch("amd_iommu", "off"),), only=(X86,), built=True,
    ),
    "IRQ_REMAP": Row(
        "drivers/iommu/irq_remapping.c: setup_irqremap", yes=(Switch("intremap", "on"),),
        no=(Switch("intremap", "off"),), only=(X86,), built=True,
    ),
}

# The names of the patch series of 2021, which was merged under others.
BECAME = {
    "VFIO_PCI_S390": ("VFIO_PCI_ZDEV_KVM",),
    "VFIO_PCI_P9": ("VFIO_PCI_NVLINK2",),
    "VFIO_PCI_X86": ("VFIO_PCI_IGD", "VFIO_PCI_VGA"),
}
# A name of today and what it was called in kernels that still know the former one.
FORMERLY = {"VFIO_PCI_ZDEV_KVM": "VFIO_PCI_ZDEV"}


VFIO = "VFIO"
WITHOUT_VFIO = (
    "'# CONFIG_VFIO is not set', so this kernel can give no device to user space: it takes a kernel that is built with VFIO"
)


def is_below_vfio(symbol: str) -> bool:
    """Whether a symbol is offered only where VFIO is on (source: 'if VFIO' in drivers/vfio/Kconfig, and its own depends)."""
    return symbol in ROWS and symbol != VFIO and VFIO in symbol


def row(symbol: str) -> Row:
    """The row of a symbol; one without any equivalent where the table has none."""
    return ROWS.get(symbol, Row(""))


def architecture(machine: str) -> str | None:
    """The Kconfig name of the architecture that uname calls ``machine``; None for one that no row speaks of."""
    for start, name in _MACHINES:
        if machine.startswith(start):
            return name
    return None


__all__ = (
    "BECAME", "FORMERLY", "ROWS", "Row", "Switch", "VFIO", "WITHOUT_VFIO", "X86", "architecture",
    "is_below_vfio", "row",
)
