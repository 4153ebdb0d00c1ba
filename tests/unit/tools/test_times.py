# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of what runs of all checks took."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.tests.tools import times

FIRST = "stage\tlint\tok\t184\nscenario\ts390\tok\t301\nscenario\tp9\tFAILED\t62\nstage\tmolecule\tFAILED\t301\n"
SECOND = "stage\tlint\tok\t59\nscenario\tp9\tok\t240\nstage\tmolecule\tok\t240\nstage\tbenchmark\tok\t60\n"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A cache with two runs, and a third of one stage alone."""
    monkeypatch.setenv("VFIO_HOST_CACHE", str(tmp_path))
    (tmp_path / "times").mkdir()
    for name, text in (("1-aaa", FIRST), ("2-bbb", SECOND), ("3-ccc", "stage\tlint\tok\t1\n")):
        (tmp_path / "times" / f"{name}.tsv").write_text(text, encoding="utf-8")
    return tmp_path / "times"


def test_a_row_is_a_stage_or_a_scenario_and_a_column_a_run(runs, capsys):
    assert times.main([]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| minutes | 1-aaa | 2-bbb |",
        "|---|---|---|",
        "| lint | 3:04 | 0:59 |",
        "| molecule | 5:01 FAILED | 4:00 |",
        "| - s390 | 5:01 |  |",
        "| - p9 | 1:02 FAILED | 4:00 |",
        "| benchmark |  | 1:00 |",
        "| **all** | **8:05** | **5:59** |",
    ]


def test_files_that_are_named_are_shown_whole_or_not(runs, capsys):
    assert times.main([str(runs / "3-ccc.tsv")]) == 0
    assert "| lint | 0:01 |" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["stage lint ok 184\n", "stage\tlint\tok\tlong\n"])
def test_a_line_that_is_none_is_named(runs, capsys, text):
    (runs / "1-aaa.tsv").write_text(FIRST + text, encoding="utf-8")
    assert times.main([]) == 1
    assert "1-aaa.tsv:5 is not kind, name, verdict and seconds" in capsys.readouterr().err


def test_without_a_whole_run_there_is_nothing_to_print(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VFIO_HOST_CACHE", str(tmp_path))
    assert times.main([]) == 1
    assert "no whole run is noted" in capsys.readouterr().err
