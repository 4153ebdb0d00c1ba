# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Carries a plan out, reads every device back, and puts all of them back where one step fails."""

from __future__ import annotations

import errno
from contextlib import suppress

from ansible_collections.vfio.host.plugins.module_utils._device import steps
from ansible_collections.vfio.host.plugins.module_utils._device.alias import BASE_DRIVER
from ansible_collections.vfio.host.plugins.module_utils._device.resolve import FALLBACK
from ansible_collections.vfio.host.plugins.module_utils._device.usage import holders, vfio_nodes
from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    ApplyError,
    KernelRefusal,
    KernelStuck,
    RolledBack,
    errno_text,
)
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules
from ansible_collections.vfio.host.plugins.module_utils._host.undo import ENDINGS, all_or_nothing, told, tried

_POLL = 0.05  # seconds between two looks at a link that the kernel is about to change
_SHORT = 1  # seconds for what ends at once or not before the device is let go
_CLEAR = "\n"  # an empty write is a no-op; "(null)" would become a name

_HINTS = {
    errno.EINVAL: "the driver refuses this device (vfio-pci: it has no IOMMU group, or is on the driver's denylist; on POWER, a "
    "kernel from 6.0 to 6.3 refuses every device, and it takes a newer one)",
    errno.EBUSY: "another driver has it, its VFs are in use, or its IOMMU group is given to user space",
    errno.ENODEV: "it is gone, or the driver does not claim it",
}


class DriverRefusal(ApplyError):
    """A driver's probe refused a device that is there and that nobody else has; ``errno`` is the probe's."""

    def __init__(self, message, number):
        super().__init__(message)
        self.errno = number


class FallbackNeeded(RolledBack):
    """Drivers refused devices for which a fallback is declared, and all is as before. ``refusals``: address -> errno."""

    def __init__(self, refusals):
        super().__init__(*(message for refusal in refusals.values() for message in refusal.messages))
        self.refusals = {address: refusal.errno for address, refusal in refusals.items()}


class Applier:
    """Applies one plan through ``fs`` and ``files``. ``timeout``: seconds for a bind to show."""

    def __init__(self, fs, files, modules, is_vfio, timeout):
        self._fs = fs
        self._files = files
        self._modules = modules
        self._is_vfio = is_vfio
        self._timeout = timeout

    def apply(self, plan):
        """Do all of it, or put everything back and raise ApplyError with what failed and what could not be put back.

        Where drivers refuse devices for which a fallback is declared, the others are tried all the same, so that one
        FallbackNeeded tells of all of them.
        """
        if plan.unsettled:
            raise ApplyError(f"the driver's name of module {', '.join(plan.unsettled)} is not known, so nothing was touched")
        touched, refusals = [], {}
        with all_or_nothing(
            "changing devices and their rules files", lambda: self._put_back(plan, touched),
            "everything that this task had changed was put back as it was",
        ):
            self._put(plan.files)
            for one in plan.devices:
                if one.steps:
                    touched.append(one.device)
                    self._change(one, refusals)
            if refusals:
                raise FallbackNeeded(refusals)
            for one in plan.devices:
                self._prove(one)
            self._put(plan.last_files)

    def undo(self, plan):
        """Put back what an applied plan changed. Raises ApplyError with what could not be."""
        problems = self._put_back(plan, [one.device for one in plan.devices if one.steps])
        if problems:
            raise ApplyError(*problems)

    def _put(self, files):
        for path, text in files.items():
            self._files.put(path, text)
        if files:
            reload_rules(self._fs)

    def _change(self, one, refusals):
        device = one.device
        actions = {
            steps.LOAD: self._modules.load,
            steps.LOAD_NATIVE: lambda value: self._load_native(device.address, value),
            steps.OVERRIDE: lambda value: self._override(device.address, value),
            steps.UNBIND: lambda value: self.unbind(device.address, value),
            steps.BIND: lambda value: self._bind(device.address, value),
            steps.PROBE: lambda value: self._probe(device.address, value, one.must_bind),
        }
        for step in one.steps:
            try:
                actions[step.action](step.value)
            except DriverRefusal as error:
                refusal = DriverRefusal(f"{device.address} ({device.name}): {error.messages[0]}{_remedy(one)}", error.errno)
                if one.fallback is None:
                    raise refusal from error
                refusals[device.address] = refusal
            except ENDINGS as error:
                (message, *dummy) = told(error, f"{step.action} {step.value or ''}".rstrip())
                raise ApplyError(f"{device.address} ({device.name}): {message}") from error

    def _override(self, address, value):
        path = f"{self._fs.pci_devices}/{address}/driver_override"
        self._fs.write(path, value or _CLEAR)
        if (self.override_now(address) or "") != value:
            raise ApplyError(f"the kernel did not keep driver_override {value!r}")

    def unbind(self, address, driver):
        """Take a device from ``driver``. Where a process holds it, the kernel waits for that for ever, and this does not."""
        if self.driver_now(address) == driver:
            directory = f"{self._fs.pci_devices}/{address}"
            nodes = vfio_nodes(self._fs, directory, self._fs.link(directory + "/iommu_group"))
            try:
                self._fs.write_watched(f"{self._fs.pci_drivers}/{driver}/unbind", address, self._timeout, address)
            except KernelStuck as error:
                raise ApplyError(self._says_who(driver, nodes, error.pid)) from error
            except KernelRefusal as error:
                # Somebody else unbound it in between, or unloaded the driver, which is what was wanted.
                if error.errno not in (errno.ENODEV, errno.ENOENT):
                    raise
        if self.wait_for(lambda: self.driver_now(address) != driver):
            return
        raise ApplyError(f"driver {driver} did not let go of it in {self._timeout} seconds")

    def _says_who(self, driver, nodes, pid):
        held = holders(self._fs)
        names = [f"{one['pid']} ({one['command']})" for node in nodes for one in held.get(node, ())]
        who = f"process {', '.join(dict.fromkeys(names))} holds it" if names else "no process that /proc shows holds it"
        return (
            f"driver {driver} did not let go of it in {self._timeout} seconds: {who}. The kernel goes on waiting, in process {pid}, "
            "which nothing can stop. When the device is let go, it will be without a driver; then run again"
        )

    def _bind(self, address, driver):
        # Loading the driver may have bound it already, and then a bind answers EBUSY.
        if self.driver_now(address) == driver:
            return
        refusal = ""
        try:
            try:
                self._fs.write(f"{self._fs.pci_drivers}/{driver}/bind", address)
            except KernelRefusal as error:
                # Loaded since the survey, and there before the override; no driver comes after it.
                if error.errno != errno.EBUSY or not self._clear_way(address, driver):
                    raise
                self._fs.write(f"{self._fs.pci_drivers}/{driver}/bind", address)
        except KernelRefusal as error:
            # EAGAIN: the kernel tries again by itself.
            if error.errno != errno.EAGAIN and self.driver_now(address) != driver:
                hint = _HINTS.get(error.errno)
                message = f"{driver} does not bind: {error.messages[0]}{'; ' + hint if hint else ''}"
                if self.driver_now(address) is None and self._fs.exists(f"{self._fs.pci_devices}/{address}"):
                    raise DriverRefusal(message, error.errno) from error
                raise ApplyError(message) from error
            refusal = f": {error.messages[0]}"
        if not self.wait_for(lambda: self.driver_now(address) == driver):
            has = self.driver_now(address) or "no driver"
            raise ApplyError(f"{driver} did not bind in {self._timeout} seconds, the device has {has}{refusal}")

    def _clear_way(self, address, driver):
        """Unbind what else has the device; whether there was such a driver."""
        other = self.driver_now(address)
        if other in (None, driver):
            return False
        self.unbind(address, other)
        return True

    def bind_by_name(self, address, driver, override):
        """Bind a VF with an override of the driver's name, which is let pass where the PF keeps drivers off its VFs (source:
        pci_device_can_probe), and set ``override`` then.
        """
        if self.override_now(address) != driver:
            self._override(address, driver)
        self._bind(address, driver)
        if override != driver:
            self._override(address, override or "")

    def _load_native(self, address, modalias):
        """Load native drivers where none that is registered takes the device: a module that competes with its driver would
        come along.
        """
        self._fs.write(f"{self._fs.pci}/drivers_probe", address)
        if self.driver_now(address) is None:
            self._modules.load_native(modalias)

    def _probe(self, address, native, must_bind):
        if self.driver_now(address) is None:
            self._fs.write(f"{self._fs.pci}/drivers_probe", address)
        if native and self.driver_now(address) is None:
            registered = [native] if self._modules.is_registered(native) else self._modules.drivers(native)
            if registered:
                self.bind_by_name(address, registered[0], None)
        if must_bind and not self.wait_for(lambda: self.driver_now(address) is not None):
            raise ApplyError(
                f"no native driver took it back in {self._timeout} seconds; see what the kernel log says of it"
            )
        now = self.driver_now(address)
        if self._serves_vfio(address, now):
            raise ApplyError(
                f"{now} took it again without an override: ids= or new_id of that driver name it, or its module "
                "declares it by an ordinary alias; remove what does, or declare its native driver by name"
            )

    def _prove(self, one):
        """Read the device back and compare with the plan: a write that succeeded proves nothing."""
        address = one.device.address
        driver, override = self.driver_now(address), self.override_now(address)
        native = one.status == steps.RELEASED
        driver_is_right = not self._serves_vfio(address, driver) if native else driver == one.driver
        if one.steps and not (driver_is_right and override == one.override):
            raise ApplyError(
                f"{address} ({one.device.name}): after all steps it has driver {driver} and override {override}, not "
                f"{one.driver} and {one.override}"
            )

    def _put_back(self, plan, touched):
        """Restore devices and files; one sentence for each that could not be."""
        problems = []
        for device in reversed(touched):
            problems += [
                f"{device.address} ({device.name}) could not be put back to driver {device.driver} and override "
                f"{device.driver_override}: {message}" for message in tried(self._restore, device)
            ]
        for path in reversed(list(plan.files)):
            problems += tried(self._files.put, path, plan.host.files.get(path))
        if plan.files:
            problems += tried(reload_rules, self._fs)
        return problems

    def _restore(self, device):
        address = device.address
        waiting = self._fs.stuck_writes().get(address)
        if waiting:
            self._restore_stuck(device)
            raise ApplyError(f"process {waiting} still waits for its driver to let go")
        driver = self.driver_now(address)
        if self.override_now(address) != device.driver_override:
            self._override(address, device.driver_override or "")
        if driver == device.driver:
            return
        if driver is not None:
            self.unbind(address, driver)
        if device.driver is not None and device.physfn is not None:
            self.bind_by_name(address, device.driver, device.driver_override)
        elif device.driver is not None:
            self._bind(address, device.driver)

    def _serves_vfio(self, address, driver):
        """Whether the device's driver serves user space, one that was loaded since the survey included."""
        return self._is_vfio(driver) or self._fs.exists(f"{self._fs.pci_devices}/{address}/vfio-dev")

    def _restore_stuck(self, device):
        """Have at least the override as it was, now or, where the kernel wants the device's lock for it, when it is let go: the
        next run knows by it whose device this is.
        """
        path = f"{self._fs.pci_devices}/{device.address}/driver_override"
        with suppress(KernelStuck, KernelRefusal):
            self._fs.write_watched(path, device.driver_override or _CLEAR, _SHORT, device.address)

    def driver_now(self, address):
        """The driver that a device has at this moment, or None."""
        return self._told(self._fs.link, f"{self._fs.pci_devices}/{address}/driver")

    def override_now(self, address):
        """The override that a device has at this moment, or None."""
        value = self._told(self._fs.read, f"{self._fs.pci_devices}/{address}/driver_override")
        return None if value in ("(null)", "") else value

    def _told(self, read, path):
        """What is at ``path``. Raises ApplyError where it is there and does not say: nothing may be concluded from that."""
        found = read(path)
        if self._fs.refusal(path) is not None:
            raise ApplyError(f"{path} cannot be read: {errno_text(self._fs.refusal(path))}")
        return found

    def wait_for(self, condition):
        """Wait until ``condition()`` holds; whether it did in the task's time."""
        waited = 0.0
        while not condition():
            if waited >= self._timeout:
                return False
            self._fs.pause(_POLL)
            waited += _POLL
        return True


def _remedy(one):
    """What to do about a driver that refuses a device, where there is another to have."""
    if one.choice.source == FALLBACK:
        return f"; it is the fallback, since {one.choice.reason}"
    return "" if one.driver == BASE_DRIVER else f"; name another driver, or declare one for this case: fallback: {BASE_DRIVER}"


__all__ = ("Applier", "FallbackNeeded")
