# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of udev that our rules files need, for events of PCI functions; every other syntax is an error here.

As udev does: files sort by name over all directories, /etc hides /run; a file ends at a line of more than 16,384 bytes
(source: systemd src/udev/udev-rules.c, UDEV_LINE_SIZE); in a rule all matches come first; a failed
attribute write is passed over; the driver is read once an event; RUN is done after the last rule. Patterns are compared by
fnmatch without FNM_PATHNAME, so '?' and '*' fit '/' in DEVPATH, too (token_match_string()). What was read of an attribute of
the device is remembered for the event, whatever is written to it (src/libsystemd/sd-device/sd-device.c
sd_device_get_sysattr_value(); seen with udev 257).
"""

from __future__ import annotations

import itertools
import os
import re
from contextlib import suppress
from fnmatch import fnmatchcase

from ansible_collections.vfio.host.tests.unit.fake.nodes import number_of

_TOKEN = re.compile(r'(?P<key>[A-Z]+)(\{(?P<name>[^}"]+)\})?(?P<op>==|!=|\+=|=)"(?P<value>[^"\\]*)"\Z')
_MATCHES = ("ACTION", "DEVPATH", "SUBSYSTEM", "KERNEL", "DRIVER", "ATTR", "ENV", "TEST", "PROGRAM", "RESULT")
_OTHER = re.compile(r"\[pci/([0-9a-f:.]+)\](.+)")
_SUBSTITUTION = re.compile(r"\$kernel|%k")
# What a rule may hold without being a substitution that is not simulated.
_FORBIDDEN = re.compile(r"[$%](?!kernel|k/|env\{[A-Z_]+\}|S%p/|p/|c\Z)")
_FROM_EVENT = re.compile(r"\$env\{([A-Z_]+)\}")


class RuleSyntaxError(AssertionError):
    """A line that udev would not take, or that nothing of ours should write."""


def parse_rule(line):
    """The tokens of one line, as (key, name, operator, value)."""
    tokens = []
    for word in re.split(r",\s*(?=[A-Z])", line.strip()):
        found = _TOKEN.match(word)
        if not found:
            raise RuleSyntaxError(f"no rule token: {word!r} in {line!r}")
        if _FORBIDDEN.search(found.group("value")):
            raise RuleSyntaxError(f"a substitution that is not simulated: {word!r}")
        if found.group("op") in ("==", "!=") and found.group("key") not in _MATCHES:
            raise RuleSyntaxError(f"nothing to match: {word!r}")
        if found.group("op") not in ("==", "!=") and found.group("key") not in (
            "ENV", "ATTR", "RUN", "IMPORT", "OWNER", "GROUP", "MODE", "SYMLINK",
        ):
            raise RuleSyntaxError(f"nothing to assign: {word!r}")
        tokens.append(found.group("key", "name", "op", "value"))
    return tokens


def parse_file(text):
    """The rules of a whole file that something of ours wrote.

    Where VFIO_HOST_RULES names a file, the text is appended there: a real udev is to read it.
    """
    place = os.environ.get("VFIO_HOST_RULES")
    if place:
        with open(place, "a", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(text + "\n")
    return [parse_rule(line) for line in text.split("\n") if line.strip() and not line.startswith("#")]


def load_rules(directories):
    """The rules of all files in udev's order: by file name, and of two with one name the first directory's."""
    files = {}
    for directory in reversed(directories):
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            if name.endswith(".rules"):
                files[name] = os.path.join(directory, name)
    rules = []
    for name in sorted(files):
        with open(files[name], "rb") as stream:
            lines = itertools.takewhile(lambda line: len(line) < 16384, stream.read().split(b"\n"))
        rules += [parse_rule(line.decode()) for line in lines if line.strip() and not line.startswith(b"#")]
    return rules


class Udev:
    """Handles `add`, `bind` and `change` events of PCI functions, and `add` of the kernel's own modules, on a fake kernel.

    A `bind` waits until the event in which it came about has been handled, as events of one function do; so does what a rule
    sends to another function.
    """

    def __init__(self, kernel, directories):
        self._kernel = kernel
        self._directories = directories
        self._rules = []
        self._depth = 0
        self._bound = []
        self.is_late = False  # events wait until catch_up(), with the rules that there were when they came
        self._waiting = []

    def catch_up(self):
        """Handle the events that wait."""
        while self._waiting:
            event, rules = self._waiting.pop(0)
            self._handle(event, rules)

    def reload(self):
        """Read the rules files."""
        self._rules = load_rules(self._directories)

    def add(self, address):
        """One event: our rules, then what they asked to run, then the module's autoload of the distribution."""
        event = _Event(self._kernel, "pci", address, str(self._kernel.tree.directory(address)))
        if self.is_late:
            self._waiting.append((event, self._rules))
        else:
            self._handle(event, self._rules)

    def bind(self, address):
        """A driver has bound a function."""
        self._bound.append((address, "bind", {}))
        self._drain()

    def change(self, address):
        """The VFs of a function have come."""
        self._bound.append((address, "change", {}))
        self._drain()

    def send(self, address, words):
        """Somebody wrote to a function's uevent (source: lib/kobject_uevent.c kobject_synth_uevent)."""
        action, dummy, *arguments = words.split() + [""] * 2
        pairs = dict(one.split("=") for one in arguments if one)
        assert all(text.isalnum() for pair in pairs.items() for text in pair), words
        self._bound.append((address, action, {f"SYNTH_ARG_{key}": value for key, value in pairs.items()}))
        self._drain()

    def node(self, directory, action):
        """One event of a node of VFIO's, or of /dev/iommu."""
        subsystem = os.path.basename(os.path.realpath(f"{directory}/subsystem"))
        event = _Event(self._kernel, subsystem, os.path.basename(directory), directory, action)
        if self.is_late:
            self._waiting.append((event, self._rules))
        else:
            self._handle(event, self._rules)

    def all_nodes(self):
        """The coldplug of a boot."""
        for directory in self._kernel._node_directories():
            self.node(directory, "add")

    def add_module(self, name):
        """One event of a module: our rules, and what they asked to run."""
        self._handle(_Event(self._kernel, "module", name, f"{self._kernel.modules}/{name}"), self._rules)

    def _handle(self, event, rules):
        self._depth += 1
        try:
            event.handle(rules)
        finally:
            self._depth -= 1
        self._drain()

    def _drain(self):
        while self._bound and not self._depth:
            address, action, env = self._bound.pop(0)
            if address in self._kernel.functions:
                directory = str(self._kernel.tree.directory(address))
                self._handle(_Event(self._kernel, "pci", address, directory, action, env), self._rules)


class _Event:
    def __init__(self, kernel, subsystem, address, directory, action="add", env=()):
        self._kernel = kernel
        self._subsystem = subsystem
        self._address = address
        self._directory = directory
        self._action = action
        self._env = dict(env)
        self._run = []
        self._driver = None
        self._read = {}
        self._given = {}
        self._links = set()
        self._result = ""

    def handle(self, rules):
        for rule in rules:
            if self._is_passed_over(rule):
                continue
            if all(self._is_match(*token) for token in rule if token[2] in ("==", "!=")):
                for token in rule:
                    if token[2] not in ("==", "!="):
                        self._assign(*token)
        if self._subsystem not in ("pci", "module"):
            name = {"vfio": "vfio/", "vfio-dev": "vfio/devices/"}.get(self._subsystem, "")
            self._kernel.nodes.handled(f"dev/{name}{self._address}", self._given, self._links)
        for command in self._run:
            words = command.split()
            assert words[:2] == ["kmod", "load"] and len(words) == 3, command
            self._kernel.modprobe(words[2], use_blacklist=True)
        # 80-drivers.rules of every distribution.
        if (self._subsystem, self._action) == ("pci", "add"):
            self._kernel.modprobe(self._attribute("modalias"), use_blacklist=True)

    def _is_passed_over(self, rule):
        """Whether udev takes nothing of a line (source: systemd 258 src/udev/udev-rules.c rule_resolve_user(): not a system user)."""
        return self._kernel.spec.strict_udev and any(
            self._number(key, value) > 999 for key, dummy, dummy, value in rule if key in ("OWNER", "GROUP")
        )

    def _number(self, key, name):
        number = number_of(self._kernel.tree.root, "passwd" if key == "OWNER" else "group", name)
        if number is None:
            number = self._kernel.spec.name_service.get(("passwd" if key == "OWNER" else "group", name))
        if number is None:
            raise RuleSyntaxError(f"nobody knows {key} {name}")
        return number

    def _is_match(self, key, name, operator, pattern):
        if key == "TEST":
            path = pattern.replace("%k", self._address)
            path = self._kernel.root + path if path.startswith("/") else self._path(path)
            return self._kernel.exists(path) == (operator == "==")
        if key == "PROGRAM":
            return self._program(pattern) == (operator == "==")
        value = {
            "RESULT": lambda: self._result,
            "ACTION": lambda: self._action,
            "SUBSYSTEM": lambda: self._subsystem,
            "KERNEL": lambda: self._address,
            "DEVPATH": lambda: self._directory[self._directory.index("/sys/") + len("/sys"):],
            "DRIVER": self._driver_once,
            "ATTR": lambda: self._attribute(name),
            "ENV": lambda: self._env.get(name, ""),
        }[key]()
        if value is None:
            return False
        return any(fnmatchcase(value, one) for one in pattern.split("|")) == (operator == "==")

    def _program(self, pattern):
        """Whether a program ends well; its words are split at spaces, a newline in its output becomes one (source: src/udev/udev-rules.c
        TK_M_PROGRAM, udev_replace_chars()).
        """
        place = self._directory[self._directory.index("/sys/"):]
        text = _FROM_EVENT.sub(lambda found: self._env.get(found[1], ""), pattern.replace("%S%p", place))
        self._result = ""
        status, output = self._kernel.vfs.program(text.split(" "))
        if status == 0:
            self._result = output.replace("\n", " ")
        return status == 0

    def _driver_once(self):
        if self._driver is None:
            self._driver = self._kernel.driver_of(self._address) or ""
        return self._driver

    def _attribute(self, name):
        if name.startswith("["):
            return self._kernel.read(self._path(name))
        if name not in self._read:
            self._read[name] = self._kernel.read(self._path(name))
        return self._read[name]

    def _path(self, name):
        if name.startswith("[subsystem/pci]"):
            return f"{self._kernel.pci}/{name[len('[subsystem/pci]'):]}"
        other = _OTHER.match(name)
        if other:
            return f"{self._kernel.pci_devices}/{other.group(1)}/{other.group(2)}"
        return f"{self._directory}/{name}"

    def _assign(self, key, name, operator, value):
        value = _SUBSTITUTION.sub(self._address, value).replace("%c", self._result)
        if key == "ENV" and operator == "=":
            self._env[name] = value
        elif (key, operator) in (("OWNER", "="), ("GROUP", "=")):
            self._given["uid" if key == "OWNER" else "gid"] = self._number(key, value)
        elif (key, operator) == ("MODE", "="):
            self._given["mode"] = int(value, 8)
        elif (key, operator) == ("SYMLINK", "+="):
            self._links.add(f"dev/{value}")
        elif (key, name, operator) == ("RUN", "builtin", "+="):
            self._run.append(value)
        elif (key, name, operator) == ("IMPORT", "builtin", "="):
            assert value.startswith("kmod load "), value
            self._kernel.modprobe(value[len("kmod load "):], use_blacklist=True)
        elif key == "ATTR" and operator == "=":
            with suppress(OSError):  # udev writes a line to the log and goes on
                self._kernel.react(self._path(name), value)
        else:
            raise RuleSyntaxError(f"{key}{{{name}}}{operator}")


__all__ = ("RuleSyntaxError", "Udev", "load_rules", "parse_file", "parse_rule")
