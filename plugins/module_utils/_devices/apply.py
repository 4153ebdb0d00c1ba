# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Carries a plan out, and reads every device back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.endings import ENDINGS, told
from ansible_collections.vfio.host.plugins.module_utils._core.resources import Binding, Edges
from ansible_collections.vfio.host.plugins.module_utils._devices import steps
from ansible_collections.vfio.host.plugins.module_utils._devices.below import below
from ansible_collections.vfio.host.plugins.module_utils._devices.holders import processes_using
from ansible_collections.vfio.host.plugins.module_utils._devices.outcome import carried_out
from ansible_collections.vfio.host.plugins.module_utils._devices.processes import Processes
from ansible_collections.vfio.host.plugins.module_utils._devices.resolve import FALLBACK
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._host.pcibus import DriverRefusal, PciBus
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER

if TYPE_CHECKING:
    from typing import Callable, Iterator

    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._devices.pci import Device
    from ansible_collections.vfio.host.plugins.module_utils._devices.plan import Plan
    from ansible_collections.vfio.host.plugins.module_utils._devices.steps import DevicePlan
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl

_SHORT = 1  # seconds in which a module that was loaded just now has probed


class NotGivenBack(ApplyError):
    """The device is free of its override, and no native driver has it; or the one that took it serves VFIO."""


class FallbackNeeded(ApplyError):
    """Drivers refused devices for which a fallback is declared. ``refusals``: address -> errno."""

    def __init__(self, refusals: dict[str, DriverRefusal]) -> None:
        super().__init__(*(message for refusal in refusals.values() for message in refusal.messages))
        self.refusals = {address: refusal.errno for address, refusal in refusals.items()}


def pci_bus(fs: Sysfs, timeout: float) -> PciBus:
    """The bus, which names the processes that hold a device whose unbind did not end."""

    def ask(address: str) -> Callable[[], str]:
        # Before the unbind, which takes the nodes away first and waits for those who have them open then.
        found = below(fs, address)

        def who() -> str:
            processes = Processes(fs)
            pids = {use.pid for use in processes_using(processes, found) if use.pid is not None}
            names = [f"{pid} ({processes.holder(pid)['command']})" for pid in sorted(pids)]
            return f"process {', '.join(names)} holds it" if names else (
                "no process has a node of it among its open files, as far as /proc shows; a memory mapping, or the kernel itself, may hold it"
            )

        return who

    return PciBus(fs, timeout, holders=ask)


class Applier:
    """Applies one plan through ``fs`` and ``files``. ``timeout``: seconds for a bind to show."""

    def __init__(self, fs: Sysfs, files: Files, *, modules: ModuleControl, is_vfio: Callable[[str | None], bool], timeout: float) -> None:
        self._fs = fs
        self._files = files
        self._modules = modules
        self._is_vfio = is_vfio
        self._timeout = timeout
        self._bus = pci_bus(fs, timeout)
        self._loaded: set[str] = set()

    def apply(self, plan: Plan) -> Plan:
        """Do all of it, which a journal remembers. Raises ApplyError. Gives the plan as it was carried out.

        A device that no native driver takes back keeps no other one: it is in the plan's ``failures``, and its record stays.
        Where drivers refuse devices for which a fallback is declared, the others are tried all the same, so that one
        FallbackNeeded tells of all of them.
        """
        if plan.unresolved:
            raise ApplyError(f"the driver's name of module {', '.join(plan.unresolved)} is not known, so nothing was touched")
        refusals: dict[str, DriverRefusal] = {}
        failed: dict[str, list[str]] = {}
        self._put(plan.files)
        for one in plan.devices:
            if one.steps:
                with _kept_apart(one, failed):
                    self._change(one, refusals)
        if refusals:
            raise FallbackNeeded(refusals)
        proved = [self._prove(one, failed) for one in plan.devices]
        plan = carried_out(plan, devices=proved, failed=failed)
        self._put(plan.last_files)
        return plan

    def _put(self, files: dict[str, str | None]) -> None:
        for path, text in files.items():
            self._files.put(path, text)
        if files:
            reload_rules(self._fs)

    def _change(self, one: DevicePlan, refusals: dict[str, DriverRefusal]) -> None:
        device = one.device
        actions: dict[str, Callable[[str], None]] = {
            steps.LOAD: self._load,
            steps.LOAD_NATIVE: lambda value: self._load_native(device.address, value),
            steps.OVERRIDE: lambda value: self._bus.set_override(device.address, value),
            steps.UNBIND: lambda value: self._bus.unbind(device.address, value),
            steps.BIND: lambda value: self._bus.bind(device.address, value),
            steps.PROBE: lambda value: self._probe(device.address, value, one),
        }
        for step in one.steps:
            if step.value is None:
                raise ApplyError(f"{device.address} ({device.name}): the driver's name is not known, so {step.action} was not tried")
            try:
                actions[step.action](step.value)
            except DriverRefusal as error:
                refusal = DriverRefusal(f"{device.address} ({device.name}): {error.messages[0]}{_remedy(one)}", error.errno)
                if one.fallback is None:
                    raise refusal from error
                refusals[device.address] = refusal
            except ENDINGS as error:
                (message, *dummy) = told(error, f"{step.action} {step.value}".rstrip())
                raise ApplyError(f"{device.address} ({device.name}): {message}") from error

    def _load(self, module: str) -> None:
        """Load a module. Each device that needs it has this step, and the first of them has it done."""
        if module not in self._loaded:
            self._modules.load(module)
            self._loaded.add(module)

    def _load_native(self, address: str, modalias: str) -> None:
        """Load native drivers where none that is registered takes the device: a module that competes with its driver would
        come along.
        """
        self._fs.write(f"{self._fs.pci}/drivers_probe", address)
        if self._bus.driver(address) is None:
            self._modules.load_native(modalias)

    def _probe(self, address: str, native: str, one: DevicePlan) -> None:
        self._bus.probe(address)
        refused = ""
        if native and self._bus.driver(address) is None:
            registered = [native] if self._modules.is_registered(native) else self._modules.drivers(native)
            refused = self._refusal_by_name(address, registered[0]) if registered else ""
        # A module that was loaded just now may probe in a moment.
        patience = self._timeout if one.must_bind else min(self._timeout, _SHORT)
        if refused or (one.driver is None and not one.must_bind):
            patience = 0
        if not self._bus.wait_for(lambda: self._bus.driver(address) is not None, patience) and one.must_bind:
            raise NotGivenBack(
                f"no native driver took it back{refused or f' in {patience} seconds'}; see what the kernel log says of it"
            )
        now = self._bus.driver(address)
        if self._serves_vfio(address, now):
            if one.gives_back:
                # Without its override the device is nobody's.
                _binding(one.device).restore(Edges(self._fs, self._files, self._bus))
            raise NotGivenBack(
                f"{now} took it again without an override: ids= or new_id of that driver name it, or its module "
                "declares it by an ordinary alias; remove what does, or declare its native driver by name"
            )

    def _refusal_by_name(self, address: str, native: str) -> str:
        """Have a VF bound by the name of its native driver; why that refuses it, else ''."""
        try:
            self._bus.bind_by_name(address, native, override=None)
        except DriverRefusal as error:
            self._bus.set_override(address, None)
            return f": {error.messages[0]}"
        return ""

    def _prove(self, one: DevicePlan, failed: dict[str, list[str]]) -> DevicePlan:
        """Read the device back and compare with the plan: a write that succeeded proves nothing. Gives the DevicePlan with what a
        device that was given back has now, since the kernel picks its driver.
        """
        address = one.device.address
        driver, override = self._bus.driver(address), self._bus.override(address)
        native = one.status == steps.RELEASED
        driver_is_right = not self._serves_vfio(address, driver) if native else driver == one.driver
        if one.steps and address not in failed and not (driver_is_right and override == one.override):
            raise ApplyError(
                f"{address} ({one.device.name}): after all steps it has driver {driver} and override {override}, not "
                f"{one.driver} and {one.override}"
            )
        return replace(one, driver=driver, override=override) if one.gives_back and one.steps else one

    def _serves_vfio(self, address: str, driver: str | None) -> bool:
        """Whether the device's driver serves user space, one that was loaded since the survey included."""
        return self._is_vfio(driver) or self._fs.exists(f"{self._fs.pci_devices}/{address}/vfio-dev")


def remember(journal: Journal, plan: Plan) -> None:
    """Have a journal remember the files and the devices that a plan changes."""
    chosen = [one.device for one in plan.devices if one.steps]
    journal.names.update({device.address: device.name for device in chosen})
    journal.remember(
        *(_binding(device) for device in chosen),
        files=[*plan.files, *plan.last_files],
    )


def _binding(device: Device) -> Binding:
    """A device as the survey saw it."""
    return Binding(device.address, device.driver, device.driver_override, device.physfn, device.modalias or None)


@contextmanager
def _kept_apart(one: DevicePlan, failed: dict[str, list[str]]) -> Iterator[None]:
    """That no native driver takes a device that is given back is noted in ``failed``, address -> messages, and ends nothing."""
    try:
        yield
    except ApplyError as error:
        if not one.gives_back or not isinstance(error.__cause__, NotGivenBack):
            raise
        failed[one.device.address] = error.messages


def _remedy(one: DevicePlan) -> str:
    """What to do about a driver that refuses a device, where there is another to have."""
    if one.choice.source == FALLBACK:
        return f"; it is the fallback, since {one.choice.reason}"
    return "" if one.driver == BASE_DRIVER else f"; name another driver, or declare one for this case: fallback: {BASE_DRIVER}"


__all__ = ("Applier", "FallbackNeeded", "pci_bus", "remember")
