# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is remembered until the next boot: options that a loaded module has, and that the kernel does not show. Pure.

A line is 'vfio_pci 26038 ids=8086:10d3 other': the module, the inode that tells this load of it from another, and its
options; one without '=' is not set, whatever modprobe.d says by now.
"""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._kernel.modprobe import split_options


def parse(text):
    """Module -> (instance, options) of a text; None is an absent file. Lines of another shape are left out."""
    found = {}
    for line in (text or "").split("\n"):
        words = line.split(None, 2)
        if len(words) == 3 and words[1].isdigit():
            found[words[0]] = (int(words[1]), dict(split_options(words[2])))
    return found


def render(remembered):
    """The text; None where there is nothing to remember."""
    return "".join(
        "{0} {1} {2}\n".format(module, instance, " ".join(
            name if value is None else f"{name}={value}" for name, value in sorted(options.items())
        ))
        for module, (instance, options) in sorted(remembered.items())
    ) or None


__all__ = ("parse", "render")
