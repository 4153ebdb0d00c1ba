# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of other programs on a fake host, and what a task says of them."""

from __future__ import annotations

import os
import re

from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._sriov.area import NumberArea
from ansible_collections.vfio.host.plugins.module_utils._sriov.resolve import Request
from ansible_collections.vfio.host.tests.unit.fake.hosts import PF

NULL = object()  # a link to /dev/null


class Script(str):
    """A text that may be run."""


def put(host, files):
    """Write ``files``, path -> text, Script or NULL."""
    for path, text in files.items():
        place = host.tree.root / path
        if text is NULL:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.symlink("/dev/null", str(place))
        else:
            host.tree.put(place, text if isinstance(text, (str, bytes)) else str(text))
            if isinstance(text, Script):
                os.chmod(str(place), 0o755)


def _short(host, sentences):
    return [one.replace(host.root, "") for one in sentences]


def of_devices(host, files, *entries, **options):
    """The warnings of a task in check mode over the policy 'p', with paths from the host's root."""
    put(host, files)
    return _short(host, host.take(*entries, check=True, **options)["warnings"])


def of_vfs(host, files, number=7, autoprobe=False, **options):
    """The same of a task that declares a number of VFs."""
    put(host, files)
    request = Request([{"match": {"address": PF}, "numvfs": number, "autoprobe": autoprobe}], timeout=1, **options)
    plans = run_areas({"sriov": (NumberArea(host.kernel, host.files), request)}, True)
    return _short(host, report(plans.values())["warnings"])


def heads(sentences):
    """[(where, whether it only may)] of sentences."""
    return [(re.match(r"(\S+?): ", one).group(1), " may " in one) for one in sentences]


__all__ = ("NULL", "Script", "heads", "of_devices", "of_vfs", "put")
