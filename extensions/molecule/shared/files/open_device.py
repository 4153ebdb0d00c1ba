# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens devices as a VFIO client does (container, group, device), and prints what VFIO says of each, as JSON.

Of a device: the IOMMU back end that took its group, its regions and interrupts, and the ids in its configuration space.
"""

import fcntl
import json
import os
import struct
import sys

# include/uapi/linux/vfio.h: _IO(';', 100 + n). POWER's _IO has a bit of its own (arch/powerpc/include/uapi/asm/ioctl.h).
IO = (0x20000000 if os.uname().machine.startswith("ppc") else 0) + 0x3B64
CHECK_EXTENSION, SET_IOMMU, GROUP_STATUS, SET_CONTAINER = IO + 1, IO + 2, IO + 3, IO + 4
GET_DEVICE_FD, DEVICE_INFO, REGION_INFO = IO + 6, IO + 7, IO + 8
# Best first: VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU, VFIO_TYPE1v2_IOMMU.
BACK_ENDS = (("spapr_tce_v2", 7), ("spapr_tce", 2), ("type1v2", 3))
CONFIG_REGION = 7


def look(address):
    directory = "/sys/bus/pci/devices/{0}".format(address)
    number = os.path.basename(os.readlink(directory + "/iommu_group"))
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    group = os.open("/dev/vfio/" + number, os.O_RDWR)
    status = bytearray(struct.pack("=II", 8, 0))
    fcntl.ioctl(group, GROUP_STATUS, status)
    fcntl.ioctl(group, SET_CONTAINER, container.to_bytes(4, sys.byteorder))
    offered = [name for name, value in BACK_ENDS if fcntl.ioctl(container, CHECK_EXTENSION, value)]
    fcntl.ioctl(container, SET_IOMMU, dict(BACK_ENDS)[offered[0]])
    device = fcntl.ioctl(group, GET_DEVICE_FD, bytearray(address.encode() + b"\0"))
    info = bytearray(struct.pack("=6I", 24, 0, 0, 0, 0, 0))
    fcntl.ioctl(device, DEVICE_INFO, info)
    region = bytearray(struct.pack("=4I2Q", 32, 0, CONFIG_REGION, 0, 0, 0))
    fcntl.ioctl(device, REGION_INFO, region)
    offset = struct.unpack("=4I2Q", region)[5]
    # The configuration space is little-endian on every machine.
    ids = struct.unpack("<2H", os.pread(device, 4, offset))
    found = {
        "viable": bool(struct.unpack("=II", status)[1] & 1),
        "back_end": offered[0],
        "regions": struct.unpack("=6I", info)[2],
        "interrupts": struct.unpack("=6I", info)[3],
        "ids": "{0:04x}:{1:04x}".format(*ids),
        "cdev": os.path.isdir("/dev/vfio/devices"),
    }
    for opened in (device, group, container):
        os.close(opened)
    return found


print(json.dumps({address: look(address) for address in sys.argv[1:]}))
