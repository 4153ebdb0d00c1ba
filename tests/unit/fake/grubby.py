# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with Fedora's grubby, as read in the source of grubby-bls: a shell script around sed, which knows no quotes."""

from __future__ import annotations

import re
import subprocess

from ansible_collections.vfio.host.tests.unit.fake.boothost import BootHost

_USAGE = "Usage: grubby [OPTION...]\n  -b, --bls-directory   path to directory containing the fragment files\n"
_ENTRIES_ONLY = "--no-etc-grub-update"


class GrubbyHost(BootHost):
    """Two kernels and a rescue entry. ``entries_only``: whether grubby has the option --no-etc-grub-update.

    ``keeps_files``: a version from before it took care of files beside the entries.
    """

    efi = False
    entries_only = True
    keeps_files = False

    def install(self):
        self.program("grubby")
        shared = "kernelopts=rhgb crashkernel=1G\n" if "$kernelopts" in self.line else ""
        self.write("boot/grub2/grubenv", f"# GRUB Environment Block\nsaved_entry=0123-6.11.4\n{shared}####\n")
        for version in ("6.11.4", "6.11.3"):
            self.add_entry(f"0123-{version}", f"linux /vmlinuz-{version}\noptions root=/dev/vda2 {self.line}\n")
        self.add_entry("0123-0-rescue", f"linux /vmlinuz-0-rescue\noptions root=/dev/vda2 {self.line} single nomodeset\n")

    def add_entry(self, name, text):
        """An entry of this text, below its title."""
        self.write(f"boot/loader/entries/{name}.conf", f"title Fedora ({name})\n{text}")

    def paths(self):
        """The entries, the newest kernel's first; the index that grubby gives them is their place."""
        return sorted((self.root / "boot/loader/entries").glob("*.conf"), reverse=True)

    def variable(self, name):
        """A variable of GRUB's environment."""
        found = re.findall(f"^{name}=(.*)$", self.read("boot/grub2/grubenv"), re.MULTILINE)
        return found[0] if found else ""

    def expanded(self, path):
        """An entry's options, with single blanks, since the shell has split them."""
        words = value(_text(path), "options").split()
        words = [self.variable("kernelopts") or word if word == "$kernelopts" else word for word in words]
        return " ".join(" ".join(words).split())

    def asked_grubby(self, *words):
        if words == ("--help",):
            return _USAGE + (f"      {_ENTRIES_ONLY}   don't update GRUB_CMDLINE_LINUX\n" if self.entries_only else "")
        if words == ("--default-index",):
            saved = [index for index, path in enumerate(self.paths()) if path.stem == self.variable("saved_entry")]
            return f"{(saved or [0])[0]}\n"
        if words != ("--info=ALL",):
            return None
        text = ""
        for index, path in enumerate(self.paths()):
            args = self.expanded(path)
            root = re.search("(?:^| )root=([^ ]*)", args)
            args = args.replace(f"root={root.group(1)}", "", 1).strip() if root else args
            text += f'index={index}\nkernel="/boot{value(_text(path), "linux")}"\nargs="{args}"\n'
            text += f'root="{root.group(1)}"\n' if root else ""
            text += f'initrd="/boot"\ntitle="{value(_text(path), "title")}"\nid="{path.stem}"\n'
        return text

    def do_grubby(self, *words):
        if _ENTRIES_ONLY in words and (not self.entries_only or words[-1] != _ENTRIES_ONLY):
            # It shifts the word behind it away, and so the value of what follows is an option to it.
            return 1, "\n\n", "grubby: invalid option\nTry 'grubby --help' for more information\n"
        given = dict(word.split("=", 1) for word in words if word != _ENTRIES_ONLY)
        if "grubby" in self.broken:
            return None
        if given["--update-kernel"] != "ALL":
            path = self.paths()[int(given["--update-kernel"])]
            options = update(self.expanded(path), given.get("--remove-args", ""), given.get("--args", ""))
            _put(path, with_options(_text(path), options))
            return None

        def updated(args):
            return update(args, given.get("--remove-args", ""), given.get("--args", ""))

        if _ENTRIES_ONLY not in words and not self.keeps_files:
            self._update_defaults(updated)
        # It has read the entries before it edits them.
        last = self.expanded(self.paths()[-1])
        old = self.variable("kernelopts")
        if old:
            text = self.read("boot/grub2/grubenv")
            self.write("boot/grub2/grubenv", text.replace(f"kernelopts={old}\n", f"kernelopts={updated(old)}\n"))
        for path in self.paths():
            if "$kernelopts" not in _text(path).split():
                _put(path, with_options(_text(path), updated(self.expanded(path))))
        if not self.keeps_files:
            self._update_cmdline(updated, last)
        return None

    def _update_defaults(self, updated):
        """Every line that begins with GRUB_CMDLINE_LINUX, so _DEFAULT and _RECOVERY too, where the variable has text."""
        text = self.read("etc/default/grub")
        if text is None:
            return
        script = '. "$1"; printf %s "$GRUB_CMDLINE_LINUX"'
        done = subprocess.run(
            ["sh", "-c", script, "sh", f"{self.root}/etc/default/grub"], capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        )
        if done.stdout.split():
            line = f'GRUB_CMDLINE_LINUX="{updated(done.stdout)}"'
            self.write("etc/default/grub", re.sub("^GRUB_CMDLINE_LINUX.*$", lambda dummy: line, text, flags=re.MULTILINE))

    def _update_cmdline(self, updated, last):
        """Its first line; where it is absent, that of bash's last entry, the oldest or the rescue entry."""
        text = self.read("etc/kernel/cmdline")
        first = last if text is None else text.split("\n")[0]
        self.write("etc/kernel/cmdline", updated(first) + "\n")

    def do_zipl(self):
        self.write("boot/bootmap", "".join(_text(path) for path in self.paths()))

    def boots(self):
        saved = self.root / f"boot/loader/entries/{self.variable('saved_entry')}.conf"
        options = value(_text(saved), "options")
        return options.replace("$kernelopts", self.variable("kernelopts"))


def value(text, key):
    """What a field of an entry holds."""
    return "\n".join(re.findall(rf"^{key}[ \t]+(.*)$", text, re.MULTILINE))


def _text(path):
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _put(path, text):
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def with_options(text, options):
    """Each line of options replaced; sed puts the line that it found for an &, and takes a backslash away."""

    def line(match):
        new = re.sub(r"\\(.)|&", lambda one: one.group(1) or match.group(), options)
        return f"options {new}"

    return re.sub("^options.*$", line, text, flags=re.MULTILINE)


def update(args, remove, add):
    """The words of ``args`` without those to go, of which one with a value goes once, and with those to be there."""
    now, added = args.split(), add.split()
    for arg in remove.split():
        if "=" not in arg:
            now = [one for one in now if one.partition("=")[0] != arg]
        elif arg in now:
            now.remove(arg)
    for arg in added:
        now = [one for one in now if one.partition("=")[0] != arg.partition("=")[0]]
    return " ".join(now + added)


__all__ = ("GrubbyHost",)
