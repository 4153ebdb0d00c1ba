# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vlab, as `python3 -m virtlab`."""

from __future__ import annotations

import sys

try:
    from .cli import main
except ModuleNotFoundError as error:
    if error.name != "yaml":
        raise
    sys.exit("vlab: error: PyYAML is missing: install python3-yaml, or set PYTHON to an interpreter that has it")

sys.exit(main())
