# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Sets numbers of VFs and lets drivers have them, reads all of it back, and puts it back where one step fails."""

from __future__ import annotations

import errno

from ansible_collections.vfio.host.plugins.module_utils._device.apply import Applier
from ansible_collections.vfio.host.plugins.module_utils._host.errors import (
    ApplyError,
    KernelRefusal,
    KernelStuck,
    errno_text,
)
from ansible_collections.vfio.host.plugins.module_utils._host.udevd import reload_rules
from ansible_collections.vfio.host.plugins.module_utils._host.undo import ENDINGS, all_or_nothing, told, tried

_HINTS = {
    errno.ENOENT: "its driver cannot make VFs",
    errno.EBUSY: "somebody else changed the number meanwhile",
    errno.ENOMEM: "the firmware gave them no room on the bus",
}


class _Pfs:
    """What both parts do to a PF. ``plan``: the Plan of the numbers."""

    def __init__(self, fs, files, plan):
        self._fs = fs
        self._files = files
        self._timeout = plan.request.timeout
        survey = plan.state.host.survey
        self._survey = survey
        self._drivers = Applier(fs, files, survey.modules, survey.is_vfio, self._timeout)

    def _put(self, files):
        for path, text in files.items():
            self._files.put(path, text)
        if files:
            reload_rules(self._fs)

    def _files_back(self, files, before):
        """Put ``files`` back, path -> text of ``before``; a sentence for each that could not be."""
        problems = [
            message for path in reversed(list(files)) for message in tried(self._files.put, path, before.get(path))
        ]
        return problems + (tried(reload_rules, self._fs) if files else [])

    def _path(self, pf, name):
        return f"{self._fs.pci_devices}/{pf}/{name}"

    def _count(self, pf):
        directory = f"{self._fs.pci_devices}/{pf}"
        names = self._fs.names(directory)
        self._check_told(directory)
        return sum(1 for name in names if name.startswith("virtfn"))

    def _autoprobe_now(self, pf):
        path = self._path(pf, "sriov_drivers_autoprobe")
        value = self._fs.read(path)
        self._check_told(path)
        return value == "1"

    def _check_told(self, path):
        if self._fs.refusal(path) is not None:
            raise ApplyError(f"{path} cannot be read: {errno_text(self._fs.refusal(path))}")

    def _set_autoprobe(self, pf, wanted):
        if self._autoprobe_now(pf) != wanted:
            self._fs.write(self._path(pf, "sriov_drivers_autoprobe"), str(int(wanted)))
            if self._autoprobe_now(pf) != wanted:
                raise ApplyError(f"{pf}: the kernel did not keep sriov_drivers_autoprobe {int(wanted)}")


class Numbers(_Pfs):
    """Carries a Plan of numbers out."""

    def __init__(self, fs, files, plan):
        super().__init__(fs, files, plan)
        self._plan = plan

    def apply(self):
        """Do all of it, or put everything back and raise ApplyError."""
        touched = []
        with all_or_nothing(
            "changing numbers of VFs", lambda: self._put_back(touched),
            "everything that this task had changed was put back as it was",
        ):
            self._put(self._plan.files)
            for one in self._plan.pfs:
                if one.resizes:
                    touched.append(one)
                    self._resize(one)

    def undo(self):
        """Put back what was changed. Raises ApplyError with what could not be."""
        problems = self._put_back([one for one in self._plan.pfs if one.resizes])
        if problems:
            raise ApplyError(*problems)

    def _resize(self, one):
        pf = one.device.address
        try:
            self._set_number(pf, len(one.vfs))
            for address, record in one.bound.items():
                if not self._survey.modules.is_registered(record.driver):
                    self._survey.modules.load(record.module)
                self._drivers.bind_by_name(address, record.driver, record.driver)
        except ENDINGS as error:
            (message, *dummy) = told(error, f"setting the number of its VFs to {len(one.vfs)}")
            raise ApplyError(f"{pf} ({one.device.name}): {message}") from error

    def _set_number(self, pf, wanted):
        if self._count(pf):
            self._write_number(pf, 0)
        if not wanted:
            return
        self._set_autoprobe(pf, False)
        self._write_number(pf, wanted)

    def _write_number(self, pf, number):
        try:
            # The VFs that there are go, and the kernel waits for whoever holds one.
            self._fs.write_watched(self._path(pf, "sriov_numvfs"), str(number), self._timeout, pf)
        except KernelStuck as error:
            raise ApplyError(
                f"{error.messages[0]}: a process holds one of its VFs. The kernel goes on waiting, in process {error.pid}, which "
                "nothing can stop. When the VF is let go, the card will have no VFs; then run again"
            ) from error
        except KernelRefusal as error:
            hint = _HINTS.get(error.errno)
            raise ApplyError(f"{error.messages[0]}{'; ' + hint if hint else ''}") from error
        # A driver that can make fewer makes fewer, and the write succeeds all the same.
        if not self._drivers.wait_for(lambda: self._count(pf) == number):
            raise ApplyError(
                f"asked for {number} VFs, it has {self._count(pf)} after {self._timeout} seconds; the kernel log may say why"
            )

    def _put_back(self, touched):
        problems = []
        for one in reversed(touched):
            problems += [
                f"{one.device.address} ({one.device.name}) could not be put back to {len(one.before)} VFs with the "
                f"drivers that they had: {message}" for message in tried(self._restore, one)
            ]
        return problems + self._files_back(self._plan.files, self._plan.state.files)

    def _restore(self, one):
        pf = one.device.address
        if pf in self._fs.stuck_writes():
            raise ApplyError(f"process {self._fs.stuck_writes()[pf]} still waits for a VF of it")
        # The same VFs, and not only as many, where the first write failed.
        same = self._count(pf) == len(one.before) and all(
            self._drivers.driver_now(vf.address) == vf.driver and self._drivers.override_now(vf.address) == vf.driver_override
            for vf in one.before
        )
        if not same:
            self._set_number(pf, len(one.before))
            for vf in one.before:
                if vf.driver is not None:
                    self._drivers.bind_by_name(vf.address, vf.driver, vf.driver_override)
        self._set_autoprobe(pf, one.device.sriov["autoprobe"])


class Probes(_Pfs):
    """Carries a ProbePlan out."""

    def __init__(self, fs, files, plan):
        super().__init__(fs, files, plan.numbers)
        self._plan = plan

    def apply(self):
        """Do all of it, or put everything back and raise ApplyError."""
        with all_or_nothing("giving VFs their native drivers", self._put_back):
            for pf, (dummy, wanted) in self._plan.autoprobe.items():
                self._set_autoprobe(pf, wanted)
            for vf in self._plan.probes:
                self._probe(vf)
            self._put(self._plan.files)

    def undo(self):
        """Put back what was changed. Raises ApplyError with what could not be."""
        problems = self._put_back()
        if problems:
            raise ApplyError(*problems)

    def _probe(self, vf):
        self._survey.modules.load_native(vf.modalias)
        if self._drivers.driver_now(vf.address) is None:
            self._fs.write(f"{self._fs.pci}/drivers_probe", vf.address)
        if not self._drivers.wait_for(lambda: self._drivers.driver_now(vf.address) is not None):
            raise ApplyError(
                f"{vf.address} ({vf.name}): no native driver took it in {self._timeout} seconds; see what the kernel log says "
                "of it, or say autoprobe: false"
            )

    def _put_back(self):
        problems = self._files_back(self._plan.files, self._plan.numbers.state.files)
        for vf in self._plan.probes:
            problems += tried(self._unbind, vf.address)
        for pf, (before, dummy) in self._plan.autoprobe.items():
            problems += tried(self._set_autoprobe, pf, before)
        return problems

    def _unbind(self, address):
        driver = self._drivers.driver_now(address)
        if driver is not None:
            self._drivers.unbind(address, driver)


__all__ = ("Numbers", "Probes")
