# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What is wrong with a host's variables, as far as that can be told without the host: one sentence a finding, all at once."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse_wishes as parse_arguments
from ansible_collections.vfio.host.plugins.module_utils._core.options import wrong_seconds
from ansible_collections.vfio.host.plugins.module_utils._devices.spec import parse_declarations
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import is_whole, shown, too_long
from ansible_collections.vfio.host.plugins.module_utils._kconfig.spec import parse_wanted
from ansible_collections.vfio.host.plugins.module_utils._memlock.spec import parse as parse_memlock
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import parse_wishes as parse_modules
from ansible_collections.vfio.host.plugins.module_utils._nodes.spec import parse as parse_nodes
from ansible_collections.vfio.host.plugins.module_utils._sriov.spec import parse_entries
from ansible_collections.vfio.host.plugins.plugin_utils._nearest import did_you_mean, is_typo, nearest
from ansible_collections.vfio.host.plugins.plugin_utils._places import at, of_item, of_name
from ansible_collections.vfio.host.plugins.plugin_utils._words import PREFIX, in_inventory

if TYPE_CHECKING:
    Keys = tuple[str | int, ...]
    Origin = tuple[str, Mapping[str, Any]]

# What the role sets itself, and what the playbooks know beside the role's variables.
OWN = (
    "passthrough_result", "passthrough_before", "passthrough_earlier", "passthrough_checked", "passthrough_confirm_now", "passthrough_proof",
    "passthrough_survey", "passthrough_rebooted", "passthrough_summed", "passthrough_sum",
    "passthrough_planning",
)
PLAYBOOKS = (
    "passthrough_hosts", "passthrough_draft", "passthrough_report", "passthrough_serial", "passthrough_max_fail_percentage",
    "passthrough_release",
)

_SPECS = os.path.join(os.path.dirname(__file__), "..", "..", "roles", "passthrough", "meta", "argument_specs.yml")
_SHARE = re.compile(r"(100|[0-9]{1,2})(\.[0-9]+)?\Z")
_LONGEST_PATH = 255  # that is shown as it is
_TASK_FILES = ("passthrough_before_reboot", "passthrough_after_reboot")
_BOOLEANS = {"true", "yes", "on", "1", "y", "t", "1.0", "false", "no", "off", "0", "n", "f", "0.0"}
# What platforms need, of which the shape can be told -> what refuses it.
_NEEDS: dict[str, Callable[[Any], object]] = {
    "kernel_config": lambda value: parse_wanted(value or {}, "kernel_config"),
    "modules": lambda value: parse_modules(value or []),
    "kernel_cmdline": lambda value: parse_arguments(value or {}, True),
}
_KINDS = {"dict": "a mapping", "list": "a list", "bool": "true or false", "int": "a whole number", "str": "a text"}


@functools.lru_cache(maxsize=None)
def specs() -> dict[str, dict[str, Any]]:
    """The argument specs of the role: entry point -> spec."""
    with open(_SPECS, encoding="utf-8") as stream:
        # libyaml's takes a tenth of the time, and each host's task reads the file.
        points: dict[str, dict[str, Any]] = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["argument_specs"]  # noqa: S506
    return points


def unknown_variables(variables: Mapping[str, Any], options: Iterable[str]) -> list[str]:
    """A sentence for each variable that looks like one of the role or the playbooks, and is none. ``options``: the names that the
    role knows.
    """
    names = sorted({*options, *PLAYBOOKS})
    known = {*names, *OWN}
    problems: list[str] = []
    for name in sorted(str(variable) for variable in variables):
        if name in known or name.startswith("ansible_"):
            continue
        if name == PREFIX[:-1]:
            problems.append(
                f"{name}: the role has no such variable; its variables stand by themselves, such as passthrough_devices"
                f"{at(of_name(name, variables))}"
            )
        elif name.startswith(PREFIX):
            near = nearest(name[len(PREFIX):], [option[len(PREFIX):] for option in names])
            hint = f"; did you mean {PREFIX}{near}?" if near is not None else (
                "; names that begin with passthrough_ are the role's: where it is one of yours, give it another name"
            )
            problems.append(f"{name}: the role has no such variable{hint}{at(of_name(name, variables))}")
        else:
            meant = next((option for option in names if is_typo(name, option)), None)
            if meant:
                problems.append(f"{name}: the role has no such variable; did you mean {meant}?{at(of_name(name, variables))}")
    return problems


def misfits(options: Mapping[str, dict[str, Any]], values: Mapping[str, Any], *, variables: Mapping[str, Any]) -> list[str]:
    """A sentence for each place where ``values`` (name -> value, templates resolved) are not what ``options`` (a role's argument spec)
    asks for. ``variables``: the host's, as they were written.
    """
    problems: list[str] = []
    for name, value in values.items():
        default = options[name].get("default")
        if value is None and default and not isinstance(default, Mapping):
            problems.append(
                f"{name} is null, which is no value of it: leave it out for the default, {shown(default)}, or give it a value{at(of_name(name, variables))}"
            )
        _check(options[name], value, name, (), problems, (name, variables))
    return problems


def problems_of(entry_point: str, values: Mapping[str, Any], *, variables: Mapping[str, Any]) -> list[str]:
    """A sentence for all that is wrong with the variables of a run of ``entry_point``. ``values``: those of the role, templates
    resolved; ``variables``: all of the host's, as they were written.
    """
    points = specs()
    options = points[entry_point]["options"]
    problems = unknown_variables(variables, {name for point in points.values() for name in point["options"]})
    wrong = {name: too_long(name, value) or misfits(options, {name: value}, variables=variables) for name, value in values.items()}
    problems += [misfit for of_one in wrong.values() for misfit in of_one]
    problems += _unmeant_share(variables)
    right = {name: value for name, value in values.items() if not wrong[name]}
    # A misspelt key hides nothing else that is wrong.
    for name in [name for name, told in wrong.items() if told and not too_long(name, values[name])]:
        meant = _as_meant(options[name], values[name])
        if not misfits(options, {name: meant}, variables=variables):
            right[name] = meant
    if wrong.get("passthrough_devices"):
        right.pop("passthrough_consumers", None)  # which policies there are is not known
    return problems + unmeant(right, variables)


def _unmeant_share(variables: Mapping[str, Any]) -> list[str]:
    """Where the share of hosts that may fail is none. A template is left to Ansible."""
    name = "passthrough_max_fail_percentage"
    value = str(variables.get(name, 100))
    if "{{" in value or _SHARE.match(value):
        return []
    return [f"{name} must be a number from 0 to 100, and is {value!r}{at(of_name(name, variables))}"]


def _check(option: dict[str, Any], value: Any, where: str, keys: Keys, problems: list[str], origin: Origin) -> None:
    """Add what is wrong with one value. ``where`` names it; ``keys``: the way to it within the variable; ``origin``: the variable's name,
    and all variables.
    """
    if value is None:
        return
    kind = option.get("type", "str")
    told = at(of_item(origin[0], keys, variables=origin[1]))
    if not keys and kind in ("dict", "list") and isinstance(value, str) and value.strip()[:1] in ("{", "["):
        problems.append(
            f"{where} must be {_KINDS[kind]}, and is the text {_shown(value)}: -e NAME=VALUE gives texts, and -e '{{\"{where}\": ...}}', in "
            f"JSON, what is meant{told}"
        )
        return
    if not _is(kind, value):
        problems.append(f"{where} must be {_KINDS[kind]}, and is {_shown(value)}{told}")
        return
    if kind == "str" and "choices" in option and value not in option["choices"]:
        choices = [str(choice) for choice in option["choices"]]
        problems.append(f"{where}: {shown(value)} is none of {', '.join(choices)}{did_you_mean(str(value), choices)}{told}")
    if kind == "list":
        inner: dict[str, Any] = {key: option[key] for key in ("options", "choices") if key in option}
        for index, item in enumerate(_listed(value)):
            _check(dict(inner, type=option.get("elements", "raw")), item, f"{where}[{index}]", (*keys, index), problems, origin)
    elif kind == "dict" and "options" in option:
        _check_keys(option["options"], value, where, keys, problems, origin)


def _check_keys(
    options: dict[str, dict[str, Any]], value: Mapping[str, Any], where: str, keys: Keys, problems: list[str], origin: Origin,
) -> None:
    told = at(of_item(origin[0], keys, variables=origin[1]))
    for key in value:
        if key in options:
            _check(options[key], value[key], f"{where}.{key}", (*keys, key), problems, origin)
        else:
            hint = _meant(str(key), options)
            problems.append(f"{where}: unknown key {str(key)!r}{hint or '; there are: ' + ', '.join(sorted(options))}{told}")
    problems += [
        f"{where}: {key} is missing{told}" for key, inner in options.items() if inner.get("required") and value.get(key) is None
    ]


def _meant(key: str, options: Mapping[str, dict[str, Any]]) -> str:
    """'; did you mean numvfs?', also where that is a key of a value's items: '; did you mean mac, a key of vfs?'."""
    inner = {name: outer for outer, option in options.items() for name in option.get("options") or ()}
    near = nearest(key, [*options, *inner])
    return did_you_mean(key, options) if near is None or near in options else f"; did you mean {near}, a key of {inner[near]}?"


def _as_meant(option: dict[str, Any], value: Any) -> Any:
    """The value with the key that was meant for each unknown one; without those that are like none."""
    options = option.get("options")
    if options and isinstance(value, Mapping):
        known = {key: item for key, item in value.items() if key in options}
        for key in value:
            near = None if key in options else nearest(str(key), options)
            if near is not None:
                known.setdefault(near, value[key])
        return {key: _as_meant(options[key], item) for key, item in known.items()}
    if options and isinstance(value, (list, tuple)):
        return [_as_meant({"options": options}, item) for item in value]
    return value


def _is(kind: str, value: object) -> bool:
    """Whether a value is of a type of argument specs, as far as Ansible converts it."""
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


def _listed(value: Sequence[Any]) -> Sequence[Any]:
    """The items; Ansible takes a text for a list of words, too."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else shown(value)


def unmeant(values: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """A sentence for all that the modules would refuse, on any host, of declared devices, VFs, modules, kernel arguments, nodes and
    limits, of what platforms need too, and for files of tasks that the controller has not.
    """
    problems: list[str] = []
    for name in _TASK_FILES:
        path = values.get(name)
        if path is not None and not isinstance(path, str):
            problems.append(f"{name} must be the path of a file of tasks, and is {shown(path)}{at(of_name(name, variables))}")
        elif path and ("\0" in path or not os.path.isfile(os.path.expanduser(path))):
            told = path if path.isprintable() and path.strip() == path and len(path) <= _LONGEST_PATH else shown(path)
            problems.append(f"{name}: the controller has no file {told}; name a file of tasks there{at(of_name(name, variables))}")
    present = values.get("passthrough_state", "present") == "present"
    devices, sriov = values.get("passthrough_devices"), values.get("passthrough_sriov")
    checks: list[Callable[[], object]] = []
    consumers = values.get("passthrough_consumers")
    if present and (devices or consumers):
        checks.append(lambda: parse_declarations(devices or {}, may_be_empty=True, consumers=consumers))
    if sriov:
        checks.append(lambda: parse_entries(sriov, "sriov", present=present))
    modules, arguments = values.get("passthrough_modules"), values.get("passthrough_kernel_cmdline")
    if present:
        checks.append(lambda: parse_wanted(values.get("passthrough_kernel_config") or {}, "kernel_config"))
    if modules and present:
        checks.append(lambda: parse_modules(modules))
    if arguments:
        checks.append(lambda: parse_arguments(arguments, present))
    if present:
        parse_nodes(values.get("passthrough_nodes"), values.get("passthrough_iommu_node"), problems=problems)
    parse_memlock(values.get("passthrough_memlock"), present, problems=problems)
    problems += wrong_seconds(_number(values, "passthrough_timeout", 1), _number(values, "passthrough_confirm", 0))
    problems += _unmeant_numbers(values, variables)
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += error.messages
    return [in_inventory(problem, variables) for problem in problems] + (_unmeant_needs(values, variables) if present else [])


def _unmeant_numbers(values: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """A sentence for each number of a reboot that is too small: in no second at all a host that was rebooted stays away."""
    return [
        f"{name} is {shown(values[name])}; it is a {what} from {least} on{at(of_name(name, variables))}"
        for name, what, least in (("passthrough_reboot_timeout", "number of seconds", 1), ("passthrough_reboot_throttle", "number of hosts", 0))
        if values.get(name) is not None and not (is_whole(values[name], 9) and int(str(values[name])) >= least)
    ]


def _number(values: Mapping[str, Any], name: str, default: int) -> object:
    """The number of seconds that a variable means, which a template may have made a text of."""
    value = default if values.get(name) is None else values[name]
    return int(str(value)) if is_whole(value, 9) else value


def _unmeant_needs(values: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """A sentence for all that the modules would refuse of what platforms need, also of a platform that no host has yet."""
    name = "passthrough_platforms"
    problems: list[str] = []
    for platform, needs in (values.get(name) or {}).items():
        for key, parse in _NEEDS.items():
            try:
                parse((needs or {}).get(key))
            except InputError as error:
                told = at(of_item(name, (platform, key), variables=variables))
                problems += [f"{name}.{platform}.{message.replace('arguments:', 'kernel_cmdline:', 1)}{told}" for message in error.messages]
    return problems


__all__ = ("OWN", "PLAYBOOKS", "misfits", "problems_of", "specs", "unknown_variables", "unmeant")
