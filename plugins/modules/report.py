#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This has its documentation only: the action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write what the hosts of a play are like, and what a converge would change, as one HTML file
version_added: 0.1.0
description:
  - The playbook C(vfio.host.report) uses this module as its last task. It has no use elsewhere.
  - The tasks before it read the hosts, and register C(passthrough_survey), C(passthrough_checked) and C(passthrough_result). The report has all
    hosts of the play, also those that were refused, failed or were not reached.
  - The file needs no network. It contains no date or time, so it changes only where a host has changed.
  - Prints how many hosts are in which state, and the path of the report. Runs on the controller alone, and needs C(run_once).
author:
  - vfio.host authors (@vfio-host)
options:
  path:
    description:
      - The file on the controller. A relative path begins where C(ansible-playbook) was started. The directory has to be there.
      - A file that this module did not write is left as it is, and the task fails.
    type: path
    required: true
  write:
    description: With V(false), the module only checks whether the file can be written. The playbook does so before it reads the hosts.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in C(check_mode). Then the file is not written.
    support: full
  diff_mode:
    description: Has no difference of its own.
    support: none
  platform:
    description: Runs on the controller.
    support: full
    platforms: posix
seealso:
  - module: vfio.host.survey
"""

EXAMPLES = r"""
- name: Write the report
  vfio.host.report:
    path: report.html
  run_once: true
"""

RETURN = r"""
path:
  description: The absolute path of the file.
  returned: success
  type: str
hosts:
  description: How many hosts the report has.
  returned: when O(write=true)
  type: int
"""
