# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a device vanish after all checks, just before it is bound.

On the host every Python loads this as it starts, by a .pth file; it does nothing where no address is in the file ADDRESS.
"""

import os

ADDRESS = "/run/vanish-here"


def write(handle, data, write_=os.write):
    if bytes(data) == address and os.readlink("/proc/self/fd/{0}".format(handle)).endswith("/bind"):
        os.unlink(ADDRESS)
        with open("/sys/bus/pci/devices/{0}/remove".format(address.decode()), "wb") as stream:
            stream.write(b"1")
    return write_(handle, data)


if os.path.exists(ADDRESS):
    with open(ADDRESS, "rb") as stream:
        address = stream.read().strip()
    os.write = write
