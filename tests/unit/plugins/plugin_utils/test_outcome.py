# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan and result of a host, as a person sees them at 80 and at 120 columns."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils import _outcome, _rows
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC, PAIR, PF
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

VFS = {
    "initramfs": False,
    "sriov": [{"match": {"address": PF}, "numvfs": 7}],
    "devices": {
        "dpdk": [{"match": {"physfn": PF, "address": "0000:01:10.*"}, "driver": "vfio-pci"}],
        "pair": [{"match": {"address": PAIR}, "iommu_group": "extend"}],
    },
}
WISH = {
    "devices": {"guests": [{"match": {"net": "enp2s0"}}, {"match": {"serial": "NV01"}}]},
    "modules": [{"name": "vfio-pci", "options": {"disable_vga": True}}],
    "kernel_cmdline": {"iommu": "pt"},
}
HINT = ", and passthrough_reboot_ok: true lets the role do it"


@pytest.fixture
def whole(host_path):
    """A host with an IOMMU that is off, a boot loader and images."""
    return WholeHost(host_path / "whole", hosts.x86(), "quiet intel_iommu=off", "DMAR")


def render(result, planned=False, earlier=None, verbose=False):
    """A function: width -> Lines."""
    rows = _rows.rows(result)
    if earlier:
        rows = _rows.merged(_rows.rows(earlier), rows)
    return lambda width: _outcome.lines(
        rows, host="node1", width=width, mode=_outcome.PLANNED if planned else _outcome.DONE, waits=tuple(result["reboot_reasons"]), hint=HINT, verbose=verbose
    )


def texts(result, **options):
    return [line.text for line in render(result, **options)(79)]


def test_a_plan_has_a_row_for_each_thing_and_one_sum(result_of, host, is_golden):
    is_golden("plan-vfs", render(result_of(host, "passthrough", check=True, **VFS), planned=True))


def test_the_run_says_the_same_rows_as_its_plan(result_of, host):
    planned = texts(result_of(host, "passthrough", check=True, **VFS), planned=True)
    done = texts(result_of(host, "passthrough", **VFS))
    assert planned[1:-1] == done[1:-1]
    assert (planned[0], done[0]) == ("node1  plan: nothing is done yet", "node1  done")
    assert (planned[-1], done[-1]) == ("Plan: 6 to take, 1 to change, 4 files.", "Done: 6 taken, 1 changed, 4 files.")


def test_a_host_with_nothing_to_do_is_one_line(result_of, host):
    result_of(host, "passthrough", **VFS)
    assert texts(result_of(host, "passthrough", **VFS)) == ["node1  as declared: 6 devices, 1 card with VFs"]


def test_nothing_declared_is_said(result_of, host):
    assert texts(result_of(host, "passthrough", devices={}, initramfs=False)) == ["node1  nothing is declared, and nothing changed"]


def test_a_verification_of_nothing_says_so():
    (line,) = _outcome.lines([], host="node1", width=79, mode=_outcome.VERIFIED)
    assert line.text == "node1  nothing is declared, so nothing was verified"


@pytest.mark.parametrize("mode", [_outcome.PLANNED, _outcome.DONE, _outcome.VERIFIED])
def test_images_that_are_as_they_should_be_are_nothing_that_anybody_declared(result_of, whole, mode):
    rows = _rows.rows(result_of(whole, "passthrough", check=True, devices={}))
    assert rows and [line.text for line in _outcome.lines(rows, host="node1", width=79, mode=mode)][0].startswith("node1  nothing is declared, ")


def test_kconfig_options_are_told_among_what_was_verified(result_of, whole):
    whole.tree.put(whole.tree.root / "boot" / f"config-{whole.spec.kernel}", "CONFIG_VFIO_PCI=y\n")
    result = result_of(whole, "passthrough", check=True, kernel_config={"VFIO_PCI": ["y", "m"]})
    assert texts(result) == ["node1  as declared: 1 Kconfig option"]
    assert texts(result, verbose=True)[1].split() == ["=", "config", "VFIO_PCI", "y"]


@pytest.mark.parametrize("most, told", [(4, []), (7, []), (9, ["      and 1 VF more, which --diff lists"])])
def test_attributes_of_the_first_vfs_are_told(result_of, host, most, told):
    attributes = [{"vf": index, "mac": f"52:54:00:aa:00:0{index}", "trust": True} for index in range(most)]
    result = result_of(host, "passthrough", check=True, **dict(VFS, devices={}))
    result["sriov"][0]["attributes"] = attributes
    shown = [text for text in texts(result) if text.startswith("      VF ") or "more, which" in text]
    assert shown == [f"      VF {index}: mac=52:54:00:aa:00:0{index} trust=on" for index in range(min(most, 8))] + told


def test_more_verbosity_lists_what_is_as_declared(result_of, host, is_golden):
    result_of(host, "passthrough", **VFS)
    is_golden("declared-verbose", render(result_of(host, "passthrough", **VFS), verbose=True))


def test_vfs_that_go_are_named(result_of, host):
    result_of(host, "passthrough", **VFS)
    fewer = dict(VFS, sriov=[{"match": {"address": PF}, "numvfs": 4}])
    assert texts(result_of(host, "passthrough", check=True, **fewer), planned=True)[1:3] == [
        "  ~ VFs  01:00.0 Intel 82576 Gigabit Network Connection                  7 -> 4",
        "      gone: 01:11.0 01:11.2 01:11.4",
    ]


def test_a_release_says_what_goes_back_and_no_reason(result_of, host, is_golden):
    result_of(host, "passthrough", **VFS)
    is_golden("release-vfs", render(result_of(host, "passthrough", state="absent", initramfs=False)))


def test_what_waits_for_a_reboot_says_so_in_its_row(result_of, whole, is_golden):
    is_golden("pending", render(result_of(whole, "passthrough", **WISH)))


def test_after_its_reboot_a_run_says_what_it_has_changed(result_of, whole, is_golden):
    first = result_of(whole, "passthrough", **WISH)
    whole.reboot()
    is_golden("rebooted", render(result_of(whole, "passthrough", **WISH), earlier=first))


def option(wanted, running, status="pending"):
    """A result with one module that has an option; shapes as of the module kernel_module."""
    return {
        "devices": [], "diff": [], "reboot_reasons": ["vfio_pci has disable_idle_d3=N"] if status == "pending" else [],
        "options_wanted": {"vfio_pci": {"disable_idle_d3": wanted}},
        "modules": [{
            "name": "vfio_pci", "state_before": "loaded", "state": "loaded", "options_before": {"disable_idle_d3": running},
            "options": {"disable_idle_d3": running if status == "pending" else wanted}, "status": status,
        }],
    }


def test_an_option_that_waits_is_shown_with_the_value_that_it_will_have():
    assert texts(option("Y", "N"))[1].split("disable_idle_d3")[1].strip() == "N -> Y, after a reboot"


def test_an_option_that_is_set_at_once_waits_for_nothing():
    shown = texts(option("Y", "N", "changed"))
    assert shown[1].split("disable_idle_d3")[1].strip() == "N -> Y"
    assert shown[2:] == ["Done: 1 changed."]


def test_the_module_of_a_driver_that_a_device_has_is_loaded(result_of, host):
    result = result_of(host, "passthrough", devices={"g": [{"match": {"address": NIC}}]}, initramfs=False, kernel_config={"VFIO_PCI": ["y", "m"]})
    (shown,) = [text for text in texts(result, verbose=True) if "module" in text]
    assert shown.endswith("unloaded -> loaded")


def test_the_default_choice_has_no_reason_and_another_has(result_of, host):
    plain = result_of(host, "passthrough", check=True, devices={"g": [{"match": {"address": NIC}}]}, initramfs=False)
    assert _rows.rows(plain)[0].notes == ()
    plain["devices"][0]["choice"].update(module="mlx5_vfio_pci", reason="variant mlx5_vfio_pci declares it in modules.alias", is_usual=False)
    assert _rows.rows(plain)[0].notes == ("variant mlx5_vfio_pci declares it in modules.alias",)


def test_what_a_reason_says_is_not_read(result_of, host):
    plain = result_of(host, "passthrough", check=True, devices={"g": [{"match": {"address": NIC}}]}, initramfs=False)
    choice = plain["devices"][0]["choice"]
    choice.update(source="pinned", alias=None, reason="although it is odd; it is usual; a note", notes=["a note"])
    assert _rows.rows(plain)[0].notes == ("a note",)
    choice.update(source="native", reason="the task gives policy g back; a note", is_usual=False)
    assert _rows.rows(plain)[0].notes == ("the task gives policy g back", "a note")


def test_what_waits_and_has_no_row_is_said_below_the_sum(result_of, host):
    result = result_of(host, "passthrough", devices={}, initramfs=False)
    result.update(reboot_reasons=["something else waits"], reboot_required=True)
    assert texts(result)[-1] == "  something else waits"


def limit(before, restart):
    """A result with one service; shapes as of the module passthrough."""
    return {"devices": [], "diff": [], "reboot_reasons": [], "restart": ["guest.service"] if restart else [], "memlock": [{
        "kind": "unit", "name": "guest.service", "limit_before": before, "limit": "536870912", "pid": 700,
        "running": "8388608" if restart else "536870912", "restart": restart, "status": "unchanged" if before == "536870912" else "changed",
    }]}


def test_a_service_that_runs_with_another_limit_is_told_until_somebody_has_restarted_it():
    told = ["      guest.service runs with 8388608 until it is restarted", "Done: nothing now.", "A restart is required: guest.service."]
    shown = texts(limit("536870912", True))
    assert shown[0] == "node1  done" and shown[1].split() == ["=", "limit", "guest.service", "536870912"] and shown[2:] == told
    assert texts(limit("536870912", False)) == ["node1  as declared: 1 limit"]


def test_instances_that_wait_for_a_restart_are_named_and_not_their_template():
    result = limit("536870912", True)
    result["memlock"][0]["name"], result["restart"] = "qemu@.service", ["qemu@a.service", "qemu@b.service"]
    shown = texts(result)
    assert shown[2] == "      qemu@a.service runs with 8388608 until it is restarted"
    assert shown[-1] == "A restart is required: qemu@a.service, qemu@b.service."


def test_a_service_that_was_restarted_meanwhile_is_not_told_of_any_more():
    first, last = limit(None, True), limit("536870912", False)
    assert texts(last, earlier=first)[-1] == "Done: 1 changed." and not [text for text in texts(last, earlier=first) if "restart" in text]
    assert "restart" not in str(texts({"devices": [], "diff": [], "reboot_reasons": []}, earlier=first))
