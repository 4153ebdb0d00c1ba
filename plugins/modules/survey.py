#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This has its documentation only: the action plugin of the same name does the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: survey
short_description: Show which PCI devices VFIO could take, and write a draft of variables
version_added: 0.1.0
description:
  - Reads the facts as M(vfio.host.pci_facts) does, and prints them. Lines fit the terminal, or have up to 79 columns where the output is no terminal.
  - Prints with every callback plugin. Where the callback writes JSON, the lines go to standard error.
  - Lists devices that are free, that are taken, that the host needs, and that VFIO cannot take, with the reason. Bridges and other devices of the
    chipset are only counted. C(-v) lists them. Addresses, ids and names are printed in the form that a C(match) takes.
  - Names the policies on the host that the variable C(passthrough_devices) does not, unless C(passthrough_undeclared) is V(ignore).
  - Changes nothing on the host.
author:
  - vfio.host authors (@vfio-host)
options:
  draft:
    description:
      - A file on the controller for a draft of the host's variables. Each free device is an entry of a policy, in comments. So the draft declares
        nothing until it is edited.
      - A relative path begins at the directory where C(ansible-playbook) was started. Missing directories are created.
      - The task fails, and leaves the file alone, where the file is not from this module, was edited, or is the draft of another host.
    type: path
  record:
    description:
      - Print nothing, and return RV(record) in place of the facts. The playbook C(vfio.host.report) asks for it, since the facts of
        hundreds of hosts are more than a controller should hold.
      - Not together with O(draft).
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in C(check_mode). Then the draft is not written.
    support: full
  diff_mode:
    description: Shows the draft before and after.
    support: full
  platform:
    description: Target operating systems that it can run on.
    support: full
    platforms: linux
seealso:
  - module: vfio.host.pci_facts
"""

EXAMPLES = r"""
- name: See what is there
  vfio.host.survey:

- name: The same, with a draft beside the inventory
  vfio.host.survey:
    draft: inventory/host_vars/{{ inventory_hostname }}.yml
"""

RETURN = r"""
ansible_facts:
  description: The facts of M(vfio.host.pci_facts).
  returned: success, unless O(record=true)
  type: dict
lines:
  description: What was printed.
  returned: success, unless O(record=true)
  type: list
  elements: str
  sample: ["node1  x86, kernel 6.12.107+deb13-amd64, IOMMU on"]
draft:
  description: The draft's path on the controller.
  returned: when O(draft) is named
  type: str
record:
  description: What the report shows of the host, as JSON. Its form is the collection's own, and may change.
  returned: when O(record=true)
  type: str
"""
