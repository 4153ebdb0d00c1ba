# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is wrong with a host's variables, as far as that can be told without the host: one sentence a finding, all at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import yaml

from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import parse as parse_memlock
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import parse as parse_nodes
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import parse_entries
from ansible_collections.vfio.host.plugins.plugin_utils._nearest import did_you_mean, is_typo
from ansible_collections.vfio.host.plugins.plugin_utils._places import at, of_item, of_name
from ansible_collections.vfio.host.plugins.plugin_utils._words import PREFIX, in_inventory

# What the role sets itself, and what the playbooks know beside the role's variables.
OWN = ("passthrough_result", "passthrough_before", "passthrough_earlier", "passthrough_checked", "passthrough_confirm_now", "passthrough_proof")
PLAYBOOKS = ("passthrough_hosts", "passthrough_draft")

_SPECS = os.path.join(os.path.dirname(__file__), "..", "..", "roles", "passthrough", "meta", "argument_specs.yml")
_BOOLEANS = {"true", "yes", "on", "1", "y", "t", "1.0", "false", "no", "off", "0", "n", "f", "0.0"}
_KINDS = {"dict": "a mapping", "list": "a list", "bool": "true or false", "int": "a whole number", "str": "a text"}


def specs() -> dict:
    """The argument specs of the role: entry point -> spec."""
    with open(_SPECS, encoding="utf-8") as stream:
        return yaml.safe_load(stream)["argument_specs"]


def unknown_variables(variables, options) -> list:
    """The variables that look like the role's or the playbooks', and are none. ``options``: the names that the role knows."""
    options = sorted({*options, *PLAYBOOKS})
    known = {*options, *OWN}
    problems = []
    for name in sorted(str(one) for one in variables):
        if name in known or name.startswith("ansible_"):
            continue
        if name == PREFIX[:-1]:
            problems.append(
                f"{name}: the role has no such variable; its variables stand by themselves, such as passthrough_devices"
                f"{at(of_name(name, variables))}"
            )
        elif name.startswith(PREFIX):
            near = did_you_mean(name[len(PREFIX):], [one[len(PREFIX):] for one in options])
            hint = near.replace("mean ", f"mean {PREFIX}") or (
                "; names that begin with passthrough_ are the role's: where it is one of yours, give it another name"
            )
            problems.append(f"{name}: the role has no such variable{hint}{at(of_name(name, variables))}")
        else:
            meant = next((one for one in options if is_typo(name, one)), None)
            if meant:
                problems.append(f"{name}: the role has no such variable; did you mean {meant}?{at(of_name(name, variables))}")
    return problems


def misfits(options, values, variables) -> list:
    """Where ``values`` (name -> value, templates resolved) are not what ``options`` (a role's argument spec) asks for."""
    problems: list = []
    for name, value in values.items():
        _check(options[name], value, name, (), problems, (name, variables))
    return problems


def problems_of(entry_point: str, values, variables) -> list:
    """All that is wrong with the variables of a run of ``entry_point``. ``values``: those of the role, templates resolved."""
    points = specs()
    options = points[entry_point]["options"]
    found = unknown_variables(variables, {name for point in points.values() for name in point["options"]})
    wrong = {name: misfits(options, {name: value}, variables) for name, value in values.items()}
    found += [problem for problems in wrong.values() for problem in problems]
    return found + unmeant({name: value for name, value in values.items() if not wrong[name]}, variables)


def _check(option: dict, value, where: str, keys: tuple, problems: list, origin: tuple) -> None:
    """Add what is wrong with one value; ``keys``: the way to it within the variable."""
    if value is None:
        return
    kind = option.get("type", "str")
    told = at(of_item(origin[0], keys, origin[1]))
    if not _is(kind, value):
        problems.append(f"{where} must be {_KINDS[kind]}, and is {_shown(value)}{told}")
        return
    if kind == "str" and "choices" in option and value not in option["choices"]:
        choices = [str(one) for one in option["choices"]]
        problems.append(f"{where}: {value!r} is none of {', '.join(choices)}{did_you_mean(str(value), choices)}{told}")
    if kind == "list":
        inner = {key: option[key] for key in ("options", "choices") if key in option}
        for index, item in enumerate(_listed(value)):
            _check(dict(inner, type=option.get("elements", "raw")), item, f"{where}[{index}]", (*keys, index), problems, origin)
    elif kind == "dict" and "options" in option:
        _check_keys(option["options"], value, where, keys, problems, origin)


def _check_keys(options: dict, value: Mapping, where: str, keys: tuple, problems: list, origin: tuple) -> None:
    told = at(of_item(origin[0], keys, origin[1]))
    for key in value:
        if key in options:
            _check(options[key], value[key], f"{where}.{key}", (*keys, key), problems, origin)
        else:
            hint = did_you_mean(str(key), options)
            problems.append(f"{where}: unknown key {str(key)!r}{hint or '; there are: ' + ', '.join(sorted(options))}{told}")
    problems += [
        f"{where}: {key} is missing{told}" for key, inner in options.items() if inner.get("required") and value.get(key) is None
    ]


def _is(kind: str, value) -> bool:
    if kind == "dict":
        return isinstance(value, Mapping)
    if kind == "list":
        return isinstance(value, (Sequence, str)) and not isinstance(value, bytes)
    if kind == "bool":
        return str(value).lower() in _BOOLEANS
    if kind == "int":
        return not isinstance(value, bool) and str(value).strip().lstrip("+-").isdecimal()
    if kind == "str":
        return not isinstance(value, (Mapping, list, tuple))
    return True


def _listed(value) -> list:
    """The items; Ansible takes a text for a list of words, too."""
    return [one.strip() for one in value.split(",")] if isinstance(value, str) else value


def _shown(value) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else repr(value)


def unmeant(values, variables) -> list:
    """What the modules would refuse of declared devices, VFs, nodes and limits on any host."""
    problems: list = []
    present = values.get("passthrough_state", "present") == "present"
    devices, sriov = values.get("passthrough_devices"), values.get("passthrough_sriov")
    checks = []
    if devices and present:
        checks.append(lambda: parse_declarations(devices))
    if sriov:
        checks.append(lambda: parse_entries(sriov, "sriov", present))
    found: list = []
    if present:
        parse_nodes(values.get("passthrough_nodes"), values.get("passthrough_iommu_node"), found)
    parse_memlock(values.get("passthrough_memlock"), present, found)
    problems += [in_inventory(message, variables) for message in found]
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += [in_inventory(message, variables) for message in error.messages]
    return problems


__all__ = ("OWN", "PLAYBOOKS", "misfits", "problems_of", "specs", "unknown_variables", "unmeant")
