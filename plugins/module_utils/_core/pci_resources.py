# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What a journal remembers of PCI functions: drivers, VFs and their attributes; see resources.py for what all kinds have.

A function that is gone has nothing to be put back. Of a PF each VF is restored as far as it can be, whatever becomes of the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._core.endings import raise_any, tried
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.vfattributes import GROUPS

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._core.resources import Edges
    from ansible_collections.vfio.host.plugins.module_utils._host.pcibus import PciBus
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs


@dataclass(frozen=True)
class VfAttributes:
    """What a PF's interface keeps of its VFs. ``rows``: of each VF (index, attribute -> value) as vfattributes.py names them, of whole groups."""

    address: str
    name: str
    index: int
    rows: List[Tuple[int, Dict[str, Any]]]
    rank = 3

    @property
    def what(self) -> str:
        return f"{self.address}: the attributes of its VFs were not put back"

    def restore(self, host: Edges) -> None:
        if not host.bus.is_gone(self.address):
            raise_any(message for messages in self.failures(host).values() for message in messages)

    def failures(self, host: Edges) -> Dict[int, List[str]]:
        """Restore them as far as they can be: index of a VF -> sentences about what could not be, where there are any."""
        index = self._index(host.fs)
        told = host.fs.read_vfs(index)
        failed: Dict[int, List[str]] = {}
        for vf, values in self.rows:
            now = {} if told is None else told.vfs.get(vf, {})
            for group, names in GROUPS.items():
                mine = {name: values[name] for name in names if name in values}
                if mine and any(now.get(name) != value for name, value in mine.items()):
                    problems = tried(partial(host.fs.write_vf, index, name=self.name, vf=vf, group=group, values=mine))
                    if problems:
                        failed.setdefault(vf, []).extend(problems)
        return failed

    def _index(self, fs: Sysfs) -> int:
        """The interface's number now: a driver that was bound again made the interface anew, with another one (source: net/core/dev.c
        register_netdevice()), and udev may not have named it yet.
        """
        directory = f"{fs.pci_devices}/{self.address}/net"
        names = fs.names(directory)
        name = names[0] if len(names) == 1 else self.name
        index = fs.number(f"{directory}/{name}/ifindex")
        return self.index if index is None else index


@dataclass(frozen=True)
class Vfs:
    """A PF with the number of its VFs, its automatic probing, and of each VF (address, driver, override). ``interface``: name and index
    of the PF's interface, where it keeps attributes of them, and ``attributes``: the rows of VfAttributes.
    """

    address: str
    autoprobe: bool
    vfs: List[Tuple[str, Optional[str], Optional[str]]]
    interface: Optional[Tuple[str, int]] = None
    attributes: List[Tuple[int, Dict[str, Any]]] = field(default_factory=list)
    rank = 3

    @property
    def what(self) -> str:
        return f"{self.address} could not be put back to {len(self.vfs)} VFs with the drivers that they had"

    def restore(self, host: Edges) -> None:
        bus = host.bus
        if bus.is_gone(self.address):
            return
        waiting = host.fs.stuck_writes().get(self.address)
        if waiting is not None:
            raise ApplyError(f"{_process(waiting)} still waits for a VF of it", *self._probing_failures(bus))
        # VFs that are there already may be in use: they are not made anew.
        problems: List[str] = []
        if not self._are_there(bus):
            problems = tried(bus.set_number_of_vfs, self.address, len(self.vfs))
            if self.address in host.fs.stuck_writes():
                # Whatever looks at its VFs now could wait for ever.
                raise ApplyError(*problems, *self._probing_failures(bus))
            if self._are_there(bus):
                problems = []  # a rule of udev's made them, when the PF got its driver back
        present = [(index, vf) for index, vf in enumerate(self.vfs) if not bus.is_gone(vf[0])]
        # Before any driver has one: it reads its address when it binds, and without its VLAN a guest would be on another network.
        failed = self._attributes_failures(host) if present else {}
        problems += [message for messages in failed.values() for message in messages]
        for index, (address, driver, override) in present:
            if index not in failed:
                problems += [f"{address}: {message}" for message in tried(_bind_vf, host, address, driver, override)]
        raise_any(problems + self._probing_failures(bus))

    def _probing_failures(self, bus: PciBus) -> List[str]:
        """Restore the automatic probing, which waits for no VF (source: drivers/pci/iov.c sriov_drivers_autoprobe_store())."""
        return tried(bus.set_autoprobe, self.address, self.autoprobe)

    def _are_there(self, bus: PciBus) -> bool:
        """Whether these VFs are there, and not only as many."""
        return bus.number_of_vfs(self.address) == len(self.vfs) and all(bus.exists(address) for address, *dummy in self.vfs)

    def _attributes_failures(self, host: Edges) -> Dict[int, List[str]]:
        """As failures() of VfAttributes, where the PF's interface keeps attributes."""
        return {} if self.interface is None else VfAttributes(self.address, *self.interface, self.attributes).failures(host)


@dataclass(frozen=True)
class Binding:
    """A device with its driver and override. ``physfn``: its PF, of a VF. ``modalias``: of what kind it is; None where that is not known."""

    address: str
    driver: Optional[str]
    override: Optional[str]
    physfn: Optional[str] = None
    modalias: Optional[str] = None
    rank = 4

    @property
    def what(self) -> str:
        return f"{self.address} could not be put back to driver {self.driver} and override {self.override}"

    def restore(self, host: Edges) -> None:
        bus, address = host.bus, self.address
        # What was pulled out took its state along, and another card in its slot must not get its driver.
        if bus.is_gone(address) or (self.modalias is not None and self.modalias != bus.modalias(address)):
            return
        waiting = host.fs.stuck_writes().get(address)
        if waiting is not None:
            # The next run knows by the override whose device this is.
            bus.set_override_when_let_go(address, self.override)
            raise ApplyError(f"{_process(waiting)} still waits for its driver to let go")
        now = bus.driver(address)
        if now != self.driver:
            # The goal's name keeps every other driver off on the way.
            wanted = self.driver or self.override
            if bus.override(address) != wanted:
                bus.set_override(address, wanted)
            if now is not None:
                bus.unbind(address, now)
            if self.driver is not None:
                _have_driver(host.fs, address, self.driver)
                bus.bind(address, self.driver)
        if bus.override(address) != self.override:
            bus.set_override(address, self.override)


@dataclass(frozen=True)
class Autoprobe:
    """Automatic probing of a PF's VFs."""

    address: str
    value: bool
    rank = 5

    @property
    def what(self) -> str:
        return f"{self.address}: automatic probing of its VFs was not put back"

    def restore(self, host: Edges) -> None:
        if not host.bus.is_gone(self.address):
            host.bus.set_autoprobe(self.address, self.value)


def _process(pid: int) -> str:
    """A process that waits, by its number; 0 where that is not known."""
    return f"process {pid}" if pid else "a process"


def _bind_vf(host: Edges, address: str, driver: Optional[str], override: Optional[str]) -> None:
    """Give a VF the driver and override that it had, whether its PF keeps drivers off its VFs or not. Raises ApplyError, KernelRefusal."""
    bus = host.bus
    now = bus.driver(address)
    if now != driver and driver is not None:
        _have_driver(host.fs, address, driver)
        bus.bind_by_name(address, driver, override=override)
    elif now != driver and now is not None:
        bus.unbind(address, now)
    if bus.override(address) != override:
        bus.set_override(address, override)


def _have_driver(fs: Sysfs, address: str, driver: str) -> None:
    """Load the module of a device's driver, which somebody may have unloaded since. Raises ApplyError where the driver is not
    registered then.

    Most drivers have the name of their module; of others (xhci_hcd, of xhci_pci) the device's alias tells it.
    """
    path, alias = f"{fs.pci_drivers}/{driver}", fs.read(f"{fs.pci_devices}/{address}/modalias")
    said: List[str] = []
    for words in [["--", driver]] + ([["--use-blacklist", "--", alias]] if alias else []):
        if fs.exists(path):
            return
        status, out, err = fs.run(["modprobe", *words])
        said += [f"modprobe failed with status {status}: {last_words(out, err)}"] if status else []
    if not fs.exists(path):
        why = "; ".join(dict.fromkeys(said)) or "no module that modprobe loads for it has this driver"
        raise ApplyError(f"driver {driver} is not loaded any more: {why}")


__all__ = ("Autoprobe", "Binding", "VfAttributes", "Vfs")
