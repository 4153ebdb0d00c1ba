# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pci_query
short_description: Select PCI devices with a JMESPath expression
version_added: 0.1.0
author:
  - vfio.host authors (@vfio-host)
description:
  - Evaluates a JMESPath expression on the controller, over the devices that M(vfio.host.pci_facts) found on a host.
  - Returns entries that M(vfio.host.driver_override) takes as they are
    in its option O(vfio.host.driver_override#module:devices).
    Each entry pins one device by its address B(and) its vendor and device ids, so that it selects nothing
    when another device sits at that address.
positional: expression
options:
  _input:
    description: The facts V(vfio_host), or their mapping C(devices), or a list of devices of these facts.
    type: raw
    required: true
  expression:
    description:
      - A JMESPath expression, see U(https://jmespath.org/specification.html). It is evaluated over the list of devices,
        sorted by address. Each device has the fields that M(vfio.host.pci_facts) documents.
      - It must yield devices or addresses of devices, one or a list of them.
    type: str
    required: true
  driver:
    description: Put into each entry as its C(driver), V(auto), V(native), or a driver's name.
    type: str
  iommu_group:
    description: Put into each entry as its C(iommu_group).
    type: str
    choices: [refuse, extend, ignore]
  optional:
    description: Put into each entry as its C(optional). V(true) lets a device be gone when the entry is applied.
    type: bool
  count:
    description:
      - Exactly so many different devices must be selected, else the filter fails.
      - It is checked here and is no part of the entries, since each of them stands for one device.
    type: int
  fallback:
    description: Put into each entry as its C(fallback), the name of the driver for a device that the first one refuses.
    type: str
notes:
  - An expression that selects no device returns an empty list. Set O(count) where that would be a mistake.
  - Select by what stays. C([?driver=='e1000e']) finds a device before another driver took it, and no longer after.
  - Strings of an expression stand in single quotes. Double quotes name a field, and a number in backticks never equals
    an id, since ids and IOMMU groups are strings.
    The filter fails on a comparison with a field that no device has, and of a string field with a number.
  - A field that the host does not have is null, which functions as C(starts_with) do not take.
    Write C(driver && starts_with(driver, 'nv')).
requirements:
  - jmespath (on the controller)
seealso:
  - module: vfio.host.pci_facts
  - module: vfio.host.driver_override
"""

EXAMPLES = r"""
- name: Read what the host has
  vfio.host.pci_facts:

- name: Take all VGA functions of one vendor
  vfio.host.driver_override:
    policy: gpus
    devices: "{{ ansible_facts['vfio_host'] | vfio.host.pci_query(gpus) }}"
  vars:
    gpus: "[?vendor=='10de' && starts_with(class, '0300')]"

- name: Take exactly two network functions on NUMA node 0 that the host does not need, with their groups
  vfio.host.driver_override:
    policy: nics
    devices: >-
      {{ ansible_facts['vfio_host'] | vfio.host.pci_query(nics, driver='vfio-pci', iommu_group='extend', count=2) }}
  vars:
    nics: "[?starts_with(class, '0200') && numa_node==`0` && !guards]"

- name: Show the PFs of all VFs, once each
  ansible.builtin.debug:
    msg: "{{ ansible_facts['vfio_host'] | vfio.host.pci_query('[?is_vf].physfn') }}"
"""

RETURN = r"""
_value:
  description:
    - One entry a device, in the order of the expression, each device once.
  type: list
  elements: dict
  sample:
    - match:
        address: "0000:01:00.0"
        vendor: "10de"
        device: "2684"
      driver: auto
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.vfio.host.plugins.plugin_utils._plain import plain

try:
    import jmespath
    import jmespath.exceptions

    HAS_JMESPATH = True
except ImportError:
    HAS_JMESPATH = False

ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", re.IGNORECASE)
PCI_ID = re.compile(r"[0-9a-f]{4}")
DRIVER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
IOMMU_GROUP = ("refuse", "extend", "ignore")


def pci_query(data: Any, expression: Any = None, **options: Any) -> list[dict[str, Any]]:
    """Select devices of the facts with a JMESPath expression; return entries for driver_override."""
    if not HAS_JMESPATH:
        raise _error(
            "the Python library 'jmespath' is missing on the controller; install it for the Python that runs Ansible: "
            f"{sys.executable} -m pip install jmespath (or your distribution's package python3-jmespath)"
        )
    count, entry_options = _read_options(plain(options))
    devices = _read_devices(data)
    _check_driver(entry_options.get("driver"), devices.values())
    selected = _addresses(_search(plain(expression), list(devices.values())), devices)
    if count is not None and len(selected) != count:
        found = ": " + ", ".join(selected) if selected else ""
        raise _error(f"expected {count} device(s), the expression selects {len(selected)}{found}")
    return [
        {"match": {key: devices[address][key] for key in ("address", "vendor", "device")}, **entry_options}
        for address in selected
    ]


def _error(message: str) -> AnsibleFilterError:
    return AnsibleFilterError(f"pci_query: {message}")


def _describe(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the string {value!r}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        keys = ", ".join([str(key) for key in value][:6])
        return f"a mapping with the keys {keys}{', ...' if len(value) > 6 else ''}" if value else "an empty mapping"
    return f"a {type(value).__name__}"


def _read_driver(value: Any) -> str:
    if not isinstance(value, str) or not DRIVER.fullmatch(value):
        raise ValueError("must be auto, native or the name of a driver")
    return value


def _read_fallback(value: Any) -> str:
    if isinstance(value, str) and DRIVER.fullmatch(value) and value not in ("auto", "native"):
        return value
    raise ValueError("must be the name of a driver, such as vfio-pci")


def _check_driver(driver: str | None, devices: Iterable[dict[str, Any]]) -> None:
    """Refuse a module's name where the facts tell that the module's driver is called otherwise."""
    vfio = [entry["vfio"] for entry in devices if isinstance(entry.get("vfio"), dict)]
    if driver in [entry.get("driver") for entry in [*devices, *vfio]]:
        return
    names = sorted({entry["driver"] for entry in vfio if entry.get("module") == driver and isinstance(entry.get("driver"), str)})
    if driver is not None and names:
        raise _error(f"option 'driver': {driver!r} is the name of a module; did you mean {' or '.join(names)}?")


def _read_iommu_group(value: Any) -> str:
    if not isinstance(value, str) or value not in IOMMU_GROUP:
        raise ValueError(f"must be one of {', '.join(IOMMU_GROUP)}")
    return value


def _read_optional(value: Any) -> bool:
    try:
        return bool(boolean(value, strict=True))
    except TypeError:
        raise ValueError("must be true or false") from None


def _read_count(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value


OPTIONS: dict[str, Callable[[Any], Any]] = {
    "driver": _read_driver,
    "iommu_group": _read_iommu_group,
    "optional": _read_optional,
    "count": _read_count,
    "fallback": _read_fallback,
}


def _read_options(options: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
    """The wanted count, and what goes into each entry. An option that is null counts as not given."""
    entry: dict[str, Any] = {}
    errors = []
    for name, value in options.items():
        if name not in OPTIONS:
            errors.append(f"unknown option '{name}', known are {', '.join(OPTIONS)}")
        elif value is not None:
            try:
                entry[name] = OPTIONS[name](value)
            except ValueError as exc:
                errors.append(f"option '{name}' {exc}, got {_describe(value)}")
    if errors:
        raise _error("; ".join(errors))
    return entry.pop("count", None), entry


def _address(value: Any) -> str | None:
    """The address in the form of the facts, or None when the value is none."""
    parts = ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return f"{parts[1] or '0000'}:{parts[2]}".lower() if parts else None


def _sort_key(address: str) -> list[int]:
    return [int(part, 16) for part in re.split("[:.]", address)]


def _read_devices(data: Any) -> dict[str, dict[str, Any]]:
    """The devices of the input by address, sorted, each proven to have an identity."""
    if isinstance(data, Mapping):
        data = data.get("devices", data)
    data = plain(data)
    items = list(data.values()) if isinstance(data, dict) and all(_address(key) for key in data) else data
    if not isinstance(items, list):
        raise _error(
            f"the input must be the facts 'vfio_host', their 'devices' or a list of devices, it is {_describe(data)}"
        )
    devices: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(items, start=1):
        address = _address(item.get("address")) if isinstance(item, dict) else None
        if address is None:
            raise _error(f"item {number} of {len(items)} of the input is no device with an address: {_describe(item)}")
        for key in ("vendor", "device"):
            if not isinstance(item.get(key), str) or not PCI_ID.fullmatch(item[key]):
                raise _error(f"device {address} of the input has no valid '{key}' id, but {_describe(item.get(key))}")
        devices[address] = {**item, "address": address}
    return {address: devices[address] for address in sorted(devices, key=_sort_key)}


def _search(expression: Any, devices: list[dict[str, Any]]) -> Any:
    if not isinstance(expression, str) or not expression.strip():
        what = "an empty string" if isinstance(expression, str) else _describe(expression)
        raise _error(f"a JMESPath expression is needed, got {what}")
    try:
        compiled = jmespath.compile(expression)
        mistake = _mistake(compiled.parsed, devices)
        if mistake:
            raise _error(f"{mistake}, in the expression\n{expression}")
        return compiled.search(devices)
    except RecursionError:
        raise _error(f"the expression is nested too deeply ({len(expression)} characters)") from None
    except (ValueError, TypeError, LookupError, AttributeError) as exc:  # all of JMESPath's errors are ValueErrors
        raise _error(_explain(exc, expression)) from None


def _explain(exc: Exception, expression: str) -> str:
    """What is wrong with an expression, and where: in words, and by a caret below it."""
    errors = jmespath.exceptions
    position = None
    if isinstance(exc, (errors.ArityError, errors.JMESPathTypeError, errors.UnknownFunctionError)):
        message = str(exc)
        if isinstance(exc, errors.JMESPathTypeError) and exc.actual_type == "null":
            name = exc.function_name
            message += f"; a field that the host lacks is null, guard it: field && {name}(field, ...)"
        name = getattr(exc, "function_name", None) or message.partition(": ")[2].rstrip("()")
        calls = list(re.finditer(rf"\b{re.escape(name)}\s*\(", expression))
        position = calls[0].start() if len(calls) == 1 else None
    elif isinstance(exc, errors.IncompleteExpressionError):
        message, position = "it ends too early", len(expression)
    elif isinstance(exc, errors.LexerError):
        message, position = exc.message, exc.lexer_position
    elif isinstance(exc, errors.ParseError):
        message, position = f"{exc.msg} at '{exc.token_value}'", exc.lex_position
    else:
        message = str(exc)
    if position is None:
        return f"the expression fails: {message}\n{expression}"
    before, after = expression[:position].rpartition("\n")[2], expression[position:].partition("\n")[0]
    caret = re.sub(r"[^\t]", " ", before) + "^"
    return f"the expression is wrong at character {position + 1}: {message}\n{before}{after}\n{caret}"


def _comparators(node: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Both sides of each comparison in a parsed expression."""
    if isinstance(node, dict):
        children = node.get("children", [])
        if node.get("type") == "comparator":
            yield children[0], children[1]
        for child in children:
            yield from _comparators(child)


def _keys(value: Any) -> Iterator[str]:
    """All keys in a value, at any depth."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _keys(item)


def _mistake(parsed: dict[str, Any], devices: list[dict[str, Any]]) -> str | None:
    """A comparison that JMESPath takes and that can never hold: it would select nothing, without a word."""
    for left, right in _comparators(parsed):
        if not devices:
            break
        if right["type"] == "field" and left["type"] != "literal" and right["value"] not in set(_keys(devices)):
            name = right["value"]
            return f"no device has the field \"{name}\" to compare with; a string stands in single quotes: '{name}'"
        if left["type"] == "field" and right["type"] == "literal" and type(right["value"]) in (int, float):
            name, number = left["value"], right["value"]
            if any(isinstance(device.get(name), str) for device in devices):
                return f"the field {name} is a string and never equals the number `{number}`; write '{number}'"
    return None


def _addresses(result: Any, devices: Mapping[str, Any]) -> list[str]:
    """The addresses of the devices that an expression yielded, in its order, each once."""
    items = result if isinstance(result, list) else [result]
    addresses: dict[str, None] = {}
    for number, item in enumerate(items, start=1):
        where = f" as item {number} of {len(items)}" if isinstance(result, list) else ""
        address = _address(item.get("address") if isinstance(item, dict) else item)
        if address is None:
            hint = "; flatten it with []" if isinstance(item, list) else ""
            raise _error(
                "the expression must yield devices or their addresses, as [?is_vf] and [?is_vf].address do; "
                f"it yields {_describe(item)}{where}{hint}"
            )
        if address not in devices:
            raise _error(f"the expression yields the address {address}{where}, which is none of the devices given")
        addresses[address] = None
    return list(addresses)


class FilterModule:
    """Select PCI devices on the controller."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pci_query": pci_query}
