# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of vlab."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import yaml

from . import fetch, hotplug, image, modules, record, ssh
from . import host as hosts
from .errors import LabError
from .lifecycle import Guest

# An emulated host on a busy machine; an idle one needs a tenth.
START_TIMEOUT = 300


def _say(text: str) -> None:
    print(f"vlab: {text}", file=sys.stderr, flush=True)


def _guest(options: argparse.Namespace) -> Guest:
    return Guest(hosts.load(options.host), _say)


def _list(options: argparse.Namespace) -> int:
    for name in hosts.names():
        guest = Guest(hosts.load(name), _say)
        print(f"{name:20} {'running' if record.running(guest.state) else 'stopped':8} {guest.host.summary}")
    return 0


def _build(options: argparse.Namespace) -> int:
    print(image.ensure(hosts.load(options.host), _say))
    return 0


def _start(options: argparse.Namespace) -> int:
    begin = time.monotonic()
    host = hosts.load(options.host)
    for pair in options.swap:
        host = hosts.swapped(host, *pair)
    run = Guest(host, _say).start(keep=options.keep, boot=options.boot or bool(options.swap), timeout=options.timeout, initrd=options.initrd,
                                  append=tuple(options.append.split()))
    _say(f"{options.host} is up: ssh port {run.port}, {run.accel}, pid {run.pid}, {time.monotonic() - begin:.0f} s")
    return 0


def _stop(options: argparse.Namespace) -> int:
    if not _guest(options).stop(now=options.now):
        _say(f"{options.host} was not running")
    return 0


def _status(options: argparse.Namespace) -> int:
    guest = _guest(options)
    run = record.running(guest.state)
    print(yaml.safe_dump({
        "host": options.host,
        "running": run is not None,
        "pid": run.pid if run else None,
        "ssh_port": run.port if run else None,
        "accelerator": run.accel if run else None,
        "console": str(guest.console),
        "state": str(guest.state),
    }, sort_keys=False), end="")
    return 0 if run else 3


def _ssh(options: argparse.Namespace) -> int:
    guest = _guest(options)
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    line = guest.ssh(guest.run()) + words
    os.execvp(line[0], line)


def _reboot(options: argparse.Namespace) -> int:
    begin = time.monotonic()
    _guest(options).reboot(timeout=options.timeout)
    _say(f"{options.host} has rebooted in {time.monotonic() - begin:.0f} s")
    return 0


def _power_cut(options: argparse.Namespace) -> int:
    _guest(options).power_cut()
    return 0


def _plug(options: argparse.Namespace) -> int:
    hotplug.plug(_guest(options), options.device)
    return 0


def _unplug(options: argparse.Namespace) -> int:
    hotplug.unplug(_guest(options), options.device)
    return 0


def _fetch(options: argparse.Namespace) -> int:
    print(*fetch.packages(_guest(options), options.packages), sep="\n")
    return 0


def _modules(options: argparse.Namespace) -> int:
    print(modules.ensure(_guest(options), _say))
    return 0


def _console(options: argparse.Namespace) -> int:
    guest = _guest(options)
    if not guest.console.exists():
        raise LabError(f"host {options.host} was never started", f"vlab start {options.host}")
    sys.stdout.write(guest.console.read_text(encoding="utf-8", errors="replace"))
    return 0


def _inventory(options: argparse.Namespace) -> int:
    found: Dict[str, Dict[str, object]] = {}
    for name in options.hosts:
        guest = Guest(hosts.load(name), _say)
        found[name] = ssh.inventory(guest.state, name, guest.run().port, image.key())
    print(yaml.safe_dump({"all": {"hosts": found}}, explicit_start=True, sort_keys=False, width=1000), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vlab", description="Virtual hosts with real kernels for vfio.host's tests.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        return command

    def of_host(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = add(name, function, text)
        command.add_argument("host", metavar="HOST")
        return command

    def timed(command: argparse.ArgumentParser) -> None:
        command.add_argument("--timeout", type=float, default=START_TIMEOUT, metavar="SECONDS",
                             help="default %(default)s")

    add("list", _list, "list all hosts")
    of_host("build", _build, "build the host's image, if the cache lacks it; print its directory")
    start = of_host("start", _start, "start the host and wait for ssh: resume it where it was kept after its first boot")
    how = start.add_mutually_exclusive_group()
    how.add_argument("--keep", action="store_true", help="boot the disk of the last run, not a fresh copy")
    how.add_argument("--boot", action="store_true", help="boot a fresh copy, whatever is kept")
    start.add_argument("--initrd", metavar="FILE", type=Path,
                       help="with a direct boot, this initramfs in place of the image's own")
    start.add_argument("--append", metavar="WORDS", default="",
                       help="with a direct boot, kernel arguments after all others: the last root= counts")
    start.add_argument("--swap", metavar="DEVICE", nargs=2, action="append", default=[],
                       help="for this run, these two devices are in each other's slots; may be said more than once")
    timed(start)
    stop = of_host("stop", _stop, "shut the host down")
    stop.add_argument("--now", action="store_true", help="end QEMU without a shutdown")
    of_host("status", _status, "say whether the host runs, and how; exit status 3: it does not")
    shell = of_host("ssh", _ssh, "run a command on the host: vlab ssh HOST -- CMD...")
    shell.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD")
    timed(of_host("reboot", _reboot, "reboot the guest and wait for its new boot"))
    of_host("power-cut", _power_cut, "kill QEMU; start --keep boots the same disk again")
    of_host("plug", _plug, "plug a device of the description in").add_argument("device", metavar="DEVICE")
    of_host("unplug", _unplug, "unplug a device; wait until the guest has let go").add_argument(
        "device", metavar="DEVICE")
    of_host("fetch", _fetch, "fetch packages of the running host's suite, with what they need and it lacks; "
            "print the .deb files' paths").add_argument("packages", nargs="+", metavar="PACKAGE")
    of_host("modules", _modules, "build the lab's own kernel modules for the running host's kernel, if the cache lacks them; "
            "print their directory")
    of_host("console", _console, "print the serial console of the last start")
    add("inventory", _inventory, "print an Ansible inventory of running hosts").add_argument(
        "hosts", nargs="+", metavar="HOST")
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    options = _parser().parse_args(arguments)
    # As an exception, so that a start or a build that is ended leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return options.function(options)
    except LabError as error:
        if error.detail:
            print(error.detail, file=sys.stderr)
        _say(f"error: {error}")
        return 1
    except OSError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


__all__ = ("main",)
