# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One conversation with the kernel's PCI files, held with the fake kernel by a unit test and with a real one by a scenario.

As a program it is given NAME=ADDRESS for each name in ROLES, runs as root with vfio-pci loaded, prints each answer that is
another one, and leaves the host as it was. Standard library only: it runs on the virtual host.
"""

from __future__ import annotations

import errno
import os
import sys

# nic: bound to e1000e; free: an endpoint that no driver has; pf: bound to igb, 7 VFs at most; vf: its first; port: an
# empty root port, bound to pcieport. All are in IOMMU groups.
ROLES = ("nic", "free", "pf", "vf", "port")
NOBODY = "0000:ff:1f.7"
OK = "ok"


def override(role, value, answer=OK):
    """A write to a function's driver_override."""
    return ("write", f"devices/{{{role}}}/driver_override", value, answer)


def wanted(role, value):
    """What its driver_override reads."""
    return ("read", f"devices/{{{role}}}/driver_override", None, value)


def driver(role, name):
    """The driver that a function has; None for none."""
    return ("driver", f"devices/{{{role}}}/driver", None, name)


def bus(place, value, answer=OK):
    """A write of an address below the bus."""
    return ("write", place, value, answer)


def pf(name, value, answer=OK):
    """A write to an SR-IOV attribute of the PF."""
    return ("write", f"devices/{{pf}}/{name}", value, answer)


CONVERSATION = (
    wanted("free", "(null)"),
    override("free", "vfio-pci"),
    driver("free", None),
    override("free", ""),
    wanted("free", "vfio-pci"),
    override("free", "pci-stub\nmore"),
    wanted("free", "pci-stub"),
    override("free", "a" * 4095, "EINVAL"),
    override("free", "\n"),
    wanted("free", "(null)"),
    bus("drivers/igb/unbind", "{nic}", "ENODEV"),
    bus("drivers/e1000e/unbind", NOBODY, "ENODEV"),
    bus("drivers/vfio-pci/bind", "{free}", "ENODEV"),
    bus("drivers/vfio-pci/bind", NOBODY, "ENODEV"),
    bus("drivers/e1000e/bind", "{nic}", "EBUSY"),
    bus("drivers/nosuchdriver/bind", "{nic}", "ENOENT"),
    bus("drivers_probe", NOBODY, "ENODEV"),
    bus("drivers_probe", "{free}"),
    driver("free", None),
    bus("drivers_probe", "{nic}"),
    driver("nic", "e1000e"),
    override("free", "vfio-pci"),
    bus("drivers/vfio-pci/bind", "{free}"),
    driver("free", "vfio-pci"),
    bus("drivers/vfio-pci/bind", "{free}", "EBUSY"),
    override("free", "\n"),
    driver("free", "vfio-pci"),
    bus("drivers/vfio-pci/unbind", "{free}"),
    driver("free", None),
    override("port", "vfio-pci"),
    bus("drivers/pcieport/unbind", "{port}"),
    bus("drivers/vfio-pci/bind", "{port}", "EINVAL"),
    bus("drivers_probe", "{port}"),
    driver("port", None),
    override("port", "\n"),
    bus("drivers/pcieport/bind", "{port}"),
    pf("sriov_numvfs", "x", "EINVAL"),
    pf("sriov_numvfs", "8", "ERANGE"),
    pf("sriov_numvfs", "0"),
    pf("sriov_drivers_autoprobe", "0"),
    pf("sriov_numvfs", "1"),
    pf("sriov_numvfs", "1"),
    pf("sriov_numvfs", "2", "EBUSY"),
    bus("drivers_probe", "{vf}"),
    driver("vf", None),
    override("vf", "vfio-pci"),
    bus("drivers_probe", "{vf}"),
    driver("vf", "vfio-pci"),
    pf("sriov_numvfs", "0"),
    driver("vf", None),
    pf("sriov_drivers_autoprobe", "1"),
)


def hold(roles, write, read, link):
    """The answers that are others than in CONVERSATION, one sentence each.

    ``roles``: name -> address; ``write(path, value)`` raises OSError or an error with ``errno``; ``read(path)`` and
    ``link(path)`` give a text, or None where nothing is there. Paths are relative to /sys/bus/pci.
    """
    found = []
    for act, place, value, answer in CONVERSATION:
        path = place.format(**roles)
        value = None if value is None else value.format(**roles)
        if act == "write":
            given = _answer(write, path, value)
        else:
            given = (read if act == "read" else link)(path)
        if given != answer:
            found.append(f"{act} {path} {value if value is None else value[:20]!r}: {given}, expected {answer}")
    return found


def _answer(write, path, value):
    try:
        write(path, value)
    except Exception as error:
        number = getattr(error, "errno", None)
        if number is None:
            raise
        return errno.errorcode[number]
    return OK


def main(words):
    """Hold it with the running kernel."""
    roles = dict(word.split("=", 1) for word in words)
    missing = set(ROLES) - set(roles)
    if missing:
        sys.exit(f"no address for {', '.join(sorted(missing))}")
    root = "/sys/bus/pci/"

    def write(path, value):
        handle = os.open(root + path, os.O_WRONLY)
        try:
            os.write(handle, value.encode())
        finally:
            os.close(handle)

    def read(path):
        with open(root + path, encoding="ascii") as stream:
            return stream.read().strip()

    def link(path):
        return os.path.basename(os.readlink(root + path)) if os.path.islink(root + path) else None

    found = hold(roles, write, read, link)
    print("\n".join(found) or f"{len(CONVERSATION)} answers as expected")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
