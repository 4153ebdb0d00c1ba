#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This has its documentation only: the action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: summary
short_description: Print what became of the hosts of a play, in a few lines
version_added: 0.1.0
description:
  - Counts the hosts of the play that are as declared, changed, waiting for a reboot, refused, failed, and unreachable. Names the hosts that need
    attention, grouped by what they have in common.
  - The playbooks C(vfio.host.converge), C(vfio.host.verify), C(vfio.host.survey) and C(vfio.host.release) use this module as their last task. In a
    play of your own, put it in an C(always) section, with C(run_once).
  - Reads what the role has registered for each host of the play, also for hosts that failed or were not reached.
  - In a play of several batches (C(serial)), it prints the sum after each batch, since the play may stop there. Hosts of later batches are
    counted as not asked.
  - Prints nothing for a single host. Where no host of a batch was reached, Ansible ends the play before this task.
  - Runs on the controller alone. Prints with every callback plugin. Where the callback writes JSON, the lines go to standard error.
author:
  - vfio.host authors (@vfio-host)
options:
  of:
    description: What the tasks before this one did, by the name of the playbook that does it.
    type: str
    choices: [converge, verify, survey, release]
    required: true
  max_fail_percentage:
    description:
      - The percentage of the hosts of a batch that may fail, be refused or not be reached. Where it is more, and there are hosts that were not
        asked yet, this task fails and ends the play.
      - The keyword C(max_fail_percentage) of a play does not do that, since it does not count a host that failed in a block with an C(always)
        section.
      - To count each batch by itself, register the task as C(passthrough_sum).
    type: float
    default: 100
attributes:
  check_mode:
    description: Can run in C(check_mode). Then it says what would change.
    support: full
  diff_mode:
    description: Has no difference of its own.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: vfio.host.outcome
  - module: vfio.host.report
"""

EXAMPLES = r"""
- name: Make the hosts as declared, and say what became of them
  block:
    - name: Make the host as declared
      ansible.builtin.import_role:
        name: vfio.host.passthrough
  always:
    - name: Print the outcome of all hosts
      vfio.host.summary:
        of: converge
      run_once: true
"""

RETURN = r"""
hosts:
  description:
    - States to the number of hosts in each, V(declared), V(changed), V(waiting), V(refused), V(failed), V(unreachable), V(nothing) (nothing
      is declared) and V(missed) (not asked yet).
  returned: success
  type: dict
  sample: {declared: 37, refused: 2, unreachable: 1}
asked:
  description: How many hosts of the play were asked so far.
  returned: success
  type: int
play:
  description: A name of the play, by which a later batch knows this result.
  returned: success
  type: str
lines:
  description: What was printed.
  returned: when the play has several hosts
  type: list
  elements: str
  sample: ["40 hosts: 37 as declared, 2 refused, 1 unreachable"]
"""
