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
  - The role P(vfio.host.passthrough#role) uses this module. It has no use elsewhere.
  - Fails where a variable has nearly the name of one of the role's variables, and where a variable begins with C(passthrough_) and is none of them.
  - Fails where a value does not fit the role's argument specs, and where no host could meet what is declared of devices or virtual functions.
  - Reports all problems at once. Runs only on the controller, so a typo is found before any host is contacted.
author:
  - vfio.host authors (@vfio-host)
options:
  entry_point:
    description: The entry point of the role.
    type: str
    choices: [main, verify, plan, release]
    required: true
attributes:
  check_mode:
    description: Can run in C(check_mode), since it changes nothing.
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
  description: An identifier of this run of the role.
  returned: success
  type: str
  sample: 0b1f3b86-8ab3-4b8c-9c6c-0a5c6a0f3b4e
"""
