# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fake kernel answers as the real one does; the lab asserts the same of a running kernel."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import KernelRefusal
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, PF, ROOT_PORT, TWIN, VF
from ansible_collections.vfio.host.tests.unit.fake.model import Function


class Bus:
    """Short words for what a shell would write."""

    def __init__(self, host):
        self.host = host
        self.kernel = host.kernel

    def write(self, place, value):
        """The errno's name of a write below /sys/bus/pci, or 'ok'."""
        try:
            self.kernel.write(f"{self.kernel.pci}/{place}", value)
        except KernelRefusal as refusal:
            return errno.errorcode[refusal.errno]
        return "ok"

    def override(self, address, value):
        return self.write(f"devices/{address}/driver_override", value)

    def read(self, address, name):
        return self.kernel.read(f"{self.kernel.pci_devices}/{address}/{name}")


@pytest.fixture
def bus(host):
    """The x86 host's bus, vfio-pci loaded."""
    host.kernel.modprobe("vfio_pci")
    return Bus(host)


def test_an_unset_override_reads_null(bus):
    assert bus.read(NIC, "driver_override") == "(null)"


def test_an_override_alone_binds_nothing(bus):
    assert bus.override(EDU, "vfio-pci") == "ok"
    assert bus.host.driver(EDU) is None


def test_a_newline_clears_an_override(bus):
    bus.override(NIC, "vfio-pci")
    assert bus.override(NIC, "\n") == "ok"
    assert bus.read(NIC, "driver_override") == "(null)"


def test_an_empty_write_does_not_clear_an_override(bus):
    bus.override(NIC, "vfio-pci")
    assert bus.override(NIC, "") == "ok"
    assert bus.read(NIC, "driver_override") == "vfio-pci"


def test_an_override_is_cut_at_the_first_newline(bus):
    bus.override(NIC, "vfio-pci\nmore")
    assert bus.read(NIC, "driver_override") == "vfio-pci"


def test_an_override_of_a_page_is_refused(bus):
    assert bus.override(NIC, "a" * 4095) == "EINVAL"


def test_unbind_refuses_a_device_that_the_driver_does_not_have(bus):
    assert bus.write("drivers/igb/unbind", NIC) == "ENODEV"
    assert bus.write("drivers/igb/unbind", "0000:ff:00.0") == "ENODEV"


def test_unbind_takes_the_links_and_the_interface_away(bus):
    assert bus.write("drivers/e1000e/unbind", NIC) == "ok"
    assert bus.host.driver(NIC) is None
    assert "enp2s0" not in bus.kernel.names(bus.kernel.net)


def test_bind_refuses_what_does_not_match(bus):
    assert bus.write("drivers/vfio-pci/bind", EDU) == "ENODEV"
    assert bus.write("drivers/vfio-pci/bind", "0000:ff:00.0") == "ENODEV"


def test_bind_refuses_what_is_bound_already_even_to_the_same_driver(bus):
    assert bus.write("drivers/e1000e/bind", NIC) == "EBUSY"


def test_bind_answers_with_the_probes_errno(bus):
    bus.override(ROOT_PORT, "vfio-pci")
    bus.write("drivers/pcieport/unbind", ROOT_PORT)
    assert bus.write("drivers/vfio-pci/bind", ROOT_PORT) == "EINVAL"


def test_bind_to_a_driver_that_is_not_registered_finds_no_file(bus):
    assert bus.write("drivers/igbvf2/bind", NIC) == "ENOENT"


def test_a_deferred_bind_happens_later_by_itself(bus):
    bus.override(EDU, "vfio-pci")
    bus.kernel.deferrals["vfio-pci", EDU] = 0.5
    assert bus.write("drivers/vfio-pci/bind", EDU) == "EAGAIN"
    assert bus.host.driver(EDU) is None
    bus.kernel.pause(0.6)
    assert bus.host.driver(EDU) == "vfio-pci"


def test_vfio_refuses_a_device_without_a_group(make_host):
    bus = Bus(make_host(hosts.x86(iommu=False)))
    bus.kernel.modprobe("vfio_pci")
    bus.override(EDU, "vfio-pci")
    assert bus.write("drivers/vfio-pci/bind", EDU) == "EINVAL"


def test_vfio_takes_a_device_without_a_group_where_noiommu_is_on(make_host):
    bus = Bus(make_host(hosts.x86(iommu=False, noiommu=True)))
    bus.kernel.modprobe("vfio_pci")
    bus.override(EDU, "vfio-pci")
    assert bus.write("drivers/vfio-pci/bind", EDU) == "ok"


def test_vfio_refuses_what_is_on_its_denylist(make_host):
    bus = Bus(make_host(hosts.changed(hosts.x86(), EDU, ids="8086:37c8")))
    bus.kernel.modprobe("vfio_pci")
    bus.override(EDU, "vfio-pci")
    assert bus.write("drivers/vfio-pci/bind", EDU) == "EINVAL"


def test_drivers_probe_succeeds_though_nothing_matched(bus):
    assert bus.write("drivers_probe", EDU) == "ok"
    assert bus.host.driver(EDU) is None


def test_drivers_probe_succeeds_though_the_probe_refused(bus):
    bus.override(EDU, "vfio-pci")
    bus.kernel.refusals["vfio-pci", EDU] = errno.EIO
    assert bus.write("drivers_probe", EDU) == "ok"
    assert bus.host.driver(EDU) is None


def test_drivers_probe_succeeds_on_a_bound_device_and_changes_nothing(bus):
    assert bus.write("drivers_probe", NIC) == "ok"
    assert bus.host.driver(NIC) == "e1000e"


def test_drivers_probe_refuses_an_absent_device(bus):
    assert bus.write("drivers_probe", "0000:ff:00.0") == "ENODEV"


def test_a_native_driver_cannot_have_a_member_of_a_group_that_user_space_owns(bus):
    for address in (PAIR, PAIR2):
        bus.override(address, "vfio-pci")
        bus.write("drivers/e1000/unbind", address)
    bus.write("drivers/vfio-pci/bind", PAIR)
    bus.kernel.hold(PAIR, 4242, "qemu")
    bus.override(PAIR2, "\n")
    assert bus.write("drivers/e1000/bind", PAIR2) == "EBUSY"
    assert bus.write("drivers_probe", PAIR2) == "EINVAL"


def test_unbinding_a_held_device_would_never_end(bus):
    bus.override(EDU, "vfio-pci")
    bus.write("drivers/vfio-pci/bind", EDU)
    bus.kernel.hold(EDU, 4242, "qemu")
    with pytest.raises(AssertionError, match="block for ever"):
        bus.write("drivers/vfio-pci/unbind", EDU)


def test_new_id_takes_what_is_unbound_and_what_is_plugged_later(bus):
    assert bus.write("drivers/vfio-pci/new_id", "1234") == "EINVAL"
    assert bus.write("drivers/vfio-pci/new_id", "1234 11e8") == "ok"
    assert bus.host.driver(EDU) == "vfio-pci"
    bus.host.plug(Function("0000:07:00.0", "1234:11e8", "00ff00", group="30", parent=hosts.SLOT))
    assert bus.host.driver("0000:07:00.0") == "vfio-pci"


def test_a_loaded_module_takes_unbound_devices_with_its_override(make_host):
    host = make_host(hosts.x86())
    host.kernel.write(f"{host.kernel.pci_devices}/{EDU}/driver_override", "vfio-pci")
    host.kernel.modprobe("vfio-pci")
    assert host.driver(EDU) == "vfio-pci"
    assert host.driver(NIC) == "e1000e"


def test_modprobe_by_alias_respects_the_blacklist(make_host):
    host = make_host(replace(hosts.x86(), blacklist=("e1000e",)))
    assert host.driver(NIC) is None
    assert host.kernel.modprobe("e1000e")[0] == 0
    assert host.driver(NIC) == "e1000e"


def test_modprobe_of_an_unknown_module_fails(bus):
    assert bus.kernel.modprobe("nosuch")[0] == 1


def test_vfs_are_bound_as_they_appear(bus):
    bus.kernel.modprobe("igbvf")
    assert bus.write(f"devices/{PF}/sriov_numvfs", "2") == "ok"
    assert bus.host.driver(VF) == "igbvf"
    assert bus.kernel.link(f"{bus.kernel.pci_devices}/{VF}/physfn") == PF


def test_vfs_stay_unbound_without_autoprobe_until_they_have_an_override(bus):
    bus.kernel.modprobe("igbvf")
    bus.write(f"devices/{PF}/sriov_drivers_autoprobe", "0")
    bus.write(f"devices/{PF}/sriov_numvfs", "1")
    assert bus.write("drivers_probe", VF) == "ok"
    assert bus.host.driver(VF) is None
    bus.override(VF, "vfio-pci")
    bus.write("drivers_probe", VF)
    assert bus.host.driver(VF) == "vfio-pci"


@pytest.mark.parametrize(
    ("before", "value", "answer"),
    [
        ("0", "x", "EINVAL"),
        ("0", "8", "ERANGE"),
        ("0", "0", "ok"),
        ("2", "2", "ok"),
        ("2", "3", "EBUSY"),
        ("2", "0", "ok"),
    ],
)
def test_sriov_numvfs_answers_as_the_kernel_does(bus, before, value, answer):
    bus.write(f"devices/{PF}/sriov_numvfs", before)
    assert bus.write(f"devices/{PF}/sriov_numvfs", value) == answer


def test_sriov_needs_a_driver_that_can(bus):
    bus.write("drivers/igb/unbind", PF)
    assert bus.write(f"devices/{PF}/sriov_numvfs", "1") == "ENOENT"


def test_unbinding_a_pf_takes_its_vfs_away(bus):
    bus.write(f"devices/{PF}/sriov_numvfs", "2")
    bus.write("drivers/igb/unbind", PF)
    assert VF not in bus.kernel.names(bus.kernel.pci_devices)


def test_a_boot_forgets_overrides_and_gives_native_drivers(bus):
    bus.override(NVME, "vfio-pci")
    bus.write("drivers/nvme/unbind", NVME)
    bus.write("drivers/vfio-pci/bind", NVME)
    bus.host.reboot()
    assert (bus.host.driver(NVME), bus.host.override(NVME)) == ("nvme", None)


def test_an_unplugged_device_is_gone_everywhere(bus):
    bus.host.unplug(TWIN)
    assert not [path for path in bus.host.snapshot("/lib") if TWIN in path]
    assert "enp3s0" not in bus.kernel.names(bus.kernel.net)
