# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules of this collection say of themselves in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes shared by the modules' documentation."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), in C(diff) mode.
    support: full
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
"""

    FACTS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode), since it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show a difference of.
    support: N/A
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
  facts:
    description: Action returns an C(ansible_facts) dictionary that updates host facts.
    support: full
"""

    ACTIONGROUP_VFIO = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/vfio.host.vfio) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - vfio.host.vfio
"""
