# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what runs of all checks took, by stage and by scenario, as a table in Markdown.

.ci/run notes each run in a file of the cache's directory "times": lines of kind (stage or scenario), name, verdict
and seconds, with tabs between. A scenario's seconds are part of those of the stage molecule, and scenarios run side by side.

Usage: python3 tests/tools/times.py [FILE...]   (without files: the last three whole runs of this cache)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

# A run of all stages has this one.
WHOLE = ("stage", "molecule")
SHOWN = 3

Times = Dict[Tuple[str, str], Tuple[str, int]]


def directory() -> Path:
    return Path(os.environ.get("VFIO_HOST_CACHE") or Path.home() / ".cache" / "vfio.host") / "times"


def read(path: Path) -> Times:
    """The times of one run: (kind, name) -> (verdict, seconds), in the order in which they ended."""
    found: Times = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split("\t")
        if len(words) != 4 or not words[3].isdigit():
            raise ValueError(f"{path}:{number} is not kind, name, verdict and seconds: {line!r}")
        found[words[0], words[1]] = (words[2], int(words[3]))
    return found


def cell(times: Times, key: Tuple[str, str]) -> str:
    if key not in times:
        return ""
    verdict, seconds = times[key]
    return f"{seconds // 60}:{seconds % 60:02d}" + ("" if verdict == "ok" else f" {verdict}")


def table(runs: Sequence[Tuple[str, Times]]) -> List[str]:
    """The table's lines: a row a stage, a row a scenario below its stage, and the sum of the stages."""
    stages: List[Tuple[str, str]] = []
    scenarios: List[Tuple[str, str]] = []
    for dummy, times in runs:
        for key in times:
            rows = stages if key[0] == "stage" else scenarios
            if key not in rows:
                rows.append(key)
    lines = ["| minutes | " + " | ".join(name for name, dummy in runs) + " |", "|---|" + "---|" * len(runs)]
    for stage in stages:
        lines.append(f"| {stage[1]} | " + " | ".join(cell(times, stage) for dummy, times in runs) + " |")
        if stage == WHOLE:
            lines += [f"| - {key[1]} | " + " | ".join(cell(times, key) for dummy, times in runs) + " |" for key in scenarios]
    sums = [sum(seconds for key, (dummy, seconds) in times.items() if key[0] == "stage") for dummy, times in runs]
    return [*lines, "| **all** | " + " | ".join(f"**{total // 60}:{total % 60:02d}**" for total in sums) + " |"]


def main(words: Sequence[str]) -> int:
    paths = [Path(word) for word in words]
    try:
        runs = [(path.stem, read(path)) for path in paths or sorted(directory().glob("*.tsv"))]
    except (OSError, ValueError) as error:
        print(f"times: {error}", file=sys.stderr)
        return 1
    if not paths:
        runs = [(name, times) for name, times in runs if WHOLE in times][-SHOWN:]
    if not runs:
        print(f"times: no whole run is noted in {directory()}: make test", file=sys.stderr)
        return 1
    print("\n".join(table(runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
