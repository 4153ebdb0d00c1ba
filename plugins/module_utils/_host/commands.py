# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Starts a program where there is no module of Ansible's that could: in what a host's timer runs."""

from __future__ import annotations

import subprocess
from typing import List, Tuple


def run(words: List[str]) -> Tuple[int, str, str]:
    """Start a command: (exit status, stdout, stderr)."""
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        return 127, "", str(error)
    with process:
        output, complaint = process.communicate()
    return process.returncode, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")


__all__ = ("run",)
