# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code of a page, and the recipes as actions: what is written where, and which command runs on which machine.

    recipes.py PAGE TABLE

prints the actions of the scenario ``recipes`` as JSON, in order, and what is left out. The table says what the page cannot: the lab's words for the
reader's own, what is there before, and what the kernel shows afterwards. Nothing else of the page is replaced.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

import yaml

# What is before the first recipe; its title is that of the page.
OPENING = "Recipes"
HOST = "node1"
HOST_VARS = f"inventory/host_vars/{HOST}.yml"
# What a step does, and what else it may say.
STEPS: Mapping[str, Set[str]] = {
    "declare": {"also"},               # blocks, or YAML of the table's own: the host's variables from now on
    "write": {"of", "to"},             # a block, to a file beside the inventory; of another recipe
    "play": set(),                     # a block, as a playbook
    "run": {"of", "lines", "user"},    # a block's commands, all or those of these numbers
    "host": {"at"},                    # commands of the table's own, on the host
    "controller": set(),               # the same, where the inventory is
    "lab": set(),                      # a command of the lab's, about the host
    "install": set(),                  # packages, on the host
}
EXPECTED = {"fails", "says", "silent", "shows"}


class TableError(Exception):
    """The table and the page do not fit."""


@dataclass(frozen=True)
class Block:
    """Fenced code: the recipe that it is in, the line that it begins at, and its language, which may be empty."""

    recipe: str
    line: int
    language: str
    code: str

    def commands(self) -> List[Tuple[str, str, str]]:
        """Its prompts (``$`` or ``#``), the commands behind them, and what the page prints below each."""
        found: List[Tuple[str, str, str]] = []
        for line in self.code.splitlines():
            if line.startswith(("$ ", "# ")):
                found.append((line[0], line[2:], ""))
            elif found:
                prompt, command, output = found[-1]
                found[-1] = (prompt, command, f"{output}{line}\n")
            else:
                raise TableError(f"line {self.line}: a block that is run begins with a command")
        return found


def blocks(text: str) -> List[Block]:
    """The code of a page, in order."""
    headings = [(0, OPENING), *((one.start(), one[1]) for one in re.finditer(r"^## (.*)$", text, re.MULTILINE))]
    return [
        Block([name for start, name in headings if start <= one.start()][-1], text[:one.start()].count("\n") + 2, one[2], textwrap.dedent(one[3]))
        for one in re.finditer(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    ]


def variables(code: str) -> Dict[str, str]:
    """The top-level variables of a block, each as the text that the page has."""
    found: Dict[str, str] = {}
    name = ""
    for line in code.splitlines(keepends=True):
        if re.match(r"[a-z]", line):
            name = line.partition(":")[0]
        found[name] = found.get(name, "") + line
    return found


class Recipe:
    """One recipe of the table, against the page's blocks."""

    def __init__(self, entry: Mapping[str, Any], page: List[Block], declared: Dict[str, str]) -> None:
        self.title: str = entry["recipe"]
        self.page = page
        self.words: Dict[str, str] = entry.get("words", {})
        self.hosts: Dict[str, str] = entry["hosts"]
        self.declared = declared
        self.met: Set[str] = set()
        # Of each of its blocks that is of use, the commands that are run; None where it is all of it.
        self.used: Dict[int, Optional[Set[int]]] = {}

    def code(self, number: int, of: Optional[str] = None, *, lines: Optional[List[int]] = None) -> Block:
        """A block by its number, from 1, with the lab's words. ``lines``: the commands that are wanted of it, None: all."""
        title = of or self.title
        mine = [one for one in self.page if one.recipe == title]
        if not mine:
            raise TableError(f"{title}: the page has no such recipe with a block")
        if not 1 <= number <= len(mine):
            raise TableError(f"{title}: the page has {len(mine)} blocks there, and not {number}")
        if title == self.title:
            before = self.used.get(number, set())
            self.used[number] = None if lines is None or before is None else before | set(lines)
        found = mine[number - 1]
        self.met |= {word for word in self.words if word in found.code}
        # All at once: what has been put in is not looked at again.
        pattern = "|".join(re.escape(word) for word in sorted(self.words, key=len, reverse=True))
        text = re.sub(pattern, lambda one: self.words[one[0]], found.code) if pattern else found.code
        return Block(found.recipe, found.line, found.language, text)

    def actions(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        kinds = [name for name in step if name in STEPS]
        if len(kinds) != 1 or set(step) - {kinds[0]} - STEPS[kinds[0]] - EXPECTED:
            raise TableError(f"{self.title}: what is this step to do? {json.dumps(step)}")
        expected = {name: value for name, value in step.items() if name in EXPECTED}
        found: List[Dict[str, Any]] = getattr(self, f"_{kinds[0]}")(step)
        return [{"recipe": self.title, **action, **expected} for action in found]

    def _declare(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        value = step["declare"]
        text = self.code(value).code if isinstance(value, int) else value
        if not step.get("also"):
            self.declared.clear()
        self.declared.update(variables(text))
        return [{"do": "write", "path": HOST_VARS, "content": "".join(self.declared.values())}]

    def _write(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        return [{"do": "write", "path": step["to"], "content": self.code(step["write"], step.get("of")).code}]

    def _play(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        return [{"do": "write", "path": "play.yml", "content": self.code(step["play"]).code},
                {"do": "controller", "command": "ansible-playbook -i inventory play.yml"}]

    def _run(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        block = self.code(step["run"], step.get("of"), lines=step.get("lines"))
        found = []
        for number, (prompt, command, output) in enumerate(block.commands(), 1):
            if number not in step.get("lines", [number]):
                continue
            printed = {"shows": output} if output else {}
            if prompt == "#" and command == "reboot":
                found.append({"do": "lab", "argv": ["reboot"], "host": self.hosts[HOST]})
            elif prompt == "#" or "user" in step:
                found.append({"do": "host", "command": command, "host": self.hosts[HOST], "user": step.get("user", ""), **printed})
            else:
                found.append({"do": "controller", "command": command, **printed})
        return found

    def _host(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        return [{"do": "host", "command": step["host"], "host": self.hosts[step.get("at", HOST)], "user": ""}]

    def _controller(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        return [{"do": "controller", "command": step["controller"]}]

    def _lab(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        return [{"do": "lab", "argv": step["lab"], "host": self.hosts[HOST]}]

    def _install(self, step: Mapping[str, Any]) -> List[Dict[str, Any]]:
        return [{"do": "install", "packages": step["install"], "host": self.hosts[HOST]}]

    def check(self, leaves: Mapping[int, str]) -> None:
        """Every word of the table and every block of the page are of use, or it is said why not."""
        unmet = sorted(set(self.words) - self.met)
        if unmet:
            raise TableError(f"{self.title}: the page does not have {', '.join(unmet)}")
        mine = dict(enumerate((one for one in self.page if one.recipe == self.title), 1))
        run = {
            number for number, lines in self.used.items()
            if lines is None or lines == set(range(1, len(mine[number].commands()) + 1))
        }
        if run & set(leaves) or run | set(leaves) != set(mine):
            raise TableError(f"{self.title}: of blocks {sorted(mine)}, {sorted(run)} are run as a whole, and {sorted(leaves)} are left out")


def actions(text: str, table: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """All that is to be done, in the table's order. An error where a recipe of the page is neither run nor said to be left out."""
    page = blocks(text)
    declared: Dict[str, str] = {}
    found: List[Dict[str, Any]] = []
    for entry in table["run"]:
        recipe = Recipe({"hosts": table["hosts"], **entry}, page, declared)
        found.append({"recipe": recipe.title, "do": "name", "hosts": recipe.hosts})
        found += [action for step in entry["steps"] for action in recipe.actions(step)]
        recipe.check(entry.get("leaves", {}))
    titles = [OPENING, *re.findall(r"^## (.*)$", text, re.MULTILINE)]
    named = [entry["recipe"] for entry in table["run"]] + list(table["left_out"])
    if sorted(titles) != sorted(named):
        raise TableError(f"neither run nor left out, or both, or not on the page: {sorted(set(titles) ^ set(named)) or named}")
    return found


def left_out(table: Mapping[str, Any]) -> Dict[str, str]:
    """What is not run, or not as a whole: a recipe, or a block of one, and the reason."""
    of_blocks = {f"{entry['recipe']}, block {number}": why for entry in table["run"] for number, why in entry.get("leaves", {}).items()}
    return {**table["left_out"], **of_blocks}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    table = yaml.safe_load(options.table.read_text(encoding="utf-8"))
    try:
        found = actions(options.page.read_text(encoding="utf-8"), table)
    except TableError as error:
        print(f"{options.table}: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"actions": found, "left_out": left_out(table)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
