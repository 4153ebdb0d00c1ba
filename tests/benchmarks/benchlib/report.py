# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to ratios, and to a table that says what each should be. Pure."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Callable

from .hosts import Sample

# What was measured, by minimum, by median, the goal.
Row = tuple[str, str, str, str]
Samples = dict[tuple[str, int], list[Sample]]
Read = Callable[[Sample], float]
Reduce = Callable[[list[float]], float]

_AIM = "<= 1.0, aim 0.8"


def processes(samples: Samples, small: int, large: int) -> list[Row]:
    """pci_facts less the empty module, against lspci and against itself."""
    rows = []
    for what, read, goals in (("time", _wall, (_AIM, "<= 1.0")), ("processor time", _cpu, ("", ""))):
        rows += [
            _row(
                f"{what}, {large} functions: (pci_facts - empty module) / lspci",
                partial(_against_lspci, samples, large, read), goals[0],
            ),
            _row(
                f"{what}, {small} functions: (pci_facts - empty module) / lspci",
                partial(_against_lspci, samples, small, read), "",
            ),
            _row(
                f"{what}, growth {small} -> {large} functions, / {large / small:.1f}",
                partial(_growth, samples, small, large, read), goals[1],
            ),
        ]
    for name, goal in (("facts", "< 80"), ("empty", "")):
        peaks = [one.peak / 1024 for one in samples[name, large]]
        what = f"peak memory in MiB, {name}, {large} functions"
        rows.append((what, f"{min(peaks):.1f}", f"{median(peaks):.1f}", goal))
    return rows


def compiled(samples: Samples, size: int) -> list[Row]:
    """A whole module that has nothing to do, with its files compiled once, against the same with all compiled twice."""
    once, twice = ([_cpu(one) for one in samples[name, size]] for name in ("once", "twice"))
    what = f"processor time, driver_override, {size} functions, nothing to do: compiled once / twice"
    return [_row(what, lambda reduce: reduce(once) / reduce(twice), "< 1.0")]


def plans(times: dict[str, dict[int, list[float]]]) -> list[Row]:
    """Growth of planning with the number of declared devices, for each device; and what the most of them take."""
    rows = []
    for what, seconds in times.items():
        first, *rest = seconds
        for count in rest:
            rows.append(_row(
                f"plan to {what}, growth {first} -> {count} declared, / {count / first:.1f}",
                partial(_plan_growth, seconds, first, count), "<= 1.0",
            ))
        most = max(seconds)
        rows.append(_row(f"plan to {what} {most} declared, seconds of processor time", _of(seconds[most]), "< 1"))
    return rows


def looks(times: dict[str, dict[int, list[float]]]) -> list[Row]:
    """The look at who has a device open: growth with the number of processes, against the least there is to do, and in seconds."""
    look, listing = times["look"], times["listing"]
    first, most = min(look), max(look)
    return [
        _row(f"who has it open, growth {first} -> {most} processes, / {most / first:.1f}", partial(_plan_growth, look, first, most), "<= 1.1"),
        _row(
            f"who has it open, {most} processes, against reading each link",
            lambda reduce: reduce(look[most]) / reduce(listing[most]), "<= 3",
        ),
        _row(f"who has it open, {most} processes, seconds of processor time", _of(look[most]), "< 1"),
    ]


def _against_lspci(samples: Samples, size: int, read: Read, reduce: Reduce) -> float:
    return _net(samples, size, read, reduce) / reduce([read(one) for one in samples["lspci", size]])


def _growth(samples: Samples, small: int, large: int, read: Read, reduce: Reduce) -> float:
    return _net(samples, large, read, reduce) / _net(samples, small, read, reduce) * small / large


def _plan_growth(seconds: dict[int, list[float]], first: int, count: int, reduce: Reduce) -> float:
    return reduce(seconds[count]) / reduce(seconds[first]) * first / count


def _of(values: list[float]) -> Callable[[Reduce], float]:
    return lambda reduce: reduce(values)


def _net(samples: Samples, size: int, read: Read, reduce: Reduce) -> float:
    """What pci_facts costs beyond the start of an empty module."""
    facts, empty = ([read(one) for one in samples[name, size]] for name in ("facts", "empty"))
    return reduce(facts) - reduce(empty)


def _wall(sample: Sample) -> float:
    return sample.wall


def _cpu(sample: Sample) -> float:
    return sample.cpu


def _row(what: str, ratio: Callable[[Reduce], float], goal: str) -> Row:
    return what, f"{ratio(min):.2f}", f"{ratio(median):.2f}", goal


def table(rows: list[Row]) -> str:
    """The rows in columns."""
    lines = [("what", "by minimum", "by median", "goal"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines)
