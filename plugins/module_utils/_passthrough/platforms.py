# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""What each platform needs of the kernel before devices can be taken, merged with the declaration of a host, which wins. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.numbers import check_lengths, named, shown

if TYPE_CHECKING:
    from typing import Any, Callable, Collection, Mapping

_KINDS: dict[str, type] = {"kernel_config": dict, "kernel_cmdline": dict, "modules": list}
_PREFIX = "CONFIG_"


def check(platforms: Mapping[object, object], known: Collection[str]) -> None:
    """Raise InputError with every problem in the needs of platforms. ``known``: the names of platforms."""
    check_lengths("platforms", platforms)
    problems: list[str] = []
    for name, needs in platforms.items():
        if name not in known:
            problems.append(f"platforms: {shown(name)} is no platform; there are: {', '.join(known)}")
        elif needs is None:
            problems.append(f"platforms: {name}: holds nothing: leave it out, or write {name}: {{}} for a platform without needs")
        elif not isinstance(needs, dict):
            problems.append(f"platforms: {name}: must be a mapping of {', '.join(sorted(_KINDS))}, not {shown(needs)}")
        else:
            problems += [
                f"platforms: {name}: {named(key)} is unknown; there are: {', '.join(sorted(_KINDS))}" for key in needs if key not in _KINDS
            ]
            problems += [
                f"platforms: {name}: {key} must be a {'mapping' if kind is dict else 'list of mappings'}"
                for key, kind in _KINDS.items() if not isinstance(needs.get(key) or kind(), kind)
            ]
            problems += [
                f"platforms: {name}: modules: each must be a mapping with 'name', not {shown(one)}"
                for one in _listed(needs) if not (isinstance(one, dict) and isinstance(one.get("name"), str))
            ]
    if problems:
        raise InputError(*problems)


def _listed(needs: Mapping[str, Any]) -> list[Any]:
    modules = needs.get("modules") or []
    return modules if isinstance(modules, list) else []


def with_needs(options: Mapping[str, Any], needs: Mapping[str, Any]) -> dict[str, Any]:
    """The options with a platform's needs added. For the same module, symbol or argument, the declaration of the host wins."""
    config = _merged(needs.get("kernel_config"), options["kernel_config"], _symbol)
    cmdline = _merged(needs.get("kernel_cmdline"), options["kernel_cmdline"], _kernel_name)
    declared = options["modules"] or []
    names = {_kernel_name(one.get("name")) for one in declared}
    modules = [one for one in _listed(needs) if _kernel_name(one["name"]) not in names] + declared
    return dict(
        options, kernel_config=config or options["kernel_config"], kernel_cmdline=cmdline or options["kernel_cmdline"],
        modules=modules or options["modules"],
    )


def _merged(needs: Mapping[Any, Any] | None, declared: Mapping[Any, Any] | None, key: Callable[[object], object]) -> dict[Any, Any]:
    own = {key(name) for name in declared or {}}
    return dict({name: value for name, value in (needs or {}).items() if key(name) not in own}, **(declared or {}))


def _symbol(name: object) -> object:
    return name[len(_PREFIX):] if isinstance(name, str) and name.startswith(_PREFIX) else name


def _kernel_name(name: object) -> str:
    return str(name).replace("-", "_")


__all__ = ("check", "with_needs")
