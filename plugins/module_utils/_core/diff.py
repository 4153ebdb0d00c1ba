# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What Ansible shows of a change: a list of pieces, each with a header and the text before and after. Pure."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional


def piece(header: str, *, before: str, after: str) -> Dict[str, str]:
    """One piece, of a file by its path or of anything else by a name."""
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def of_files(before: Mapping[str, Optional[str]], after: Mapping[str, Optional[str]]) -> List[Dict[str, str]]:
    """A piece for each file of ``after``: path -> text, None where there is no file."""
    return [piece(path, before=before.get(path) or "", after=text or "") for path, text in after.items()]


__all__ = ("of_files", "piece")
