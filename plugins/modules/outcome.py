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
  - Prints a line for each thing that changes or waits for a reboot, with a sign (C(+), C(-) or C(~)), what it is, and its state before
    and after; then one sum. Where nothing changes, one line says so. C(-v) lists what is as declared, too.
  - The lines fit the terminal, or 79 columns where the output goes elsewhere. They are printed in every callback; where that writes
    JSON, they go to standard error.
  - Runs on the controller alone.
author:
  - vfio.host authors (@vfio-host)
options:
  result:
    description: What M(vfio.host.passthrough) returned.
    type: dict
    required: true
  earlier:
    description: What it returned before, in the same run, such as before a reboot.
    type: dict
  verify:
    description:
      - Whether to fail, with the names of what differs, where anything would change or waits for a reboot, or where the host has what
        nothing declares (RV(vfio.host.passthrough#module:undeclared)).
    type: bool
    default: false
  hint:
    description: What to add to the line that says that a reboot is required.
    type: str
attributes:
  check_mode:
    description: Can run in C(check_mode); then it prints a plan.
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

- name: Show what became of it
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
