# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""kernelstub of Pop!_OS, which writes entries anew from its configuration whenever a kernel or an image changes.

The list of arguments there and the entries are edited, each file in one step; kernelstub itself does not run, since it
copies kernel and image to the EFI system partition in place.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import with_options
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.boot import Boot, Change
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.entries import EntryFiles
from ansible_collections.vfio.host.plugins.module_utils._cmdline.records import parse_record
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError

if TYPE_CHECKING:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.goal import Goal
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.blsentries import Entry

_KEY = re.compile(r'"kernel_options"\s*:\s*')
# As the tool writes it: json.dump(..., indent=2), two levels deep (source: save_config() in kernelstub/config.py).
_INDENT = "\n" + " " * 4


@dataclass(frozen=True)
class KernelstubState:
    """``span``: where the list of arguments begins and ends in the configuration. ``raw``: line -> the list as it was written before us."""

    span: tuple[int, int]
    raw: dict[str | None, str]


class Kernelstub(EntryFiles[KernelstubState]):
    """kernelstub."""

    name = "kernelstub"
    looked_for = "kernelstub (/etc/kernelstub/configuration)"

    def found(self) -> str | None:
        """Evidence, or None."""
        path = self._paths.kernelstub_conf
        return path if self._paths.program("kernelstub") and self._files.read(path) is not None else None

    def read(self) -> Boot[KernelstubState]:
        """The arguments in the configuration, and the entries that kernelstub makes of them."""
        path = self._paths.kernelstub_conf
        text = self._files.read(path) or ""
        options = self._options(text)
        begin, end = _span(text, options, path)
        line = " ".join(options)
        ours = [entry for entry in self.all_entries() if self._is_ours(entry)]
        if not ours:
            raise self.none_is_ours(lambda entry: entry.other_root(self.system().line) or "is not kernelstub's")
        entries = tuple((entry.path, entry.options) for entry in self.booted_first(ours))
        return Boot(
            entries=entries,
            files={path: text, **{entry.path: entry.text for entry in ours}},
            lines=((path, line), *entries),
            raw={path: text[begin:end]},
            more=KernelstubState((begin, end), self._kept()),
        )

    def _options(self, text: str) -> list[str]:
        """The user's arguments in the configuration. Raises PlanError where kernelstub would not make entries of it."""
        path, remedy = self._paths.kernelstub_conf, "run kernelstub once, and look at what it says"
        try:
            user = json.loads(text)["user"]
            options = user["kernel_options"]
            sets = {key: user[key] for key in ("setup_loader", "manage_mode")}
        except (ValueError, KeyError, TypeError):
            raise PlanError(f"{path} is not as kernelstub writes it: {remedy}") from None
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise PlanError(f"{path}: kernel_options is no list of texts: {remedy}")
        if sets != {"setup_loader": True, "manage_mode": True}:
            raise PlanError(
                f"{path} has {sets}, so that the arguments are in the firmware's boot entries, which this collection does not "
                "write: run 'kernelstub --loader --manage-only' to boot by systemd-boot"
            )
        return options

    def _is_ours(self, entry: Entry) -> bool:
        """Whether an entry is one that kernelstub makes for this system."""
        name = entry.path.rpartition("/")[2]
        made = name.endswith(("-current.conf", "-oldkern.conf")) and bool(entry.fields.get("linux"))
        return made and entry.other_root(self.system().line) is None

    def _kept(self) -> dict[str | None, str]:
        """Line -> the list as it was written before us. Raises PlanError."""
        kept = parse_record(self._files.read(self.record), self.record).lines.get(self._paths.kernelstub_conf)
        return {} if kept is None or kept.raw is None else {kept.was: kept.raw}

    def plan(self, boot: Boot[KernelstubState], goal: Goal) -> Change:
        """The list in the configuration, and the entries."""
        path = self._paths.kernelstub_conf
        line, problems = dict(boot.lines)[path], self.unfit(goal.all)
        new = goal.edit(path, line)
        files: dict[str, str | None] = {}
        if new != line:
            begin, end = boot.more.span
            written = boot.more.raw.get(new, _written(new))
            files[path] = boot.text(path)[:begin] + written + boot.text(path)[end:]
        for name, options in boot.entries:
            changed = goal.edit(name, options)
            if changed != options:
                files[name] = with_options(boot.text(name), changed)
        return Change(files=files, problems=problems)


def _written(line: str) -> str:
    """The list of a line; kernelstub puts one blank between its items, so the rest of the white space is theirs."""
    items: list[str] = []
    for word in parse(line).words:
        if items and not word.space.startswith(" "):
            items[-1] += word.space + word.text
        else:
            items.append((word.space[1:] if items else word.space) + word.text)
    return json.dumps(items, indent=2).replace("\n", _INDENT)


def _span(text: str, options: list[str], path: str) -> tuple[int, int]:
    """(begin, end) of the list of the user's arguments in the configuration. Raises PlanError."""
    for match in _KEY.finditer(text, max(text.find('"user"'), 0)):
        try:
            parsed, end = json.JSONDecoder().raw_decode(text, match.end())
            marked = json.loads(text[: match.end()] + "[]" + text[end:])
        except ValueError:
            continue
        if parsed == options and marked["user"]["kernel_options"] == []:
            return match.end(), end
    raise PlanError(f"{path}: the list kernel_options of user cannot be found: run kernelstub once")


__all__ = ("Kernelstub",)
