# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a journal remembers: each kind of thing that a run can change, as it was, and how it is restored.

restore() goes by goal: it looks at what is, and does only what is needed. It raises any error. ``rank`` is its place in the
order of restoring, from 1 on. ``what`` is the beginning of a sentence that says what was not restored. All fields are what JSON
can hold; the journal checks them by their annotations, so these are of ``typing`` and known at run time.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple, Type, Union

from ansible_collections.vfio.host.plugins.module_utils._core.endings import raise_any, tried
from ansible_collections.vfio.host.plugins.module_utils._core.pci_resources import Autoprobe, Binding, VfAttributes, Vfs
from ansible_collections.vfio.host.plugins.module_utils._host.disk import kind, real
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.nodes import Access
from ansible_collections.vfio.host.plugins.module_utils._host.pcibus import PciBus

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


_CHOICE = re.compile(r"(?:^|\s)\[(\w[\w-]*)\](?:\s|$)")


class Edges(NamedTuple):
    """The edges of the host that restoring writes through."""

    fs: Sysfs
    files: Files
    bus: PciBus


@dataclass(frozen=True)
class File:
    """A file: its text (None: absent), mode, owner (uid, gid) and SELinux label; whether its directory was there.

    Where there was a link at its place, ``link`` is where that pointed, and the rest is its target's. ``absent_above``: how many
    directories above its own were not there.

    ``is_last``: it is restored when all else is, and holds ``meanwhile`` until then (None: what it holds already): a record
    that has to tell of both states until the end.
    """

    path: str
    text: Optional[str]
    mode: int = 0o644
    owner: Optional[Tuple[int, int]] = None
    label: Optional[str] = None
    has_directory: bool = True
    is_last: bool = False
    meanwhile: Optional[str] = None
    link: Optional[str] = None
    absent_above: int = 0

    @classmethod
    def now(cls, files: Files, path: str, *, is_last: bool = False, meanwhile: Optional[str] = None) -> File:
        """The file as it is. Raises PlanError where it is there and cannot be read."""
        state = files.state(path)
        return cls(path, state.text, state.mode, state.owner, state.label, state.has_directory, is_last, meanwhile, state.link, state.absent_above)

    @property
    def rank(self) -> int:
        return 9 if self.is_last else 1

    @property
    def what(self) -> str:
        return f"{self.path} was not put back"

    def prepare(self, host: Edges) -> None:
        """Write what it holds meanwhile."""
        if self.meanwhile is not None and host.files.read(self.path) != self.meanwhile:
            host.files.put(self.path, self.meanwhile)

    def restore(self, host: Edges) -> None:
        # One run at a time writes, so what is unfinished here is of the one that is put back.
        host.files.tidy(os.path.dirname(self.path), is_cut_off=True)
        now = self._now(host.files)
        if now == self:
            return
        place = self.path
        if self.link is not None:
            if now.link != self.link:
                host.files.put_link(self.path, self.link)
            # Most runs replace the link and leave its target alone; a boot loader's tool follows it.
            place = real(self.path)
            if self._now(host.files) == self:
                return
        host.files.put(place, self.text, mode=self.mode, owner=self.owner, label=self.label)
        directory = os.path.dirname(self.path)
        for dummy in range(0 if self.has_directory else self.absent_above + 1):
            host.files.drop_directory(directory)
            directory = os.path.dirname(directory)

    def _now(self, files: Files) -> File:
        return File.now(files, self.path, is_last=self.is_last, meanwhile=self.meanwhile)


@dataclass(frozen=True)
class Loaded:
    """A module that was loaded with ``options``, (name, value) each. ``instance``: its inode in sysfs, which no other load has; ``shown``:
    name -> text of what sysfs showed of its parameters, whoever had set them.
    """

    module: str
    instance: Optional[int]
    options: List[Tuple[str, str]] = field(default_factory=list)
    shown: Dict[str, str] = field(default_factory=dict)
    rank = 2

    @property
    def what(self) -> str:
        return f"module {self.module} was not put back"

    def restore(self, host: Edges) -> None:
        fs = host.fs
        if _is_loaded(fs, self.module):
            if fs.inode(_directory(fs, self.module)) == self.instance:
                return
            _run(fs, ["rmmod", "--", self.module])
        self._load(fs, {})
        lost = self._lost(fs)
        for name, value in lost.items():
            if fs.is_writable(self._path(fs, name)):
                tried(fs.write, self._path(fs, name), value)
        # The others are read at a load alone. Once it is loaded, something may use it at once.
        if self._lost(fs) and not tried(_run, fs, ["rmmod", "--", self.module]) and tried(self._load, fs, lost):
            self._load(fs, {})  # without them it is still more than none
        raise_any(f"its option {name} is {fs.read(self._path(fs, name))!r}, and was {self.shown[name]!r}" for name in self._lost(fs))

    def _load(self, fs: Sysfs, more: Dict[str, str]) -> None:
        options = {**more, **dict(self.options)}
        _run(fs, ["modprobe", "--", self.module] + [f"{name}={value}" for name, value in options.items()])

    def _lost(self, fs: Sysfs) -> Dict[str, str]:
        """What parameters have another value than they had: name -> the one that they had, as it is written."""
        now = {name: fs.read(self._path(fs, name)) for name in self.shown}
        return {name: _chosen(text) for name, text in self.shown.items() if now[name] not in (None, text)}

    def _path(self, fs: Sysfs, name: str) -> str:
        return f"{_directory(fs, self.module)}/parameters/{name}"


@dataclass(frozen=True)
class Option:
    """An option of a loaded module, by its file in sysfs."""

    path: str
    value: str
    rank = 6

    @property
    def what(self) -> str:
        return f"{self.path} was not put back to {self.value!r}"

    def restore(self, host: Edges) -> None:
        if not host.fs.exists(os.path.dirname(os.path.dirname(self.path))):
            return  # somebody has unloaded the module, and when it is loaded again modprobe.d says what it has
        if _chosen(host.fs.read(self.path) or "") != self.value:
            host.fs.write(self.path, self.value)


@dataclass(frozen=True)
class Unloaded:
    """A module that was not loaded. ``is_asked``: the run was asked to load it, so that leaving it loaded is a failure."""

    module: str
    is_asked: bool = True
    rank = 7

    @property
    def what(self) -> str:
        return f"module {self.module} was not put back"

    def restore(self, host: Edges) -> None:
        if not _is_loaded(host.fs, self.module):
            return
        users = _users(host.fs, self.module)
        if not users:
            _run(host.fs, ["rmmod", "--", self.module])
        elif self.is_asked:
            raise ApplyError(f"it stays loaded, since it is used by {', '.join(users)}")


@dataclass(frozen=True)
class NodeAccess:
    """A device node with its owner and mode. ``number``: of its device, since a node of this name may be another's by then;
    ``uevent``: the file by which udev is told to look at its rules for it again.
    """

    path: str
    number: str
    uid: int
    gid: int
    mode: int
    uevent: str
    rank = 8

    @property
    def what(self) -> str:
        return f"{self.path} was not put back to owner {self.uid}:{self.gid} and mode {self.mode:04o}"

    def restore(self, host: Edges) -> None:
        before = Access(self.uid, self.gid, self.mode, self.number)
        now = host.fs.access(self.path)
        if now is None or now.number != self.number:
            return
        if now != before:
            host.fs.give(self.path, before)
        # Its links are those of the rules, which are back by now.
        host.fs.write(self.uevent, "change")


@dataclass(frozen=True)
class Reread:
    """A program that reads files of ours when it is told to: the ``command`` that tells it."""

    command: List[str]
    rank = 2

    @property
    def what(self) -> str:
        return f"{' '.join(self.command)} failed, so what was put back is not in force"

    def restore(self, host: Edges) -> None:
        _run(host.fs, self.command)


@dataclass(frozen=True)
class Commands:
    """What a boot loader's tool keeps, by the commands that derive it from the files again.

    Where the tool can be asked, ``ask`` is the command that does, and ``answer`` what it said before.
    """

    commands: List[List[str]]
    ask: Optional[List[str]] = None
    answer: str = ""
    rank = 8

    @property
    def what(self) -> str:
        return "what the boot loader boots was not put back"

    def restore(self, host: Edges) -> None:
        if self.ask is not None and _run(host.fs, self.ask).strip("\n") == self.answer:
            return
        raise_any(_run_all(host.fs, self.commands))


@dataclass(frozen=True)
class Image:
    """An initramfs image with its copies, each path -> a copy of what it was; ``commands`` tell the boot loader."""

    path: str
    olds: Dict[str, str]
    commands: List[List[str]]
    rank = 8

    @property
    def what(self) -> str:
        return f"{self.path} was not put back"

    def restore(self, host: Edges) -> None:
        from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles

        images = ImageFiles(host.files.root)
        problems = [problem for path, old in self.olds.items() for problem in tried(_have_image, images, path, old)]
        # Of whatever is there now: some boot loaders know an image by the blocks that it is in.
        raise_any(problems + _run_all(host.fs, self.commands))
        images.drop_old(self.path)


Resource = Union[File, Reread, Loaded, VfAttributes, Vfs, Binding, Autoprobe, Option, Unloaded, NodeAccess, Commands, Image]
KINDS: Tuple[Type[Resource], ...] = (
    File, Reread, Loaded, VfAttributes, Vfs, Binding, Autoprobe, Option, Unloaded, NodeAccess, Commands, Image,
)


def _run(fs: Sysfs, words: List[str]) -> str:
    """A program's standard output. Raises ApplyError with its own words."""
    status, out, err = fs.run(words)
    if status:
        raise ApplyError(f"{words[0].rsplit('/', 1)[-1]} failed with status {status}: {last_words(out, err)}")
    return out


def _run_all(fs: Sysfs, commands: List[List[str]]) -> List[str]:
    """Run programs, whatever becomes of those before; a sentence for each that failed."""
    return [problem for words in commands for problem in tried(_run, fs, words)]


def _have_image(images: ImageFiles, path: str, old: str) -> None:
    """Make an image what its copy ``old`` is, where it is not. Raises ApplyError, OSError."""
    images.drop_new(path)
    if not kind(old):
        raise ApplyError(f"{path} stays as it is, since somebody has removed {old}, the copy of what it was: have it made anew by the host's own tool")
    try:
        is_same = images.is_same(path, old)
    except FileNotFoundError:
        is_same = False
    if not is_same:
        images.replace(path, old)


def _chosen(text: str) -> str:
    """The value of a parameter. Of some the kernel shows all that there are, and the one that holds in brackets: "none [round-robin]"."""
    choice = _CHOICE.search(text)
    return choice.group(1) if choice else text


def _directory(fs: Sysfs, module: str) -> str:
    return f"{fs.modules}/{module.replace('-', '_')}"


def _is_loaded(fs: Sysfs, module: str) -> bool:
    return fs.exists(f"{_directory(fs, module)}/initstate")


def _users(fs: Sysfs, module: str) -> List[str]:
    """What uses a loaded module: modules, devices of its drivers, or references that nobody names."""
    directory = _directory(fs, module)
    users = list(fs.names(f"{directory}/holders"))
    for driver in fs.names(f"{directory}/drivers"):
        path = f"{directory}/drivers/{driver}"
        users += [name for name in fs.names(path) if name != "module" and fs.target(f"{path}/{name}") is not None]
    references = fs.read(f"{directory}/refcnt")
    return users or ([] if references == "0" else [f"{references} references"])


__all__ = (
    "Autoprobe", "Binding", "Commands", "Edges", "File", "Image", "KINDS", "Loaded", "NodeAccess", "Option", "Reread", "Resource", "Unloaded",
    "VfAttributes",
    "Vfs",
)
