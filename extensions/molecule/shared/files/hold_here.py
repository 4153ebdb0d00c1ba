# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a process open a device after all checks, just before the device is unbound.

On the host every Python loads this as it starts, by a .pth file; it does nothing where no address is in the file ADDRESS.
"""

import os
import subprocess
import sys

ADDRESS = "/run/hold-here"
HOLDER = """
rm -f /run/holder.pid
systemd-run --quiet --collect --unit=holder {0} /run/holder.py {1} /run/holder.pid
until test -s /run/holder.pid || ! systemctl is-active --quiet holder; do sleep 0.1; done
"""


def write(handle, data, write_=os.write):
    if bytes(data) == address and os.readlink("/proc/self/fd/{0}".format(handle)).endswith("/unbind"):
        os.unlink(ADDRESS)
        subprocess.run(["sh", "-c", HOLDER.format(sys.executable, address.decode())], check=True)
    return write_(handle, data)


if os.path.exists(ADDRESS):
    with open(ADDRESS, "rb") as stream:
        address = stream.read().strip()
    os.write = write
