# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""GRUB's settings, which are shell: what others set, and what we add to them in a file or in lines of our own. Pure.

Ours append to GRUB_CMDLINE_LINUX, and leave out what others set against it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.versions import check_comments

if TYPE_CHECKING:
    from typing import Iterable, Sequence

_HEAD = "# Written by vfio.host.kernel_cmdline. Remove this file and run {} to be without it.\n"
_BEGIN = "# BEGIN vfio.host.kernel_cmdline: remove these lines and run {} to be without them.\n"
_BEGIN_JOINED = "\n# BEGIN vfio.host.kernel_cmdline, after a line without an end: remove these and run {} to be without them.\n"
_END = "# END vfio.host.kernel_cmdline\n"
_MARKED = re.compile(r"(\n?)# BEGIN vfio\.host\.kernel_cmdline(:|, after a line).*\n((?:.*\n)*?)" + re.escape(_END))
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
_MARK = "vfio-host-mark"
# The files are shell, so a shell reads them, in the order of grub-mkconfig; their own output is dropped. An argument is
# a path, or a text that begins with a line end; '--' is the place of ours. From there on each is followed by an answer.
ASK = f"""
set -e
exec 3>&1 >/dev/null
vfio_host_say() {{
    printf 'vfio-host-begin\\n%s\\nvfio-host-next\\n%s\\nvfio-host-end\\n' \\
        "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT" >&3
}}
vfio_host_late=
for vfio_host_one do
    case $vfio_host_one in
    --)
        vfio_host_say
        vfio_host_late=1
        GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {_MARK}"
        GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {_MARK}"
        continue ;;
    /*) if [ -e "$vfio_host_one" ]; then . "$vfio_host_one"; fi ;;
    *) eval "$vfio_host_one" ;;
    esac
    if [ "$vfio_host_late" ]; then vfio_host_say; fi
done
"""
_ANSWER = re.compile(r"vfio-host-begin\n(.*?)\nvfio-host-next\n(.*?)\nvfio-host-end\n", re.DOTALL)


@dataclass(frozen=True)
class Settings:
    """What others set: ``linux`` and ``default``, before ours are read, and the same of what comes after, ``late``.

    ``anew``: the first of these files that sets GRUB_CMDLINE_LINUX anew, so that ours would be lost. None: none does.
    """

    linux: str
    default: str
    late: tuple[str, str] = ("", "")
    anew: str = ""

    @property
    def all(self) -> str:
        """The arguments of others, as GRUB puts them together."""
        return " ".join((self.linux, self.late[0], self.default, self.late[1]))

    def with_ours(self, left_out: Iterable[str], ours: str) -> str:
        """The line that GRUB makes of it."""
        linux, default = (without(line, left_out) for line in (self.linux, self.default))
        return f"{linux} {ours} {self.late[0]} {default} {self.late[1]}"


def parse_answers(out: str, late: Sequence[str]) -> Settings | None:
    """The Settings from what the shell said; ``late``: the files after ours. None where one of them ended the shell."""
    answers = _ANSWER.findall(out)
    if len(answers) != 1 + len(late):
        return None
    linux, default = answers[0]
    anew = next((path for path, (now, dummy) in zip(late, answers[1:]) if _beside(now, linux) is None), "")
    if not late:
        return Settings(linux, default)
    then, default_then = (_beside(now, before) for now, before in zip(answers[-1], answers[0]))
    if default_then is None:
        # Set anew after ours: it is all that counts, and cannot be left out.
        default, default_then = "", answers[-1][1]
    return Settings(linux, default, ("" if then is None else then, default_then), anew)


def _beside(now: str, before: str) -> str | None:
    """What was put around a value that was marked; None where it is not there any more."""
    begin, mark, end = now.partition(f"{before} {_MARK}")
    return f"{begin.strip()} {end.strip()}".strip() if mark else None


def without(line: str, texts: Iterable[str]) -> str:
    """A line as our lines leave it."""
    for text in texts:
        line = f" {line} "
        while f" {text} " in line:
            line = line.replace(f" {text} ", " ", 1)
        line = line[1:] if line.startswith(" ") else line
        line = line[:-1] if line.endswith(" ") else line
    return line


def render(left_out: Sequence[str], ours: str) -> str:
    """Our lines; empty where they have nothing to say."""
    text = ""
    if left_out:
        text += _WITHOUT.replace("WORDS", " ".join(shlex.quote(word) for word in left_out))
    if ours.strip():
        text += f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX"{shlex.quote(" " + ours.strip())}\n'
    return text


def parse(body: str) -> tuple[tuple[str, ...], str] | None:
    """(words left out, arguments added) of our lines; None where they are not as we write them."""
    left_out, added = _LEFT_OUT.search(body), _ADDED.search(body)
    try:
        words = tuple(shlex.split(left_out.group(1))) if left_out else ()
        ours = " ".join(shlex.split(added.group(1))).strip() if added else ""
    except ValueError:  # a quotation that does not end
        return None
    return (words, ours) if render(words, ours) == body else None


class DropIn:
    """A file of our own. ``text``: what it holds, None: it is absent."""

    def __init__(self, path: str, tool: str, text: str | None) -> None:
        check_comments(text, path)
        self.path, self.text = path, text
        self._head = _HEAD.format(tool)
        body = text or ""
        for head in (self._head, _HEAD.format("update-grub")):
            body = body[len(head):] if body.startswith(head) else body
        self.left_out, self.ours = _parsed(path, body if text != "" else None)

    def made(self, left_out: tuple[str, ...], ours: str, *, is_kept: bool = False) -> str | None:
        """Its text with these; without any None, or an empty one where it ``is_kept``."""
        if (left_out, ours) == (self.left_out, self.ours) and self.text and (render(left_out, ours) or is_kept):
            return self.text
        body = render(left_out, ours)
        return self._head + body if body or is_kept else None


class Block:
    """Lines of our own at the end of somebody else's file, whose other bytes stay. ``text``: what the file holds."""

    def __init__(self, path: str, tool: str, text: str) -> None:
        check_comments(text, path)
        self.path, self.text = path, text
        self._tool = tool
        found = list(_MARKED.finditer(text))
        if len(found) > 1 or len(found) != text.count("# BEGIN vfio.host.kernel_cmdline"):
            _parsed(path, None)
        self.before, self.after, body = text, "", ""
        if found:
            begin = found[0].start() if found[0].group(2) != ":" else found[0].end(1)
            self.before, self.after, body = text[:begin], text[found[0].end():], found[0].group(3)
        self.left_out, self.ours = _parsed(path, body)

    def made(self, left_out: tuple[str, ...], ours: str, *, is_kept: bool = False) -> str:
        """The file's text with these; without any as others wrote it, or with empty lines of ours where they are ``is_kept``."""
        body = render(left_out, ours)
        if not body and not is_kept:
            return self.before + self.after
        begin = _BEGIN if not self.before or self.before.endswith("\n") else _BEGIN_JOINED
        return self.before + begin.format(self._tool) + body + _END + self.after


def _parsed(path: str, body: str | None) -> tuple[tuple[str, ...], str]:
    """(words left out, arguments added) of our lines. Raises PlanError where they are not as we write them."""
    lines = None if body is None else parse(body)
    if lines is None:
        raise PlanError(
            f"{path} is not as this collection wrote it: remove it, or move its lines to a file of yours, then run again"
        )
    return lines


def has_block(text: str | None) -> bool:
    """Whether somebody else's file has lines of ours."""
    return "# BEGIN vfio.host.kernel_cmdline" in (text or "")


__all__ = ("ASK", "Block", "DropIn", "Settings", "has_block", "parse", "parse_answers", "render", "without")
