# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""openSUSE's images, which have the name of their checksum, and which sdbootutil alone puts in place."""

from __future__ import annotations

import glob
import hashlib
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import read_image
from ansible_collections.vfio.host.tests.unit.fake.images import RULES, ImageHost, image

KERNEL = "6.13.4-1-default"
ENTRIES = "/boot/efi/loader/entries"
LINE = "root=UUID=1 quiet rootflags=subvol=@/.snapshots/2/snapshot"


def entry(snapshot, initrd, line=LINE, kernel=KERNEL):
    line = line.replace("/2/", f"/{snapshot}/")
    return (
        f"# Boot Loader Specification type#1 entry\ntitle      openSUSE\nversion    {snapshot}@{kernel}\nsort-key   opensuse\n"
        f"options    {line}\nlinux      /token/{kernel}/linux-1\ninitrd     {initrd}\n"
    )


@pytest.fixture
def host(tmp_path):
    """With two snapshots, of which the second one runs; both load one image."""
    made = ImageHost(tmp_path / "root", "dracut")
    made.install("sdbootutil")
    os.makedirs(f"{made.root}/lib/modules/{KERNEL}")
    old = image({})
    path = f"/token/{KERNEL}/initrd-{hashlib.sha1(old).hexdigest()}"
    made.put(f"/boot/efi{path}", old)
    for snapshot in (1, 2):
        made.put(f"{ENTRIES}/token-{KERNEL}-{snapshot}.conf", entry(snapshot, path))
    made.put("/etc/kernel/cmdline", LINE + "\n")
    made.put("/proc/cmdline", f"initrd=x {LINE}\n")
    made.put(RULES, "rules\n")
    return made


def images(host):
    return sorted(glob.glob(f"{host.root}/boot/efi/token/*/initrd-*"))


def test_the_tool_makes_the_image_and_the_entry_of_this_snapshot(host):
    (old,), other = images(host), host.get(f"{ENTRIES}/token-{KERNEL}-1.conf")
    result = host.run()
    assert result["tool"] == "sdbootutil"
    assert [(row["path"], row["status"]) for row in result["images"]] == [(old, "rebuilt")]
    assert host.log == [["sdbootutil", "mkinitrd"]]
    (new,) = set(images(host)) - {old}
    assert list(read_image(host.paths, new).held) == [RULES]
    assert os.path.basename(new).encode() in host.get(f"{ENTRIES}/token-{KERNEL}-2.conf")
    # The other snapshot boots as it did.
    assert host.get(f"{ENTRIES}/token-{KERNEL}-1.conf") == other and os.path.exists(old)
    assert not host.run()["changed"] and len(host.log) == 1


def test_all_is_given_back(host):
    before = images(host)
    host.run()
    host.put(RULES, None)
    assert host.run(present=False)["changed"]
    assert images(host) == before
    assert not host.run(present=False)["changed"]


def test_check_mode_runs_nothing(host):
    before = images(host)
    assert host.run(check=True)["changed"]
    assert (host.log, images(host)) == ([], before)


def test_an_entry_of_a_kernel_that_is_gone_is_refused(host):
    os.rmdir(f"{host.root}/lib/modules/{KERNEL}")
    os.makedirs(f"{host.root}/lib/modules/other")
    with pytest.raises(PlanError, match="an image that a boot entry loads, and a copy of none"):
        host.run()


def test_what_the_tool_cannot_do_is_told_before(host):
    host.put(f"/lib/modules/{KERNEL}/initrd", image({}))
    with pytest.raises(PlanError, match=f"sdbootutil takes .*/lib/modules/{KERNEL}/initrd as it is.*remove it, or leave the images out"):
        host.run()
    assert host.log == []


@pytest.mark.parametrize("line, message", [
    (LINE.replace("quiet", "quiet audit=1"), "has audit=1, and .*/etc/kernel/cmdline has not"),
    (LINE, "cmdline is absent or empty"),
])
def test_an_argument_that_the_tool_would_drop_from_an_entry_is_told_before(host, line, message):
    host.put(f"{ENTRIES}/token-{KERNEL}-2.conf", entry(2, images(host)[0][len(host.root + "/boot/efi"):], line))
    if line == LINE:
        host.put("/etc/kernel/cmdline", None)
    with pytest.raises(PlanError, match=message):
        host.run()
    assert host.log == []


def test_a_failure_of_the_tool_is_told_and_what_was_is_made_again(host):
    before = images(host)
    host.complaints["sdbootutil"] = "No free space in /boot/efi for new kernel"
    with pytest.raises(ApplyError, match="the images were not rebuilt: .*mkinitrd ended with status 1: No free space"):
        host.run()
    assert images(host) == before
    assert host.get("/etc/dracut.conf.d/vfio-host.conf") is None
    assert [words[1] for words in host.log] == ["mkinitrd", "mkinitrd"]


def test_an_image_without_the_files_is_no_success(host):
    before = images(host)
    host._of_dracut = dict
    with pytest.raises(ApplyError, match="read back, lacks .*60-vfio-host-p.rules"):
        host.run()
    assert images(host) == before


def test_dracut_s_own_images_stay_dracut_s(tmp_path):
    made = ImageHost(tmp_path / "root", "dracut")
    made.install("sdbootutil")
    made.add_kernel(path="/boot/initrd-{}")
    made.put(RULES, "rules\n")
    assert made.run()["tool"] == "dracut"
