# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Variables of a host with their templates resolved, and a sentence for each of which a template cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.vfio.host.plugins.plugin_utils._places import at, of_name
from ansible_collections.vfio.host.plugins.plugin_utils._text import cut

if TYPE_CHECKING:
    from collections.abc import Callable

OMITTED = "it is omit, which is no value: leave the variable out, or give default() a value"
_OMITTED_ERROR = "AnsibleValueOmittedError"  # of ansible-core 2.19 and later (source: lib/ansible/errors/__init__.py)
_LONGEST = 300  # characters of what Ansible says: a template that means itself is told once for each time that it was resolved


def resolved(
    template: Callable[[Any], Any], variables: Mapping[str, Any], *, names: Iterable[str],
) -> tuple[dict[str, Any], list[str]]:
    """(name -> value, problems) of those of ``names`` that ``variables`` has. ``template``: a templar's function of that name."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    # What stands for omit before ansible-core 2.19, which leaves it in what is in a mapping. Later ones take it out themselves.
    omit = variables.get("omit")
    for name in names:
        if name not in variables:
            continue
        try:
            value = _whole(template(variables[name]), omit)
            told = OMITTED if _is_omit(value, omit) else None
        except Exception as error:  # whatever a filter, a lookup or a vault raises
            told = OMITTED if type(error).__name__ == _OMITTED_ERROR else _said(error)
        if told is None:
            values[name] = value
        else:
            problems.append(f"{name} cannot be resolved: {told}{at(of_name(name, variables))}")
    return values, problems


def _whole(value: Any, omit: object) -> Any:
    """The value with all that is in it resolved, which ansible-core 2.19 and later do where it is asked for, and without what is omitted."""
    if isinstance(value, Mapping):
        return {key: _whole(item, omit) for key, item in value.items() if not _is_omit(item, omit)}
    if isinstance(value, (list, tuple)):
        return [_whole(item, omit) for item in value]
    # A vaulted text of ansible-core before 2.19 is no text yet, though it can be made one.
    return str(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value


def _is_omit(value: object, omit: object) -> bool:
    return isinstance(omit, str) and isinstance(value, str) and value == omit


def _said(error: Exception) -> str:
    """What an error says, once: those of ansible-core 2.16 to 2.18 say that of their cause again behind it."""
    told, cause = " ".join(str(error).split()), " ".join(str(getattr(error, "orig_exc", None) or "").split())
    if cause and told.endswith(f". {cause}") and cause in told[:-len(cause)]:
        told = told[:-len(cause) - 2]
    return cut(told, _LONGEST) or type(error).__name__


__all__ = ("resolved",)
