# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's own apt sources: where packages come from here, so that no mirror is written down."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

from .errors import LabError
from .process import run


@dataclass(frozen=True)
class Source:
    """One archive of one line or stanza of apt's sources."""

    uri: str
    suites: Tuple[str, ...]
    components: Tuple[str, ...]
    signed_by: str = ""


def parse_list(text: str) -> Iterator[Source]:
    """The one-line format: deb [option=value ...] uri suite component ..."""
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not line.startswith("deb "):
            continue
        rest = line[4:].strip()
        options: Dict[str, str] = {}
        if rest.startswith("["):
            inner, dummy, rest = rest[1:].partition("]")
            options = dict(item.split("=", 1) for item in inner.split() if "=" in item)
        words = rest.split()
        if len(words) >= 2:
            yield Source(words[0], (words[1],), tuple(words[2:]), options.get("signed-by", ""))


def parse_deb822(text: str) -> Iterator[Source]:
    """The stanza format of .sources files."""
    stanzas: List[Dict[str, str]] = [{}]
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
            key = ""
        elif line[0] in " \t":
            if key:
                stanzas[-1][key] += "\n" + line.strip()
        else:
            name, dummy, value = line.partition(":")
            key = name.strip().lower()
            stanzas[-1][key] = value.strip()
    for stanza in stanzas:
        if stanza.get("enabled", "yes").lower() in ("no", "false"):
            continue
        if "deb" not in stanza.get("types", "").split():
            continue
        signed_by = stanza.get("signed-by", "")
        for uri in stanza.get("uris", "").split():
            yield Source(
                uri,
                tuple(stanza.get("suites", "").split()),
                tuple(stanza.get("components", "").split()),
                # A key may be written into the stanza itself; only a file can be named again.
                signed_by if signed_by.startswith("/") and "\n" not in signed_by else "",
            )


def read(directory: Path = Path("/etc/apt")) -> Tuple[Source, ...]:
    """All sources that apt itself would read, in its order."""
    found: List[Source] = []
    for path in [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]:
        if not path.is_file() or path.suffix not in (".list", ".sources"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found.extend(parse_list(text) if path.suffix == ".list" else parse_deb822(text))
    return tuple(found)


def main_archive(sources: Iterable[Source]) -> Source:
    """The Debian archive proper: it also carries the suites that the machine does not use itself."""
    for source in sources:
        plain = [suite for suite in source.suites if "/" not in suite and not suite.endswith(("-security", "-updates"))]
        path = source.uri.rstrip("/")
        if plain and "main" in source.components and path.endswith(("/debian", "/debian.list")):
            return source
    raise LabError("apt's sources name no Debian archive", "set VFIO_HOST_LAB_MIRROR to the address of one")


def mirror() -> str:
    """The address of the Debian archive that this machine uses."""
    chosen = os.environ.get("VFIO_HOST_LAB_MIRROR")
    if chosen:
        return chosen
    uri = main_archive(read()).uri
    if not uri.startswith("mirror+file:"):
        return uri
    # A list of mirrors in a file: the first one is the machine's favourite.
    listed = Path("/" + uri[len("mirror+file:"):].lstrip("/"))
    for line in listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else ():
        if line.strip() and not line.startswith("#"):
            return line.split()[0]
    raise LabError(f"{listed} names no mirror", "set VFIO_HOST_LAB_MIRROR to the address of a Debian archive")


def line(suite: str) -> str:
    """A suite of that archive, in the one-line format, with the key that this machine believes the archive by."""
    signed_by = main_archive(read()).signed_by
    return f"deb {f'[signed-by={signed_by}] ' if signed_by else ''}{mirror()} {suite} main"


# What decides whether this machine reaches and believes its mirror, and so has to hold for the image's apt as well.
CARRIED = (
    "Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date",
)
# Suites that never stand still: their metadata expires within days, and a mirror that lags behind is still good here.
ROLLING = frozenset({"sid", "testing", "unstable"})

# The other name of a suite. A mirror brings the directories of both up to date one after the other: in between, what one of
# them has signed is not what it serves, and the other is whole.
OTHER_NAMES = {"bookworm": "oldstable", "trixie": "stable", "sid": "unstable"}
_BETWEEN_STATES = ("Mirror sync in progress", "Hash Sum mismatch", "Unable to fetch some archives")


def is_between_states(output: str) -> bool:
    """Whether apt's output says that a mirror does not serve what is signed."""
    return any(sign in output for sign in _BETWEEN_STATES)


def options(suite: str) -> Tuple[str, ...]:
    """Lines of apt configuration that reaching a suite takes: what this machine has set, and what the suite asks for."""
    values = {key: dict_of(run(["apt-config", "shell", "VALUE", key], timeout=30)).get("VALUE", "") for key in CARRIED}
    if suite in ROLLING:
        values["Acquire::Check-Valid-Until"] = "false"
    return tuple(f'{key} "{value}";' for key, value in values.items() if value)


def dict_of(shell: str) -> Dict[str, str]:
    """NAME='value' lines, as apt-config and os-release print them."""
    pairs = (line.partition("=") for line in shell.splitlines() if "=" in line)
    return {name.strip(): "".join(shlex.split(value)) for name, dummy, value in pairs}


__all__ = ("OTHER_NAMES", "Source", "dict_of", "is_between_states", "line", "main_archive", "mirror", "options", "parse_deb822",
           "parse_list", "read")
