# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a device as a VFIO client does (container, group, device) and holds it. Says so in the file it is given."""

import fcntl
import os
import sys
import time

# include/uapi/linux/vfio.h: _IO(';', 100 + n). POWER's _IO has a bit of its own (arch/powerpc/include/uapi/asm/ioctl.h).
IO = (0x20000000 if os.uname().machine.startswith("ppc") else 0) + 0x3B64
CHECK_EXTENSION, SET_IOMMU, SET_CONTAINER, GET_DEVICE_FD = IO + 1, IO + 2, IO + 4, IO + 6
# Best first: VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU, VFIO_TYPE1_IOMMU.
BACK_ENDS = (7, 2, 1)

address, ready = sys.argv[1:]
group_number = os.path.basename(os.readlink("/sys/bus/pci/devices/{0}/iommu_group".format(address)))
container = os.open("/dev/vfio/vfio", os.O_RDWR)
group = os.open("/dev/vfio/" + group_number, os.O_RDWR)
fcntl.ioctl(group, SET_CONTAINER, container.to_bytes(4, sys.byteorder))
fcntl.ioctl(container, SET_IOMMU, next(one for one in BACK_ENDS if fcntl.ioctl(container, CHECK_EXTENSION, one)))
device = fcntl.ioctl(group, GET_DEVICE_FD, bytearray(address.encode() + b"\0"))
with open(ready, "w", encoding="ascii") as handle:
    handle.write("{0}\n".format(os.getpid()))
time.sleep(600)
