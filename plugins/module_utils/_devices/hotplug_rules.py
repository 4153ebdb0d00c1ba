# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Standing rules: a kind of device that a policy takes when one is plugged in, before any run knows it. Pure.

They are written for optional entries that name ids only, since udev can compare these, or VFs by their index, since the PF's
event names them so. Every device of the kind that is there already belongs to the policy then, or the task is refused, so such
a rule takes nothing that the host has for itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.globs import fits as fits_glob
from ansible_collections.vfio.host.plugins.module_utils._devices import vf_rules
from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import needs_base
from ansible_collections.vfio.host.plugins.module_utils._devices.drivers import named_driver
from ansible_collections.vfio.host.plugins.module_utils._devices.lines import MAX_LINE, NAME, STANDING, checked, fits, read_records, size
from ansible_collections.vfio.host.plugins.module_utils._devices.pci import IDENTITY, Device
from ansible_collections.vfio.host.plugins.module_utils._devices.place import DEVPATH
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import AUTO, NATIVE, Entry
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._kernel.alias import BASE_DRIVER, BASE_MODULE, VFIO

if TYPE_CHECKING:
    from typing import Any, TypeVar

    from ansible_collections.vfio.host.plugins.module_utils._devices.match import Match, Selector
    from ansible_collections.vfio.host.plugins.module_utils._devices.record import Record
    from ansible_collections.vfio.host.plugins.module_utils._devices.state import Survey

    _Drafted = TypeVar("_Drafted", Record, "Standing")

_COMPARABLE = frozenset(IDENTITY + ("address",))
# Patterns beside these: the DEVPATHs of PFs, and indexes of their VFs.
_OF_VFS = frozenset(("pf", "vf"))
_INDEX = re.compile(r"[0-9]{1,5}\Z")
_LENGTHS = dict(dict.fromkeys(IDENTITY, 4), **{"class": 6})
_PLAIN = re.compile(r"[0-9a-f:.]+\Z")
_PATTERN = re.compile(r"[0-9a-f:.*?]+\Z")
# VFIO takes no bridge, and one without its driver is a bus without its devices.
_BRIDGES = "06*"


@dataclass(frozen=True)
class Standing:
    """One kind of device: ``patterns`` maps ids and ``address`` to globs of which one must fit; of VFs by their index, ``pf`` to
    the DEVPATHs of the PFs and ``vf`` to the indexes. ``driver`` is None where only loading the module tells its name; then there
    is no rule yet.
    """

    patterns: dict[str, tuple[str, ...]]
    driver: str | None
    module: str

    def catches(self, device: Device) -> bool:
        """Whether the rule takes a device."""
        values = dict(device.ids, address=device.address, pf=device.devpath or "", vf="" if device.vf is None else str(device.vf))
        return not fits_glob(values["class"], _BRIDGES) and all(
            any(fits_glob(values[key], one) for one in globs) for key, globs in self.patterns.items()
        )

    @property
    def is_of_vfs(self) -> bool:
        """Whether VFs are meant, by their index."""
        return "vf" in self.patterns

    def comment(self) -> str:
        """The record of it, one line."""
        return f"# {STANDING} {json.dumps(vars(self), sort_keys=True)}"

    def rules(self, policy: str) -> list[str]:
        """The lines that take a device, unless a rule for its place did."""
        if not self.is_of_vfs:
            return [self.rule(policy)]
        ids = "".join(
            f', ATTR{{{{}}/{key}}}=="{"|".join("0x" + one for one in globs)}"'
            for key, globs in sorted(self.patterns.items()) if key in IDENTITY
        )
        return vf_rules.standing_lines(driver_in_rules(self), pfs=self.patterns["pf"], indexes=self.patterns["vf"], ids=ids)

    def rule(self, policy: str) -> str:
        """The one line where kinds are meant, which gives way to the rules of devices."""
        words = ['ACTION=="add"', 'SUBSYSTEM=="pci"', 'ENV{VFIO_HOST}==""', f'ATTR{{class}}!="0x{_BRIDGES}"']
        for key, globs in sorted(self.patterns.items()):
            if key == "address":
                words.append(f'KERNEL=="{"|".join(globs)}"')
            else:
                words.append(f'ATTR{{{key}}}=="{"|".join("0x" + one for one in globs)}"')
        words += [f'ENV{{VFIO_HOST}}="{policy} {self.driver}"', f'ATTR{{driver_override}}="{self.driver}"']
        return ", ".join(words)


def parse(text: str, path: str) -> list[Standing]:
    """The Standings in a rules file's text. Raises PlanError naming ``path`` and the line that no run of ours wrote."""
    return read_records(text, path, kinds=(STANDING,), make=lambda dummy, kept: _standing(kept))


def _standing(kept: dict[str, Any]) -> Standing:
    shapes = dict(dict.fromkeys(_COMPARABLE, _PATTERN), pf=DEVPATH, vf=_INDEX)
    patterns = {key: tuple(checked(shapes[key], one) for one in globs) for key, globs in kept["patterns"].items()}
    is_kind = _OF_VFS.issubset(patterns) or (set(IDENTITY).intersection(patterns) and not _OF_VFS.intersection(patterns))
    if not is_kind or not all(patterns.values()):
        raise ValueError(f"{sorted(patterns)} with {sorted(patterns.values())} says no kind of device")
    return Standing(patterns, checked(NAME, kept["driver"]), checked(NAME, kept["module"]))


def standings(
    survey: Survey, declared: dict[str, list[Entry]], *, selector: Selector, has_iommu: bool,
) -> tuple[dict[str, list[Standing]], set[str], list[str]]:
    """(policy -> list of Standing, modules whose driver is not known yet, warnings) for declarations that hold now."""
    found: dict[str, dict[str, Standing]] = {}
    unresolved: set[str] = set()
    warnings: list[str] = []
    entries = [entry for one in declared.values() for entry in one]
    for entry in entries:
        patterns = _patterns(entry, survey, selector)
        if patterns is None or not all(patterns.values()):
            continue
        later = f"{entry.where}: a device that is plugged in later waits for the next run, since "
        if not has_iommu:
            warnings.append(later + "the IOMMU is off")
            continue
        rival = next((
            one for one in entries
            if (one.driver, needs_base(one.consumer), one.policy) != (entry.driver, needs_base(entry.consumer), entry.policy)
            and _is_rival(entry, one, selector)
        ), None)
        if rival is not None:
            what = ", for another consumer" if rival.policy == entry.policy else ", and a device belongs to one policy"
            what = f", for driver {rival.driver}" if rival.driver != entry.driver else what
            warnings.append(f"{later}{rival.where} may mean it too{what}")
            continue
        module, driver, doubt = _driver(survey, entry, patterns)
        if doubt:
            warnings.append(f"{entry.where}: {doubt}")
        if driver is None:
            unresolved.add(module)
        for standing in _parts(entry, Standing(patterns, driver, module)):
            found.setdefault(entry.policy, {})[standing.comment()] = standing
    return {policy: list(kinds.values()) for policy, kinds in found.items()}, unresolved, warnings


def stand_in(module: str) -> str:
    """The word that stands, in drafts only, for the driver of a module that is not loaded. Older runs wrote it into rules."""
    return f"driver_of_{module}"


def driver_in_rules(one: Record | Standing) -> str:
    """The driver that a rule names; in a draft, where the name is not known, the word that stands for it."""
    return one.driver or stand_in(one.module)


def drafted(one: _Drafted) -> _Drafted:
    """A Record or Standing with a word for its driver where the name is not known."""
    return replace(one, driver=driver_in_rules(one))


def _parts(entry: Entry, standing: Standing) -> list[Standing]:
    """The Standing, or several that together take the same devices, since udev reads no longer lines."""
    lines = [drafted(standing).comment()] + drafted(standing).rules(entry.policy)
    if all(map(fits, lines)):
        return [standing]
    lists = [key for key, globs in standing.patterns.items() if len(globs) > 1]
    if not lists:
        raise PlanError(
            f"{entry.where}: the rule for devices that are plugged in later would have a line of {max(map(size, lines))} bytes, and "
            f"udev reads {MAX_LINE} at most; write a shorter pattern"
        )
    key = max(lists, key=lambda one: sum(map(len, standing.patterns[one])))
    globs = standing.patterns[key]
    halves = globs[:len(globs) // 2], globs[len(globs) // 2:]
    return [
        part for half in halves
        for part in _parts(entry, replace(standing, patterns=dict(standing.patterns, **{key: half})))
    ]


def _patterns(entry: Entry, survey: Survey, selector: Selector) -> dict[str, tuple[str, ...]] | None:
    """The globs of an entry that has a standing rule; None for any other."""
    wanted = {key: patterns for key, patterns in entry.match.wanted.items() if key != "vf"}
    by_index = "vf" in entry.match.wanted
    if not entry.optional or entry.count is not None or entry.driver == NATIVE:
        return None
    if not _COMPARABLE.issuperset(wanted) or not (by_index or set(IDENTITY).intersection(wanted)):
        return None
    if (entry.match.pfs and not by_index) or ("address" in wanted and by_index):
        return None
    if not all(_PATTERN.match(one) for patterns in wanted.values() for one in patterns):
        return None
    found = {key: tuple(_whole(key, one) for one in patterns) for key, patterns in sorted(wanted.items())}
    return dict(found, **_of_vfs(entry.match, survey, selector)) if by_index else found


def _of_vfs(match: Match, survey: Survey, selector: Selector) -> dict[str, tuple[str, ...]]:
    """The patterns for VFs that a match names by PF and index, as far as the PFs are there and can have as many."""
    named = selector.pfs(match) if match.pfs else set(survey.devices)
    pfs = [survey.devices[address] for address in named if address in survey.devices]
    sizes = [
        (one.devpath, one.sriov["total"]) for one in pfs if one.sriov is not None and one.devpath is not None and one.pin is None
    ]
    most = max((total for dummy, total in sizes), default=0)
    indexes = [str(index) for index in range(most) if any(fits_glob(str(index), one) for one in match.wanted["vf"])]
    return {"pf": tuple(sorted(devpath for devpath, dummy in sizes)), "vf": tuple(indexes)}


def _whole(key: str, pattern: str) -> str:
    """The glob for a pattern: ids fit by their beginning."""
    if key == "address" or pattern.endswith("*") or (_PLAIN.match(pattern) and len(pattern) >= _LENGTHS[key]):
        return pattern
    return pattern + "*"


def _is_rival(entry: Entry, other: Entry, selector: Selector) -> bool:
    """Whether another entry, for another driver or of another policy, may mean a device that this one takes when it is plugged in."""
    if not _may_share(entry.match.wanted, other.match.wanted):
        return False
    # What names one device that is there, and is not claimed twice, does not mean another.
    is_kind = set(IDENTITY).issuperset(other.match.wanted) and not other.match.pfs
    return is_kind or not selector.select(other.match)


def _may_share(one: dict[str, tuple[str, ...]], other: dict[str, tuple[str, ...]]) -> bool:
    return all(
        any(_may_equal(key, left, right) for left in one[key] for right in other[key])
        for key in _COMPARABLE.union(("vf",)).intersection(one, other)
    )


def _may_equal(key: str, left: str, right: str) -> bool:
    if not (_PLAIN.match(left) and _PLAIN.match(right)):
        return True
    return left == right if key in ("address", "vf") else left.startswith(right) or right.startswith(left)


def _driver(survey: Survey, entry: Entry, patterns: dict[str, tuple[str, ...]]) -> tuple[str, str | None, str | None]:
    """(module, driver or None, doubt) for a device of which only the patterns are known."""
    if entry.driver != AUTO:
        return named_driver(survey.modules, entry.driver, where=entry.where, kernel=survey.kernel) + (None,)
    if needs_base(entry.consumer):
        return BASE_MODULE, BASE_DRIVER, None
    disabled = survey.modules.disabled()
    aliases = [
        (alias.module, alias.fields()) for alias in survey.modules.aliases(VFIO)
        if alias.module != BASE_MODULE and alias.module not in disabled
    ]
    found = [(module, _fit(fields, patterns)) for module, fields in aliases if fields]
    possible = sorted({module for module, fits in found if fits != "no"})
    if not possible:
        return BASE_MODULE, BASE_DRIVER, None
    if len(possible) > 1 or (possible[0], "yes") not in found:
        return BASE_MODULE, BASE_DRIVER, (
            f"a device that is plugged in later gets {BASE_DRIVER} until the next run: the match leaves open whether "
            f"{', '.join(possible)} serves it"
        )
    names = survey.modules.drivers(possible[0])
    return possible[0], names[0] if len(names) == 1 else None, None


def _fit(fields: tuple[str, ...], patterns: dict[str, tuple[str, ...]]) -> str:
    """Whether an alias matches whatever the patterns fit: "yes", "no", or "maybe"."""
    answer = "yes"
    for key, value in zip(IDENTITY[:4], fields[:4]):
        if value != "*":
            answer = _worse(answer, _compare(value[-4:].lower(), patterns.get(key)))
    kind = "".join("??" if one == "*" else one.lower() for one in fields[4:])
    return answer if kind == "??????" else _worse(answer, _compare(kind, patterns.get("class")))


def _worse(one: str, other: str) -> str:
    return min(one, other, key=("no", "maybe", "yes").index)


def _compare(value: str, globs: tuple[str, ...] | None) -> str:
    """Whether what fits one of the globs fits ``value``, in which '?' fits anything."""
    if globs is None:
        return "maybe"
    answers = {_compare_one(value, one) for one in globs}
    return answers.pop() if len(answers) == 1 else "maybe"


def _compare_one(value: str, glob: str) -> str:
    start = re.split(r"[*?]", glob)[0]
    if not fits_glob(start, value[:len(start)]):
        return "no"
    return "yes" if start == glob else "maybe"


__all__ = ("Standing", "drafted", "driver_in_rules", "parse", "stand_in", "standings")
