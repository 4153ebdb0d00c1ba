# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A phase: its clock is seen, the command's output, status and signals go through, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

PHASE = [sys.executable, str(Path(__file__).parents[2] / "tools" / "phase.py")]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("VFIO_HOST_")}
PATIENCE = 30


def phase(*words, **changes):
    """Run it; both streams as two texts."""
    return subprocess.run([*PHASE, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=PATIENCE, env={**ENVIRONMENT, **changes})


def clock_lines(text):
    """The clock's lines, with all times of one length."""
    return [re.sub(r"\d\d:\d\d", "MM:SS", re.sub(r"\d+ s\b", "N s", line)) for line in text.splitlines() if line.startswith("-- ")]


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def lives(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def hearing():
    """As in a shell's foreground, however the tests were started."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def started(tmp_path):
    """A function that starts a phase of a shell script, and waits until the script has written its pid."""
    running = []

    def start(script, *words, prefix=()):
        pid = tmp_path / "pid"
        process = subprocess.Popen(
            [*prefix, *PHASE, *words, "long", "bash", "-c", f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {pid}; {script}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=hearing,
        )
        running.append(process)
        wait_for(pid.exists)
        return process, int(pid.read_text())

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_phase_says_its_name_at_the_begin_and_verdict_and_seconds_at_the_end():
    done = phase("boot", "true")
    assert clock_lines(done.stderr) == ["-- [MM:SS] boot", "-- [MM:SS] boot: ok, N s"]
    assert done.stdout == ""


def test_the_exit_status_is_the_commands_and_the_end_says_it():
    done = phase("lint", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert clock_lines(done.stderr)[-1] == "-- [MM:SS] lint: FAILED (3), N s"


def test_a_command_that_a_signal_ended_has_a_shells_status():
    assert phase("x", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_a_command_that_is_not_there_is_named_without_a_traceback():
    done = phase("x", "no-such-program-at-all")
    assert done.returncode == 127
    assert "phase: no-such-program-at-all: No such file or directory\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_both_streams_go_through_each_to_its_own():
    done = phase("--bare", "x", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_what_was_one_stream_stays_in_its_order():
    done = subprocess.run([*PHASE, "--bare", "x", "sh", "-c", "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done"], env=ENVIRONMENT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.split() == [letter + number for number in "12345" for letter in "oe"]


def test_output_comes_as_it_is_written_not_at_the_end(started):
    process, dummy = started("printf 'half a line'; exec sleep 60")
    assert os.read(process.stdout.fileno(), 100) == b"half a line"


def test_silence_is_broken_by_a_line_with_the_last_line_that_the_command_printed():
    done = phase("--every", "1", "pip", "sh", "-c", r"printf 'Collecting a\n\033[1mCollecting b\033[0m\r\n\n'; sleep 1.6")
    assert set(clock_lines(done.stderr)[1:-1]) == {"-- [MM:SS] pip: N s so far: Collecting b"}


def test_a_line_of_the_clock_begins_a_line_of_its_own():
    done = subprocess.run([*PHASE, "--every", "1", "pytest", "sh", "-c", "printf ....; sleep 1.6; echo ."], env=ENVIRONMENT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=PATIENCE)
    lines = done.stdout.splitlines()
    assert lines[1] == "...." and lines[2].startswith("-- [") and lines[-2] == "."


def test_a_command_that_prints_enough_needs_no_line_of_the_clock():
    done = phase("--every", "3", "x", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done")
    assert len(clock_lines(done.stderr)) == 2


def test_a_named_log_is_what_the_silence_tells_of(tmp_path):
    done = phase("--every", "1", "--log", f"{tmp_path}/*.log", "boot", "sh", "-c", f"echo own; echo 'systemd[1]: Starting' > {tmp_path}/c.log; sleep 1.6")
    assert set(clock_lines(done.stderr)[1:-1]) == {"-- [MM:SS] boot: N s so far: systemd[1]: Starting"}


def test_a_log_of_an_earlier_run_tells_nothing(tmp_path):
    (tmp_path / "old.log").write_text("long ago\n")
    os.utime(tmp_path / "old.log", (1000, 1000))
    done = phase("--every", "1", "--log", f"{tmp_path}/*.log", "boot", "sleep", "1.6")
    assert set(clock_lines(done.stderr)[1:-1]) == {"-- [MM:SS] boot: N s so far"}


def test_quiet_shows_nothing_of_a_command_that_succeeds():
    done = phase("--quiet", "apt", "sh", "-c", "echo Unpacking; echo noise >&2")
    assert done.stdout == "" and len(done.stderr.splitlines()) == 2


def test_quiet_shows_all_of_a_command_that_fails():
    done = phase("--quiet", "apt", "sh", "-c", "echo Unpacking; echo E: no such package >&2; exit 100")
    assert done.stdout == "Unpacking\nE: no such package\n"


def test_into_keeps_the_output_in_a_file_and_the_silence_tells_of_it(tmp_path):
    done = phase("--every", "1", "--into", str(tmp_path / "log"), "play", "sh", "-c", "echo TASK one; sleep 1.6; exit 2")
    assert (tmp_path / "log").read_text() == "TASK one\n"
    assert done.stdout == ""
    assert set(clock_lines(done.stderr)[1:-1]) == {"-- [MM:SS] play: N s so far: TASK one"}
    assert clock_lines(done.stderr)[-1] == "-- [MM:SS] play: FAILED (2), N s"


def test_the_clock_goes_on_from_where_the_whole_began():
    done = phase("x", "true", VFIO_HOST_BEGAN=str(int(time.time()) - 754))
    assert done.stderr.startswith(tuple(f"-- [12:{second}] x\n" for second in range(34, 50)))


def test_of_phases_in_each_other_the_innermost_speaks_alone():
    done = phase("--bare", "--every", "2", "stage", *PHASE, "--every", "2", "pip", "sleep", "3.6")
    assert [line for line in clock_lines(done.stderr) if "stage" in line] == []
    assert len(clock_lines(done.stderr)) > 3


def test_who_stays_in_the_background_with_the_pipe_open_holds_nothing_up(tmp_path):
    begin = time.monotonic()
    done = phase("x", "sh", "-c", f"sleep 25 & echo $! > {tmp_path}/pid; echo started")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert done.stdout == "started\n" and time.monotonic() - begin < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_what_it_started_and_then_the_phase(started, tmp_path, number):
    # A shell's background process ignores SIGINT.
    process, pid = started(f"sleep 60 & echo $! > {tmp_path}/other; wait")
    wait_for(lambda: (tmp_path / "other").exists() and (tmp_path / "other").read_text().strip())
    process.send_signal(number)
    assert process.wait(PATIENCE) == -number
    assert not lives(pid) and not lives(int((tmp_path / "other").read_text()))


def test_a_signal_that_nohup_has_ignored_stays_so(started, tmp_path):
    process, pid = started(f"sleep 1; touch {tmp_path}/on; exec sleep 60", prefix=["bash", "-c", 'trap "" HUP; exec "$@"', "bash"])
    process.send_signal(signal.SIGHUP)
    wait_for((tmp_path / "on").exists)
    assert lives(pid) and process.poll() is None


def test_a_command_may_clean_up_after_a_signal_and_is_waited_for(started):
    process, pid = started("trap 'sleep 0.5; echo cleaned; exit 1' TERM; sleep 60 & wait")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE)[0] == "cleaned\n"
    assert not lives(pid)


def test_a_command_ends_with_whoever_started_the_phase(started):
    shell, pid = started("exec sleep 60", prefix=["bash", "-c", '"$@"; true', "bash"])
    shell.kill()
    shell.wait(PATIENCE)
    wait_for(lambda: not lives(pid))


def test_a_reader_that_goes_away_ends_the_command(started):
    process, pid = started("while echo again; do sleep 0.1; done")
    process.stdout.close()
    wait_for(lambda: not lives(pid))
    process.stdout = None


def test_a_phase_without_a_command_is_a_mistake_that_is_said():
    done = phase("name")
    assert done.returncode == 2 and "there is no command" in done.stderr
