# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one entry gives up, and what the messages say to write; what is true of the host is said once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, NVME, PAIR, PAIR2, ROOT_DISK, TWIN, UPLINK, VGA
from ansible_collections.vfio.host.tests.unit.fake.model import Function, Module, Nvme, alias


def entry(address, *force, **options):
    return dict({"match": {"address": address}, "force": list(force)}, **options)


def refusals(host, *entries, **options):
    with pytest.raises(PlanError) as caught:
        host.take(*entries, **options)
    return caught.value.messages


@pytest.mark.parametrize("address, kind", [(UPLINK, "network"), (ROOT_DISK, "storage"), (VGA, "console")])
def test_an_entry_gives_up_the_guard_of_what_it_selects(host, address, kind):
    assert host.take(entry(address, kind))["changed"]
    assert host.driver(address) == "vfio-pci"
    assert not host.take(entry(address, kind))["changed"]


def test_an_entry_gives_up_nothing_for_another_entry(host):
    (message,) = refusals(host, entry(UPLINK, "network", "storage"), ROOT_DISK)
    assert message.startswith(f"{ROOT_DISK} ")


def test_an_entry_gives_up_no_other_guard(host):
    (message,) = refusals(host, entry(UPLINK, "storage", "console"))
    assert "say force: [network] in this entry of policy p, devices[0] (the role's passthrough_devices), or for the whole task" in message


def test_of_two_entries_that_select_a_device_one_is_enough_to_give_it_up(host):
    assert host.take({"match": {"net": "ens*"}}, entry(UPLINK, "network"))["changed"]


def test_an_entry_gives_up_nothing_of_the_group_that_it_extends_to(make_host):
    host = make_host(hosts.changed(hosts.x86(), NVME, group="3"))
    (message,) = refusals(host, entry(NVME, "storage", iommu_group="extend"))
    assert message.startswith(f"{ROOT_DISK} ") and "give it an entry of its own with force: [storage]" in message
    assert host.take(entry(NVME), entry(ROOT_DISK, "storage"))["changed"]


def test_the_whole_tasks_force_still_gives_up_all(host):
    assert host.take(UPLINK, VGA, force=("network", "console"))["changed"]


def test_an_entry_may_force_a_driver_upon_its_device_alone(host):
    (message,) = refusals(host, entry(NIC, "driver", driver="igb"), entry(TWIN, driver="igb"))
    assert f"driver igb does not declare {TWIN}" in message
    assert host.take(entry(NIC, "driver", driver="igb"))["changed"]


@pytest.mark.parametrize("force", ["network", ["network"], "network, storage", ()])
def test_force_is_a_list_or_words(host, force):
    assert host.take({"match": {"address": NIC}, "force": force})["changed"]


@pytest.mark.parametrize("force", [["everything"], "all", 5, {"network": True}, [["network"]], [1]])
def test_another_force_is_refused_by_name(host, force):
    with pytest.raises(PlanError, match=r"policy p, devices\[0\]: force.*network, storage, console, driver"):
        host.take({"match": {"address": NIC}, "force": force})


def test_a_group_that_the_host_needs_is_not_said_to_be_extended_to(make_host):
    host = make_host(hosts.changed(hosts.x86(), NVME, group="3"))
    (message,) = refusals(host, NVME)
    assert "iommu_group: extend" not in message
    assert "declare them too, or say iommu_group: extend in policy p, devices[0]" in refusals(host, PAIR)[0]


# Once.

def test_a_host_without_an_iommu_says_so_once(make_host):
    (message,) = refusals(make_host(hosts.x86(iommu=False)), NIC, TWIN, PAIR, PAIR2)
    assert message.count("no IOMMU group") == 1
    for address in (NIC, TWIN, PAIR, PAIR2):
        assert f"{address} (" in message
    assert message.endswith("cannot be taken: no IOMMU group: the IOMMU is off, absent, or does not cover it")


def test_of_hundreds_of_devices_some_are_named(make_host):
    spec = hosts.x86(iommu=False)
    many = tuple(replace(hosts.e1000e(f"0000:03:{one >> 3:02x}.{one & 7}", None, None, 3), net=()) for one in range(8, 108))
    (message,) = refusals(make_host(replace(spec, functions=spec.functions + many)), {"match": {"address": "0000:03:*"}})
    assert "and 85 more cannot be taken: no IOMMU group" in message


def test_a_kernel_without_vfio_says_so_once(make_host):
    spec = hosts.x86()
    host = make_host(replace(spec, modules=tuple(one for one in spec.modules if one.name != "vfio_pci")))
    messages = [one for one in refusals(host, NIC, TWIN) if "no module vfio_pci" in one]
    assert len(messages) == 1


def test_what_cannot_be_told_of_the_host_is_said_once_for_all_its_disks(make_host):
    host = make_host(hosts.x86(mounts=("25 1 0:30 / / rw - zfs rpool/root rw",), cmdline="quiet"))
    (message,) = refusals(host, {"match": {"class": "01"}})
    assert message.count("cannot be told") == 1
    assert message.startswith(f"{ROOT_DISK} (device [1af4:1001]), {NVME} (device [1b36:0010]): each is needed by this host: / is on rpool/root")


# What another function brings about.

VMD, VMD_PORT, VMD_DISK = "0000:00:0e.0", "10000:e0:06.0", "10000:e1:00.0"


@pytest.fixture
def vmd_host(make_host):
    """A disk in a domain of its own behind a function of Intel's VMD, all of one group, as the kernel has it."""
    spec = hosts.x86()
    return make_host(replace(spec, functions=spec.functions + (
        Function(VMD, "8086:9a0b", "010400", group="40"), Function(VMD_PORT, "8086:9a09", "060400", group="40", parent=VMD, header_type=1),
        Function(VMD_DISK, "1b36:0010", "010802", group="40", parent=VMD_PORT, nvme=Nvme("nvme7", "NV07")),
    ), modules=spec.modules + (Module("vmd", ("vmd",), (alias("8086", "9a0b"),)),)))


@pytest.mark.parametrize("group", ["refuse", "extend"])
def test_a_function_is_taken_with_what_its_driver_has_brought_about(vmd_host, group):
    predicted = vmd_host.take({"match": {"address": VMD}, "iommu_group": group}, check=True)
    assert [one["address"] for one in predicted["devices"]] == [VMD]


@pytest.mark.parametrize("group", ["refuse", "extend", "ignore"])
def test_what_another_functions_driver_has_brought_about_is_not_taken_by_itself(vmd_host, group):
    messages = refusals(vmd_host, {"match": {"address": VMD_DISK}, "iommu_group": group}, check=True)
    assert f"{VMD_DISK} (device [1b36:0010]) cannot be taken: it is behind {VMD} (" in " ".join(messages)
    assert f"take that one: address {VMD}" in " ".join(messages)
