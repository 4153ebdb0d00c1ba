# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel behind VFIO's nodes, as far as a client sees it: what each call answers, stated here on its own.

Sources: drivers/vfio/container.c, group.c, device_cdev.c, vfio_iommu_type1.c, vfio_iommu_spapr_tce.c, pci/vfio_pci_core.c and
drivers/iommu/iommufd/ of Linux 6.12; include/uapi/linux/vfio.h and iommufd.h for numbers and structures.
"""

from __future__ import annotations

import errno
import os
import struct

from ansible_collections.vfio.host.plugins.module_utils._host.watched import Unfinished

CONTAINER, GROUP, CDEV, IOMMUFD, DEVICE = "container", "group", "cdev", "iommufd", "device"
# Requests as a C program for x86 prints them.
(
    CHECK_EXTENSION, SET_IOMMU, GET_STATUS, SET_CONTAINER, GET_DEVICE_FD, DEVICE_INFO, REGION_INFO, IRQ_INFO, RESET, ENABLE, DISABLE,
    BIND, ATTACH, IOAS_ALLOC,
) = REQUESTS = (0x3B65, 0x3B66, 0x3B67, 0x3B68, 0x3B6A, 0x3B6B, 0x3B6C, 0x3B6D, 0x3B6F, 0x3B73, 0x3B74, 0x3B76, 0x3B77, 0x3B81)
OPEN, READ = "open", "read"
BARS = (0x20000, 0x20000, 0x20, 0, 0, 0)


class FakeVfio:
    """One kernel. ``back_ends``: the values that VFIO_CHECK_EXTENSION says yes to; ``refuses``: (request, or (OPEN, path)) -> errno;
    ``hangs``: a request that does not end; ``refuses_back_end``: value -> errno of VFIO_SET_IOMMU; ``direction``: what _IO adds on
    this architecture; ``log``: what was called, in order.
    """

    def __init__(self, address="0000:02:00.0", back_ends=(3,), direction=0, viable=True, can_reset=True, ids=b"\x86\x80\xd3\x10", vga=False):
        self.address, self.back_ends, self.direction = address, back_ends, direction
        self.viable, self.can_reset, self.ids, self.vga = viable, can_reset, ids, vga
        self.refuses, self.refuses_back_end, self.hangs = {}, {}, None
        self.stale = ()
        self.log, self.kinds, self.files = [], {}, {}
        self.has_container = self.has_iommu = self.is_bound = False
        self.resets = 0

    def client(self, timeout):
        """In place of Sysfs.client()."""
        self.timeout = timeout
        return self

    # The four calls.

    def open(self, path, number=None):
        self.log.append(f"open {path}")
        self._refuse((OPEN, path))
        if path in self.stale:
            raise OSError(errno.ESTALE, path)
        name = path.split("/dev/")[-1]
        kind = {"vfio/vfio": CONTAINER, "iommu": IOMMUFD}.get(name, CDEV if name.startswith("vfio/devices/") else GROUP)
        if kind == GROUP and GROUP in self.files.values():
            raise OSError(errno.EBUSY, path)  # one opener a group: vfio_group_fops_open()
        return self._file(kind)

    def ioctl(self, handle, request, *, value):
        kind, plain = self.files[handle], request - self.direction
        self.log.append(f"ioctl {plain:#x}")
        if plain == self.hangs:
            raise Unfinished(4711)
        if plain not in REQUESTS:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        self._refuse(plain)
        return getattr(self, f"_{kind}")(plain, value)

    def read(self, handle, *, length, offset):
        assert (self.files[handle] in (DEVICE, CDEV), length, offset) == (True, 4, 7 << 40)  # VFIO_PCI_INDEX_TO_OFFSET
        self.log.append("read")
        self._refuse(READ)
        return self.ids

    def close(self, handle):
        kind = self.files.pop(handle)
        self.log.append(f"close {kind}")
        if kind == GROUP:
            self.has_container = self.has_iommu = False  # vfio_group_detach_container()
        elif kind == CDEV:
            self.is_bound = False

    def _file(self, kind):
        handle = max(self.files, default=2) + 1
        self.files[handle] = kind
        return handle

    def _refuse(self, what):
        if what in self.refuses:
            raise OSError(self.refuses[what], os.strerror(self.refuses[what]))

    # What each file answers.

    def _container(self, request, value):
        if request == CHECK_EXTENSION:
            return int(value in self.back_ends), b""
        if request == SET_IOMMU:
            if not self.has_container or self.has_iommu:  # vfio_ioctl_set_iommu()
                raise OSError(errno.EINVAL, "")
            if value in self.refuses_back_end:
                raise OSError(self.refuses_back_end[value], "")
            self.has_iommu = True
            return 0, b""
        assert request in (ENABLE, DISABLE) and self.has_iommu
        return 0, b""

    def _group(self, request, value):
        if request == GET_STATUS:
            argsz, flags = struct.unpack("=II", value)
            assert (argsz, flags) == (8, 0)
            return 0, struct.pack("=II", 8, int(self.viable))
        if request == SET_CONTAINER:
            if self.files.get(struct.unpack("=i", value)[0]) != CONTAINER:
                raise OSError(errno.EBADF, "")
            if not self.viable:  # iommu_group_claim_dma_owner()
                raise OSError(errno.EPERM, "")
            self.has_container = True
            return 0, value
        assert request == GET_DEVICE_FD and self.has_iommu
        if value != self.address.encode() + b"\0":
            raise OSError(errno.ENODEV, "")  # vfio_device_get_from_name()
        return self._file(DEVICE), value

    def _iommufd(self, request, value):
        assert (request, struct.unpack("=3I", value)) == (IOAS_ALLOC, (12, 0, 0))
        return 0, struct.pack("=3I", 12, 0, 77)

    def _cdev(self, request, value):
        if request == BIND:
            argsz, flags, iommufd, dummy = struct.unpack("=IIiI", value)
            if (argsz, flags) != (16, 0) or self.files.get(iommufd) != IOMMUFD:
                raise OSError(errno.EINVAL, "")
            if GROUP in self.files.values():
                raise OSError(errno.EBUSY, "")  # vfio_device_block_group()
            self.is_bound = True
            return 0, struct.pack("=IIiI", argsz, flags, iommufd, 1)
        if not self.is_bound:
            raise OSError(errno.EINVAL, "")  # vfio_device_fops_unl_ioctl(): no access before
        if request == ATTACH:
            assert struct.unpack("=3I", value) == (12, 0, 77)
            return 0, struct.pack("=3I", 12, 0, 78)
        return self._device(request, value)

    def _device(self, request, value):
        if request == DEVICE_INFO:
            assert struct.unpack("=6I", value)[0] == 24
            return 0, struct.pack("=6I", 24, 2 | int(self.can_reset), 9, 5, 0, 0)
        if request == REGION_INFO:
            argsz, dummy, index, dummy, dummy, dummy = struct.unpack("=4I2Q", value)
            assert argsz == 32
            if index == 8 and not self.vga:
                raise OSError(errno.EINVAL, "")
            size = (BARS + (0, 4096, 0xC0000))[index]
            flags = 0 if not size else 3 if index in (2, 7, 8) else 7
            return 0, struct.pack("=4I2Q", 32, flags, index, 0, size, index << 40)
        if request == IRQ_INFO:
            argsz, dummy, index, dummy = struct.unpack("=4I", value)
            assert argsz == 16
            return 0, struct.pack("=4I", 16, (7, 9, 9, 9, 9)[index], index, (1, 1, 5, 1, 1)[index])
        assert request == RESET
        self.resets += 1
        return 0, b""


__all__ = ("FakeVfio",)
