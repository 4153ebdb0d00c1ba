# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay the checkout out where ansible-test and FQCNs want it, and print the collection's path.

ansible-test and the collection loader accept a collection only at a real path that ends in
``ansible_collections/vfio/host``. This copies what git tracks, or would track, to such a path
in the cache, writes only what differs, and deletes what is no longer there.

Usage: python3 tests/tools/stage.py [DIRECTORY]   (the parent of ansible_collections)
"""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

# What tools keep beside the files: left alone, or a run could lose its own output half-way.
KEPT = {
    ".ansible",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
}
KEPT_PATHS = {"tests/output"}


def default_directory() -> Path:
    """One stage a checkout, so that two checkouts do not overwrite each other's."""
    cache = os.environ.get("VFIO_HOST_CACHE") or Path.home() / ".cache" / "vfio.host"
    key = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
    return Path(cache).resolve() / "stage" / key


def wanted_files() -> set[str]:
    """Name the tracked and the not ignored files, less those deleted in the work tree."""
    listing = subprocess.run(
        # Root may check what another user cloned.
        ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return {name for name in listing.split("\0") if name and os.path.lexists(CHECKOUT / name)}


def same(source: Path, target: Path) -> bool:
    """Compare type, mode and content."""
    if source.is_symlink() or target.is_symlink():
        return source.is_symlink() and target.is_symlink() and os.readlink(source) == os.readlink(target)
    return (
        target.is_file()
        and (source.stat().st_mode & 0o777) == (target.stat().st_mode & 0o777)
        and filecmp.cmp(source, target, shallow=False)
    )


def copy(source: Path, target: Path) -> None:
    """Put one file in place in one step: a reader sees the old one or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    shutil.copy2(source, fresh, follow_symlinks=False)
    fresh.replace(target)


def prune(root: Path, wanted: set[str]) -> None:
    """Delete files that are not wanted, then directories that became empty."""
    visited = []
    for folder, folders, files in os.walk(root):
        visited.append(Path(folder))
        inside = Path(folder).relative_to(root)
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [
            name
            for name in folders
            if name not in KEPT and name not in linked and (inside / name).as_posix() not in KEPT_PATHS
        ]
        for name in files + linked:
            if (inside / name).as_posix() not in wanted:
                (Path(folder) / name).unlink()
    for folder_path in reversed(visited):
        # Python's caches alone do not keep a directory.
        if set(os.listdir(folder_path)) <= {"__pycache__"} and folder_path != root:
            shutil.rmtree(folder_path)


def main() -> int:
    """Stage and print where."""
    parent = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default_directory()
    root = parent / "ansible_collections" / "vfio" / "host"
    root.mkdir(parents=True, exist_ok=True)
    with open(parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = wanted_files()
        prune(root, wanted)
        for name in sorted(wanted):
            if not same(CHECKOUT / name, root / name):
                copy(CHECKOUT / name, root / name)
    print(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
