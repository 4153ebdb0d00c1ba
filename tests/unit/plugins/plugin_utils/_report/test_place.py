# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a report may go: whatever is said instead of a path is one sentence."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils._report import place


@pytest.mark.parametrize("path", [None, "", " ", 5, True, [], {}, "a\0b.html", "a\nb.html", "\udce9.html", "\x1b[2J", 10**400, ["x" * 9000]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(place.Refused) as caught:
        place.place(path)
    message = str(caught.value)
    assert message.startswith("passthrough_report is ") and message.isprintable() and len(message) < 400


@pytest.mark.parametrize("path", ["x" * 300, "x" * 9000, "/proc/cpuinfo/report.html", "~nobodyofthisname/report.html", "/dev/null"])
def test_a_path_that_cannot_be_is_refused(path):
    with pytest.raises(place.Refused):
        place.before(place.place(path))
