# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fakes of boot tools beside the real ones, on the same made-up root. Without a tool in the cache its tests are skipped."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import command_line
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import parse_entry
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubbytext import parse_info
from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import is_unified
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.mkinitcpio import Mkinitcpio
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import (
    KERNEL,
    GrubbyHost,
    GrubHost,
    KernelstubHost,
    ProxmoxHost,
    SdbootutilHost,
    SystemdBootHost,
)
from ansible_collections.vfio.host.tests.unit.fake.images import ImageHost
from ansible_collections.vfio.host.tests.unit.fake.unified import PresetHost, UkifyHost


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


real_tools = _load("real_tools", Path(__file__).parents[2] / "tools" / "real_tools.py")


def real(name):
    """The path of a real tool; skips where the cache has none."""
    try:
        return real_tools.find(name)
    except real_tools.Missing as error:
        pytest.skip(str(error))


def on_root(name, root, target):
    """A copy of a script that has its paths below ``root``."""
    text = re.sub(r"(?<![\w.}/-])/(etc|boot|sys|dev|proc)/(?!null)", rf"{root}/\1/", real(name).read_text())
    target.write_text(text)
    target.chmod(0o755)
    return target


def program(directory, name, text):
    """A stand-in for what a tool calls."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/bash\n{text}\n")
    (directory / name).chmod(0o755)


def ran(words, path, **more):
    """A real tool's run, with the stand-ins of ``path`` first."""
    env = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}", LC_ALL="C", **more)
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, env=env)


def function(text, name):
    """A shell function of a script."""
    found = re.search(rf"^{name} ?\(\)\s*\{{.*?^\}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name} is not in the real tool"
    return found.group()


def files(root):
    """Every file of a host below etc and boot."""
    return {str(path.relative_to(root)): path.read_text() for one in ("etc", "boot") for path in (Path(root) / one).rglob("*.*") if path.is_file()}


class TestGrubby:
    """fake/grubby.py beside grubby-bls."""

    @pytest.fixture
    def pair(self, tmp_path):
        """(the fake host, a function that runs the real tool on an equal one)."""

        def make(line, defaults=None):
            fake, other = GrubbyHost(tmp_path / "fake", line), GrubbyHost(tmp_path / "real", line)
            for host in (fake, other):
                host.write("etc/machine-id", "0123\n")
                (host.root / "etc/kernel").mkdir()
                if defaults is not None:
                    host.write("etc/default/grub", defaults)
            tools, root = tmp_path / "tools", tmp_path / "real"
            script = on_root("grubby", root, tmp_path / "grubby")
            program(tools, "mountpoint", "exit 0")
            program(tools, "grub2-editenv", 'case $2 in list) grep = "$1" ;; set) sed -i "s/^${3%%=*}=.*/$3/" "$1" ;; esac')
            program(tools, "grub2-mkconfig", "exit 0")
            return fake, lambda *words: ran(["bash", script, *words], tools)

        return make

    @pytest.mark.parametrize("line", ["ro quiet", "ro  quiet", "console=tty0 ro console=ttyS0", "$kernelopts x=1"])
    def test_it_prints_the_same_of_entries(self, pair, line):
        fake, tool = pair(line)
        said = tool("--info=ALL").stdout
        assert parse_info(said) == parse_info(fake.asked_grubby("--info=ALL"))
        assert len(parse_info(said)) == 3
        assert tool("--default-index").stdout == fake.asked_grubby("--default-index")

    @pytest.mark.parametrize("which", ["ALL", "1"])
    @pytest.mark.parametrize("line, words", [
        ("ro quiet", ["--args=iommu=pt"]),
        ("ro iommu=off quiet iommu=off", ["--remove-args=iommu=off", "--args=iommu=pt"]),
        ("ro iommu=off quiet iommu=off", ["--remove-args=iommu=off"]),
        ("ro  a=b/c quiet", ["--remove-args=quiet", "--args=x=/y console=ttyS0"]),
        ("console=tty0 ro console=ttyS0", ["--args=console=tty0 console=hvc0"]),
    ])
    @pytest.mark.parametrize("defaults", [None, 'GRUB_CMDLINE_LINUX="a b"\nGRUB_CMDLINE_LINUX_DEFAULT="c"\n'])
    def test_it_leaves_the_same_files(self, pair, tmp_path, which, line, words, defaults):
        fake, tool = pair(line, defaults)
        done = tool(f"--update-kernel={which}", *words)
        assert done.returncode == 0, done.stderr
        fake.do_grubby(f"--update-kernel={which}", *words)
        assert files(tmp_path / "real") == files(tmp_path / "fake")
        names = ("etc/default/grub", "etc/kernel/cmdline", "boot/grub2/grubenv")
        assert [GrubbyHost.read(fake, name) for name in names] == [
            (tmp_path / "real" / name).read_text() if (tmp_path / "real" / name).exists() else None for name in names
        ]


class TestGrubMkconfig:
    """GrubHost of fake/bootloaders.py beside Debian's grub-mkconfig."""

    @pytest.mark.parametrize("dropins", [
        {},
        {"50-a.cfg": 'GRUB_CMDLINE_LINUX="a"\n'},
        {"zz-vfio-host.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x"\n', "zzz.cfg": 'GRUB_CMDLINE_LINUX="anew"\n'},
        {"B.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="B"\n', "a.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT a"\n'},
        {"x.txt": "GRUB_CMDLINE_LINUX=no\n"},
    ])
    def test_it_reads_files_in_the_same_order(self, tmp_path, dropins):
        if os.geteuid():
            pytest.skip("grub-mkconfig runs as root only")
        host = GrubHost(tmp_path / "root", "ro  quiet")
        for name, text in dropins.items():
            host.write(f"etc/default/grub.d/{name}", text)
        package = real("grub-mkconfig").parents[2]
        script = tmp_path / "grub-mkconfig"
        text = real("grub-mkconfig").read_text().replace('sysconfdir="/etc"', f'sysconfdir="{host.root}/etc"')
        script.write_text(text.replace('sbindir="${exec_prefix}/sbin"', f'sbindir="{tmp_path}/tools"').replace(
            'bindir="${exec_prefix}/bin"', f'bindir="{package}/usr/bin"'))
        program(tmp_path / "tools", "grub-probe", "echo x")
        program(tmp_path / "tools", "grub-script-check", "exit 0")
        host.write("etc/grub.d/10_linux", '#!/bin/sh\necho "line: $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"\n')
        (host.root / "etc/grub.d/10_linux").chmod(0o755)
        done = ran(["sh", script], tmp_path / "tools", pkgdatadir=f"{package}/usr/share/grub")
        found = re.search("^line: (.*)$", done.stdout, re.MULTILINE)
        assert found, done.stderr
        host.do_update_grub()
        assert found.group(1) == host.boots().partition(" ro ")[2]


class TestSdbootutil:
    """SdbootutilHost of fake/entries.py beside sdbootutil's functions."""

    @pytest.mark.parametrize("text, dropin", [
        ("root=/dev/vda2 ro quiet iommu=pt rootflags=subvol=@/.snapshots/2/snapshot\n", None),
        ("root=UUID=9 ro  quiet\n# no\niommu=pt\n", None),
        ("root=/dev/vda2 ro quiet initrd=x iommu=pt\n", "# a\naudit=1\n"),
    ])
    def test_it_makes_the_same_entries(self, tmp_path, text, dropin):
        host = SdbootutilHost(tmp_path / "root")
        host.write("etc/kernel/cmdline", text)
        if dropin:
            host.write("etc/kernel/cmdline.d/a.conf", dropin)
        script = on_root("sdbootutil", host.root, tmp_path / "sdbootutil").read_text()
        names = ("create_boot_options", "sedrootflags", "update_entry_conf")
        shell = "\n".join(function(script, name) for name in names)
        entry = tmp_path / "entry.conf"
        entry.write_text(host.entries()[host.ours])
        (tmp_path / "work").mkdir()
        done = ran(["bash", "-c", f"""
            dbg_cat() {{ :; }}; get_rootfs() {{ echo root=/dev/vda2 | sed s/root=//; }}
            machine_id=0123 have_snapshots=1 subvol_prefix=@ tmpdir={tmp_path}/work; shopt -s nullglob
            {shell}
            update_entry_conf {entry} 2"""], tmp_path / "tools")
        assert done.returncode == 0, done.stderr
        host.do_sdbootutil("update-all-entries")
        assert parse_entry(entry.read_text()) == parse_entry(host.entries()[host.ours])

    def test_it_makes_the_same_image(self, tmp_path):
        """mkinitrd of the fake in fake/images.py beside install_kernel()."""
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


class TestKernelstub:
    """KernelstubHost of fake/entries.py beside kernelstub's modules."""

    def test_it_writes_the_same_configuration_and_entries(self, tmp_path):
        host = KernelstubHost(tmp_path / "root")
        shutil.copy(real("kernelstub-config"), tmp_path / "config.py")
        config = _load("kernelstub_config", tmp_path / "config.py").Config
        one = config.__new__(config)
        one.log = logging.getLogger("kernelstub")
        one.config = json.loads(host.read("etc/kernelstub/configuration"))
        one.save_config(str(tmp_path / "configuration"))
        assert (tmp_path / "configuration").read_text() == host.read("etc/kernelstub/configuration")
        text = function_of_python(real("kernelstub-installer").read_text(), "make_loader_entry")
        (tmp_path / "installer.py").write_text(text)
        _load("kernelstub_installer", tmp_path / "installer.py").make_loader_entry(
            one, "Pop!_OS", "/EFI/Pop_OS-1/vmlinuz.efi", "/EFI/Pop_OS-1/initrd.img", "root=/dev/vda2 ro quiet", str(tmp_path / "made")
        )
        assert (tmp_path / "made.conf").read_text() == host.entries()[host.ours]


def function_of_python(text, name):
    """A method of a file of Python, as a function."""
    found = re.search(rf"^    def {name}\(.*?(?=^    def )", text, re.MULTILINE | re.DOTALL).group()
    return re.sub("^    ", "", found, flags=re.MULTILINE)


class TestProxmox:
    """ProxmoxHost of fake/bootloaders.py beside zz-proxmox-boot."""

    @pytest.mark.parametrize("rest", ["", "# was: quiet\n", "\n"])
    def test_it_says_the_same_of_partitions_and_writes_the_first_line(self, tmp_path, rest):
        host = ProxmoxHost(tmp_path / "root")
        host.write("etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\nEEEE-FFFF\n9999-9999\n")
        host.write("etc/kernel/cmdline", "root=ZFS=rpool ro iommu=pt\n" + rest)
        host.absent, host.empty = ("EEEE-FFFF",), ("9999-9999",)
        root, mounts = host.root, tmp_path / "mounts"
        for uuid in ("AAAA-BBBB", "9999-9999"):
            (root / "dev/disk/by-uuid").mkdir(parents=True, exist_ok=True)
            (root / f"dev/disk/by-uuid/{uuid}").touch()
        (root / "sys/firmware/efi").mkdir(parents=True, exist_ok=True)
        esp = mounts / "AAAA-BBBB"
        for path in ("EFI/proxmox", "loader/entries"):
            (esp / path).mkdir(parents=True)
        (esp / "loader/loader.conf").write_text("default proxmox-*\n")
        for name in ("vmlinuz", "initrd.img"):
            host.write(f"boot/{name}-{KERNEL}", "")
        scripts = [on_root(name, root, tmp_path / name).read_text() for name in ("proxmox-functions", "zz-proxmox-boot")]
        names = ("update_esps", "update_esp_func", "copy_and_config_kernels", "remove_old_kernels_efi")
        shell = scripts[0] + "\n" + "\n".join(function(scripts[1], name) for name in names)
        for name in ("mount", "umount", "rmdir"):
            program(tmp_path / "tools", name, "exit 0")
        done = ran(
            ["bash", "-c", f"{shell}\nMOUNTROOT={mounts}; BOOT_KVERS={KERNEL}; LOADER_TITLE=x; update_esps"], tmp_path / "tools"
        )
        status, dummy, errors = host.do_proxmox_boot_tool("refresh")

        def of_partitions(text):
            return [re.sub(r"/\S*/dev/disk", "/dev/disk", line).replace(str(root), "") for line in text.splitlines() if "by-uuid" in line]

        assert (done.returncode, of_partitions(done.stderr)) == (status, of_partitions(errors))
        assert of_partitions(done.stdout) == []
        made = parse_entry((esp / f"loader/entries/proxmox-{KERNEL}.conf").read_text())
        assert made["options"] == host.boots()


class TestKernelInstall:
    """SystemdBootHost of fake/bootloaders.py beside the kernel-install of this machine."""

    @pytest.mark.parametrize("line", ["ro quiet", "ro  iommu=pt quiet"])
    def test_it_takes_the_same_command_line(self, tmp_path, line):
        tool, plugin = shutil.which("kernel-install"), Path("/usr/lib/kernel/install.d/90-loaderentry.install")
        if not tool or not plugin.exists():
            pytest.skip("kernel-install is not on this machine")
        host = SystemdBootHost(tmp_path / "root", line)
        boot, image = tmp_path / "boot", tmp_path / "vmlinuz"
        (boot / f"0123/{KERNEL}").mkdir(parents=True)
        (boot / "loader/entries").mkdir(parents=True)
        image.write_text("x")
        done = ran(
            [plugin, "add", KERNEL, boot / f"0123/{KERNEL}", image], tmp_path, KERNEL_INSTALL_CONF_ROOT=str(host.root / "etc/kernel"),
            KERNEL_INSTALL_BOOT_ROOT=str(boot), KERNEL_INSTALL_MACHINE_ID="0123", KERNEL_INSTALL_ENTRY_TOKEN="0123",
            KERNEL_INSTALL_LAYOUT="bls", KERNEL_INSTALL_STAGING_AREA=str(tmp_path),
        )
        (made,) = (boot / "loader/entries").iterdir() if done.returncode == 0 else pytest.fail(done.stderr)
        words = parse_entry(made.read_text())["options"].split()
        assert [word for word in words if not word.startswith("systemd.machine_id=")] == line.split()
        assert parse_entry(made.read_text())["version"] == KERNEL


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


class TestByReading:
    """Where a tool cannot run here, what a fake claims is looked up in its source."""

    def test_rpm_ostree_deletes_before_it_appends(self):
        text = real("rpm-ostree").read_text()
        body = text[text.index("\nkernel_arg_apply_patching (") :]
        order = re.findall(r"kernel_args_(deleted|replaced|added)|iter = (append_if_missing|delete_if_present)", body.partition("\n}\n")[0])
        assert list(dict.fromkeys("".join(one) for one in order)) == [
            "deleted", "replaced", "added", "append_if_missing", "delete_if_present",
        ]

    def test_zipl_reads_a_value_in_either_quotes_or_to_the_end_of_the_line(self):
        body = function_of_c(real("zipl-scan").read_text(), "scan_value_string")
        assert re.findall(r"current == '(.*?)'\)", body)[:2] == ['\\"', "\\'"]
        assert "end_pos = last_nonspace + 1" in body

    def test_mkinitcpio_has_the_options_that_are_asked_of_it(self):
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
    def test_mkinitcpio_makes_a_unified_image_s_line_of_the_same_files_as_its_fake(self, tmp_path, files):
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

    def test_mkinitcpio_runs_the_same_hooks_with_the_same_words(self, tmp_path):
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


def function_of_c(text, name):
    """A function of a file of C."""
    return text[text.index(f"\n{name}(") :].partition("\n}\n")[0]
