# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Globs of users and of configuration files. Pure."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import Callable


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Callable[[str], object]:
    """A function from a text to whether it fits a glob, upper and lower case apart: its answer is true or not."""
    try:
        return re.compile(fnmatch.translate(pattern)).match
    except re.error:  # a range in which nothing can be, '[z-a]', before Python 3.10
        return lambda dummy: None


def fits(text: str, pattern: str) -> bool:
    """Whether a text fits a glob."""
    return compiled(pattern)(text) is not None


__all__ = ("compiled", "fits")
