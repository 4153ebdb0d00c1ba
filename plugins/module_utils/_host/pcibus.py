# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The verbs of the PCI bus: override, unbind, bind, probe, number of VFs, automatic probing; each is read back."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from ansible_collections.vfio.host.plugins.module_utils._host import signals
from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    ApplyError,
    KernelRefusal,
    KernelStuck,
    errno_text,
)

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs

_T = TypeVar("_T")
_POLL = 0.05  # seconds between two looks at what the kernel is about to change
_SHORT = 1  # seconds for what ends at once, or not before the device is let go
_CLEAR = "\n"  # an empty write is a no-op; "(null)" would become a name

_BIND_HINTS = {
    errno.EINVAL: "the driver refuses this device (vfio-pci: it has no IOMMU group, or is on the driver's denylist; on POWER, a "
    "kernel from 6.0 to 6.3 refuses every device, and it takes a newer one)",
    errno.EBUSY: "another driver has it, its VFs are in use, or its IOMMU group is given to user space",
    errno.ENODEV: "it is gone, or the driver does not claim it",
}
# Those of POWER are bare metal's (source: arch/powerpc/platforms/powernv/pci-sriov.c pnv_pci_sriov_enable()).
_NUMBER_HINTS = {
    errno.ENOENT: "its driver cannot make VFs",
    errno.EBUSY: "somebody else changed the number meanwhile; on POWER, its host bridge may not have so many partitionable endpoints or windows free",
    errno.ENOMEM: "the firmware gave them no room on the bus",
    errno.ENOSPC: "on POWER, the memory of VFs has to be 64-bit and prefetchable, and this card's is not",
    errno.ENXIO: "on POWER, a host bridge of this kind has no VFs",
}


class DriverRefusal(ApplyError):
    """A driver's probe refused a device that is there and that nobody else has; ``errno`` is the probe's."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


class NumberRefusal(ApplyError):
    """A PF did not make the VFs that it was asked for, but ``made``; ``errno``: its driver's answer, None where that was success."""

    def __init__(self, message: str, *, made: int, errno_: Optional[int]) -> None:
        super().__init__(message)
        self.made = made
        self.errno = errno_


class PciBus:
    """The PCI bus of one host. ``timeout``: seconds for an unbind to end and for a change to show.

    ``holders`` is called with an address before an unbind. It returns a function that is called where the unbind did not end,
    and that returns the reason: "process 862 (qemu) holds it". ``is_bounded``: each write has ``timeout`` seconds, since
    somebody else's write may keep the device's lock; without it, a driver's probe may take as long as it likes.
    """

    def __init__(
        self, fs: Sysfs, timeout: float, *, holders: Optional[Callable[[str], Callable[[], str]]] = None, is_bounded: bool = False,
    ) -> None:
        self._fs = fs
        self._timeout = timeout
        self._holders = holders or (lambda address: lambda: "a process holds it")
        self._is_bounded = is_bounded

    # What is.

    def exists(self, address: str) -> bool:
        """Whether the function is on the bus."""
        return self._fs.exists(self._path(address))

    def is_gone(self, address: str) -> bool:
        """Whether the function is surely not on the bus: one that cannot be looked at is there."""
        path = self._path(address)
        return self._fs.target(path) is None and self._fs.refusal(path) is None

    def driver(self, address: str) -> Optional[str]:
        """The driver that a device has now, or None. Raises ApplyError where that cannot be read."""
        return self._read(self._fs.link, self._path(address, "driver"))

    def override(self, address: str) -> Optional[str]:
        """The driver_override that a device has now, or None. Raises ApplyError where that cannot be read."""
        value = self._read(self._fs.read, self._path(address, "driver_override"))
        return None if value in ("(null)", "") else value

    def modalias(self, address: str) -> Optional[str]:
        """Of what kind a device is, or None. Raises ApplyError where that cannot be read."""
        return self._read(self._fs.read, self._path(address, "modalias"))

    def number_of_vfs(self, address: str) -> int:
        """How many VFs a PF has now. Raises ApplyError where that cannot be read."""
        names = self._read(self._fs.names, self._path(address))
        return sum(1 for name in names if name.startswith("virtfn"))

    def autoprobe(self, address: str) -> bool:
        """Whether drivers probe a PF's new VFs. Raises ApplyError where that cannot be read."""
        return self._read(self._fs.read, self._path(address, "sriov_drivers_autoprobe")) == "1"

    # What is done. Each raises ApplyError, KernelRefusal or KernelStuck.

    def set_override(self, address: str, value: Optional[str]) -> None:
        """Set driver_override; None clears it."""
        self._write(self._path(address, "driver_override"), value or _CLEAR, address)
        if (self.override(address) or "") != (value or ""):
            raise ApplyError(f"the kernel did not keep driver_override {value or ''!r}")

    def set_override_when_let_go(self, address: str, value: Optional[str]) -> None:
        """Set driver_override of a device whose unbind is stuck, now or, where the kernel wants the device's lock for it, when
        the device is let go. Nothing waits for that.
        """
        with suppress(KernelStuck, KernelRefusal):
            self._fs.write_watched(self._path(address, "driver_override"), value or _CLEAR, timeout=_SHORT, address=address)

    def unbind(self, address: str, driver: str) -> None:
        """Unbind a device from ``driver``. The kernel waits for ever where a process holds the device, and this does not."""
        if self.driver(address) == driver:
            who = self._holders(address)
            signals.check()
            try:
                self._fs.write_watched(f"{self._fs.pci_drivers}/{driver}/unbind", address, timeout=self._timeout, address=address)
            except KernelStuck as error:
                raise ApplyError(
                    f"driver {driver} did not let go of it in {self._timeout} seconds: {who()}. The kernel goes on waiting, in "
                    f"process {error.pid}, which nothing can stop. When the device is let go, it will be without a driver; then "
                    "run again"
                ) from error
            except KernelRefusal as error:
                # Somebody else unbound it in between, or unloaded the driver, which is what was wanted.
                if error.errno not in (errno.ENODEV, errno.ENOENT):
                    raise
        if not self.wait_for(lambda: self.driver(address) != driver):
            raise ApplyError(f"driver {driver} did not let go of it in {self._timeout} seconds")

    def bind(self, address: str, driver: str) -> None:
        """Bind a device to ``driver``. Raises DriverRefusal, too."""
        # Loading the driver may have bound it already, and then a bind answers EBUSY.
        if self.driver(address) == driver:
            return
        refusal = ""
        try:
            self._bind(address, driver)
        except KernelRefusal as error:
            # EAGAIN: the kernel tries again by itself.
            if error.errno != errno.EAGAIN and self.driver(address) != driver:
                hint = _BIND_HINTS.get(error.errno)
                message = f"{driver} does not bind: {error.messages[0]}{'; ' + hint if hint else ''}"
                if self.driver(address) is None and self.exists(address):
                    raise DriverRefusal(message, error.errno) from error
                raise ApplyError(message) from error
            refusal = f": {error.messages[0]}"
        if not self.wait_for(lambda: self.driver(address) == driver):
            has = self.driver(address) or "no driver"
            raise ApplyError(f"{driver} did not bind in {self._timeout} seconds, the device has {has}{refusal}")

    def _bind(self, address: str, driver: str) -> None:
        path = f"{self._fs.pci_drivers}/{driver}/bind"
        try:
            self._write(path, address, address)
        except KernelRefusal as error:
            # Another driver was loaded since the survey, before the override was set; no driver comes after it.
            other = self.driver(address)
            if error.errno != errno.EBUSY or other is None or other == driver:
                raise
            self.unbind(address, other)
            self._write(path, address, address)

    def bind_by_name(self, address: str, driver: str, *, override: Optional[str]) -> None:
        """Bind a device while its driver_override is the driver's name, and then set it to ``override``; None clears it.

        No other driver takes it meanwhile, and a VF whose PF keeps drivers off its VFs takes the driver (source:
        drivers/pci/pci-driver.c pci_device_can_probe()).
        """
        if self.override(address) != driver:
            self.set_override(address, driver)
        self.bind(address, driver)
        if override != driver:
            self.set_override(address, override)

    def probe(self, address: str) -> None:
        """Have registered drivers probe a device that has none."""
        if self.driver(address) is None:
            self._write(f"{self._fs.pci}/drivers_probe", address, address)

    def set_number_of_vfs(self, address: str, wanted: int) -> None:
        """Give a PF ``wanted`` VFs, without drivers: the kernel changes a number other than 0 to 0 alone (source:
        drivers/pci/iov.c sriov_numvfs_store()).
        """
        if self.number_of_vfs(address):
            before = self.autoprobe(address)
            self._write_number(address, 0)
            # A POWER guest's kernel turns it on with the last VF (source: arch/powerpc/platforms/pseries/pci.c pseries_pcibios_sriov_disable()).
            self.set_autoprobe(address, before)
        if wanted:
            self.set_autoprobe(address, False)
            self._write_number(address, wanted)

    def _write_number(self, address: str, number: int) -> None:
        signals.check()
        try:
            # The VFs that there are go, and the kernel waits for whoever holds one.
            self._fs.write_watched(self._path(address, "sriov_numvfs"), str(number), timeout=self._timeout, address=address)
        except KernelStuck as error:
            raise ApplyError(
                f"{error.messages[0]}, as it does not while one of its VFs is in use. The kernel goes on waiting, in process "
                f"{error.pid}, which nothing can stop. When the VF is let go, the card will have no VFs; then run again"
            ) from error
        except KernelRefusal as error:
            hint = _NUMBER_HINTS.get(error.errno)
            raise NumberRefusal(
                f"{error.messages[0]}{'; ' + hint if hint else ''}", made=self.number_of_vfs(address), errno_=error.errno
            ) from error
        # A driver that can make fewer makes fewer, and the write succeeds all the same.
        if not self.wait_for(lambda: self.number_of_vfs(address) == number):
            made = self.number_of_vfs(address)
            raise NumberRefusal(f"asked for {number} VFs, it has {made} after {self._timeout} seconds", made=made, errno_=None)

    def set_autoprobe(self, address: str, wanted: bool) -> None:
        """Have drivers probe a PF's new VFs, or not."""
        if self.autoprobe(address) != wanted:
            self._write(self._path(address, "sriov_drivers_autoprobe"), str(int(wanted)), address)
            if self.autoprobe(address) != wanted:
                raise ApplyError(f"{address}: the kernel did not keep sriov_drivers_autoprobe {int(wanted)}")

    def wait_for(self, condition: Callable[[], bool], patience: Optional[float] = None) -> bool:
        """Wait until ``condition()`` holds; whether it did in ``patience`` seconds, or where that is None in the bus's time."""
        waited = 0.0
        while not condition():
            if waited >= (self._timeout if patience is None else patience):
                return False
            signals.check()
            self._fs.pause(_POLL)
            waited += _POLL
        return True

    def _path(self, address: str, name: str = "") -> str:
        return f"{self._fs.pci_devices}/{address}{'/' + name if name else ''}"

    def _read(self, read: Callable[[str], _T], path: str) -> _T:
        """What ``read`` returns for ``path``. Raises ApplyError where the path is there and cannot be read: nothing may be concluded
        from that.
        """
        value = read(path)
        if self._fs.refusal(path) is not None:
            raise ApplyError(f"{path} cannot be read: {errno_text(self._fs.refusal(path))}")
        return value

    def _write(self, path: str, value: str, address: str) -> None:
        signals.check()
        if self._is_bounded:
            self._fs.write_watched(path, value, timeout=self._timeout, address=address)
        else:
            self._fs.write(path, value)


__all__ = ("DriverRefusal", "NumberRefusal", "PciBus")
