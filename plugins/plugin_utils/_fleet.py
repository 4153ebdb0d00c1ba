# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What became of each host of a play, from what its tasks have registered: the one place where hosts are told apart by that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.vfio.host.plugins.plugin_utils import _rows

# From the most urgent to the least. MISSED: no task has asked the host yet, or the play stopped before.
FAILED, UNREACHABLE, REFUSED, MISSED, WAITING, CHANGED, DECLARED, NOTHING = (
    "failed", "unreachable", "refused", "missed", "waiting", "changed", "declared", "nothing",
)
ORDER = (FAILED, UNREACHABLE, REFUSED, MISSED, WAITING, CHANGED, DECLARED, NOTHING)

SURVEY, CHECKED, RESULT, EARLIER = "passthrough_survey", "passthrough_checked", "passthrough_result", "passthrough_earlier"
REBOOTED, PROOF = "passthrough_rebooted", "passthrough_proof"
# What the tasks of each playbook register, in their order.
SURVEYED, CONVERGED, VERIFIED, REPORTED, RELEASED = "survey", "converge", "verify", "report", "release"
_REGISTERED = {
    SURVEYED: (SURVEY,), REPORTED: (SURVEY, CHECKED, RESULT), VERIFIED: (CHECKED, RESULT, PROOF), CONVERGED: (CHECKED, RESULT, REBOOTED, PROOF),
    RELEASED: (CHECKED, RESULT),
}
_ELSEWHERE = "a task that is not of this collection, or its proof, has failed; it is told above"


@dataclass(frozen=True)
class Refusal:
    """Why a host was refused: ``text``, the sentence; the rest as RV(vfio.host.passthrough#module:refusals) has it."""

    text: str
    kind: str = ""
    guard: str = ""

    @property
    def short(self) -> str:
        """What several hosts may have in common."""
        words = {
            "guard": f"needed by the host ({self.guard})", "in_use": "in use", "group": "not its whole IOMMU group is declared",
            "input": "declared wrongly", "driver": "a driver that does not declare the device", "vfs": "its virtual functions would go along",
            "dead": "a device does not answer", "stuck": "a device is stuck", "away": "stayed away after its reboot",
        }
        return words.get(self.kind) or self.text.partition("\n")[0]


@dataclass(frozen=True)
class Standing:
    """One host: its ``state`` of ORDER, the ``reasons`` as Refusals, the ``rows`` that change or wait for a restart, what ``waits`` for a reboot."""

    host: str
    state: str
    reasons: tuple[Refusal, ...] = ()
    rows: tuple[_rows.Row, ...] = ()
    waits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def standing(host: str, variables: Mapping[str, Any], *, playbook: str = REPORTED, play: str = "", is_left: bool = True) -> Standing:
    """What became of a host. ``variables``: what was registered of it; ``playbook``: one of SURVEYED, CONVERGED and so on;
    ``play``: the name of this play, since results of earlier ones do not count; ``is_left``: whether Ansible has it in the play still.
    """
    found = {name: variables[name] for name in _REGISTERED[playbook] if isinstance(variables.get(name), Mapping)}
    checked = found.get(CHECKED) or {}
    if not found or checked.get("play", play) != play and play:
        return Standing(host, MISSED)
    warnings = tuple(dict.fromkeys(str(text) for one in found.values() for text in one.get("warnings") or ()))
    for name, one in found.items():
        if one.get("unreachable"):
            return Standing(host, UNREACHABLE, (Refusal(_message(one)),), warnings=warnings)
        if one.get("failed"):
            refusals = _refusals(one, name)
            return Standing(host, REFUSED if refusals else FAILED, refusals or (_failure(one, name),), warnings=warnings)
    result = found.get(RESULT)
    if result is None or result.get("skipped"):
        return _elsewhere(host, warnings) if not is_left else Standing(host, DECLARED if SURVEY in found else MISSED, warnings=warnings)
    return _of_result(host, result, _before(variables, checked), warnings, playbook == VERIFIED, is_left)


def _of_result(host: str, result: Mapping[str, Any], earlier: Mapping[str, Any], warnings: tuple[str, ...], verify: bool, is_left: bool) -> Standing:
    """The Standing of a host of which the module has returned a result; ``earlier``: what it returned before in the same run."""
    rows = _rows.rows(dict(result))
    if earlier:
        rows = _rows.merged(_rows.rows(dict(earlier)), rows)
    told, waits = tuple(row for row in rows if row.is_told), tuple(result.get("reboot_reasons") or ())
    undeclared = tuple(Refusal(str(one["reason"])) for one in result.get("undeclared") or ())
    changing = any(row.is_change for row in told)
    differs = bool(changing or result.get("changed") or result.get("diff") or verify and (undeclared or result.get("restart")))
    if not is_left and not (verify and (differs or result.get("reboot_required"))):
        return _elsewhere(host, warnings)
    state = WAITING if result.get("reboot_required") else CHANGED if differs else DECLARED if undeclared or any(row.is_declared for row in rows) else NOTHING
    return Standing(host, state, undeclared, told, waits, warnings)


def _before(variables: Mapping[str, Any], checked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the module returned before, in this run of the role; an earlier one in the same play may have left its own."""
    earlier = variables.get(EARLIER)
    return earlier["result"] if isinstance(earlier, Mapping) and checked.get("run") and earlier.get("run") == checked["run"] else {}


def _elsewhere(host: str, warnings: tuple[str, ...]) -> Standing:
    return Standing(host, FAILED, (Refusal(_ELSEWHERE),), warnings=warnings)


def standings(variables: Mapping[str, Any], playbook: str, *, play: str = "") -> list[Standing]:
    """All hosts of a play in its order. ``variables``: those that a task of the play has."""
    hostvars, left = variables["hostvars"], set(variables["ansible_play_hosts"])
    return [
        standing(host, raw(hostvars, host), playbook=playbook, play=play, is_left=host in left) for host in variables["ansible_play_hosts_all"]
    ]


def name_of_play(task: object) -> str:
    """A name that no other play of the run has, and that all batches of one have; "" where Ansible tells none."""
    return str(getattr(getattr(task, "play", None), "_uuid", ""))


def raw(hostvars: Any, host: str) -> Mapping[str, Any]:
    """The variables of a host as they are: what was registered holds no template, and looking for some costs much."""
    variables: Mapping[str, Any] = hostvars.raw_get(host) if hasattr(hostvars, "raw_get") else hostvars[host]
    return variables


def _refusals(result: Mapping[str, Any], name: str) -> tuple[Refusal, ...]:
    if name == CHECKED:
        return tuple(Refusal(line, "input") for line in _message(result).splitlines())
    return tuple(
        Refusal(str(one.get("message")), str(one.get("kind") or ""), str(one.get("guard") or "")) for one in result.get("refusals") or ()
    )


def _failure(result: Mapping[str, Any], name: str) -> Refusal:
    return Refusal(_message(result), "away" if name == REBOOTED and result.get("rebooted") else "")


def _message(result: Mapping[str, Any]) -> str:
    """Why a task failed, in its own words; of a module that ended without any, in those that it printed."""
    for key in ("msg", "module_stderr", "module_stdout", "exception"):
        text = str(result.get(key) or "").strip()
        if text:
            return text
    return "it failed without a word"


def grouped(found: Iterable[Standing]) -> dict[str, list[str]]:
    """What hosts have in common -> their names: of Standings, by the short words of each reason."""
    groups: dict[str, list[str]] = {}
    for one in found:
        for short in dict.fromkeys(reason.short for reason in one.reasons):
            groups.setdefault(short, []).append(one.host)
    return groups


__all__ = (
    "CHANGED", "CONVERGED", "DECLARED", "FAILED", "MISSED", "NOTHING", "ORDER", "REFUSED", "RELEASED", "REPORTED", "Refusal", "SURVEY", "SURVEYED", "Standing",
    "UNREACHABLE", "VERIFIED", "WAITING", "grouped", "name_of_play", "raw", "standing", "standings",
)
