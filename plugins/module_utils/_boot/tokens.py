# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What kernel-install puts before a kernel's version in the names that it gives to directories, entries and images.

Without a file that names it, it is the first of these that there is a directory of, or the first (source: man 8 kernel-install,
--entry-token=auto).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, List, Optional

if TYPE_CHECKING:
    from typing import Callable

    from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths

    # From a path to the text of its file; None: there is none.
    Read = Callable[[str], Optional[str]]

_OS_IDS = re.compile(r"""^(?:IMAGE_ID|ID)=["']?([\w.-]+)""", re.MULTILINE)
_TOKEN = re.compile(r"[\w.-]+\Z")


def named_token(read: Read, paths: BootPaths) -> Optional[str]:
    """The one that a file names; None where none does."""
    texts = (read(f"{place}/entry-token") for place in paths.install_places)
    return next((text.strip() for text in texts if text and _TOKEN.match(text.strip())), None)


def usual_tokens(read: Read, paths: BootPaths) -> List[str]:
    """Those that it may be where no file names one."""
    release = next((text for text in map(read, paths.os_release) if text is not None), "")
    tokens = [(read(paths.machine_id) or "").strip(), *_OS_IDS.findall(release), "Default"]
    return [token for token in dict.fromkeys(tokens) if _TOKEN.match(token)]


__all__ = ("named_token", "usual_tokens")
