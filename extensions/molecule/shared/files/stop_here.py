# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops a run of a module at the first of the wanted points that it comes to, and says on the console which one.

On the host every Python loads this as it starts, by a .pth file; it does nothing where there is no list of points.
Points, as patterns of fnmatch:

    before fsync PATH, after fsync PATH      rename, unlink and link likewise
    before write PATH, after write PATH      of the kernel's attributes
    before PROGRAM, after PROGRAM            of a program that the module starts
    N s into PROGRAM, PROGRAM runs OTHER     while it runs; OTHER: by the name that the kernel shows
    cat into PATH                            a shell has emptied a file, and is about to fill it

With ", on disk" behind it all that was written so far is on disk before the run stops; else that is left to chance.
"""

import fnmatch
import json
import os
import signal
import subprocess
import sys
import threading
import time

POINTS = "/run/stop-here.json"
SYNCED = ", on disk"


def stop(index, is_synced):
    if is_synced:
        os.sync()
    with open("/dev/kmsg", "w", encoding="ascii") as console:
        console.write("<1>stopped at point {0}.\n".format(index))
    os.killpg(0, signal.SIGSTOP)
    while True:
        signal.pause()


def reached(event):
    for index, point in enumerate(wanted):
        is_synced = point.endswith(SYNCED)
        if fnmatch.fnmatchcase(event, point[:-len(SYNCED)] if is_synced else point):
            stop(index, is_synced)


def opened(handle):
    return os.readlink("/proc/self/fd/{0}".format(handle))


def around(name, subject, only=""):
    """Have a function of os say what it does to what, before and after."""
    function = getattr(os, name)

    def replacement(*args, **options):
        what = subject(*args)
        told = isinstance(what, str) and what.startswith(only)
        if told:
            reached("before {0} {1}".format(name, what))
        result = function(*args, **options)
        if told:
            reached("after {0} {1}".format(name, what))
        return result

    setattr(os, name, replacement)


def watch(process, program):
    """Look at a program as long as it runs."""
    begin, second = time.monotonic(), 0
    group = os.getpgrp()
    while process.returncode is None:
        if time.monotonic() - begin > second + 1:
            second += 1
            reached("{0} s into {1}".format(second, program))
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/{0}/stat".format(pid), encoding="utf-8") as stream:
                    name, rest = stream.read().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            if int(rest.split()[2]) == group:
                reached("{0} runs {1}".format(program, name))
        time.sleep(0.05)


class Popen(subprocess.Popen):
    def __init__(self, args, *more, **options):
        words = args if isinstance(args, (list, tuple)) else args.split()
        self._program = os.path.basename(os.fsdecode(words[0]))
        reached("before " + self._program)
        super().__init__(args, *more, **options)
        threading.Thread(target=watch, args=(self, self._program), daemon=True).start()

    def _handle_exitstatus(self, *args, **options):
        super()._handle_exitstatus(*args, **options)
        reached("after " + self._program)


wanted = []
if os.path.exists(POINTS):
    with open(POINTS, encoding="utf-8") as points:
        wanted = json.load(points)
    if __name__ == "__main__":
        reached(sys.argv[1])
    else:
        around("fsync", opened)
        around("write", lambda handle, *dummy: opened(handle), "/sys/")
        around("rename", lambda source, target: target)
        around("link", lambda source, target: target)
        around("unlink", lambda path: path)
        subprocess.Popen = Popen
