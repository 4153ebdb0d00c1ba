# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""A file of the controller, replaced in one step."""

from __future__ import annotations

import os
import tempfile


def put(path: str, content: str) -> None:
    """Have ``content`` at ``path``, with the rights of a new file; whoever reads it has the old one or the new one. Raises OSError."""
    mask = os.umask(0)
    os.umask(mask)
    number, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".vfio-host-")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(content)
        os.chmod(fresh, 0o666 & ~mask)
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def probe(path: str) -> None:
    """Raise OSError where no file could be made beside ``path``, whatever its directory's mode says. Leaves nothing."""
    number, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".vfio-host-")
    os.close(number)
    os.unlink(fresh)


__all__ = ("probe", "put")
