# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a run of a module a signal, SIGKILL or the one named, before its Nth step that changes anything. Says on the console before which.

On the host every Python loads this as it starts, by a .pth file; it does nothing where there is no file NUMBER, which holds
"N" or "N SIGTERM".
Steps: a file or directory synced, renamed or removed, an attribute of the kernel written, or the process asked to write it that
makes the writes which may block.
"""

import os
import signal
import socket

NUMBER = "/run/kill-here"
left = 0
number, how = signal.SIGKILL, "killed"


def counted(owner, name, is_step=lambda *dummy: True):
    function = getattr(owner, name)

    def replacement(*args, **options):
        global left
        if left and is_step(*args):
            left -= 1
            if not left:
                os.unlink(NUMBER)
                with open("/dev/kmsg", "w", encoding="ascii") as console:
                    console.write("{0} before {1}({2})\n".format(how, name, str(args)[-80:]))
                os.kill(os.getpid(), number)
        return function(*args, **options)

    setattr(owner, name, replacement)


def fork(fork_=os.fork):
    """What a process made here does is a step of this one, which asks it to."""
    global left
    pid = fork_()
    if not pid:
        left = 0
    return pid


def is_of_host(path, *dummy):
    return str(path).startswith(("/etc/", "/run/vfio-host"))  # and no temporary file of Python's


def is_request(dummy, data, *more):
    return b"/sys/" in bytes(data)


def is_attribute(handle, *dummy):
    return os.readlink("/proc/self/fd/{0}".format(handle)).startswith("/sys/")


if os.path.exists(NUMBER):
    with open(NUMBER, encoding="ascii") as stream:
        words = stream.read().split()
    left = int(words[0])
    if words[1:]:
        number, how = getattr(signal, words[1]), "interrupted"
    counted(os, "fsync")
    for step in ("rename", "unlink"):
        counted(os, step, is_of_host)
    counted(os, "write", is_attribute)
    counted(socket.socket, "send", is_request)
    os.fork = fork
