# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys

import pytest
from virtlab import process, qmp
from virtlab.errors import LabError


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)", "/marked"],
                             stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_process_is_ours_by_its_mark(sleeper):
    assert process.is_ours(sleeper.pid, "/marked")
    assert not process.is_ours(sleeper.pid, "/mark")


def test_a_process_that_is_not_ours_is_not_killed(sleeper):
    process.kill(sleeper.pid, "/other")
    assert sleeper.poll() is None


def test_a_killed_process_is_gone_even_when_nobody_has_reaped_it(sleeper):
    process.kill(sleeper.pid, "/marked")
    assert not process.is_ours(sleeper.pid, "/marked")


def test_a_program_that_takes_too_long_is_an_error():
    with pytest.raises(LabError, match="did not end within"):
        process.run(["sleep", "600"], timeout=0.2)


def test_a_program_that_fails_is_quoted():
    with pytest.raises(LabError, match="sh failed with status 3: why"):
        process.run(["sh", "-c", "echo why >&2; exit 3"], timeout=10)


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(LabError, match="no-such-program is not installed"):
        process.run(["no-such-program"], timeout=10)


def test_a_monitor_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(LabError, match="is the host running"):
        qmp.Qmp(tmp_path / "qmp.sock")
