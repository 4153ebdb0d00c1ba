# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The journal of a run: everything that it changes, as it was before, kept below /run until the run has ended well.

A run remembers a thing before it touches it for the first time. restore() puts all of it back: for a run that fails, for a
change that nobody confirms, and for the run after one that was killed, or that could not put everything back. A boot ends it, as
it ends most of what is in it; what the next boot reads is whole at any moment, and says itself whose it is.
"""

from __future__ import annotations

import json
import os
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ansible_collections.vfio.host.plugins.module_utils._core.endings import tried
from ansible_collections.vfio.host.plugins.module_utils._core.resources import KINDS, Autoprobe, Binding, Edges, File, Resource, Vfs
from ansible_collections.vfio.host.plugins.module_utils._host import signals, versions
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.pcibus import PciBus
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules
from ansible_collections.vfio.host.plugins.module_utils._host.versions import words

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

VERSION = 1  # of the format
_NAME = "journal.json"
_SHORTEST = 10  # seconds that a driver has to let go, at least
_BY_KIND = {kind.__name__: kind for kind in KINDS}
_Key = Tuple[str, str]  # the kind of a resource, and what it is of


class Journal:
    """The journal of one run that calls itself ``task``. ``timeout``: seconds for a driver to let go of a device."""

    def __init__(self, fs: Sysfs, files: Files, *, task: str = "", timeout: float = _SHORTEST) -> None:
        self._edges = Edges(fs, files, PciBus(fs, max(timeout, _SHORTEST), is_bounded=True))
        self._path = f"{files.journal}/{_NAME}"
        self._task = task
        self._begun = time.strftime("%Y-%m-%d %H:%M:%S %z")
        self._resources: List[Resource] = []
        self._known: Set[_Key] = set()
        self._restored: Set[_Key] = set()  # by restore()
        self._is_rest = False  # what is in it is what a run could not restore, and nothing else
        self._checks: List[Callable[[List[str]], List[str]]] = []
        # Address -> what a person calls the device, for messages.
        self.names: Dict[str, str] = {}

    @property
    def task(self) -> str:
        """The module whose run it is."""
        return self._task

    @property
    def begun(self) -> str:
        """When the run began: '2026-11-29 14:02:11 +0000'."""
        return self._begun

    @property
    def is_rest(self) -> bool:
        """Whether it holds what a run could not restore, and no more."""
        return self._is_rest

    def remember(self, *resources: Resource, files: Iterable[str] = ()) -> None:
        """Keep resources, and ``files`` as they are now, before any of them is touched. What is known already stays as it was
        first. Raises ApplyError, PlanError.
        """
        signals.check()
        new: Dict[_Key, Resource] = {}
        of_files = [File.now(self._edges.files, path) for path in files if ("File", path) not in self._known]
        for resource in (*of_files, *resources):
            key = _key(resource)
            if key not in self._known:
                new.setdefault(key, resource)
        if new:
            end = len(self._resources)
            self._resources += new.values()
            try:
                self._write()
            except BaseException:
                # Nothing of it is touched then.
                del self._resources[end:]
                raise
            self._known.update(new)

    def after_restore(self, check: Callable[[List[str]], List[str]]) -> None:
        """Have ``check`` called at the end of restore() by this process, with the problems so far: it gives further ones."""
        self._checks.append(check)

    def mark(self) -> int:
        """Where the journal ends now, for restore()."""
        return len(self._resources)

    def restore(self, since: Optional[int] = None) -> List[str]:
        """Put back everything, or what was remembered since a mark; a sentence for each thing that could not be.

        First what a boot reads, then what decides about devices, then devices; what only a boot loader reads comes last.
        """
        chosen = self._resources[since or 0:]
        with signals.masked():
            all_files = [resource for resource in chosen if isinstance(resource, File)]
            problems = [problem for file in all_files for problem in self._problems(file, file.prepare)]
            # What is known of a PF's number tells of its VFs and their probing, too, as they were before that.
            remade = {resource.address for resource in chosen if isinstance(resource, Vfs)}
            last_first = [resource for resource in reversed(chosen) if not _is_told_by(resource, remade)]
            self._restored = {_key(resource) for resource in chosen if _is_told_by(resource, remade)}
            # Only its driver can give a PF the VFs that it had, so that comes before them.
            makers = {resource.address for resource in chosen if isinstance(resource, Vfs) and resource.vfs}
            order = sorted(last_first, key=lambda one: Vfs.rank - 0.5 if isinstance(one, Binding) and one.address in makers else one.rank)
            files = [resource for resource in order if isinstance(resource, File) and not resource.is_last]
            for file in files:
                problems += self._problems(file, file.restore)
            if any(file.path.endswith(".rules") for file in all_files):
                problems += tried(reload_rules, self._edges.fs)
            # Files but the last ones have the lowest rank.
            for resource in order[len(files):]:
                problems += self._problems(resource, resource.restore)
            if since is None:
                for check in self._checks:
                    problems += check(problems)
        if not problems and since is not None:
            self._known -= {_key(resource) for resource in chosen}
            del self._resources[since:]
            self._write()
        return problems

    def _problems(self, resource: Resource, call: Callable[[Edges], None]) -> List[str]:
        """A sentence for each error of ``call``, which restores the resource, with the name of its device."""
        what = resource.what
        if isinstance(resource, (Autoprobe, Binding, Vfs)) and resource.address in self.names:
            what = what.replace(resource.address, f"{resource.address} ({self.names[resource.address]})", 1)
        messages = tried(call, self._edges)
        (self._restored.discard if messages else self._restored.add)(_key(resource))
        return [f"{what}: {message}" for message in messages]

    def drop_restored(self) -> List[str]:
        """Forget what restore() has restored. The rest is kept for the next run, which a sentence says. Raises ApplyError."""
        # Of what is stuck there are notes, by which the next run goes: it would only wait once more.
        stuck = self._edges.fs.stuck_writes()
        self._resources = [
            resource for resource in self._resources if _key(resource) not in self._restored and getattr(resource, "address", None) not in stuck
        ]
        if not self._resources:
            self.drop()
            return []
        self._is_rest = True
        self._write()
        return ["the next run tries once more to put that back"]

    def drop(self) -> None:
        """Forget everything: the run has ended well, or all is restored. Raises ApplyError."""
        files = self._edges.files
        files.put(self._path, None)
        # From here on nothing can be put back any more, so nothing may fail: a directory that stays is in nobody's way.
        for directory in (files.journal, os.path.dirname(files.journal)):
            tried(files.drop_directory, directory)
        self._resources, self._known, self._checks = [], set(), []

    def load(self) -> bool:
        """Have what another run has left; whether there is such a thing. Raises PlanError where this version cannot read it, or where
        somebody else can have written it.
        """
        self._edges.files.check_own(self._edges.files.journal)
        text = self._edges.files.read(self._path)
        if text is None:
            return False
        try:
            record = versions.parsed(text, self._path, known=VERSION)
            task, begun = words(record["task"]), words(record["time"])
            self._resources = [_resource(kind, fields) for kind, fields in record["resources"]]
            self._is_rest = bool(record.get("is_rest"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(
                f"{self._path}, by which a run that was cut off can be taken back, cannot be read ({type(error).__name__}: {error}): "
                "remove it, which gives up what it could take back, and run again"
            ) from error
        self._task, self._begun = task, begun
        self._known = {_key(resource) for resource in self._resources}
        return True

    def _write(self) -> None:
        files = self._edges.files
        files.own(files.journal)
        # Fields are what JSON can hold, so nothing of them has to be copied.
        rows = [[type(resource).__name__, vars(resource)] for resource in self._resources]
        record = {"v": VERSION, "task": self._task, "time": self._begun, "is_rest": self._is_rest, "resources": rows}
        files.put(self._path, json.dumps(record), mode=0o600)


def _resource(kind: str, fields: Dict[str, Any]) -> Resource:
    """A resource as it was written. Raises KeyError, TypeError, ValueError for what is none."""
    cls = _BY_KIND[kind]
    types = get_type_hints(cls)
    values: Dict[str, Any] = {}
    for name, value in fields.items():
        try:
            values[name] = _as_declared(value, types[name])
        except ValueError:
            raise ValueError(f"{name} of {kind} is {str(value)[:40]!r}") from None
    return cls(**values)


def _as_declared(value: Any, hint: Any) -> Any:
    """A value of JSON as the type that a resource's field is declared with. Raises ValueError where it has another one."""
    if hint is Any:
        return value
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Union:  # of None and one other type
        return None if value is None else _as_declared(value, inner[0])
    if kind is list and isinstance(value, list):
        return [_as_declared(item, inner[0]) for item in value]
    if kind is tuple and isinstance(value, list) and len(value) == len(inner):
        return tuple(_as_declared(item, type_) for item, type_ in zip(value, inner))
    if kind is dict and isinstance(value, dict):
        return {key: _as_declared(item, inner[1]) for key, item in value.items()}
    if kind is not None or not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError
    return value


def _is_told_by(resource: Resource, remade: Set[str]) -> bool:
    """Whether the number of VFs of a PF that is ``remade`` restores this, too."""
    return (isinstance(resource, Binding) and resource.physfn in remade) or (isinstance(resource, Autoprobe) and resource.address in remade)


def _key(resource: Resource) -> _Key:
    """What a resource is of: its kind, and its path, address, module or commands, which is its first field."""
    return type(resource).__name__, str(next(iter(vars(resource).values())))


class CutOff(NamedTuple):
    """A run that was killed, or that could not put everything back (``is_rest``): which and when, and why what it had changed is not all
    put back: sentences.
    """

    task: str
    begun: str
    problems: List[str]
    is_rest: bool

    def sentence(self, is_check: bool, became: str = "was cut off before its end") -> str:
        """For the user. ``became``: what became of the run, where it was killed."""
        what = f"the run by {self.task} that began at {self.begun} {'could not put everything back' if self.is_rest else became}"
        if is_check:
            return f"{what}: the next run puts back what {'is left' if self.is_rest else 'it changed'}, and plans then"
        return f"{what}: {'; '.join(self.problems) or ('the rest' if self.is_rest else 'what it had changed') + ' was put back as it was'}"


def recover(fs: Sysfs, files: Files, *, is_check: bool = False) -> Optional[CutOff]:
    """Restore what a run has left that was killed, or that could not put everything back, before anything is planned; None where none
    has. ``is_check``: only look. Raises PlanError.

    What cannot be restored is told, and forgotten: the plan goes on from what is.
    """
    journal = Journal(fs, files)
    if not journal.load():
        return None
    if is_check:
        return CutOff(journal.task, journal.begun, [], journal.is_rest)
    problems = journal.restore()
    journal.drop()
    if not problems:
        # Copies of images are large, and the process that would remove these is gone. While one may still be needed, all stay.
        from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
        problems = [f"all was put back, and copies of images stay: {problem}" for problem in tried(ImageFiles(files.root).drop_spools)]
    return CutOff(journal.task, journal.begun, problems, journal.is_rest)


__all__ = ("CutOff", "Journal", "VERSION", "recover")
