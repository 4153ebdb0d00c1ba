# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner of the stages: all of them run, its last lines say which failed, and it takes them along when it ends."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE = 30


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A function: a checkout with these stages alone, as scripts; it returns its .ci/run. The cache is a directory of the test's own."""
    monkeypatch.setenv("VFIO_HOST_CACHE", str(tmp_path / "cache"))

    def make(**stages):
        (tmp_path / ".ci" / "stages").mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
        shutil.copytree(ROOT / "tests" / "tools", tmp_path / "tests" / "tools")
        for name, script in stages.items():
            path = tmp_path / ".ci" / "stages" / name
            path.write_text(f"#!/usr/bin/env bash\necho $$ > {tmp_path}/pid\n{script}\n")
            path.chmod(0o755)
        return str(tmp_path / ".ci" / "run")

    return make


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def stage_pid(tmp_path):
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    return int((tmp_path / "pid").read_text())


def lives(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_every_stage_runs_and_the_summary_counts(runner):
    done = subprocess.run([runner(one="exit 3", two="echo fine"), "one", "two"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert "fine" in done.stdout and "stages: 1 passed, 1 failed\n" in done.stdout
    assert done.stdout.endswith("failed: one\n")


def test_what_a_stage_skipped_is_in_the_summary(runner):
    done = subprocess.run([runner(one='echo "Python 3.8: there is none" >> "$VFIO_HOST_SKIPS"'), "one"],
                          capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert "skipped: Python 3.8: there is none\nstages: 1 passed, 0 failed\n" in done.stdout


def test_what_each_stage_took_is_noted_in_the_cache(runner, tmp_path):
    scenario = r'printf "scenario\ts390\tok\t3\n" >> "$VFIO_HOST_TIMES"'
    subprocess.run([runner(one=scenario, two="exit 3"), "one", "two"], capture_output=True, check=False, timeout=PATIENCE)
    (noted,) = (tmp_path / "cache" / "times").iterdir()
    assert [line.split("\t")[:3] for line in noted.read_text().splitlines()] == [
        ["scenario", "s390", "ok"], ["stage", "one", "ok"], ["stage", "two", "FAILED"]]


def test_a_runner_that_is_ended_takes_the_stage_along(runner, tmp_path):
    process = subprocess.Popen([runner(one="sleep 60", two="true"), "one", "two"], stdout=subprocess.DEVNULL)
    pid = stage_pid(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) != 0
    wait_for(lambda: not lives(pid))


def test_an_interrupt_at_the_terminal_ends_the_stage_and_starts_no_other(runner, tmp_path):
    run = runner(one="sleep 60", two=f"touch {tmp_path}/two")
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(run, [run, "one", "two"])
    pid = stage_pid(tmp_path)
    os.write(terminal, b"\x03")
    with suppress(OSError):
        # Until its end closes the terminal.
        while os.read(terminal, 1000):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    assert not lives(pid) and not (tmp_path / "two").exists()
