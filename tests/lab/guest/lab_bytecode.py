# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an emulated host's Python has compiled from zips, kept until the next boot.

Ansible sends each module as a zip, and Python compiles all its files at each call. That is more than half of what a module
takes on an emulated processor. What runs is what Python would have compiled: the code is found by the file's name in the
zip, its length and a hash of its content.
"""

import _imp
import marshal
import os
import sys
import zipimport

PLACE = "/run/lab-bytecode"
# Any number: nobody here makes up files whose hashes are equal.
KEY = 1


def keep(compile_source, place):
    """A function that takes the place of zipimport's, with files in the directory ``place``."""

    def compiled(pathname, source, *more):
        name = pathname.partition(".zip/")[2].replace("/", ".")
        # Python's own hash of sources, which needs no import: of bytes, to 8 bytes.
        digest = _imp.source_hash(KEY, source).hex()
        path = os.path.join(place, "-".join([sys.implementation.cache_tag, name, str(len(source)), digest]))
        try:
            with open(path, "rb") as stream:
                code = marshal.loads(stream.read())
            # The zip is in another directory at each call.
            _imp._fix_co_filename(code, pathname)
        except (EOFError, OSError, TypeError, ValueError):  # not there, or damaged
            code = compile_source(pathname, source, *more)
            _write(path, marshal.dumps(code))
        return code

    return compiled


def _write(path, content):
    temporary = "{0}.{1}".format(path, os.getpid())
    try:
        with open(temporary, "wb") as stream:
            stream.write(content)
        os.rename(temporary, path)
    except OSError:  # no directory, another user's, or no room: it is compiled again
        return


def install(place=PLACE):
    """Have zipimport ask here first."""
    zipimport._compile_source = keep(zipimport._compile_source, place)
