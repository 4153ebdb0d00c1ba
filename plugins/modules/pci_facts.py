#!/usr/bin/python
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pci_facts
short_description: Gather facts about PCI devices and VFIO
version_added: 0.1.0
description:
  - Reads every PCI function of the host, with its IOMMU group and its driver, the VFIO driver that the kernel's alias table names for it, the
    processes that have it open, and the reasons why the host itself may need it.
  - Changes nothing and loads nothing. Works on any Linux, with or without an IOMMU, a PCI bus or root rights. Without root rights, values that need
    them are V(null), with one warning.
  - Wakes no device. The serial number of a device that sleeps in D3cold is V(null).
  - Names a device that does not answer in a warning. The configuration space of such a device reads all ones. Its header type and revision are
    V(null).
  - C(holders) are the processes that have the device open through VFIO. They are found by device numbers. Only tasks that would unbind a device look
    for processes that have a node of its native driver open.
  - Warns of a device that is on a VFIO driver without an override. A C(new_id) or C(ids=) of somebody else took it. Where a configuration file has the
    C(ids=), the warning names the file.
author:
  - vfio.host authors (@vfio-host)
extends_documentation_fragment:
  - vfio.host.attributes.facts
options:
  match:
    description:
      - Return only the devices that one of these matches selects. An empty list means all.
      - A match is a mapping of device fields to wanted values. The notes of M(vfio.host.driver_override) list the fields and say how they are
        compared.
    type: list
    elements: dict
    default: []
  details:
    description:
      - Fields to read in addition. Each costs at least one read of a kernel file for each device. The fields that are not named here are V(null) in the
        result.
      - V(bars), V(link) and V(cpus) take microseconds. V(dependence) lists a directory.
      - V(vpd) is read from the card itself, four bytes at a time. That may take milliseconds, and some cards hang for a while. So it is read only for
        devices that O(match) selects.
      - V(vf_attributes) asks the kernel by netlink, once for each VF.
    type: list
    elements: str
    choices: [bars, link, cpus, dependence, vpd, vf_attributes]
    default: []
  owners:
    description:
      - Also return which policy has a device, and the state of the device from before, as the rules files of the policies say.
    type: bool
    default: false
seealso:
  - module: vfio.host.driver_override
  - plugin: vfio.host.pci_query
    plugin_type: filter
"""

EXAMPLES = r"""
- name: See what is there
  vfio.host.pci_facts:

- name: Only display controllers of one vendor
  vfio.host.pci_facts:
    match:
      - vendor: "10de"
        class: "0300"

- name: Addresses of all functions that VFIO could take
  ansible.builtin.debug:
    msg: "{{ ansible_facts.vfio_host.devices.values() | selectattr('vfio.bindable') | map(attribute='address') }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: success
  type: dict
  contains:
    vfio_host:
      description: What the host has.
      returned: success
      type: dict
      contains:
        platform:
          description: V(x86), V(s390), V(p9) (POWER, bare metal), V(arm64) or V(other).
          returned: success
          type: str
          sample: x86
        kernel:
          description: The running kernel's release.
          returned: success
          type: str
          sample: 6.12.107+deb13-amd64
        iommu:
          description:
            - Whether the IOMMU is on, and its groups. Numbers of groups change between boots.
          returned: success
          type: dict
          contains:
            enabled:
              description: Whether the kernel has IOMMU groups.
              returned: success
              type: bool
            groups:
              description: Group number to member addresses.
              returned: success
              type: dict
            interrupt_remapping:
              description:
                - Whether the interrupts of devices are checked, on x86 by the IOMMU, on arm64 by a GICv3 ITS. Where not, VFIO opens no device, unless
                  C(allow_unsafe_interrupts) of module C(vfio_iommu_type1) is set.
                - V(null) on other platforms, where this is no question, without an IOMMU, and where nothing tells.
              returned: success
              type: bool
          sample:
            enabled: true
            groups: {"11": ["0000:02:00.0"]}
            interrupt_remapping: true
        devices:
          description:
            - Address to device. Ids are lower-case hexadecimal without C(0x). A field that the host does not have is
              V(null) or empty, never missing.
            - C(path) is the PCI domain and bus of the host bridge, then slots and functions; of a VF its PF's, with its index. C(vf) is
              that index, V(null) for what is no VF. Of an interface, C(mac) is the permanent address where the kernel tells it, and
              C(address) the one in use.
            - "C(sriov) of a card that can have virtual functions is a mapping: C(total), C(num) and C(autoprobe)."
            - "C(zpci) of a function on s390 is a mapping of its C(uid), C(uid_is_unique), C(function_id), C(pchid), C(pft),
              C(pfgid), C(vfn) and C(port), as sysfs prints them."
            - "C(holders) are the processes that have a node of the device open: mappings of C(pid) and C(command). C(guards)
              are the reasons why the host needs it: mappings of C(kind), V(network), V(storage) or V(console), and C(reason); C(brief), the
              reason without the device's own address; C(interface) and what it C(carries), V(null) where it is no interface; and C(via),
              the VF or PF whose need it is, V(null) where it is the device's own."
            - "C(vfio) is the driver that VFIO would have for it: C(module); C(driver), V(null) while only loading the module
              tells its name; C(alias), the line of the kernel's table that says so; C(ties), other modules whose alias
              fits as well; C(bindable), and C(reason) where it is not."
            - C(reset_methods) are the kernel's ways to reset the device, in the order in which it tries them.
            - "C(vfio.node) is the node of its IOMMU group, and C(vfio.cdev) its own character device, while VFIO has it: mappings of C(path),
              C(owner), C(group) and C(mode). The last three are V(null) where nobody has made the node."
            - C(functions) are the addresses of the other functions of its slot, such as the audio function of a GPU. C(pf_net), of a VF, are the
              names of its PF's interfaces; V(null) of what is no VF.
            - "C(bars) are its resources: mappings of C(name) (C(bar0) to C(bar5), C(rom), and of a PF C(vf_bar0) to C(vf_bar5)), C(size) in bytes
              and C(flags). C(link) is that of PCI Express now and at most: C(speed), C(width), C(max_speed) and C(max_width); V(null)
              where the device sleeps in D3cold, since asking would wake it. C(cpus) are the CPUs of its NUMA node."
            - "C(dependence) is a mapping of C(consumers), the functions that need this one to have power, and C(suppliers), those that it needs.
              C(vpd) is what the card says of itself: C(name), C(part) and C(serial)."
            - "C(vf_attributes), of a VF, are what its PF's interface keeps of it: a mapping of C(mac), C(vlan), C(qos), C(vlan_protocol),
              C(spoofchk), C(trust), C(link_state), C(min_tx_rate), C(max_tx_rate), C(node_guid) and C(port_guid); one that the PF's driver
              does not tell is V(null)."
            - These six are V(null) unless O(details) names them.
          returned: success
          type: dict
          sample:
            "0000:02:00.0":
              address: "0000:02:00.0"
              vendor: "8086"
              device: "10d3"
              subsystem_vendor: "8086"
              subsystem_device: "0000"
              class: "020000"
              revision: "00"
              driver: e1000e
              driver_override: null
              modalias: pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00
              iommu_group: "11"
              numa_node: -1
              header_type: 0
              path: "0000:00/06.0-00.0"
              is_vf: false
              physfn: null
              vf: null
              sriov: null
              reset_methods: [flr, bus]
              boot_vga: false
              serial: 52-54-00-ff-ff-12-34-56
              net: [{name: enp2s0, mac: "52:54:00:12:34:56", address: "52:54:00:12:34:56"}]
              block: []
              zpci: null
              vendor_name: Intel Corporation
              device_name: 82574L Gigabit Network Connection
              vfio:
                module: vfio_pci
                driver: vfio-pci
                alias: "vfio_pci:v*d*sv*sd*bc*sc*i*"
                ties: []
                bindable: true
                reason: null
                node: {path: /dev/vfio/11, owner: root, group: root, mode: "0600"}
                cdev: null
              functions: []
              pf_net: null
              bars: [{name: bar0, size: 131072, flags: [memory]}, {name: bar2, size: 32, flags: [io]}]
              link: {speed: 2.5 GT/s PCIe, width: 1, max_speed: 2.5 GT/s PCIe, max_width: 1}
              cpus: 0-1
              dependence: {consumers: [], suppliers: []}
              vpd: null
              vf_attributes: null
              holders: []
              guards: []
        owners:
          description:
            - Address to what is known of a device that a policy has, as the policies' rules files say. C(policy) is its name.
              C(was) is a mapping of the device's C(driver), C(net) and C(serial) of before, V(null) where nobody had seen it.
          returned: when O(owners=true)
          type: dict
          sample:
            "0000:02:00.0":
              policy: guests
              was: {driver: e1000e, net: [{name: enp2s0, mac: "52:54:00:12:34:56"}], serial: null}
        policies:
          description: The names of all policies that have a rules file on the host, for every boot or for this one, with devices or without.
          returned: when O(owners=true)
          type: list
          elements: str
          sample: [guests]
"""

import gc
import json
import sys
from itertools import islice
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.warnings import get_deprecation_messages, get_warning_messages

from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS
from ansible_collections.vfio.host.plugins.module_utils._core.leaving import fail, printable, runner
from ansible_collections.vfio.host.plugins.module_utils._devices import details
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import Usage
from ansible_collections.vfio.host.plugins.module_utils._devices.state import survey
from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

MANY = 256


def main() -> None:
    """Read the host, return its facts."""
    module = AnsibleModule(
        argument_spec={
            "match": {"type": "list", "elements": "dict", "default": []},
            "details": {"type": "list", "elements": "str", "choices": list(details.FIELDS), "default": []},
            "owners": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    gc.disable()  # of all the values made here, none can go before the end
    outcome: tuple[dict[str, Any], list[str]] | BaseException
    try:
        outcome = read(module)
    except ENDINGS as error:
        outcome = error
    if isinstance(outcome, BaseException):
        fail(module, outcome)
    facts, warnings = outcome
    for warning in warnings:
        module.warn(warning)
    leave(module, ansible_facts={"vfio_host": facts})


def read(module: AnsibleModule) -> tuple[dict[str, Any], list[str]]:
    """The facts, and the warnings about them."""
    select = selection(module.params["match"])
    fs = Sysfs(run=runner(module))
    usage = Usage(fs)
    found = survey(fs, usage, with_loaded=False)
    facts: dict[str, Any] = found.facts()
    warnings: list[str] = []
    facts["devices"] = details.add(fs, found, usage=usage, facts=select(found.devices, facts["devices"]), fields=module.params["details"])
    if module.params["owners"]:
        # Compiled on the host each time, so only where they are asked for.
        from ansible_collections.vfio.host.plugins.module_utils._devices.policies import owners
        from ansible_collections.vfio.host.plugins.module_utils._host.files import Files

        owned, facts["policies"], warnings = owners(Files(fs.root), found.devices)
        facts["owners"] = {address: owner for address, owner in owned.items() if address in facts["devices"]}
    return facts, [printable(one) for one in found.warnings + warnings + taken_by_id(found, facts["devices"])]


def selection(values: list[dict[str, Any]]) -> Callable[[Mapping[str, Device], dict[str, Any]], dict[str, Any]]:
    """A function from (devices, their facts) to the facts that the option ``match`` asks for."""
    if not values:
        return lambda devices, facts: facts
    # Compiled on the host each time, so only where they are asked for.
    from ansible_collections.vfio.host.plugins.module_utils._devices.match import Selector
    from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_matches

    matches = parse_matches(values)

    def select(devices: Mapping[str, Device], facts: dict[str, Any]) -> dict[str, Any]:
        selector = Selector(dict(devices))
        wanted = {address for match in matches for address in selector.select(match)}
        return {address: facts[address] for address in sorted(wanted)}

    return select


def taken_by_id(survey_of_host: Survey, addresses: Iterable[str]) -> list[str]:
    """Warnings about those of ``addresses`` that a VFIO driver took without an override."""
    devices = survey_of_host.devices.values()
    if not any(survey_of_host.is_vfio(device.driver) and device.driver_override is None for device in devices):
        return []
    # Compiled on the host each time, so only where there are such devices.
    from ansible_collections.vfio.host.plugins.module_utils._devices import competitors

    return competitors.taken_by_id(survey_of_host, addresses)


def leave(module: AnsibleModule, **result: Any) -> None:
    """exit_json; for a host of many devices without its search of every value for secrets, of which there are none.

    For 4,096 devices that search takes longer than the whole scan. What Ansible itself has to tell goes its own way.
    """
    many = len(result["ansible_facts"]["vfio_host"]["devices"]) > MANY
    if not many or get_warning_messages() or get_deprecation_messages():
        module.exit_json(**printable(result))
    # All of it is made before any is written.
    for part in list(texts(dict(result, invocation={"module_args": module.params}))):
        sys.stdout.write(part)
    sys.stdout.write("\n")
    raise SystemExit(0)


def texts(result: dict[str, Any]) -> Iterator[str]:
    """The text that json.dumps() makes of a result, in parts: what it takes to make one is free again for the next."""
    facts = result["ansible_facts"]["vfio_host"]
    # Inside of a text, its quotes would be written as \\".
    before, devices, after = encoded({**result, "ansible_facts": {"vfio_host": {**facts, "devices": {}}}}).partition('"devices": {}')
    yield before + devices[:-1]
    todo = iter(facts["devices"].items())
    separator = ""
    for some in iter(lambda: dict(islice(todo, MANY)), {}):
        yield separator + encoded(some)[1:-1]
        separator = ", "
    yield devices[-1] + after


def encoded(value: dict[str, Any]) -> str:
    """A value as JSON that is text for everybody."""
    text = json.dumps(value)
    # A byte that is no UTF-8, or one of some rarer characters.
    return json.dumps(printable(value)) if "\\udc" in text else text


if __name__ == "__main__":
    main()
