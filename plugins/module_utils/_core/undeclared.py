# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a task does about what is on the host by this collection and is not declared: the option's values, and words for users. Pure."""

from __future__ import annotations

# REPORT: leave it, and say so. RELEASE: give it back. IGNORE: it is somebody else's. A request with None in their place declares
# only a part of the host by its nature.
REPORT, RELEASE, IGNORE = "report", "release", "ignore"
CHOICES = (REPORT, RELEASE, IGNORE)
# Where what is not declared is nobody's any more, and may change its owner.
MOVES = (REPORT, RELEASE)


def remedy(where: str) -> str:
    """What a user does about it; ``where`` it would be declared."""
    return (
        f"declare it ({where}), or release it with undeclared: release (in the role passthrough_undeclared: release), which gives back all "
        "that nobody declares"
    )


__all__ = ("CHOICES", "IGNORE", "MOVES", "RELEASE", "REPORT", "remedy")
