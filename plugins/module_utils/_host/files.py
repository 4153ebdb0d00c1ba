# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Writer of configuration files: a file is the old one or the new one, at any moment and after a power cut."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.disk import (
    LABEL,
    absent_above,
    copy_attributes,
    kind,
    move,
    real,
    sync_directory,
    this_boot,
)
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError, errno_text
from ansible_collections.vfio.host.plugins.module_utils._host.foreignpaths import OUR_MODULES_LOAD

_UNFINISHED = ".vfio-host-tmp-"
_NOT_OURS = "{} is not a directory that only root can write to: remove it, and run again"


class FileState(NamedTuple):
    """A file as it is, by which it can be restored: text (None: absent), mode, (uid, gid), SELinux label; whether its directory is
    there; where a link at its place points, as written in it (None: it is no link), of which all before is the target's; how many
    directories above its own are not there either.
    """

    text: Optional[str]
    mode: int
    owner: Optional[Tuple[int, int]]
    label: Optional[str]
    has_directory: bool
    link: Optional[str] = None
    absent_above: int = 0


class _LeftBehind(OSError):
    """A write that broke off with ``error``, and whose ``temporary`` file stays, since removing it ended with ``second``."""

    def __init__(self, error: OSError, temporary: str, second: OSError) -> None:
        super().__init__(error.errno, os.strerror(error.errno or errno.EIO))
        self.stays = f"{temporary} cannot be removed: {errno_text(second.errno)}"


class Files:
    """The configuration files that this collection owns, below ``root``."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        self.boot_rules = self.root + "/etc/udev/rules.d"
        self.volatile_rules = self.root + "/run/udev/rules.d"
        self.modprobe_conf = self.root + "/etc/modprobe.d/vfio-host.conf"
        self.modules_load_conf = self.root + OUR_MODULES_LOAD
        self.units = self.root + "/etc/systemd/system"
        self.volatile_units = self.root + "/run/systemd/system"
        self.limits = self.root + "/etc/security/limits.d/90-vfio-host.conf"
        self.lock = self.root + "/run/vfio-host.lock"
        self.journal = self.root + "/run/vfio-host/journal"
        self.module_options = self.root + "/run/vfio-host/module-options"

    def names(self, directory: str) -> List[str]:
        """The names in a directory, sorted; [] where it is absent. Raises PlanError where it is there and cannot be read."""
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PlanError(f"{directory} cannot be read: {errno_text(error.errno)}") from error

    def read(self, path: str) -> Optional[str]:
        """The text of a file; None where it is absent. Raises PlanError where it is there and cannot be read, or is no file."""
        try:
            # With its line ends as they are: what is put back is the same to the byte.
            with open(path, encoding="utf-8", errors="surrogateescape", newline="", opener=_at_once) as stream:
                if _is_file(os.fstat(stream.fileno())):
                    return stream.read()
            raise PlanError(f"{path} is no file: remove it, or have a file there, then run again")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {errno_text(error.errno)}") from error

    def is_read_only(self, path: str) -> bool:
        """Whether a file's place, or that of the next directory above it that there is, is on a file system that is mounted read-only."""
        while path not in ("", "/"):
            try:
                return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
            except (FileNotFoundError, NotADirectoryError):
                path = os.path.dirname(path)
            except OSError:
                return False  # writing says what it is
        return False

    def is_executable(self, path: str) -> bool:
        """Whether a file is there and can be run."""
        return os.access(path, os.X_OK)

    def state(self, path: str) -> FileState:
        """The file as it is. Raises PlanError where it is there and cannot be read."""
        text = self.read(path)
        try:
            link = os.readlink(path) if stat.S_ISLNK(kind(path)) else None
            if text is None:
                above = absent_above(os.path.dirname(path))
                return FileState(None, 0o644, None, None, above is None, link, above or 0)
            status = os.stat(path)
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {errno_text(error.errno)}") from error
        label: Optional[str] = None
        with suppress(OSError):
            label = os.getxattr(path, LABEL).decode("ascii", "surrogateescape")
        return FileState(text, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), label, True, link)

    def put(
        self, path: str, text: Optional[str], *, mode: int = 0o644, owner: Optional[Tuple[int, int]] = None, label: Optional[str] = None,
    ) -> None:
        """Make ``path`` hold ``text``, in one step and on disk; where that is None, remove it.

        ``owner``: (uid, gid), root's where it is None. ``label``: of SELinux; where it is None, the old file's stays. So do its access list
        and the user's attributes. Raises ApplyError.
        """
        signals.check()
        try:
            if text is None:
                self._remove(path)
            else:
                self._replace(path, text, mode, owner, label)
        except OSError as error:
            raise ApplyError(*_sentences(f"{path} cannot be written", error)) from error

    def rewrite(self, path: str, text: str) -> None:
        """put() for a file of somebody else's: what it leads to where it is a link, with mode, owner and label as they were. Raises
        ApplyError, PlanError.
        """
        state = self.state(path)
        try:
            place = path if state.text is None else real(path)
        except OSError as error:
            raise ApplyError(f"{path} cannot be written: {errno_text(error.errno)}") from error
        self.put(place, text, mode=state.mode, owner=state.owner)

    def put_link(self, path: str, target: str) -> None:
        """Make ``path`` a symbolic link to ``target``, in one step and on disk. Raises ApplyError."""
        directory = os.path.dirname(path)
        try:
            _have_directory(directory)
            with self._unfinished(directory) as (handle, temporary):
                os.close(handle)
                os.unlink(temporary)
                os.symlink(target, temporary)  # never in the place of anything
                os.rename(temporary, path)
                sync_directory(directory)
        except OSError as error:
            raise ApplyError(*_sentences(f"{path} cannot be made a link", error)) from error

    def own(self, directory: str) -> None:
        """Make sure of a directory below /run that nobody else can write to, nor to its parent, since what is in it will be run. Raises
        ApplyError.
        """
        for path in (os.path.dirname(directory), directory):
            try:
                _have_directory(path)
                status = os.lstat(path)
            except OSError as error:
                raise ApplyError(f"{path} cannot be made: {errno_text(error.errno)}") from error
            if not _is_ours_alone(status):
                raise ApplyError(_NOT_OURS.format(path))

    def check_own(self, directory: str) -> None:
        """Raise PlanError where ``directory``, or its parent, is there and is none that own() takes: what is in it may be anybody's."""
        for path in (os.path.dirname(directory), directory):
            try:
                status = os.lstat(path)
                if not stat.S_ISDIR(os.stat(path).st_mode):
                    return  # nothing is in it
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError as error:
                raise PlanError(f"{path} cannot be read: {errno_text(error.errno)}") from error
            if not _is_ours_alone(status):
                raise PlanError(_NOT_OURS.format(path))

    def drop_directory(self, directory: str) -> None:
        """Remove a directory if nothing is in it. Raises ApplyError."""
        try:
            os.rmdir(directory)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise ApplyError(f"{directory} cannot be removed: {errno_text(error.errno)}") from error

    def drop_tree(self, directory: str) -> None:
        """Remove a directory of ours with all that is in it, if it is there. Raises ApplyError; PlanError where it cannot be listed."""
        for name in self.names(directory):
            path = f"{directory}/{name}"
            try:
                is_directory = stat.S_ISDIR(kind(path))
            except OSError as error:
                raise ApplyError(f"{path} cannot be removed: {errno_text(error.errno)}") from error
            if is_directory:
                self.drop_tree(path)
            else:
                self.put(path, None)
        self.drop_directory(directory)

    def swap(self, source: str, path: str) -> None:
        """Rename ``source``, which a tool has written, to ``path``; the old file's owner, mode and attributes stay. Where ``source`` is
        absent, the tool has written ``path`` itself, and that is synced. Raises ApplyError.
        """
        try:
            path = real(path)
            made = source if kind(source) else path
            handle = os.open(made, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if made != path:
                    _make_like(path, handle)
                os.fsync(handle)
            finally:
                os.close(handle)
            if made == path:
                sync_directory(os.path.dirname(path))
            else:
                move(made, path)
        except OSError as error:
            raise ApplyError(f"{path} cannot be written: {errno_text(error.errno)}") from error

    def _replace(self, path: str, text: str, mode: int, owner: Optional[Tuple[int, int]], label: Optional[str]) -> None:
        directory = os.path.dirname(path)
        _have_directory(directory)
        # rename replaces a link instead of following it.
        with self._unfinished(directory) as (handle, temporary):
            try:
                data = text.encode("utf-8", "surrogateescape")
                while data:
                    data = data[os.write(handle, data):]
                if owner is not None and owner != (os.geteuid(), os.getegid()):
                    os.fchown(handle, *owner)
                copy_attributes(path, handle, has_label=label is None)
                os.fchmod(handle, mode)
                if label is not None:
                    os.setxattr(handle, LABEL, label.encode("ascii", "surrogateescape"))
                os.fsync(handle)
            finally:
                os.close(handle)
            move(temporary, path)
        self.tidy(directory)

    @contextmanager
    def _unfinished(self, directory: str) -> Iterator[Tuple[int, str]]:
        """A new file of a name that nobody else has, (its descriptor, its path), which goes where the context ends early. Raises
        OSError.
        """
        temporary = f"{directory}/{_UNFINISHED}{this_boot(self.root)}{os.urandom(6).hex()}"
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            yield handle, temporary
        except BaseException as error:
            try:
                os.unlink(temporary)
            except FileNotFoundError:
                pass
            except OSError as second:
                if isinstance(error, OSError):
                    raise _LeftBehind(error, temporary, second) from error
            raise

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        self.tidy(os.path.dirname(path))
        sync_directory(os.path.dirname(path))

    def tidy(self, directory: str, *, is_cut_off: bool = False) -> None:
        """Remove what runs that a power cut ended have left here, and with ``is_cut_off``, for a run that restores what another one was
        killed at, what that has left; else what is of this boot may be of a run that goes on.

        The file itself is in its place by then, so what cannot be removed, or not be listed, is left to the next run.
        """
        with suppress(OSError):
            names = [name for name in os.listdir(directory) if name.startswith(_UNFINISHED)]
            mine = _UNFINISHED + this_boot(self.root) if names and not is_cut_off else None
            for name in names:
                if mine is None or not name.startswith(mine):
                    with suppress(OSError):
                        os.unlink(f"{directory}/{name}")


def _have_directory(path: str) -> None:
    """Make a directory, with those above, where it is not there. Raises OSError."""
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o755, exist_ok=True)


def _sentences(what: str, error: OSError) -> List[str]:
    """What a write that broke off ends with, and what it had to leave."""
    return [f"{what}: {errno_text(error.errno)}"] + ([error.stays] if isinstance(error, _LeftBehind) else [])


def _at_once(path: str, flags: int) -> int:
    """As os.open(); of a FIFO it would wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_file(status: os.stat_result) -> bool:
    """Whether something has a text that ends: a file, or /dev/null, which masks one."""
    return stat.S_ISREG(status.st_mode) or (stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3))


def _is_ours_alone(status: os.stat_result) -> bool:
    """Whether this is a directory that nobody else can write to."""
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _make_like(path: str, handle: int) -> None:
    """Give an open file the owner, mode and attributes of ``path``, where that is there. Raises OSError."""
    with suppress(FileNotFoundError):
        old = os.stat(path)
        os.fchown(handle, old.st_uid, old.st_gid)
        copy_attributes(path, handle)
        os.fchmod(handle, stat.S_IMODE(old.st_mode))


__all__ = ("FileState", "Files")
