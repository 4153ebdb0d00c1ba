# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever ends a run in the middle: the host is as before, and the user reads one message and no traceback."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.leaving import printable, runner
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.host import FakeHost
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PF
from ansible_collections.vfio.host.tests.unit.fake.sriov import SMALL, VFS, pfs
from ansible_collections.vfio.host.tests.unit.fake.whole import WholeHost

DEVICES = {"devices": [{"match": {"address": one}} for one in (NIC, NVME, EDU)], "policy": "p"}
VIRTUAL = {
    "sriov": pfs(2, autoprobe=True), "initramfs": False,
    "devices": {"a": [{"match": {"address": VFS[0]}}], "b": [{"match": {"address": VFS[1]}, "driver": "native"}]},
}
WHOLE = {
    "devices": {"guests": [{"match": {"address": NIC}}]}, "kernel_cmdline": {"iommu": "pt"},
    "modules": [{"name": "vfio-pci", "options": {"disable_vga": True}}],
}
RUNS = {
    "devices": (lambda path: FakeHost(path, hosts.x86()), "driver_override", DEVICES, ("/sys/class/vfio-dev",)),
    "VFs": (lambda path: FakeHost(path, SMALL), "passthrough", VIRTUAL, ()),
    "whole": (
        lambda path: WholeHost(path, hosts.x86(), "intel_iommu=on"), "passthrough", WHOLE,
        ("/sys/class/vfio-dev", "/var/tmp", "/run/vfio-host"),
    ),
}
ENDS = {
    "RuntimeError": lambda: RuntimeError("odd"),
    "ENOMEM": lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(1),
}
# Each point of a run is ended in one of these ways, and its neighbours in the others; in all of them with VFIO_HOST_LONG.
TURNS = range(len(ENDS) if os.environ.get("VFIO_HOST_LONG") else 1)


def ending(turn, index):
    return list(ENDS.values())[(turn + index) % len(ENDS)]()


def state(host, *but):
    """All that a run could change, but modules, which stay loaded, and numbers that the kernel gives anew."""
    found = host.snapshot("/sys/module", "/sys/bus/pci/drivers", "/sys/class/vfio-dev", *but)
    return {path: text for path, text in found.items() if "/vfio-dev" not in path}


def check_message(result, index):
    assert result["failed"], index
    assert "Traceback" not in result["msg"] and "exception" not in result, index
    assert "could not be put back" not in result["msg"] and "not put back" not in result["msg"], result["msg"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", sorted(RUNS))
def test_whatever_ends_a_step_all_before_it_is_put_back(run_module, host_path, name, turn):
    make, module, wish, but = RUNS[name]
    failures = 0
    for index in range(200):
        host = make(host_path / f"host{index}")
        before = state(host, *but)

        end = ending(turn, index)

        def stop(error=end):
            raise error

        host.faults.reset()
        host.faults.at(index, stop)
        result = run_module(host, module, **wish)
        if len(host.faults.log) <= index:
            assert result["changed"], result
            break
        if result.get("failed"):
            failures += 1
            check_message(result, index)
            assert state(host, *but) == before, f"step {index}: {host.faults.log[index]}"
    else:
        raise AssertionError("the run never came to its end")
    assert failures > 4


class Reads:
    """Counts the reads of something after the first write to a host's kernel; the read ``index`` ends with ``error``."""

    def __init__(self, host, index, error, what=""):
        self._host, self._index, self._error, self._what = host, index, error, what
        self.seen = []

    def before(self, real):
        """What stands in the place of ``real``, a function of a path."""

        def look(path, *more, **named):
            if str(path).endswith(self._what) and any(step[0] == "write" for step in self._host.faults.log):
                self.seen.append(path)
                if len(self.seen) == self._index + 1:
                    raise self._error
            return real(path, *more, **named)

        return look


@pytest.mark.exhaustive
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("verb", ["link", "read", "names"])
def test_whatever_ends_a_read_after_the_first_write_all_is_put_back(run_module, make_host, monkeypatch, verb, turn):
    failures = 0
    for index in range(200):
        host = make_host(hosts.x86())
        before, reads = state(host), Reads(host, index, ending(turn, index))
        with monkeypatch.context() as patch:
            host.faults.reset()
            patch.setattr(host.kernel, verb, reads.before(getattr(host.kernel, verb)))
            result = run_module(host, "driver_override", timeout=1, **DEVICES)
        if len(reads.seen) <= index:
            assert result["changed"], result
            break
        failures += 1
        check_message(result, index)
        assert state(host) == before, f"{verb} {index}: {reads.seen[index]}"
    else:
        raise AssertionError("the run never came to its end")
    assert failures > 2 or verb == "names"


@pytest.mark.parametrize("name", ["driver", "driver_override"])
def test_an_attribute_that_does_not_say_what_came_of_it_is_no_success(run_module, make_host, monkeypatch, name):
    failures = 0
    for index in range(40):
        host = make_host(hosts.x86())
        before, reads = state(host), Reads(host, index, OSError(errno.ENOMEM, "no"), f"{NVME}/{name}")
        call = {"driver": "readlink", "driver_override": "open"}[name]
        with monkeypatch.context() as patch:
            host.faults.reset()
            patch.setattr(os, call, reads.before(getattr(os, call)))
            result = run_module(host, "driver_override", **DEVICES)
        if len(reads.seen) <= index:
            assert result["changed"], result
            break
        if result.get("failed"):
            failures += 1
            assert name == "driver" or "ENOMEM" in result["msg"]  # the fake kernel looks at the link, too
            assert state(host) == before, index
        else:
            assert host.driver(NVME) == "vfio-pci"
    assert failures


def test_the_message_names_the_device_the_step_and_the_errno_first(run_module, host, monkeypatch):
    real = host.kernel.write

    def write(path, value):
        if path.endswith("/vfio-pci/bind") and value == NVME:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        real(path, value)

    monkeypatch.setattr(host.kernel, "write", write)
    lines = run_module(host, "driver_override", **DEVICES)["msg"].split("\n")
    assert lines[0].startswith(NVME) and lines[0].endswith("bind vfio-pci: ENOMEM (Cannot allocate memory)")
    assert lines[1:] == ["everything that this task had changed was put back as it was"]


@pytest.mark.parametrize("module, options", [
    ("pci_facts", {}), ("driver_override", DEVICES), ("kernel_module", {"modules": [{"name": "vfio_pci", "state": "loaded"}]}),
    ("kernel_config", {"options": {"VFIO_PCI": "m"}}), ("kernel_cmdline", {"arguments": {"iommu": "pt"}}), ("initramfs", {}),
    ("sriov_vfs", {"devices": pfs(1)}), ("passthrough", {"devices": {"p": DEVICES["devices"]}}),
])
def test_every_module_says_in_one_message_what_nobody_foresaw(run_module, host, monkeypatch, module, options):
    def broken(*dummy):
        raise RuntimeError("odd")

    for verb in ("names", "read", "read_file"):
        monkeypatch.setattr(host.kernel, verb, broken)
        monkeypatch.setattr(host.files, "names", broken)
        monkeypatch.setattr(host.files, "read", broken)
    result = run_module(host, module, **options)
    assert "RuntimeError: odd, which was not foreseen" in result["msg"]
    assert "exception" not in result and "\n" not in result["msg"]


@pytest.mark.parametrize("seconds", [0, -1, 86401, 2147484, 10**12])
def test_a_time_that_no_run_can_wait_is_refused_before_anything_is_touched(run_module, host, seconds):
    before = host.snapshot()
    result = run_module(host, "driver_override", timeout=seconds, **DEVICES)
    assert result["msg"] == f"timeout is {seconds}; it is a number of seconds from 1 to 86400"
    assert host.snapshot() == before


def test_wrong_seconds_are_all_said_at_once(run_module, host):
    message = run_module(host, "driver_override", timeout=0, confirm=1, **DEVICES)["msg"]
    assert [line.split(" ")[0] for line in message.split("\n")] == ["timeout", "confirm"]


@pytest.mark.parametrize("number", ["9" * 5000, 10**10])
def test_a_number_of_thousands_of_digits_is_wrong_input(run_module, host, number):
    many = run_module(host, "driver_override", devices=[{"match": {"address": NIC}, "count": number}])
    assert "must be a whole number from 0" in many["msg"]
    many = run_module(host, "sriov_vfs", devices=[{"match": {"address": PF}, "numvfs": number}])
    assert "must be a whole number from 0" in many["msg"]


def test_a_program_that_is_not_there_is_a_failed_command_and_does_not_end_the_module():
    class Module:
        def run_command(self, words, handle_exceptions=True):
            if handle_exceptions:
                raise SystemExit(1)
            raise FileNotFoundError(errno.ENOENT, "no", words[0])

    assert runner(Module())(["modprobe", "--", "x"]) == (
        127, "", "modprobe cannot be started: ENOENT (No such file or directory)"
    )


def test_a_name_that_is_no_utf8_leaves_as_text_that_ansible_carries(run_module, host):
    name = b"eth\xe9".decode("utf-8", "surrogateescape")
    (host.tree.sys / "class/net" / name).symlink_to(os.readlink(host.tree.sys / "class/net/enp2s0"))
    result = run_module(host, "pci_facts")
    names = [one["name"] for one in result["ansible_facts"]["vfio_host"]["devices"][NIC]["net"]]
    assert "eth\\xe9" in names
    assert printable({"é\udce9": ["\udc80", 1, None]}) == {"é\\xe9": ["\\x80", 1, None]}


def test_a_word_that_no_program_can_be_given_is_a_failed_command_too():
    class Module:
        def run_command(self, words, handle_exceptions=True):
            return subprocess.run(words, check=True)

    assert runner(Module())(["sh", "-c", "a\0b"]) == (127, "", "sh cannot be started: embedded null byte")
