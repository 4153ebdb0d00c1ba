# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that boot: unified ones, copies that boot entries load, and copies on partitions that are not mounted."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._boot.unified import command_line
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import read_image
from ansible_collections.vfio.host.tests.unit.fake.images import KERNEL, RULES, ImageHost, image
from ansible_collections.vfio.host.tests.unit.fake.unified import unified

UKI = "/efi/EFI/Linux/arch-linux.efi"
POP = "/boot/efi/EFI/Pop_OS-1/initrd.img"
VARIABLES = "/sys/firmware/efi/efivars/{}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


def variable(host, name, text):
    host.put(VARIABLES.format(name), b"\6\0\0\0" + (text + "\0").encode("utf-16-le"))


@pytest.fixture
def arch(tmp_path):
    host = ImageHost(tmp_path / "root", "mkinitcpio")
    host.add_kernel(path=None)
    host.put("/etc/kernel/cmdline", "root=UUID=1 rw\n")
    host.put(UKI, unified(cmdline=b"root=UUID=1 rw \n\0", initrd=image({})))
    host.put("/etc/mkinitcpio.d/linux.preset", f'ALL_kver="/boot/vmlinuz-linux"\nPRESETS=("default")\ndefault_uki="{UKI}"\n')
    host.put(RULES, "rules\n")
    variable(host, "StubInfo", "systemd-stub 257")
    return host


@pytest.fixture
def pop(tmp_path):
    host = ImageHost(tmp_path / "root")
    host.add_kernel()
    host.put(RULES, "rules\n")
    host.put("/proc/cmdline", "root=UUID=1 ro\n")
    host.put("/boot/efi/EFI/Pop_OS-1/vmlinuz.efi", "")
    host.put(POP, host.get(f"/boot/initrd.img-{KERNEL}"))
    host.put(
        "/boot/efi/loader/entries/Pop_OS-current.conf",
        "title Pop!_OS\nlinux /EFI/Pop_OS-1/vmlinuz.efi\ninitrd /EFI/Pop_OS-1/initrd.img\noptions root=UUID=1 ro\n",
    )
    return host


def test_the_image_inside_of_a_preset_s_unified_one_is_rebuilt_with_the_same_command_line(arch):
    assert arch.statuses() == {UKI: "rebuilt"}
    with arch.paths.opened(arch.root + UKI) as stream:
        assert command_line(stream) == "root=UUID=1 rw"
    assert list(read_image(arch.paths, arch.root + UKI).held) == [RULES]
    assert arch.statuses() == {UKI: "current"}
    assert os.listdir(os.path.dirname(arch.root + UKI)) == ["arch-linux.efi"]


def test_a_unified_image_that_would_lose_a_part_is_not_replaced(arch):
    arch.put(UKI, unified(cmdline=b"root=UUID=1 rw \n\0", initrd=image({}), dtb=b"tree", profile=b"ID=x"))
    before = arch.get(UKI)
    with pytest.raises(ApplyError, match="lacks .dtb .profile, which the one before has inside: where mkinitcpio builds it so, too, run that first"):
        arch.run()
    assert arch.get(UKI) == before


def signing(host, signs):
    """A hook that signs as sbctl's does: the third word's file, else the first one's; where it ``signs``."""
    host.put("/usr/lib/initcpio/post/sbctl", "")
    os.chmod(f"{host.root}/usr/lib/initcpio/post/sbctl", 0o755)

    def answer(words):
        if signs and len(words) > 3:
            host.put(words[3], unified(cmdline=b"root=UUID=1 rw \n\0", initrd=image({RULES[1:]: b"rules\n"}), signature=b"signed"))
        return 0, "", ""

    host.complaints["sbctl"] = answer
    host.put(UKI, unified(cmdline=b"root=UUID=1 rw \n\0", initrd=image({}), signature=b"signed"))


def test_a_hook_is_told_of_a_unified_image_as_mkinitcpio_tells_it(arch):
    signing(arch, True)
    assert arch.statuses() == {UKI: "rebuilt"}
    assert arch.log[-1] == ["sbctl", "/boot/vmlinuz-linux", "", UKI]
    assert arch.get(UKI).endswith(b"signed")


def test_a_unified_image_that_has_lost_its_signature_is_put_back(arch):
    signing(arch, False)
    before = arch.get(UKI)
    with pytest.raises(ApplyError, match="has no signature, and the one before has"):
        arch.run()
    assert arch.get(UKI) == before


def test_a_unified_image_whose_command_line_would_change_is_not_replaced(arch):
    before = arch.get(UKI)
    arch.put("/etc/kernel/cmdline", "root=UUID=1 rw iommu=off\n")
    with pytest.raises(ApplyError, match="has the command line 'root=UUID=1 rw iommu=off' inside, and the one before"):
        arch.run()
    assert arch.get(UKI) == before


@pytest.mark.parametrize("booted", [None, "\\EFI\\Linux\\mine.efi"])
def test_a_unified_image_that_boots_and_that_no_tool_builds_is_refused(arch, booted):
    arch.put("/etc/mkinitcpio.d/linux.preset", None)
    arch.put("/efi/EFI/Linux/mine.efi", unified(initrd=image({})))
    if booted:
        variable(arch, "StubImageIdentifier", booted)
    with pytest.raises(PlanError, match="boots by .*mine.efi, a unified kernel image, which lacks"):
        arch.run(check=True)


@pytest.mark.parametrize("name", ["mine+2-1.efi", "mine.efi", "Mine+1-2.EFI"])
def test_an_image_that_booted_is_known_whatever_its_counter_of_boots_says_by_now(arch, name):
    arch.put("/etc/mkinitcpio.d/linux.preset", None)
    arch.put(f"/efi/EFI/Linux/{name}", unified(initrd=image({})))
    variable(arch, "StubImageIdentifier", "\\EFI\\Linux\\mine+3.efi")
    with pytest.raises(PlanError, match="boots by .*, a unified kernel image, which lacks"):
        arch.run(check=True)


def test_one_that_did_not_boot_is_named_in_a_warning_until_it_holds_the_files(arch):
    arch.put("/efi/EFI/Linux/other.efi", unified(initrd=image({})))
    variable(arch, "StubImageIdentifier", UKI[4:].replace("/", "\\"))
    (warning,) = arch.run()["warnings"]
    assert "other.efi is a unified kernel image, which this collection does not rebuild, and lacks" in warning
    arch.put("/efi/EFI/Linux/other.efi", unified(initrd=image({RULES[1:]: b"rules\n"})))
    assert arch.run()["warnings"] == []


@pytest.mark.parametrize("data", [b"MZ", unified(initrd=b"x")[:700], unified(initrd=b"nothing")])
def test_a_unified_image_that_cannot_be_read_is_stale(arch, data):
    arch.put(UKI, data)
    assert "cannot be read" in arch.run(check=True)["images"][0]["reason"]


def test_a_copy_that_a_boot_entry_loads_is_replaced_with_its_image(pop):
    assert pop.statuses() == {f"/boot/initrd.img-{KERNEL}": "rebuilt"}
    assert pop.get(POP) == pop.get(f"/boot/initrd.img-{KERNEL}")
    assert not pop.run()["changed"]


def test_an_image_that_a_boot_entry_loads_and_that_nobody_builds_is_refused(pop):
    pop.put(POP, image({"etc/x": b"old"}))
    with pytest.raises(PlanError, match="Pop_OS-1/initrd.img, an image that a boot entry loads, and a copy of none that a tool known here makes"):
        pop.run(check=True)


@pytest.mark.parametrize("name, more", [("abc-0-rescue.conf", ""), ("mine.conf", " systemd.unit=rescue.target")])
def test_the_image_of_an_entry_for_rescue_stays_as_it_is(pop, name, more):
    pop.put("/boot/vmlinuz-0-rescue-abc", "")
    pop.put("/boot/initramfs-0-rescue-abc.img", b"theirs")
    pop.put(
        f"/boot/loader/entries/{name}",
        f"title Fedora\nlinux /vmlinuz-0-rescue-abc\ninitrd /initramfs-0-rescue-abc.img\noptions root=UUID=1 ro{more}\n",
    )
    assert pop.statuses() == {f"/boot/initrd.img-{KERNEL}": "rebuilt"}
    assert pop.get("/boot/initramfs-0-rescue-abc.img") == b"theirs"
    assert pop.run()["warnings"] == []


@pytest.mark.parametrize("line", ["options root=UUID=2 ro", "options root=UUID=1 ro rootflags=subvol=@x"])
def test_images_of_other_systems_are_left_alone(pop, line):
    pop.put(POP, b"theirs")
    path = "/boot/efi/loader/entries/Pop_OS-current.conf"
    pop.put(path, pop.get(path).decode().replace("options root=UUID=1 ro", line))
    pop.run()
    assert pop.get(POP) == b"theirs"


def test_microcode_that_an_entry_loads_is_no_image(pop):
    path = "/boot/efi/loader/entries/Pop_OS-current.conf"
    pop.put(path, pop.get(path) + b"initrd /ucode.img\n")
    pop.put("/boot/efi/ucode.img", image({})[:512])
    assert pop.run()["changed"]


@pytest.mark.parametrize("has_hook, called", [(False, True), (True, False)])
def test_copies_on_proxmox_s_partitions_are_made_anew_where_no_hook_of_its_own_does_it(pop, has_hook, called):
    pop.install("proxmox-boot-tool", "/usr/sbin")
    pop.put("/etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\n")
    if has_hook:
        pop.put("/etc/initramfs/post-update.d/proxmox-boot-sync", "")
    pop.run()
    assert (["proxmox-boot-tool", "refresh"] in pop.log) == called


GRUB_CFG = """\
set default="0"
menuentry 'Linux' --class x $menuentry_id_option 'a' {
\tlinux\t/boot/vmlinuz-linux root=UUID=1 rw
\tinitrd\t%s
}
menuentry 'Other' {
\tlinux\t/boot/vmlinuz-other root=UUID=1 rw
\tinitrd\t/boot/other.img
}
"""


def by_grub(tmp_path, *, names="/boot/booster-linux.img", path="/boot/grub/grub.cfg", running="BOOT_IMAGE=/boot/vmlinuz-linux root=UUID=1 rw\n"):
    host = ImageHost(tmp_path / "root", None)
    host.put("/boot/vmlinuz-linux", "")
    host.put("/boot/ucode.img", image({})[:512])
    for name in ("booster-linux", "other"):
        host.put(f"/boot/{name}.img", image({}))
    host.put(path, GRUB_CFG % names)
    host.put("/proc/cmdline", running)
    host.put(RULES, "rules\n")
    return host


@pytest.mark.parametrize("names, path", [
    ("/boot/booster-linux.img", "/boot/grub/grub.cfg"),
    ("/boot/ucode.img /booster-linux.img", "/boot/grub2/grub.cfg"),
    ("($root)/@/boot/booster-linux.img", "/boot/grub/grub.cfg"),
])
def test_an_image_that_grub_loads_and_that_no_tool_here_builds_is_refused(tmp_path, names, path):
    host = by_grub(tmp_path, names=names, path=path)
    with pytest.raises(PlanError, match="boots by .*/boot/booster-linux.img, an image that a boot entry loads, .* which lacks"):
        host.run(check=True)
    host.put("/boot/booster-linux.img", image({RULES[1:]: b"rules\n"}))
    assert host.run()["warnings"] == []


@pytest.mark.parametrize("change", [
    {"names": "/boot/ucode.img"}, {"names": "/elsewhere/initrd"}, {"running": "root=UUID=1 rw\n"}, {"running": "BOOT_IMAGE=/x root=UUID=2\n"},
])
def test_what_grub_does_not_load_for_this_system_is_not_asked(tmp_path, change):
    assert not by_grub(tmp_path, **change).run()["changed"]


def test_a_link_that_grub_loads_is_the_image_that_it_leads_to(tmp_path):
    host = by_grub(tmp_path, names="/initrd.img")
    host.install("mkinitramfs")
    host.install("update-initramfs", text="mkinitramfs")
    host.add_kernel()
    os.symlink(f"initrd.img-{KERNEL}", host.root + "/boot/initrd.img")
    assert host.statuses() == {f"/boot/initrd.img-{KERNEL}": "rebuilt"}
    assert os.path.islink(host.root + "/boot/initrd.img")


def test_an_image_that_zipl_loads_and_that_no_tool_here_builds_is_refused(tmp_path):
    host = by_grub(tmp_path, running="root=UUID=1\n")
    host.install("zipl")
    section = 'target=/boot\nimage=/boot/vmlinuz\nramdisk=/boot/other.img,0x2000000\nparameters="root=UUID=1"\n'
    host.put("/etc/zipl.conf", f"[defaultboot]\ndefault=a\n[a]\n{section}")
    with pytest.raises(PlanError, match="boots by .*/boot/other.img, an image that a boot entry loads"):
        host.run(check=True)
