# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the real boot tools that fakes are compared with into the cache: files of public repositories, each at a commit
and by its checksum, and packages of Debian. What cannot be had is named with the reason; tests say so and go on.

    python3 tests/tools/real_tools.py [NAME...]
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

# Name -> (repository of GitHub, commit, path, SHA-256).
FILES = {
    "grubby": (
        "fedora-riscv/grubby", "d6967109223a4e10698fd8fc5a717637bce85d94", "grubby-bls",
        "55016c809c48644dd3f325ef3de841e54589f2e83ac36d78b333046527aec194",
    ),
    "zz-proxmox-boot": (
        "jiangcuo/proxmox-kernel-helper", "7007b33cbb9a0b77f0f04d5b053a3739441bd9d6", "src/proxmox-boot/zz-proxmox-boot",
        "dd2a1205862cf34011cd09520ed893c9b2c9373c093dc1f27a7ed1c4e2bc40cf",
    ),
    "proxmox-functions": (
        "jiangcuo/proxmox-kernel-helper", "7007b33cbb9a0b77f0f04d5b053a3739441bd9d6", "src/proxmox-boot/functions",
        "a17cbd9a66153755ef29caedced4f04f3ee6e03b49f33e91ec97d17ad6a38c24",
    ),
    "mkinitcpio": (
        "archlinux/mkinitcpio", "fc8137c5d7b2addbf30a6b7cc776b9db857b368f", "mkinitcpio",
        "11a8981f2389612d1712a1cc7e397241b83b70a3936df2c96798b02aa1fd6b53",
    ),
    "sdbootutil": (
        "openSUSE/sdbootutil", "12630b293f281c4cdb3d70e47ccef2cb20c18b9c", "sdbootutil",
        "9afd907f5389af500d8547c33d3e36639039fa5b339b708e6c91cda86416f0e9",
    ),
    "kernelstub-config": (
        "pop-os/kernelstub", "3fb4e06aab998f01db986b2bc3146caf9dec3d95", "kernelstub/config.py",
        "a880f420e5f28cf428064442a121aa78cd697310bd7dd90c6d7af5d03bed0681",
    ),
    "kernelstub-installer": (
        "pop-os/kernelstub", "3fb4e06aab998f01db986b2bc3146caf9dec3d95", "kernelstub/installer.py",
        "93295ae3908090534e9d9d7c7407643b23e476b43cc1fb6f46e661fa39738cc0",
    ),
    "rpm-ostree": (
        "coreos/rpm-ostree", "d5ef5f0cb5ace53f40a8d92933cc87e69ad8c7f4", "src/daemon/rpmostreed-transaction-types.cxx",
        "3a962c8a0634520ad759305919d25277a295c9f41b45c6541fd7fabf8800322b",
    ),
    "zipl-scan": (
        "ibm-s390-linux/s390-tools", "c66495888dc82070512655ab81ae2c9a13713e9f", "zipl/src/scan.c",
        "6932035ccef494185d954e0342644d224fb6786f7290cafa574e6926e124c83a",
    ),
}
# Name -> (package of Debian, a pattern of the file of it that tests use).
PACKAGES = {
    "grub-mkconfig": ("grub-common", "usr/sbin/grub-mkconfig"),
    "dracut": ("dracut-core", "usr/bin/dracut"),
    "systemd-stub": ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
    # From Debian 13 on.
    "ukify-plugin": ("systemd-ukify", "usr/lib/kernel/install.d/60-ukify.install"),
    "ukify": ("systemd-ukify", "usr/bin/ukify"),
    # What ukify imports.
    "pefile": ("python3-pefile", "usr/lib/python3/dist-packages/pefile.py"),
    # Without it dracut makes no image. Until Debian 12 it is in /bin, later in /usr/bin.
    "cpio": ("cpio", "**/bin/cpio"),
}
_SECONDS = 20


class Missing(Exception):
    """A tool that cannot be had here; the text says why."""


def place():
    """The directory of the cache that they are in."""
    cache = os.environ.get("VFIO_HOST_CACHE") or f"{os.path.expanduser('~')}/.cache/vfio.host"
    return Path(cache) / "real-tools"


def find(name):
    """The path of a tool's file in the cache, without a look at the network. Raises Missing."""
    if name in PACKAGES:
        package, inner = PACKAGES[name]
        found = sorted((place() / package).glob(inner))
        if not found:
            raise Missing(f"{name}: {package} with {inner} is not in {place()}: run tests/tools/real_tools.py")
        return found[0]
    dummy, commit, dummy, checksum = FILES[name]
    path = place() / f"{name}-{commit[:12]}"
    if not path.exists():
        raise Missing(f"{name}: not in {place()}: run tests/tools/real_tools.py")
    if hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
        raise Missing(f"{path} has another checksum than it has to have: remove it")
    return path


def fetch(name):
    """The same, brought there first. Raises Missing."""
    try:
        return find(name)
    except Missing:
        place().mkdir(parents=True, exist_ok=True)
    if name not in PACKAGES:
        return _downloaded(name, *FILES[name])
    _unpack(PACKAGES[name][0])
    return find(name)


def _downloaded(name, repository, commit, inner, checksum):
    url = f"https://raw.githubusercontent.com/{repository}/{commit}/{inner}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as stream:
            data = stream.read()
    except OSError as error:
        raise Missing(f"{name}: {url}: {error}") from error
    if hashlib.sha256(data).hexdigest() != checksum:
        raise Missing(f"{name}: {url} has another checksum than it has to have")
    path = place() / f"{name}-{commit[:12]}"
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.rename(path)
    return path


def _unpack(package):
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Missing(f"{package}: no apt-get here")
    target, new = place() / package, place() / f"{package}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for words in (["apt-get", "-q", "download", package], ["sh", "-c", "dpkg-deb -x ./*.deb . && rm ./*.deb"]):
        done = subprocess.run(words, cwd=new, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(new)
            raise Missing(f"{package}: {' '.join(words)}: {done.stderr.strip().splitlines()[-1:]}")
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


def main(names):
    """Fetch these, or all, and say of each what came of it."""
    for name in names or [*FILES, *PACKAGES]:
        try:
            print(f"{name}: {fetch(name)}")
        except Missing as error:
            print(f"MISSING: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
