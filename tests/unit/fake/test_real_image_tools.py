# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fakes of the tools that make images beside the real ones, as test_real_tools.py has them of boot loaders."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import command_line
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import parse_entry
from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import is_unified
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.mkinitcpio import Mkinitcpio
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import KERNEL
from ansible_collections.vfio.host.tests.unit.fake.images import ImageHost
from ansible_collections.vfio.host.tests.unit.fake.real import function, on_root, program, ran, real
from ansible_collections.vfio.host.tests.unit.fake.unified import PresetHost, UkifyHost

# A tool says the same, whichever Python asks it.
pytestmark = pytest.mark.exhaustive


class TestSdbootutil:
    """mkinitrd of ImageHost of fake/images.py beside install_kernel() of sdbootutil."""

    def test_it_makes_the_same_image(self, tmp_path):
        version = "6.13.4-1-default"
        hosts = [ImageHost(tmp_path / name, "dracut") for name in ("fake", "real")]
        for host in hosts:
            host.put(f"/lib/modules/{version}/vmlinuz", "")
            host.put("/etc/kernel/cmdline", f"root=UUID=1 quiet {host.snapshot}\n")
            host.put("/etc/udev/rules.d/60-vfio-host-p.rules", "rules\n")
            host.put(
                f"/boot/efi/loader/entries/token-{version}-2.conf",
                f"version    2@{version}\noptions    root=UUID=1 quiet {host.snapshot}\nlinux      /l\ninitrd     /token/{version}/initrd-0\n",
            )
        fake, other = hosts
        script = on_root("sdbootutil", other.root, tmp_path / "sdbootutil").read_text()
        names = ("create_boot_options", "sedrootflags", "install_kernel", "calc_chksum", "reuse_initrd", "install_with_rollback", "entry_conf_file")
        shell = "\n".join(function(script, name) for name in names).replace("/lib/modules", f"{other.root}/lib/modules")
        other._build(str(tmp_path / "built"), other._of_dracut())
        program(tmp_path / "tools", "dracut", f'cp {tmp_path}/built "${{@: -2:1}}"')
        program(tmp_path / "tools", "bootctl", "exit 0")
        (tmp_path / "work").mkdir()
        done = ran(["bash", "-c", f"""
            dbg() {{ :; }}; dbg_var() {{ :; }}; dbg_cat() {{ :; }}; info() {{ :; }}; err() {{ echo "$@" >&2; exit 1; }}; reset_rollback() {{ :; }}
            settle_entry_token() {{ entry_token=token; }}; find_conf_file() {{ return 1; }}; resolve_devicetree_source() {{ :; }}
            make_free_space_for_kernel() {{ :; }}; add_version_to_title() {{ :; }}; is_transactional() {{ return 1; }}
            subvol_is_ro() {{ return 1; }}; is_grub2_bls() {{ return 1; }}; get_rootfs() {{ echo UUID=1; }}
            machine_id=0123 image=vmlinuz arg_no_reuse_initrd=1 boot_root={other.root}/boot/efi tmpdir={tmp_path}/work rollback=()
            shopt -s nullglob
            {shell}
            install_kernel 2 {version}"""], tmp_path / "tools")
        assert done.returncode == 0, done.stderr
        fake._mkinitrd()
        made = [sorted(path.name for path in (Path(host.root) / f"boot/efi/token/{version}").glob("initrd-*")) for host in hosts]
        assert made[0] == made[1] and len(made[0]) == 1
        entries = [parse_entry(host.get(f"/boot/efi/loader/entries/token-{version}-2.conf").decode()) for host in hosts]
        assert [{key: one[key] for key in ("version", "options", "initrd")} for one in entries][0] == {
            key: entries[1][key] for key in ("version", "options", "initrd")
        }


class TestDracut:
    """ImageHost with dracut, of fake/images.py, beside dracut."""

    @pytest.mark.parametrize("uefi", [False, True])
    @pytest.mark.parametrize("words", [[], ["--no-uefi"]])
    def test_it_makes_the_same_kind_of_image(self, tmp_path, uefi, words):
        package = real("dracut").parents[2]
        stub = real("systemd-stub")
        archiver = real("cpio").parent
        if not shutil.which("objcopy"):
            pytest.skip("objcopy, with which dracut joins a unified kernel image, is not on this machine")
        (tmp_path / "vmlinuz").write_bytes(b"MZ kernel")
        (tmp_path / "conf").write_text(
            f"uefi_stub={stub}\nkernel_image={tmp_path}/vmlinuz\nkernel_cmdline=ro\n" + ("uefi=yes\n" if uefi else "")
        )
        (tmp_path / "conf.d").mkdir()
        output = tmp_path / "image"
        done = ran(
            ["bash", real("dracut"), "--quiet", "--force", "--no-kernel", "--no-early-microcode", "--modules", "bash",
             "--tmpdir", tmp_path, "--conf", tmp_path / "conf", "--confdir", tmp_path / "conf.d", *words, output, "6.12.1"],
            tmp_path, dracutbasedir=f"{package}/usr/lib/dracut",
            # It sets PATH itself.
            DRACUT_PATH=f"{archiver} {package}/usr/bin /usr/sbin /usr/bin /sbin /bin",
        )
        assert done.returncode == 0, done.stderr
        host = ImageHost(tmp_path / "root", "dracut")
        host.uefi = uefi
        made = str(tmp_path / "made")
        host._run(["dracut", *words, made, "6.12.1"])
        paths = ImageFiles(str(tmp_path / "root"))
        assert is_unified(paths, str(output)) is is_unified(paths, made) is (uefi and not words)


class TestUkify:
    """UkifyHost of fake/unified.py beside kernel-install's plugin for ukify."""

    @pytest.mark.parametrize("text", ["root=/dev/vda2 ro  quiet\tiommu=pt\n", "root=/dev/vda2 systemd.machine_id=9 ro\n", "root=a\nro\n"])
    def test_it_puts_the_same_command_line_into_an_image(self, tmp_path, text):
        host = UkifyHost(tmp_path / "root")
        host.write("etc/kernel/cmdline", text)
        host.do_kernel_install("add", KERNEL, "")
        stub = real("systemd-stub")
        (tmp_path / "initrd").write_text("x")
        done = ran(
            # A program for the firmware is what ukify takes for a kernel.
            [sys.executable, real("ukify-plugin"), "add", KERNEL, tmp_path, stub, tmp_path / "initrd"], tmp_path,
            PYTHONPATH=str(real("pefile").parent), KERNEL_INSTALL_UKIFY=str(real("ukify")), KERNEL_INSTALL_BOOT_STUB=str(stub),
            KERNEL_INSTALL_CONF_ROOT=str(host.root / "etc/kernel"), KERNEL_INSTALL_STAGING_AREA=str(tmp_path),
            KERNEL_INSTALL_MACHINE_ID="0123", KERNEL_INSTALL_ENTRY_TOKEN="0123", KERNEL_INSTALL_LAYOUT="uki",
            KERNEL_INSTALL_UKI_GENERATOR="ukify",
        )
        assert done.returncode == 0, done.stderr
        with open(tmp_path / "uki.efi", "rb") as stream:
            assert command_line(stream) == host.boots()


class TestMkinitcpio:
    """mkinitcpio cannot run here: what its fakes claim is looked up in its source, and its functions are run."""

    def test_it_has_the_options_that_are_asked_of_it(self):
        text = real("mkinitcpio").read_text()
        for words in ("-U, --uki <path>", "--cmdline <path>", "-g, --generate <path>", "-k, --kernel <", "--nopost"):
            assert words in text, words
        joined = "grep -ha -- '^[^#]' \"${cmdline_files[@]}\" | tr -s '\\n' ' '"
        assert joined in text

    @pytest.mark.parametrize("files", [
        {"etc/kernel/cmdline": "root=/dev/a ro\n# x\nquiet"},
        {"etc/kernel/cmdline": "root=/dev/a\n", "etc/cmdline.d/z.conf": "z\n", "etc/cmdline.d/a.conf": "a\n"},
        {"usr/lib/kernel/cmdline": "root=/dev/a\n", "etc/cmdline.d/z.conf": "#z\nz\n"},
        {"etc/cmdline.d/z.conf": "root=/dev/a z\n", "etc/cmdline.d/z.txt": "no\n"},
        {"etc/cmdline.d/10-z.conf": "z\n", "etc/cmdline.d/9-a.conf": "root=/dev/a\n", "etc/cmdline.d/d.d/e/f.conf": "f\n", "etc/cmdline.d/.h.conf": "h\n"},
        {"etc/kernel/cmdline": "root=/dev/a\n", "usr/lib/kernel/cmdline": "no\n"}, {},
    ])
    def test_it_makes_a_unified_image_s_line_of_the_same_files_as_its_fake(self, tmp_path, files):
        text, fake = real("mkinitcpio").read_text(), PresetHost(tmp_path / "root")
        (fake.root / "etc/kernel/cmdline").unlink()
        for path, content in files.items():
            fake.write(path, content)
        fake.do_mkinitcpio("-p", "linux")
        parts = re.search(r"if \(\( ! _optnocmdline \)\); then\n(.*?)\n    else\n", text, re.DOTALL).group(1)
        parts = re.sub(r"\{/etc,/usr/lib\}(?=/kernel)", f"{fake.root}/{{etc,usr/lib}}", parts)
        parts = re.sub(r"(?<=['\"])/(?=etc/|proc/)", f"{fake.root}/", parts)
        stubs = "warning() { :; }\nquiet() { :; }\nerror() { :; }\nuki_add_section() { cat \"$2\"; }\n"
        done = ran(["bash", "-c", f"{stubs}{function(text, 'want_file')}\nmake() {{ local cmdline=\n{parts}\n}}\nmake"], tmp_path)
        assert done.stdout.partition("\0")[0].strip(" \n") == fake.boots(), done.stderr

    def test_it_runs_the_same_hooks_with_the_same_words(self, tmp_path):
        host, text = ImageHost(tmp_path / "root", "mkinitcpio"), real("mkinitcpio").read_text()
        host.put(f"/lib/modules/{KERNEL}/pkgbase", "linux\n")
        for place, name, mode in (
            ("/etc/initcpio/post", "z", 0o755), ("/etc/initcpio/post", "masked", 0o644), ("/etc/initcpio/post", "both", 0o755),
            ("/usr/lib/initcpio/post", "a", 0o755), ("/usr/lib/initcpio/post", "masked", 0o755), ("/usr/lib/initcpio/post", "both", 0o755),
        ):
            host.put(f"{place}/{name}", '#!/bin/sh\necho "KERNELDESTINATION=$KERNELDESTINATION KERNELVERSION=$KERNELVERSION $0" "$@"\n')
            os.chmod(f"{host.root}{place}/{name}", mode)
        finish = Mkinitcpio(host.fs, host.files, host.paths).finish(ImageFile(f"{host.root}/boot/x.img", "/boot/vmlinuz-linux"))
        done = ran(["bash", "-c", f"""
            msg() {{ :; }}; msg2() {{ :; }}; in_array() {{ local one=$1 other; shift; for other; do [[ $one = $other ]] && return; done; return 1; }}
            {function(text, "run_post_hooks")}
            _d_post={host.root}/etc/initcpio/post:{host.root}/usr/lib/initcpio/post
            KERNELIMAGE=/boot/vmlinuz-linux KERNELDESTINATION=/boot/vmlinuz-linux KERNELVERSION={KERNEL}
            run_post_hooks /boot/x.img"""], tmp_path / "tools")
        assert [" ".join(words[1:]) for words in finish] == done.stdout.replace(host.root, "").splitlines(), done.stderr
        for words in ("if [[ -n \"$_optuki\" && -z \"$_optgenimg\" ]]; then", '_generated+=("$_optgenimg")', '_generated+=("$_optuki")'):
            assert words in text, words
