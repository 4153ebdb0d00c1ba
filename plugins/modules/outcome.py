#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This has its documentation only: the action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: outcome
short_description: Print what a run of vfio.host.passthrough changes, or has changed
version_added: 0.1.0
description:
  - Prints one line for each change and for each thing that waits for a reboot. A line has a sign (C(+), C(-) or C(~)), the name of the thing, and its
    state before and after. The last line has the sum. Where nothing changes, one line says so. C(-v) also lists what is as declared.
  - Lines fit the terminal, or have up to 79 columns where the output is no terminal. Prints with every callback plugin. Where the callback writes
    JSON, the lines go to standard error.
  - Runs on the controller alone.
author:
  - vfio.host authors (@vfio-host)
options:
  result:
    description: What M(vfio.host.passthrough) returned.
    type: dict
    required: true
  earlier:
    description: What M(vfio.host.passthrough) returned earlier in the same run, such as before a reboot.
    type: dict
  verify:
    description:
      - Whether to fail where anything would change or waits for a reboot, where the host has something that nothing declares
        (RV(vfio.host.passthrough#module:undeclared)), or where something runs with another limit of locked memory than what is declared
        (RV(vfio.host.passthrough#module:restart)). The message names what differs.
    type: bool
    default: false
  release:
    description: Whether the run was asked to give back. Where it found nothing, the line says that, and not that nothing is declared.
    type: bool
    default: false
  only_changes:
    description: Whether to print nothing where nothing changes. M(vfio.host.summary) counts such hosts. With C(-v), they are printed all the same.
    type: bool
    default: false
  hint:
    description: A text to add to the line that says that a reboot is required.
    type: str
attributes:
  check_mode:
    description: Can run in C(check_mode). Then it prints a plan.
    support: full
  diff_mode:
    description: Has no difference of its own.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: vfio.host.passthrough
"""

EXAMPLES = r"""
- name: Make the host as declared
  vfio.host.passthrough:
    devices: "{{ guests }}"
  register: made

- name: Show the outcome
  vfio.host.outcome:
    result: "{{ made }}"
"""

RETURN = r"""
lines:
  description: What was printed.
  returned: success
  type: list
  elements: str
  sample: ["node1  as declared: 3 devices"]
"""
