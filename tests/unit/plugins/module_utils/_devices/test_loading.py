# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps the module of a declared driver from loading is an error or a warning, with file and line."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.competitors import of_devices
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC
from ansible_collections.vfio.host.tests.unit.fake.model import Module

CONF = "etc/modprobe.d/a.conf"
HERE = "/" + CONF
SCRIPT = "install vfio-pci /usr/local/sbin/mine\n"


def test_an_install_line_that_runs_a_script_is_named(host):
    assert of_devices(host, {CONF: SCRIPT}, NIC) == [
        f"{HERE}:1: runs '/usr/local/sbin/mine' in place of loading module vfio_pci, now and at every boot: what that does to devices and "
        "drivers cannot be told; remove that line"
    ]
    assert of_devices(host, {CONF: SCRIPT}, {"match": {"address": NIC}, "driver": "native"}) == []


def test_a_kernel_whose_modules_an_update_has_removed_is_told_from_one_without_the_module(host):
    for path in host.tree.root.glob("lib/modules/*/modules.*"):
        path.unlink()
    with pytest.raises(PlanError, match="has no module vfio_pci, and nothing lists its modules .*: where its package was updated since the boot, reboot"):
        host.take(NIC, check=True)


@pytest.mark.parametrize(("path", "line", "told"), [
    ("etc/sysctl.d/hard.conf", "kernel.modules_disabled = 1", True), ("usr/lib/sysctl.d/a.conf", "-kernel/modules_disabled=1", True),
    ("etc/sysctl.conf", "kernel.modules_disabled=1", True), ("etc/sysctl.d/a.conf", "#kernel.modules_disabled=1", False),
    ("etc/sysctl.d/a.conf", "kernel.modules_disabled=0", False), ("etc/sysctl.d/a", "kernel.modules_disabled=1", False),
])
def test_a_setting_that_lets_no_module_be_loaded_is_named(host, path, line, told):
    found = of_devices(host, {path: line + "\n"}, NIC)
    assert [one.partition(" (")[0] for one in found] == [
        f"/{path}:1: '{line}' lets no module be loaded from then on: it may come before {NIC}"
    ] * told
    assert of_devices(host, {}, {"match": {"address": NIC}, "driver": "native"}) == []


def test_a_kernel_that_loads_no_module_any_more_does_for_what_is_loaded(host):
    host.tree.put(host.tree.root / "proc/sys/kernel/modules_disabled", "0\n")
    host.take(NIC)
    host.tree.put(host.tree.root / "proc/sys/kernel/modules_disabled", "1\n")
    assert not host.take(NIC)["changed"]


def test_a_kernel_that_loads_no_module_any_more_is_refused(host):
    host.tree.put(host.tree.root / "proc/sys/kernel/modules_disabled", "1\n")
    with pytest.raises(PlanError, match="module vfio_pci cannot be loaded: kernel.modules_disabled is 1, which holds until the next boot"):
        host.take(NIC, check=True)


@pytest.mark.parametrize(
    "line", ["install vfio* /bin/true", "alias vfio-pci off", "alias vfio_pci other", "blacklist vfio-pci", "install vfio_pci :"]
)
def test_a_needed_module_that_does_not_load_is_refused_and_once_it_is_there_told(host, line):
    with pytest.raises(PlanError, match="module vfio_pci is kept from loading by .*a.conf:1.*, and devices are declared for its driver"):
        of_devices(host, {CONF: line + "\n"}, NIC)
    host.tree.put(host.tree.root / CONF, "")
    host.take(NIC)
    (warning,) = of_devices(host, {CONF: line + "\n"}, NIC)
    assert "module vfio_pci is kept from loading by" in warning and "after the next boot" in warning


def test_a_range_in_the_glob_of_a_line_is_a_range(host):
    with pytest.raises(PlanError, match="module vfio_pci is kept from loading by .*a.conf:1"):
        of_devices(host, {CONF: "install vfio[^-a-z]pc[a-z] /bin/true\n"}, NIC)


def test_a_file_of_aliases_counts_as_any_other_of_modprobe_d(host):
    with pytest.raises(PlanError, match="module vfio_pci is kept from loading by .*a.alias:1"):
        of_devices(host, {"etc/modprobe.d/a.alias": "blacklist vfio-pci\n"}, NIC)
    assert of_devices(host, {"etc/modprobe.d/a.alias": "", "etc/modprobe.d/a.alias.old": "blacklist vfio-pci\n"}, NIC) == []


@pytest.mark.parametrize("line", ["alias vfio-pci vfio_pci", "alias pci:v00001234* vfio-pci", "remove vfio-pci /bin/true", "install vfio-pci"])
def test_a_line_that_keeps_no_module_from_loading_is_not_told(host, line):
    assert of_devices(host, {CONF: line + "\n"}, NIC) == []


DEPENDENT = "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz kernel/drivers/vfio/vfio.ko.xz\n"


@pytest.fixture
def depending(make_host):
    """A host whose vfio_pci needs other modules."""
    extra = tuple(Module(name, (), ()) for name in ("vfio_pci_core", "vfio", "vfio_iommu_type1"))
    host = make_host(hosts.with_modules(hosts.x86(), *extra))
    table = host.tree.root / "lib/modules" / host.spec.kernel / "modules.dep"
    kept = [line for line in table.read_text().splitlines(True) if "vfio-pci.ko" not in line]
    table.write_text("".join(kept) + DEPENDENT)
    return host


@pytest.mark.parametrize("line", ["install vfio_pci_core /bin/false", "install vfio /bin/true"])
def test_a_module_that_a_needed_one_depends_on_is_looked_at_too(depending, line):
    with pytest.raises(PlanError, match="module vfio_pci needs module vfio.*, which is kept from loading by .*a.conf:1"):
        of_devices(depending, {CONF: line + "\n"}, NIC)


def test_a_blacklist_keeps_no_dependency_from_loading(depending):
    assert of_devices(depending, {CONF: "blacklist vfio\nblacklist vfio_pci_core\nblacklist vfio_iommu_type1\n"}, NIC) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("install vfio_iommu_type1 /bin/true", "keeps module vfio_iommu_type1 from loading"),
        ("softdep vfio pre: igb", "takes the place of vfio's own soft dependency"),
        ("softdep vfio post: vfio-iommu-type1", None),
    ],
)
def test_the_module_that_clients_need_is_looked_at_too(depending, line, words):
    found = of_devices(depending, {CONF: line + "\n"}, NIC)
    assert [words in one and one.startswith(f"{HERE}:1: ") for one in found] == ([] if words is None else [True])
