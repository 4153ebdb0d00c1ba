# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of others are read within bounds; what cannot be read is named, blocks nothing and ends no run."""

from __future__ import annotations

import glob
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host import foreign
from ansible_collections.vfio.host.tests.unit.fake.competitors import of_devices, of_vfs
from ansible_collections.vfio.host.tests.unit.fake.hosts import NIC

RULE = f'KERNEL=="{NIC}", ATTR{{driver_override}}="e1000e"\n'
RULES = "etc/udev/rules.d/70-cards.rules"


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(host):
    os.symlink("70-cards.rules", host.root + "/" + RULES)
    found = of_devices(host, {"etc/udev/rules.d/71-more.rules": RULE}, NIC)
    assert found[0].startswith("/etc/udev/rules.d/71-more.rules:1: ")
    assert found[1:] == [
        f"/{RULES} cannot be read (ELOOP (Too many levels of symbolic links)), so it is not checked for what it decides at boot"
    ]


def test_a_file_that_is_too_large_is_named(host):
    assert of_devices(host, {RULES: "#" * (foreign.MOST_BYTES + 1)}, NIC) == [
        f"/{RULES} cannot be read (it has more than 1048576 bytes), so it is not checked for what it decides at boot"
    ]


@pytest.mark.parametrize("pattern", ["/etc/a/*", "/etc/a/*.conf", "/etc/a/.*", "/etc/*/x.conf", "/etc/*/[xy].*", "/etc/a/x.conf", "/etc/no/*", "/etc/a/**"])
def test_a_pattern_fits_what_glob_fits(tmp_path, pattern):
    for name in ("a/x.conf", "a/.hidden.conf", "a/y.conf.d/z", "b/x.conf", "a/[x].conf"):
        path = tmp_path / "root[1]/etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    os.symlink("/nowhere", tmp_path / "root[1]/etc/a/gone.conf")
    root = str(tmp_path / "root[1]")
    expected = sorted(glob.glob(glob.escape(root) + pattern))
    assert foreign.Foreign(root).paths([pattern]) == expected
    assert expected or pattern == "/etc/no/*"


def test_a_fifo_is_named_and_does_not_block(host):
    os.mkfifo(host.root + "/" + RULES)
    assert of_devices(host, {}, NIC) == [
        f"/{RULES} cannot be read (it is no file), so it is not checked for what it decides at boot"
    ]


def test_a_directory_and_a_link_to_nothing_are_no_files(host):
    os.makedirs(host.root + "/" + RULES)
    os.symlink("/nowhere", host.root + "/etc/udev/rules.d/71-gone.rules")
    assert of_devices(host, {}, NIC) == []


def test_more_files_than_are_read_are_told(host, monkeypatch):
    monkeypatch.setattr(foreign, "MOST_FILES", 2)
    files = {f"etc/udev/rules.d/{number}-x.rules": "# nothing\n" for number in (70, 71, 72)}
    (sentence,) = of_devices(host, files, NIC)
    assert sentence.endswith("are 3 files, and only the first 2 are checked")


@pytest.mark.parametrize("data", [b"\xff\xfe" + RULE.encode(), b"\0\0\0", b"\x7fELF\x02\x01driver_override"])
def test_bytes_of_any_kind_end_no_run(host, data):
    paths = (
        RULES, "etc/systemd/network/10-x.link", "etc/netplan/x.yaml", "etc/nmstate/x.yml", "etc/sysfs.conf", "etc/tmpfiles.d/x.conf",
        "etc/libvirt/qemu/x.xml", "etc/nova/nova.conf", "etc/pve/qemu-server/1.conf", "etc/dpdk/interfaces", "etc/mkinitcpio.conf",
        "etc/NetworkManager/system-connections/x", "etc/network/interfaces", "etc/systemd/system/x.service", "etc/pve/mapping/pci.cfg",
    )
    files = dict.fromkeys(paths, data)
    for sentence in of_devices(host, files, NIC) + of_vfs(host, files):
        assert sentence.encode("utf-8")


def test_nothing_of_others_is_read_where_nothing_is_declared(host):
    os.mkfifo(host.root + "/" + RULES)
    host.survey().facts()
    assert host.release()["warnings"] == []
