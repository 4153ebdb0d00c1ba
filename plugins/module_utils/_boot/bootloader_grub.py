# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""GRUB where update-grub reads /etc/default/grub.d: one drop-in of ours; nobody else's file is ever written.

What others set against a wish, the drop-in leaves out, and the task says where it is set. Without it that holds again.
"""

from __future__ import annotations

import re
import shlex

from ansible_collections.vfio.host.plugins.module_utils._boot import grubcfg
from ansible_collections.vfio.host.plugins.module_utils._boot.bootloader import Backend, Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline import Wish, edit, exact, normalize, parse
from ansible_collections.vfio.host.plugins.module_utils._boot.cmdline_goal import Goal
from ansible_collections.vfio.host.plugins.module_utils._host.endings import ENDINGS, told, tried
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError

_HEAD = "# Written by vfio.host.kernel_cmdline. Remove this file and run update-grub to be without it.\n"
# Whole words only, and nothing else of the line changes. The values come quoted from Python's shlex.
_WITHOUT = """\
vfio_host_without() {
    vfio_host_line=" $1 "
    while :; do
        case $vfio_host_line in
        *" $2 "*) vfio_host_line="${vfio_host_line%%" $2 "*} ${vfio_host_line#*" $2 "}" ;;
        *) break ;;
        esac
    done
    vfio_host_line=${vfio_host_line# }
    vfio_host_line=${vfio_host_line% }
}
# Other files set these; they are left out:
for vfio_host_word in WORDS; do
    vfio_host_without "$GRUB_CMDLINE_LINUX" "$vfio_host_word"
    GRUB_CMDLINE_LINUX=$vfio_host_line
    vfio_host_without "$GRUB_CMDLINE_LINUX_DEFAULT" "$vfio_host_word"
    GRUB_CMDLINE_LINUX_DEFAULT=$vfio_host_line
done
"""
_LEFT_OUT = re.compile(r"^for vfio_host_word in (.*); do$", re.MULTILINE)
_ADDED = re.compile(r'^GRUB_CMDLINE_LINUX="\$GRUB_CMDLINE_LINUX"(\'.*)$', re.MULTILINE)
# The files are shell, so a shell reads them, in the order of grub-mkconfig; their own output is dropped.
_ASK = """
set -e
exec 3>&1 >/dev/null
file=$1 directory=$2 ours=$3
if [ -f "$file" ]; then . "$file"; fi
for one in "$directory"/*.cfg; do
    if [ -e "$one" ] && [ "$one" != "$ours" ]; then . "$one"; fi
done
printf 'vfio-host-begin\\n%s\\nvfio-host-next\\n%s\\nvfio-host-end\\n' \\
    "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT" >&3
"""
_ANSWER = re.compile(r"vfio-host-begin\n(.*)\nvfio-host-next\n(.*)\nvfio-host-end\n", re.DOTALL)


class Grub(Backend):
    """GRUB with update-grub."""

    name = "grub"
    looked_for = "GRUB (update-grub, /boot/grub/grub.cfg, and a grub-mkconfig that reads /etc/default/grub.d)"
    forbidden = (
        ("$`\\'", True, "GRUB's own language"),
        (";&|<>{}", False, "GRUB's own language"),
    )

    def found(self):
        """Evidence, or None."""
        mkconfig = self._paths.program("grub-mkconfig")
        if not (self._paths.program("update-grub") and mkconfig and self._files.read(self._paths.grub_cfg)):
            return None
        return self._paths.grub_cfg if "default/grub.d" in (self._files.read(mkconfig) or "") else None

    def commands(self):
        """What makes the configuration effective."""
        return [[self._paths.program("update-grub")]]

    def derived(self, dummy):
        """grub.cfg itself: put back as it was, and in one step, which update-grub does not do."""
        from ansible_collections.vfio.host.plugins.module_utils._host.resources import File
        return File.now(self._files, self._paths.grub_cfg)

    def run(self, *argv):
        """A program's output. What update-grub makes takes grub.cfg's place in one step."""
        if list(argv) not in self.commands():
            return super().run(*argv)
        # Its last step empties grub.cfg and fills it again, unsynced: a host whose power goes in between boots no more.
        made = self._paths.grub_cfg + ".vfio-host"
        try:
            # One that is left would pass for what an update-grub has made that takes no -o.
            self._files.put(made, None)
            out = super().run(*argv, "-o", made)
            self._files.swap(made, self._paths.grub_cfg)
        except ENDINGS as error:
            problems = [one for path in (made, made + ".new") for one in tried(self._files.put, path, None)]
            raise ApplyError(*(told(error, "running update-grub") + problems)) from error
        return out

    def entries(self):
        """The entry that will boot, from grub.cfg."""
        text = self._files.read(self._paths.grub_cfg)
        env = grubcfg.parse_environment(self._files.read(self._paths.grub_env) or "")
        entry = grubcfg.default_entry(text or "", env)
        if entry is None or entry.line is None:
            raise PlanError(
                f"{self._paths.grub_cfg} does not say which entry boots by default, or that entry starts no kernel: "
                "see GRUB_DEFAULT in /etc/default/grub, then run update-grub"
            )
        return ((f"{self._paths.grub_cfg}, entry {entry.title!r}", entry.line),)

    def read(self):
        """The settings of others, ours, and what will boot."""
        paths = self._paths
        out = self.read_asked("sh", "-c", _ASK, "sh", paths.grub_defaults, paths.grub_dropins, paths.grub_dropin)[0]
        answer = _ANSWER.search(out)
        if not answer:
            raise PlanError(
                f"{paths.grub_defaults} and the files in {paths.grub_dropins} end the shell that reads them"
            )
        linux, default = answer.groups()
        text = self._files.read(paths.grub_dropin)
        left_out, ours = _parse(text, paths.grub_dropin)
        source = f"{without(linux, left_out)} {ours} {without(default, left_out)}"
        return Boot(
            entries=self.entries(),
            files={paths.grub_dropin: text},
            source=source,
            more={"linux": linux, "default": default, "ours": ours, "left_out": left_out, "settings": self._settings()},
        )

    def _settings(self):
        """(path, line number, line) of the others' files, to name a conflict."""
        paths = [self._paths.grub_defaults] + [
            f"{self._paths.grub_dropins}/{name}"
            for name in self._files.names(self._paths.grub_dropins)
            if name.endswith(".cfg") and f"{self._paths.grub_dropins}/{name}" != self._paths.grub_dropin
        ]
        return [
            (path, number, line)
            for path in paths
            for number, line in enumerate((self._files.read(path) or "").splitlines(), 1)
            if not line.lstrip().startswith("#")
        ]

    def back(self, boot, record):
        """The drop-in is the record: what it adds and leaves out is to be as the others have it."""
        words = parse(" ".join((boot.more["ours"], *boot.more["left_out"]))).words
        others = parse(f"{boot.more['linux']} {boot.more['default']}")
        return Goal([exact(name, others) for name in dict.fromkeys(word.written for word in words)]), []

    def plan(self, boot, goal):
        """Our drop-in as it has to be, and update-grub where it or the entry differs."""
        problems, warnings = [], []
        ours, left_out = boot.more["ours"], list(boot.more["left_out"])
        others = parse(f"{boot.more['linux']} {boot.more['default']}")
        for wish in goal.wishes:
            against = [word.text for word in wish.unwanted(others)]
            mine = _missing(wish, others, against) if wish.present else wish
            problems += self.unfit([mine])
            ours = edit(ours, [mine])
            if wish.present or not parse(ours).named(wish.name):
                # What was left out for the sake of an argument that is gone holds again.
                left_out = [text for text in left_out if parse(text).words[0].name != normalize(wish.name)]
            warnings += [
                f"{text}, set at {_place(boot, text)}, is left out by {self._paths.grub_dropin}"
                for text in against
                if text not in boot.more["left_out"]
            ]
            left_out += [text for text in dict.fromkeys(against) if text not in left_out]
        before = boot.more["left_out"]
        left_out.sort(key=lambda text: before.index(text) if text in before else len(before))
        problems += _not_left_out(boot, left_out)
        if ours.strip() and any(word.text == "--" for word in parse(boot.more["linux"]).words):
            problems.append(
                f"GRUB_CMDLINE_LINUX holds a bare -- ({_place(boot, '--')}), and all that follows is init's: remove "
                "it there"
            )
        path, text = self._paths.grub_dropin, _render(left_out, ours)
        # It is removed when grub.cfg is without it: until then it says that there is something to take back.
        late = {path: None} if text is None and boot.files[path] is not None else {}
        text = _HEAD if late else text
        files = {} if text == boot.files[path] else {path: text}
        commands = self.commands() if files or late or goal.unmet(boot.entries) else []
        return Change(files=files, commands=commands, late=late, problems=problems, warnings=warnings)

    def foreign_lost(self, before, after, names):
        """update-grub makes entries from the others' files as they are now: what these say is theirs."""
        return []


def without(line, texts):
    """A line as the drop-in leaves it."""
    for text in texts:
        line = f" {line} "
        while f" {text} " in line:
            line = line.replace(f" {text} ", " ", 1)
        line = line[1:] if line.startswith(" ") else line
        line = line[:-1] if line.endswith(" ") else line
    return line


def _missing(wish, others, against):
    """The wish less what others set already: said once is enough. Without values, it only takes ours away."""
    there = [word.value for word in others.named(wish.name) if word.text not in against]
    kept = [index for index, value in enumerate(wish.values) if value not in there]
    return Wish(wish.name, tuple(wish.values[i] for i in kept), tuple(wish.texts[i] for i in kept), wish.many)


def _not_left_out(boot, texts):
    """Problems where leaving words out would not do, or would hurt another argument that quotes them."""
    problems = []
    for key in ("linux", "default"):
        wanted = [word.text for word in parse(boot.more[key]).words if word.text not in texts or word.is_inits]
        if [word.text for word in parse(without(boot.more[key], texts)).words] != wanted:
            problems += [
                f"{text} is set at {_place(boot, text)} in a way that cannot be left out: remove it there, then run "
                "again"
                for text in texts
                if text in boot.more[key]
            ]
    return problems


def _place(boot, text):
    """'/etc/default/grub:6' for what is set there."""
    for path, number, line in boot.more["settings"]:
        if "GRUB_CMDLINE" in line and text in line:
            return f"{path}:{number}"
    return " or ".join(sorted({path for path, dummy, dummy in boot.more["settings"]})) or "GRUB's defaults"


def _render(left_out, ours):
    """The drop-in's text; None where it has nothing to say."""
    text = ""
    if left_out:
        text += _WITHOUT.replace("WORDS", " ".join(shlex.quote(one) for one in left_out))
    if ours.strip():
        text += f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX"{shlex.quote(" " + ours.strip())}\n'
    return _HEAD + text if text else None


def _parse(text, path):
    """(words left out, arguments added) of our drop-in. Raises PlanError where it is not as we write it."""
    if text is None:
        return (), ""
    left_out, added = _LEFT_OUT.search(text), _ADDED.search(text)
    words = tuple(shlex.split(left_out.group(1))) if left_out else ()
    ours = " ".join(shlex.split(added.group(1))).strip() if added else ""
    if (_render(words, ours) or _HEAD) != text:
        raise PlanError(
            f"{path} is not as this collection wrote it: remove it, or move its lines to a file of yours, then run "
            "again"
        )
    return words, ours


__all__ = ("Grub", "without")
