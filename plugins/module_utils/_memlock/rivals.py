# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Who else sets the limits that are declared, so that ours would not hold: file and line.

systemd merges the drop-ins of a unit by file name, over all directories, and the last one that sets a value wins (source: systemd.unit(5);
src/shared/dropin.c unit_file_find_dropin_paths()). pam_limits reads limits.conf, then limits.d by file name; of lines for the same domain the
last one wins, and so does a range with its number (source: Linux-PAM modules/pam_limits/pam_limits.c parse_config_file(), process_limit()).
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Optional, Tuple

from ansible_collections.vfio.host.plugins.module_utils._competitors.ini import parse
from ansible_collections.vfio.host.plugins.module_utils._host.foreign import Foreign
from ansible_collections.vfio.host.plugins.module_utils._host.words import number as whole_number
from ansible_collections.vfio.host.plugins.module_utils._host.words import words as words_of
from ansible_collections.vfio.host.plugins.module_utils._memlock.records import DROPIN
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import Limit

# The places of units, the one whose files hide those of the same name in the next ones first (source: systemd.unit(5)).
_PLACES = tuple(f"{place}/systemd/{kind}" for place, kind in (
    ("/etc", "system.control"), ("/run", "system.control"), ("/run", "transient"), ("/run", "generator.early"), ("/etc", "system"),
    ("/etc", "system.attached"), ("/run", "system"), ("/run", "system.attached"), ("/run", "generator"), ("/usr/local/lib", "system"),
    ("/usr/lib", "system"), ("/lib", "system"), ("/run", "generator.late"),
))
_ALL, _ANY = "service", "*"  # a '*' is in no name of a unit
# Of distributions that leave /etc to the host (source: Linux-PAM modules/pam_limits/pam_limits.c VENDOR_LIMITS_CONF_GLOB).
_VENDORS = "/usr/etc/security"
_LATER = "which is read after ours"
# Sizes of systemd's: one or several parts, each smaller in kind than the one before: '1G 512M'.
_PART = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?[ \t]*([EPTGMKB]?)[ \t]*")
_KINDS = "EPTGMKB"
_DIGITS = 20


def is_unit(foreign: Foreign, unit: str) -> bool:
    """Whether a service, or the template that it is an instance of, is on the host."""
    names = {unit, re.sub(r"@.*\.service\Z", "@.service", unit)}
    return any(name in foreign.names(place) for place in _PLACES for name in names)


def later_dropins(foreign: Foreign, unit: str, *, limit: Limit) -> List[str]:
    """Where drop-ins that come after ours set another limit for a service: 'PATH:LINE says VALUE, which ...'. None where the last one of
    them sets the same again.
    """
    found: Dict[str, str] = {}
    # Of files of one name the first counts: in each place all directories, in the order of their names, then the next place
    # (source: src/shared/dropin.c unit_file_find_dropin_paths()).
    for names in [dropin_names(one) for one in _names_of(foreign, unit)] + [[_ALL]]:
        for directory in [f"{place}/{name}.d" for place in _PLACES for name in names]:
            for file in foreign.names(directory):
                if file.endswith(".conf"):
                    found.setdefault(file, f"{directory}/{file}")
    settings = [
        one for file, path in sorted(found.items()) if file > DROPIN for one in parse(foreign.text(foreign.root + path), path)
        if (one.section, one.name) == ("Service", "LimitMEMLOCK")
    ]
    wanted = (limit, limit)
    if not settings or set_by(settings[-1].value) == wanted:
        return []
    return [f"{one.where} says {one.value or 'nothing'}, {_LATER}" for one in settings if set_by(one.value) != wanted]


def _names_of(foreign: Foreign, unit: str) -> List[str]:
    """All names of a service, which are links to its file or to each other: systemd reads the drop-ins of each (source: systemd.unit(5);
    src/shared/unit-file.c unit_file_build_name_map()).
    """
    links: Dict[str, str] = {}
    for place in _PLACES:
        for name in foreign.names(place):
            if name.endswith(".service") and name not in links:
                path = f"{foreign.root}{place}/{name}"
                links[name] = os.path.basename(os.readlink(path)) if os.path.islink(path) else name

    def last(name: str) -> str:
        for dummy in range(len(links)):
            # What is masked, a link to /dev/null, is no name of another service.
            if not links.get(name, name).endswith(".service") or links.get(name, name) == name:
                break
            name = links[name]
        return name

    return [unit] + [name for name in sorted(links) if name != unit and last(name) == last(unit)]


def set_by(value: str) -> Optional[Tuple[Limit, Limit]]:
    """The soft and the hard limit that a value of LimitMEMLOCK sets, 'SOFT:HARD' or one for both; None for what systemd would pass over, or
    what is not known here, so that it is another limit than any.

    (source: systemd src/basic/rlimit-util.c rlimit_parse(), rlimit_parse_size())
    """
    limits = [_size(one) for one in value.split(":")]
    soft, hard = limits[0], limits[-1]
    return None if len(limits) > 2 or soft is None or hard is None else (soft, hard)


def _size(text: str) -> Optional[Limit]:
    """The Limit of one half (source: systemd src/basic/parse-util.c parse_size(), with 1024)."""
    if text == "infinity":
        return Limit(None)
    rest, size, kinds = text.strip(), 0, _KINDS
    while rest:
        found = _PART.match(rest)
        kind = (found.group(3) or "B") if found else ""
        if found is None or kind not in kinds:
            return None
        factor = 1024 ** (len(_KINDS) - 1 - _KINDS.index(kind))
        fraction = found.group(2) or ""
        size += int(found.group(1)) * factor + int(fraction or "0") * factor // 10 ** len(fraction)
        kinds, rest = kinds[kinds.index(kind) + 1:], rest[found.end():]
    return Limit(size) if text.strip() else None


def dropin_names(unit: str) -> List[str]:
    """The names whose directories of drop-ins count for a service, beside that of all services: its own, its template's, and the beginnings
    of these that end in '-', with its instance and without. Of a template, those that count for all of its instances.

    (source: systemd src/shared/dropin.c unit_file_find_dirs())
    """
    prefix, at, instance = unit[:-len(".service")].partition("@")
    names: List[str] = []
    _add_names(prefix, (instance or _ANY) if at else None, names)
    return [name for name in dict.fromkeys(names) if _ANY not in name]


def _add_names(prefix: str, instance: Optional[str], names: List[str]) -> None:
    """Add what counts for a service of this name. ``instance``: "" for a template, None for what is neither that nor one of its instances."""
    names.append(f"{prefix}.service" if instance is None else f"{prefix}@{instance}.service")
    if instance:
        _add_names(prefix, "", names)
    beginning = _beginning(prefix)
    if beginning:
        _add_names(beginning, instance or None, names)


def _beginning(prefix: str) -> str:
    """The longest part before it that ends in '-'; "" for none. A '-' at its end is passed over once."""
    end = prefix.rfind("-", 0, len(prefix) - 1) if prefix.endswith("-") else prefix.rfind("-")
    return prefix[:end + 1] if end > 0 else ""


def overruling_lines(foreign: Foreign, own: str, *, user: str, number: Optional[int], limit: Limit) -> List[str]:
    """Where lines of pam_limits keep the limit of a user or group from being set: 'PATH:LINE says WORDS, which ...'.

    ``number``: the user's or group's, by which lines can name it, too. 'DOMAIN -' ends the reading of all files, wherever it is, so that
    not even lines before it count.
    """
    problems = []
    directories = ("/etc/security/limits.d/*.conf", f"{_VENDORS}/limits.d/*.conf")
    files = foreign.paths(("/etc/security/limits.conf",)) or foreign.paths((f"{_VENDORS}/limits.conf",))
    for path in files + sorted(foreign.paths(directories, is_merged=True), key=os.path.basename):
        if path == own:
            continue
        is_later = path not in files and os.path.basename(path) > os.path.basename(own)
        for line, words in _lines(foreign.text(path)):
            where = f"{path[len(foreign.root):]}:{line} says {' '.join(words)}"
            if not _is_about(words[0], user, number):
                continue
            if len(words) == 2 and words[1].startswith("-"):
                problems.append(f"{where}, which keeps pam_limits from setting any limit")
            elif is_later and len(words) > 3 and words[2].lower() == "memlock" and _value(words[3]) != limit.kib:
                problems.append(f"{where}, {_LATER}")
    return problems


def _is_about(domain: str, user: str, number: Optional[int]) -> bool:
    """Whether the domain of a line is a user or group ('@' before it), or a range with its number (source: limits.conf(5))."""
    if domain == user:
        return True
    is_group = domain.startswith("@")
    least, colon, most = domain.lstrip("@").partition(":")
    if not colon or number is None or is_group != user.startswith("@"):
        return False
    first, last = whole_number(least), whole_number(most)
    if (least and first is None) or (most and last is None) or not (least or most):
        return False
    if not least:
        return number == last
    return number >= (first or 0) and (last is None or number <= last)


def _lines(text: str) -> List[Tuple[int, List[str]]]:
    found = [(number, words_of(line.split("#", 1)[0])) for number, line in enumerate(text.split("\n"), 1)]
    return [(number, words) for number, words in found if len(words) >= 2]


def _value(text: str) -> str:
    """A value as Limit.kib has it, where it means the same."""
    value = text.lower()
    number = whole_number(value, _DIGITS)
    if number is not None:
        return str(number)
    return "unlimited" if value in ("-1", "unlimited", "infinity") else value


__all__ = ("dropin_names", "is_unit", "later_dropins", "overruling_lines", "set_by")
