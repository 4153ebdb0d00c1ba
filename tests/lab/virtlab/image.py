# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds images from recipes: mmdebstrap, a tree, mke2fs -d, qcow2. No loop devices, no mounts of the lab's own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable, List

from . import apt, packages, paths, recipe
from .boot import BOOTS, INITRAMFS, INSTALLED
from .errors import LabError
from .host import Host
from .machine import ARCHITECTURES
from .process import run

# A foreign image under emulation takes eight minutes, and 35 on a machine with a load of 12.
BUILD_TIMEOUT = 3600
# What no lab host needs on its disk.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")


def key() -> Path:
    """The private key that opens every host of this cache; made once."""
    path = paths.cache() / "ssh-key"
    if not path.exists():
        with paths.locked(paths.cache() / "ssh-key.lock", "the ssh key", 60):
            if not path.exists():
                run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vfio.host lab", "-f", str(path)], timeout=60)
    return path


def ensure(host: Host, say: Callable[[str], None]) -> Path:
    """The directory of the host's image: from the cache, or built now."""
    packages.ensure(host, build=False)
    wanted = recipe.of(host, Path(f"{key()}.pub").read_text(encoding="utf-8").strip())
    images = paths.cache() / "images"
    images.mkdir(exist_ok=True)
    path = images / wanted.name
    if path.is_dir():
        return path
    with paths.locked(images / f"{wanted.name}.lock", f"image {wanted.name}", BUILD_TIMEOUT):
        if path.is_dir():
            return path
        packages.ensure(host, build=True)
        say(f"building image {wanted.name} (minutes)")
        _build(wanted, path, say)
    return path


def _build(wanted: recipe.Recipe, path: Path, say: Callable[[str], None]) -> None:
    log = path.with_suffix(".log")
    log.write_bytes(b"")
    for left in path.parent.glob(f".{wanted.name}.*"):
        # From a build that was killed; this one holds the lock.
        shutil.rmtree(left, ignore_errors=True)
    # Beside its final place, so that the last step is one rename: an image is there whole, or not at all.
    with tempfile.TemporaryDirectory(prefix=f".{wanted.name}.", dir=path.parent) as temporary:
        work = Path(temporary)
        # mmdebstrap drops its privileges for downloads, and has to pass through here.
        work.chmod(0o755)
        image, tree, tar, raw = work / "image", work / "tree", work / "root.tar", work / "disk.raw"
        image.mkdir()
        boot = BOOTS[wanted.boot]
        _download(wanted, tar, log, say)
        # One run under fakeroot, else owners are forgotten between unpacking and mke2fs.
        script = 'set -eu; mkdir "$1"; tar -C "$1" --numeric-owner -xf "$2"; sh "$3" "$1"; sh "$4" "$1" "$5" "$6"'
        as_root: List[str] = [] if os.geteuid() == 0 else ["fakeroot", "--"]
        run(
            [*as_root, "sh", "-c", script, "sh", str(tree), str(tar), str(paths.IMAGE_SCRIPTS / "finish.sh"),
             str(paths.IMAGE_SCRIPTS / boot.disk_script), str(raw), wanted.disk_size],
            timeout=BUILD_TIMEOUT, log=log,
            env={"SSH_MAC": wanted.ssh_mac, "SSH_KEY": wanted.ssh_key,
                 "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
        # Whatever name of the suite it came by.
        codename = apt.dict_of((tree / "etc/os-release").read_text(encoding="utf-8")).get("VERSION_CODENAME")
        if wanted.suite not in apt.ROLLING and codename != wanted.suite:
            raise LabError(f"the archive gave {codename} for {wanted.suite}", "its name in virtlab/apt.py is another suite's now")
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image / "disk.qcow2")],
            timeout=BUILD_TIMEOUT, log=log)
        boot.take(tree, image)
        _install(wanted, tree, image / "disk.qcow2", log)
        shutil.copyfile(tree / "etc/ssh/ssh_host_ed25519_key.pub", image / "host-key.pub")
        try:
            os.rename(image, path)
        except OSError as error:
            raise LabError(f"cannot put the image into {path} ({error.strerror})", "is the cache writable?") from None


def _install(wanted: recipe.Recipe, tree: Path, disk: Path, log: Path) -> None:
    """Have the disk's own system install its boot loader, where that takes a boot."""
    said = tree.with_name("installation.log")
    arguments = BOOTS[wanted.boot].installation(tree, disk, wanted.command_line, said)
    if not arguments:
        return
    run([ARCHITECTURES[wanted.architecture].qemu, *arguments], timeout=BUILD_TIMEOUT, log=log)
    text = said.read_text(encoding="utf-8", errors="replace")
    with log.open("a", encoding="utf-8") as handle:
        handle.write(text)
    if INSTALLED not in text:
        raise LabError(f"the boot loader of image {wanted.name} was not installed", f"its console is at the end of {log}")


def _download(wanted: recipe.Recipe, tar: Path, log: Path, say: Callable[[str], None]) -> None:
    """A tar of the installed packages, from an archive that is whole by at least one name of the suite."""
    names = [wanted.suite, *filter(None, [apt.OTHER_NAMES.get(wanted.suite)])]
    for name in names:
        try:
            run(_mmdebstrap(wanted, name, tar), timeout=BUILD_TIMEOUT, log=log,
                env={"COMMAND_LINE": " ".join(wanted.command_line)})
            return
        except LabError:
            if name == names[-1] or not apt.is_between_states(log.read_text(encoding="utf-8", errors="replace")):
                raise
            say(f"the mirror is between two states of {name}: trying {names[-1]}")


def _mmdebstrap(wanted: recipe.Recipe, suite: str, tar: Path) -> List[str]:
    # Verbose: its log is what a person sees of a build, and minutes go by inside apt.
    line = ["mmdebstrap", "--verbose", "--variant=apt", f"--architectures={wanted.architecture}", "--format=tar",
            # It would empty machine-id and the like; finish.sh decides about those.
            # A foreign architecture needs no arch-test: packages.py has looked whether it runs here.
            "--skip=cleanup/reproducible,output/dev,check/qemu", "--dpkgopt=force-unsafe-io"]
    line += [f"--aptopt={option}" for option in apt.options(wanted.suite)]
    line += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    line += [f"--essential-hook=sh '{paths.IMAGE_SCRIPTS / INITRAMFS[wanted.initramfs].script}' \"$1\""]
    loader_script = BOOTS[wanted.boot].loader_script
    if loader_script:
        line += [f"--customize-hook=sh '{paths.IMAGE_SCRIPTS / loader_script}' \"$1\""]
    line += [f"--include={','.join(wanted.packages)}", suite, str(tar), apt.mirror()]
    return line


__all__ = ("ensure", "key")
