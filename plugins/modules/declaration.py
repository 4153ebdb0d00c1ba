#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This has its documentation only: the action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: declaration
short_description: Check the variables of the role vfio.host.passthrough
version_added: 0.1.0
description:
  - A task of the role P(vfio.host.passthrough#role), of no use elsewhere. It fails, with every problem at once, where a variable is
    called nearly as one of the role's or begins with C(passthrough_) and is none of them, where a value is not what the role's argument
    specs ask for, and where devices or virtual functions are declared as no host could have them.
  - Runs on the controller alone, so a typo is found before any host is asked.
author:
  - vfio.host authors (@vfio-host)
options:
  entry_point:
    description: The entry point of the role.
    type: str
    choices: [main, verify, release]
    required: true
attributes:
  check_mode:
    description: Can run in C(check_mode); it changes nothing.
    support: full
  diff_mode:
    description: Has no difference to show.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Check what is declared, on the controller
  vfio.host.declaration:
    entry_point: main
"""

RETURN = r"""
run:
  description: A name of this run of the role.
  returned: success
  type: str
  sample: 0b1f3b86-8ab3-4b8c-9c6c-0a5c6a0f3b4e
"""
