# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.endings import told


@pytest.mark.parametrize("error, sentence", [
    (OSError("no", "room"), "planning: OSError: [Errno no] room, which was not foreseen; please report it"),
    (OSError("no room"), "planning: OSError: no room, which was not foreseen; please report it"),
    (OSError(28, "no room", b"/x"), "planning: ENOSPC (No space left on device)"),
    (OSError(28, "no room", "/x"), "planning: /x: ENOSPC (No space left on device)"),
])
def test_an_error_of_the_system_is_a_sentence_whatever_it_was_made_of(error, sentence):
    assert told(error, "planning") == [sentence]
