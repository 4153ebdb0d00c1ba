# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from virtlab import emulation, host, packages
from virtlab.errors import LabError

LINE = ":qemu-s390x:M::magic:mask:/usr/libexec/s390x:OPF\n"


@pytest.fixture
def mainframe():
    return host.load("s390")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """An x86 machine with the package, whose kernel has the interface and no rule yet."""
    known, kernel = tmp_path / "binfmt.d", tmp_path / "kernel"
    known.mkdir()
    kernel.mkdir()
    (known / "qemu-s390x.conf").write_text(LINE)
    (kernel / "register").write_text("")
    monkeypatch.setattr(emulation, "KNOWN", known)
    monkeypatch.setattr(emulation, "KERNEL", kernel)
    monkeypatch.setattr(emulation.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(emulation.os, "geteuid", lambda: 0)
    return tmp_path


def registered(machine):
    return (machine / "kernel/register").read_text()


def test_what_the_package_says_is_registered(machine, mainframe):
    emulation.register(mainframe)
    assert registered(machine) == LINE.strip()


def test_what_is_registered_already_is_left_alone(machine, mainframe):
    (machine / "kernel/qemu-s390x").write_text("enabled")
    emulation.register(mainframe)
    assert registered(machine) == ""


def test_an_architecture_of_its_own_needs_nothing(machine):
    emulation.register(host.load("x86-trixie"))
    assert registered(machine) == ""


def test_an_ordinary_user_is_told_what_to_run(machine, mainframe, monkeypatch):
    monkeypatch.setattr(emulation.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="does not run programs of s390x"):
        emulation.register(mainframe)


@pytest.mark.parametrize("build, known, wanted", [(True, False, True), (True, True, False), (False, False, False)])
def test_the_package_is_wanted_for_a_build_alone(machine, mainframe, monkeypatch, build, known, wanted):
    monkeypatch.setattr(packages, "_find", lambda program: True)
    monkeypatch.setattr(packages, "_qemu_suffices", lambda host: True)
    if not known:
        (machine / "binfmt.d/qemu-s390x.conf").unlink()
    assert (emulation.PACKAGE in packages.missing(mainframe, build)) == wanted


@pytest.mark.parametrize("policy, wanted", [
    ("Candidate: (none)", True), ("Candidate: 1:7.2+dfsg-7", True), ("Candidate: 1:10.0.2+ds-2", False),
])
def test_qemu_comes_from_backports_where_the_suite_has_none_or_an_old_one(monkeypatch, policy, wanted):
    monkeypatch.setattr(packages, "run", lambda *given, **options: f"qemu-system-s390x:\n  Installed: (none)\n  {policy}\n")
    assert packages._needs_backports(("qemu-system-s390x",)) == wanted
