# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real playbooks, role and action plugins by the installed Ansible, on a host whose modules answer what a test says."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import socket
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.vfio.host.tests.unit.plugins.plugin_utils import conftest as results

run_module, result_of = results.run_module, results.result_of

ROOT = Path(__file__).parents[3]
MODULES = ("passthrough", "pci_facts", "prove", "reboot")

# Ansible gives a module of this kind a file with its arguments and takes what it prints (source: lib/ansible/executor/
# module_common.py, WANT_JSON). It notes its arguments, and answers in turn what the test has written beside them.
STUB = """\
#!{python}
# WANT_JSON
import json, os, socket, sys
asked = json.load(open(sys.argv[1]))
if os.environ.get("FAKE_HOST_AT"):
    with socket.create_connection(("127.0.0.1", int(os.environ["FAKE_HOST_AT"]))) as line:
        line.sendall(json.dumps([{name!r}, asked]).encode() + b"\\n")
        print(line.makefile().read())
    sys.exit()
answers = json.load(open({answers!r}))
# Of a fleet, a host is known by the directory that it has its temporary files in.
host = next((part[5:] for part in sys.argv[1].split("/") if part.startswith("host-")), None)
note = {asked!r} + ("." + host if host else "")
with open(note, "a") as stream:
    stream.write(json.dumps(asked) + "\\n")
answers = answers[host] if host else answers
number = sum(1 for dummy in open(note)) - 1
print(json.dumps(answers[min(number, len(answers) - 1)]))
"""


@dataclass
class Played:
    """What a run of a playbook printed, and what the modules were asked."""

    status: int
    screen: str
    errors: str
    asked: list

    @property
    def lines(self):
        """What stands above Ansible's own recap."""
        return self.screen.partition("PLAY RECAP")[0].splitlines()


def command(name, words):
    """What runs a playbook: one of the collection's by its name, a file by its path."""
    return [sys.executable, "-m", "ansible", "playbook", "-i", "inventory", name if name.endswith(".yml") else f"vfio.host.{name}", *words]


def prepare(inventory, variables):
    """An inventory of node1 alone, which has these variables."""
    (inventory / "host_vars").mkdir(parents=True, exist_ok=True)
    (inventory / "hosts").write_text("node1 ansible_connection=local ansible_become=false\n")
    (inventory / "host_vars" / "node1.yml").write_text(variables or "{}\n")


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    """A copy of the collection, in which the modules that reach for a host are stubs."""
    parent = tmp_path_factory.mktemp("collections")
    copy = parent / "ansible_collections" / "vfio" / "host"
    copy.mkdir(parents=True)
    for name in ("plugins", "roles", "playbooks", "meta"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", copy)
    (copy / "MANIFEST.json").write_text(json.dumps({"collection_info": {"namespace": "vfio", "name": "host", "version": "0.1.0"}}))
    for name in MODULES:
        text = STUB.format(python=sys.executable, name=name, asked=str(parent / f"{name}.asked"), answers=str(parent / f"{name}.answers"))
        (copy / "plugins" / "modules" / f"{name}.py").write_text(text)
    # Nothing here is to be rebooted, and Ansible's own action asks the host itself.
    reboot = copy / "roles" / "passthrough" / "tasks" / "reboot.yml"
    reboot.write_text(reboot.read_text().replace("ansible.builtin.reboot:", "vfio.host.reboot:"))
    return parent


@pytest.fixture
def play(collections, tmp_path):
    """A function (playbook, variables' YAML, answers, words of the command line) -> Played, on host node1."""

    base = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false", "LC_ALL": "C.UTF-8", "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }

    def run(name, variables="", answers=(), *words, proof=(), **environment):
        prepare(tmp_path / "inventory", variables)
        for module in MODULES:
            (collections / f"{module}.asked").write_text("")
            (collections / f"{module}.answers").write_text(json.dumps(list(proof if module == "prove" else answers)))
        done = subprocess.run(
            command(name, words), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120, env=dict(base, **environment),
        )
        asked = [json.loads(line) for module in MODULES for line in (collections / f"{module}.asked").read_text().splitlines()]
        return Played(done.returncode, done.stdout, done.stderr, asked)

    run.environment = base
    return run


@contextmanager
def terminal(columns):
    """A file descriptor of a terminal of so many columns, and a list that has, in the end, what was shown on it."""
    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = []

    def read():
        with suppress(OSError):  # EIO: nobody writes to the terminal any more
            while True:
                shown.append(os.read(own, 65536))

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield other, shown
    finally:
        os.close(other)
        reading.join()
        os.close(own)


@pytest.fixture
def play_on(play, run_module, tmp_path):
    """A function (fake host, playbook, variables' YAML, words of the command line) -> Played on a terminal, by the real modules on that host, node1.

    They run in the process of the test, which is asked by each module that Ansible starts.
    """

    def answer(host, name, asked):
        options = {key: value for key, value in asked.items() if not key.startswith("_ansible_")}
        result = run_module(host, name, check=asked["_ansible_check_mode"], **options)
        return json.dumps(result).replace(str(host.root), "")

    def run(host, name, variables="", *words, columns=80, **environment):
        prepare(tmp_path / "inventory", variables)
        asked = []
        with socket.create_server(("127.0.0.1", 0)) as server, terminal(columns) as (screen, shown):
            server.settimeout(0.1)
            environment = dict(play.environment, FAKE_HOST_AT=str(server.getsockname()[1]), **environment)
            with subprocess.Popen(command(name, words), cwd=tmp_path, stdin=screen, stdout=screen, stderr=screen, env=environment) as running:
                while running.poll() is None:
                    with suppress(TimeoutError):
                        line = server.accept()[0]
                        with line, line.makefile("rw") as stream:
                            module, options = json.loads(stream.readline())
                            asked.append(options)
                            stream.write(answer(host, module, options))
        return Played(running.returncode, b"".join(shown).decode().replace("\r\n", "\n"), "", asked)

    return run


@pytest.fixture
def play_fleet(collections, play, tmp_path):
    """A function (playbook, host -> {module's name: answers}, words of the command line) -> Played. A host of None is not to be reached."""

    def run(name, hosts, *words, variables="", **environment):
        inventory = tmp_path / "inventory"
        (inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        # Nobody listens at port 1. Without a socket, whose path below a test's directory could be too long for one.
        (inventory / "hosts").write_text("".join(
            f"{host} ansible_become=false " + (
                "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_args='-o ControlMaster=no'" if answers is None
                else f"ansible_connection=local ansible_remote_tmp={tmp_path}/host-{host}"
            ) + "\n" for host, answers in hosts.items()
        ))
        (inventory / "group_vars" / "all.yml").write_text(variables or "{}\n")
        for module in MODULES:
            for old in collections.glob(f"{module}.asked*"):
                old.unlink()
            (collections / f"{module}.answers").write_text(
                json.dumps({host: answers.get(module, []) for host, answers in hosts.items() if answers is not None})
            )
        done = subprocess.run(
            command(name, words), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240, env=dict(play.environment, **environment),
        )
        asked = [
            json.loads(line) for module in MODULES for path in sorted(collections.glob(f"{module}.asked*")) for line in path.read_text().splitlines()
        ]
        return Played(done.returncode, done.stdout, done.stderr, asked)

    return run
