# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interrupt remapping: what the kernel tells of it, and who is told before a client fails."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts

NIC = {"match": {"address": hosts.NIC}}
SAYS = "the IOMMU does not remap interrupts"


def with_chips(host, *chips):
    for number, chip in enumerate(chips):
        host.tree.put(host.tree.sys / f"kernel/irq/{number}/chip_name", chip + "\n")
    return host


def remaps(host):
    return host.survey().facts()["iommu"]["interrupt_remapping"]


@pytest.mark.parametrize("chips, expected", [
    ((), None),
    (("DMAR-MSI", "IR-IO-APIC"), True),
    (("IR-PCI-MSIX-0000:02:00.0",), True),
    (("DMAR-MSI", "IO-APIC"), False),
    (("PCI-MSI",), False),
    (("XT-PIC", ""), None),
])
def test_the_names_of_interrupt_controllers_tell(host, chips, expected):
    assert remaps(with_chips(host, *chips)) is expected


@pytest.mark.parametrize("chips, expected", [
    ((), None),
    (("GICv3", "pMSI", ""), None),
    (("GICv3", "ITS-PCI-MSIX-0000:02:00.0"), True),
    (("ITS-PCI-MSI-0000:00:04.0", "ITS-pMSI-arm-smmu-v3.0.auto"), True),
    (("ITS-MSI",), True),
    (("GICv2m-PCI-MSIX-0000:02:00.0",), False),
    (("MBI-PCI-MSI-0000:02:00.0",), False),
    (("MSI",), False),
    (("PCI-MSI",), False),
    # One root complex with a controller of its own: nobody checks its devices.
    (("ITS-PCI-MSI-0000:00:04.0", "Xilinx PCIe MSI"), False),
    (("X-Gene1 MSI",), False),
    (("iProc-MSI",), False),
    (("advk-msi",), False),
    (("ITS-v5-PCI-MSIX-0000:02:00.0", "ITS-fMSI-dprc.1"), True),
    (("ITS-MSI", "ITS-pMSI", "GICv2m-pMSI-x"), True),
    (("MSI", "ITS-MSI"), False),
])
def test_on_arm64_an_its_alone_checks_who_sends_an_interrupt(make_host, chips, expected):
    assert remaps(with_chips(make_host(hosts.arm64()), *chips)) is expected


def test_on_arm64_the_remedy_is_an_its_and_nothing_of_x86(make_host):
    host = with_chips(make_host(hosts.arm64()), "GICv2m-PCI-MSIX-0000:02:00.0")
    said = [one for one in host.take({"match": {"address": "0000:02:00.0"}})["warnings"] if "allow_unsafe_interrupts" in one]
    assert len(said) == 1
    assert "without a GICv3 ITS" in said[0]
    assert "intremap" not in said[0]


@pytest.mark.parametrize("spec", [hosts.s390(), hosts.p9(), hosts.x86(iommu=False)], ids=["s390", "p9", "off"])
def test_elsewhere_and_without_an_iommu_it_is_no_question(make_host, spec):
    host = with_chips(make_host(spec), "IO-APIC")
    assert remaps(host) is None
    host.survey()


def test_a_run_that_takes_devices_warns_and_one_that_does_not_is_silent(host):
    with_chips(host, "IO-APIC")
    assert [one for one in host.take(NIC)["warnings"] if SAYS in one]
    assert not [one for one in host.take(dict(NIC, driver="native"))["warnings"] if SAYS in one]


@pytest.mark.parametrize("text, warns", [
    ("options vfio_iommu_type1 allow_unsafe_interrupts=1\n", False),
    ("options vfio-iommu-type1 allow-unsafe-interrupts=Y\n", False),
    ("options vfio_iommu_type1 allow_unsafe_interrupts\n", False),
    ("options vfio_iommu_type1 allow_unsafe_interrupts=0\n", True),
    ("options vfio_iommu_type1 dma_entry_limit=9\n", True),
])
def test_who_allows_unsafe_interrupts_hears_nothing(host, text, warns):
    with_chips(host, "IO-APIC")
    host.tree.put(host.tree.root / "etc/modprobe.d/mine.conf", text)
    assert any(SAYS in one for one in host.take(NIC)["warnings"]) == warns


def test_what_the_loaded_module_says_counts_before_its_configuration(host):
    with_chips(host, "IO-APIC")
    host.tree.put(host.tree.sys / "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n")
    host.tree.put(host.tree.root / "etc/modprobe.d/mine.conf", "options vfio_iommu_type1 allow_unsafe_interrupts=1\n")
    assert any(SAYS in one for one in host.take(NIC)["warnings"])
