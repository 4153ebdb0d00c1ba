# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._boot.presets import parse_preset, setting, unified_path
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.images import KERNEL, OPTIONS, RULES, ImageHost, image
from ansible_collections.vfio.host.tests.unit.fake.unified import unified

HOOK = "/etc/initramfs-tools/hooks/vfio-host"
DRACUT = "/etc/dracut.conf.d/vfio-host.conf"
MKINITCPIO = "/etc/mkinitcpio.conf.d/vfio-host.conf"
PRESET = """\
# mkinitcpio preset file for the 'linux' package
#ALL_config="/etc/mkinitcpio.conf"
ALL_kver="/boot/vmlinuz-linux"
PRESETS=('default' 'fallback')
default_image="/boot/initramfs-linux.img"
#default_uki="/efi/EFI/Linux/arch-linux.efi"
fallback_image="/boot/initramfs-linux-fallback.img"
fallback_options="-S autodetect"
"""


@pytest.fixture
def make(tmp_path):
    def function(tool, **kernel):
        host = ImageHost(tmp_path / "root", tool)
        host.add_kernel(**kernel)
        host.put(RULES, "rules\n")
        return host

    return function


class TestInitramfsTools:
    def test_no_file_of_ours_where_udev_s_own_hook_copies_the_rules(self, make):
        host = make("initramfs-tools")
        host.run()
        assert host.get(HOOK) is None
        assert host.log[0][0] == "mkinitramfs" and host.log[0][3] == KERNEL

    def test_a_hook_where_it_does_not(self, make):
        host = make("initramfs-tools")
        host.put("/usr/share/initramfs-tools/hooks/udev", "for rules in 50-firmware.rules; do\n")
        host.run()
        assert host.get(HOOK).startswith(b"#!/bin/sh\n")
        assert os.access(host.root + HOOK, os.X_OK)
        assert not host.run()["changed"]

    def test_a_hook_that_lost_its_mode_is_mended(self, make):
        host = make("initramfs-tools")
        host.put("/usr/share/initramfs-tools/hooks/udev", "")
        host.run()
        os.chmod(host.root + HOOK, 0o644)
        result = host.run()
        assert result["changed"] and "# cannot be run" in result["diff"][0]["before"]
        assert os.access(host.root + HOOK, os.X_OK)

    def test_the_hook_copies_our_rules_and_no_others(self, make, tmp_path):
        host = make("initramfs-tools")
        host.put("/usr/share/initramfs-tools/hooks/udev", "")
        host.put("/etc/udev/rules.d/70-mine.rules", "")
        host.run()
        script = host.get(HOOK).decode().replace(" /etc/udev", f" {host.root}/etc/udev")
        (tmp_path / "hook").write_text(script)
        assert os.system(f"DESTDIR={tmp_path}/image sh -eu {tmp_path}/hook") == 0
        assert os.listdir(tmp_path / "image/etc/udev/rules.d") == ["60-vfio-host-p.rules"]
        assert os.system(f"sh -eu {tmp_path}/hook prereqs") == 0

    def test_the_boot_loader_s_hooks_run_as_update_initramfs_runs_them(self, make):
        host = make("initramfs-tools")
        host.put("/etc/initramfs/post-update.d/zz-zipl", "")
        host.run()
        assert host.log[-1] == [
            "run-parts", f"--arg={KERNEL}", f"--arg=/boot/initrd.img-{KERNEL}", "/etc/initramfs/post-update.d",
        ]

    @pytest.mark.parametrize("others, regex", [((), None), (("zz-zipl", "a.bak"), "^(zz-zipl)$")])
    def test_what_the_boot_loader_has_copies_of_is_not_copied_again_in_place(self, make, others, regex):
        host = make("initramfs-tools")
        copy = f"/boot/efi/0123abcd/{KERNEL}/initrd.img-{KERNEL}"
        host.put("/etc/machine-id", "0123abcd\n")
        host.put(copy, b"old")
        for name in ("systemd-boot", *others):
            host.put(f"/etc/initramfs/post-update.d/{name}", "")
        host.run()
        assert host.get(copy) == host.get(f"/boot/initrd.img-{KERNEL}")
        calls = [words for words in host.log if words[0] == "run-parts"]
        assert [words[1] for words in calls] == ([f"--regex={regex}"] if regex else [])


class TestDracut:
    @pytest.mark.parametrize("front", [None, "exec dracut --force\n"])
    def test_a_builder_that_initramfs_tools_left_behind_is_not_taken_for_the_tool(self, make, front):
        host = make("dracut")
        host.install("mkinitramfs", "/usr/sbin")
        if front is not None:
            host.install("update-initramfs", "/usr/sbin", front)
        assert host.run()["tool"] == "dracut"

    @pytest.mark.parametrize("name", ["/boot/initramfs-{}.img", "/boot/initrd.img-{}", "/boot/initrd-{}"])
    @pytest.mark.parametrize("hostonly", [True, False])
    def test_its_file_brings_rules_and_options_whatever_hostonly_says(self, make, name, hostonly):
        host = make("dracut", path=name)
        host.hostonly = hostonly
        host.put(OPTIONS, "options\n")
        assert host.run()["changed"]
        assert host.get(DRACUT).decode().splitlines()[-1] == (
            'install_optional_items+=" /etc/udev/rules.d/*-vfio-host-*.rules /etc/modprobe.d/vfio-host.conf "'
        )
        assert host.log[0][:4] == ["dracut", "--quiet", "--force", "--no-uefi"] and host.log[0][5] == KERNEL
        assert not host.run()["changed"]

    def test_an_image_stays_one_where_its_configuration_asks_for_unified_ones(self, make):
        host = make("dracut", path="/boot/initramfs-{}.img")
        host.uefi = True
        assert host.run()["changed"]
        assert host.get(f"/boot/initramfs-{KERNEL}.img")[:6] == b"070701"
        assert not host.run()["changed"]

    def test_a_unified_image_never_takes_the_place_of_another_kind(self, make):
        host = make("dracut", path="/boot/initramfs-{}.img")
        before = host.get(f"/boot/initramfs-{KERNEL}.img")

        def builds(words):
            with open(words[-2], "wb") as stream:
                stream.write(unified(initrd=image(host._of_dracut())))
            return 0, "", ""

        host.complaints["dracut"] = builds
        with pytest.raises(ApplyError, match="is a unified kernel image, and the one before is an image of early user space"):
            host.run()
        assert host.get(f"/boot/initramfs-{KERNEL}.img") == before

    def test_an_image_of_kernel_install_alone_is_found_by_the_entry_token(self, make):
        host = make("dracut", path=f"/boot/fedora/{KERNEL}/initrd")
        host.put("/etc/kernel/entry-token", "fedora\n")
        assert host.statuses() == {f"/boot/fedora/{KERNEL}/initrd": "rebuilt"}

    @pytest.mark.parametrize("path, text, token", [
        ("/usr/lib/kernel/entry-token", "lab\n", "lab"), ("/etc/os-release", 'NAME="x"\nID="fedora"\n', "fedora"),
        ("/usr/lib/os-release", "ID=debian\nIMAGE_ID=appliance\n", "appliance"), ("/etc/machine-id", "0123abcd\n", "0123abcd"),
        ("/etc/machine-id", "uninitialized\n", "Default"), ("/etc/kernel/entry-token", "../lab\n", "Default"),
    ])
    def test_an_image_of_kernel_install_alone_is_found_by_whatever_it_may_name_it(self, make, path, text, token):
        host = make("dracut", path=f"/boot/efi/{token}/{KERNEL}/initrd")
        host.put(path, text)
        assert host.statuses() == {f"/boot/efi/{token}/{KERNEL}/initrd": "rebuilt"}

    def test_zipl_follows_where_it_boots_the_host(self, make):
        host = make("dracut", path="/boot/initramfs-{}.img")
        host.install("zipl", "/usr/sbin")
        host.put("/etc/zipl.conf", "[defaultboot]\n")
        host.run()
        assert host.log[-1] == ["zipl"]


class TestMkinitcpio:
    @pytest.fixture
    def arch(self, make):
        host = make("mkinitcpio", path=None)
        host.put("/etc/mkinitcpio.d/linux.preset", PRESET)
        for name in ("initramfs-linux.img", "initramfs-linux-fallback.img"):
            host.put(f"/boot/{name}", image({}))
        return host

    def test_every_image_of_the_presets_is_built_with_its_options(self, arch):
        assert set(arch.statuses().values()) == {"rebuilt"}
        first, second = (words for words in arch.log if words[0] == "mkinitcpio")
        assert first[:4] == ["mkinitcpio", "-n", "-k", "/boot/vmlinuz-linux"] and first[-1] == "--nopost"
        assert second[-3:] == ["--nopost", "-S", "autodetect"]
        assert arch.get(MKINITCPIO).decode().splitlines()[-1] == (
            "FILES+=($(compgen -G '/etc/udev/rules.d/*-vfio-host-*.rules') "
            "$(compgen -G '/etc/modprobe.d/vfio-host.conf'))"
        )
        assert not arch.run()["changed"]

    def test_a_preset_with_variables_an_empty_version_and_an_array_of_options_is_built_as_the_tool_would(self, arch):
        text = PRESET.replace('fallback_image="/boot/', 'B=/boot\nfallback_kver=""\nfallback_image="$B/')
        arch.put("/etc/mkinitcpio.d/linux.preset", text.replace('"-S autodetect"', '(-S "autodetect,b c")'))
        assert set(arch.statuses().values()) == {"rebuilt"} and len(arch.statuses()) == 2
        dummy, second = (words for words in arch.log if words[0] == "mkinitcpio")
        assert second[3] == "/boot/vmlinuz-linux" and second[-2:] == ["-S", "autodetect,b c"]

    def test_an_image_of_a_preset_that_is_not_there_is_left_out(self, arch):
        arch.put("/boot/initramfs-linux-fallback.img", None)
        assert arch.statuses() == {"/boot/initramfs-linux.img": "rebuilt"}
        assert arch.get("/boot/initramfs-linux-fallback.img") is None
        assert not arch.run()["changed"]

    def test_a_preset_that_names_its_configuration_is_refused_since_drop_ins_are_not_read_then(self, arch):
        arch.put("/etc/mkinitcpio.d/linux.preset", PRESET.replace("#ALL_config", "ALL_config"))
        with pytest.raises(PlanError, match="in /etc/mkinitcpio.d name /etc/mkinitcpio.conf: comment that line out"):
            arch.run()
        assert arch.get(MKINITCPIO) is None

    def test_post_hooks_see_the_image_in_its_place(self, arch):
        arch.put("/etc/initcpio/post/sign", "")
        os.chmod(arch.root + "/etc/initcpio/post/sign", 0o755)
        arch.put("/etc/initcpio/post/README", "")
        arch.run()
        assert arch.log[-1] == ["sign", "/boot/vmlinuz-linux", "/boot/initramfs-linux-fallback.img"]
        assert arch.environment == ["KERNELDESTINATION=/boot/vmlinuz-linux"]

    @pytest.mark.parametrize("named", ["/boot/vmlinuz-linux", KERNEL])
    def test_post_hooks_are_told_of_the_kernel(self, arch, named):
        arch.put("/etc/mkinitcpio.d/linux.preset", PRESET.replace("/boot/vmlinuz-linux", named))
        for name in ("pkgbase", "vmlinuz"):
            arch.put(f"/lib/modules/{KERNEL}/{name}", "linux\n")
        arch.put("/etc/initcpio/post/sign", "")
        os.chmod(arch.root + "/etc/initcpio/post/sign", 0o755)
        arch.run()
        assert arch.log[-1][1] == (named if named.startswith("/") else f"/lib/modules/{KERNEL}/vmlinuz")
        assert arch.environment == ["KERNELDESTINATION=/boot/vmlinuz-linux", f"KERNELVERSION={KERNEL}"]

    def test_a_post_hook_of_a_package_is_masked_by_one_that_cannot_be_run(self, arch):
        arch.put("/usr/lib/initcpio/post/sign", "")
        os.chmod(arch.root + "/usr/lib/initcpio/post/sign", 0o755)
        arch.put("/etc/initcpio/post/sign", "")
        arch.run()
        assert "sign" not in [words[0] for words in arch.log]

    def test_its_presets_come_before_a_dracut_that_is_installed_beside_it(self, arch):
        arch.install("dracut")
        assert arch.run()["tool"] == "mkinitcpio"

    def test_a_tool_without_images_gives_way(self, make):
        host = make("mkinitcpio", path="/boot/initramfs-{}.img")
        host.install("dracut")
        assert host.run()["tool"] == "dracut"


@pytest.mark.parametrize("text, words", [
    ("A=('x' 'y') # fallback (slow)\n", ["x", "y"]), ("A=/boot/vmlinuz-linux  # of $KVER (lts)\n", ["/boot/vmlinuz-linux"]),
    ("A='x # y'\n", ["x # y"]), ("A=(x\n# `of` it\ny)\n", ["x", "y"]), ("A=() # none\n", []),
])
def test_what_stands_behind_an_assignment_does_not_hide_it(text, words):
    assert parse_preset(text) == {"A": words}


@pytest.mark.parametrize("text, words", [
    ('E=/efi\nA="$E/EFI/Linux/x.efi"\n', ["/efi/EFI/Linux/x.efi"]), ("E=/efi\nexport A=${E}/x\n", ["/efi/x"]),
    ("E='/e f'\nA=(b)\nA=$E/x\n", None), ("A=$E/x\n", None), ("E=/efi\nA='$E/x'\n", None), ("A=(a)\nA+=(b)\n", ["a", "b"]),
    ('A="a"\nA+=" b"\n', ["a b"]), ("A+=(b)\n", ["b"]), ("A=(a b)\nA+=c\n", ["ac", "b"]),
])
def test_variables_of_a_preset_stand_for_what_it_sets(text, words):
    assert parse_preset(text).get("A") == words


def test_an_empty_value_of_a_preset_gives_way_to_that_of_all():
    values = parse_preset('ALL_kver=/k\nALL_config=(/c /d)\na_kver=""\na_uki=""\na_efi_image=/x.efi\nb_kver=/l\n')
    assert [setting(values, "kver", preset=name) for name in "abc"] == ["/k", "/l", "/k"]
    assert (setting(values, "config", preset="a"), setting(values, "splash", preset="a"), unified_path(values, "a")) == ("/c", "", "")


def test_a_preset_is_read_without_a_shell():
    values = parse_preset('PRESETS=(\n  default # one\n)\ndefault_image="/boot/x y"\nA=$(reboot)\nB=`id`\nC="open\n')
    assert values == {"PRESETS": ["default"], "default_image": ["/boot/x y"]}
