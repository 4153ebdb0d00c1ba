# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fakes of boot loaders' tools beside the real ones, on the same made-up root. Without a tool in the cache its tests are skipped."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import parse_entry
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grubbytext import parse_info
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import (
    KERNEL,
    GrubbyHost,
    GrubHost,
    KernelstubHost,
    ProxmoxHost,
    SdbootutilHost,
    SystemdBootHost,
)
from ansible_collections.vfio.host.tests.unit.fake.real import files, function, function_of_c, function_of_python, load, on_root, program, ran, real

# A tool says the same, whichever Python asks it.
pytestmark = pytest.mark.exhaustive


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


class TestKernelstub:
    """KernelstubHost of fake/entries.py beside kernelstub's modules."""

    def test_it_writes_the_same_configuration_and_entries(self, tmp_path):
        host = KernelstubHost(tmp_path / "root")
        shutil.copy(real("kernelstub-config"), tmp_path / "config.py")
        config = load("kernelstub_config", tmp_path / "config.py").Config
        one = config.__new__(config)
        one.log = logging.getLogger("kernelstub")
        one.config = json.loads(host.read("etc/kernelstub/configuration"))
        one.save_config(str(tmp_path / "configuration"))
        assert (tmp_path / "configuration").read_text() == host.read("etc/kernelstub/configuration")
        text = function_of_python(real("kernelstub-installer").read_text(), "make_loader_entry")
        (tmp_path / "installer.py").write_text(text)
        load("kernelstub_installer", tmp_path / "installer.py").make_loader_entry(
            one, "Pop!_OS", "/EFI/Pop_OS-1/vmlinuz.efi", "/EFI/Pop_OS-1/initrd.img", "root=/dev/vda2 ro quiet", str(tmp_path / "made")
        )
        assert (tmp_path / "made.conf").read_text() == host.entries()[host.ours]


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
