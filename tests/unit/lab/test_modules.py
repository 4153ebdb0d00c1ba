# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from virtlab import host, modules
from virtlab.errors import LabError

UNAME = "6.12.107+deb13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)"


@pytest.fixture
def box(description, tmp_path, monkeypatch):
    """A running host of that kernel, an empty cache, and two sources; a build leaves one module."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "build.sh").write_text("make\n", encoding="utf-8")
    (sources / "one.c").write_text("int one;\n", encoding="utf-8")
    monkeypatch.setattr(modules.paths, "MODULES", sources)
    monkeypatch.setattr(modules.paths, "cache", lambda: tmp_path)
    monkeypatch.setattr(modules.apt, "mirror", lambda: "http://deb.example/debian")
    monkeypatch.setattr(modules.apt, "options", lambda suite: (f'Of::Suite "{suite}";',))
    monkeypatch.setattr(modules.packages, "ensure", lambda host, build: None)
    made = SimpleNamespace(host=host.parse("box", description), run=lambda: None, ssh=lambda run: ["ssh"], uname=UNAME,
                           built=[], environments=[], said=[], fails=False)

    def run(argv, timeout, log, env):
        made.environments.append(env)
        if made.fails:
            raise LabError("mmdebstrap failed")
        made.built.append(argv)
        hook = next(word for word in argv if "copy-out" in word)
        built = Path(hook.split()[-1]) / "built"
        built.mkdir()
        (built / "one.ko").write_text("", encoding="utf-8")
        return ""

    monkeypatch.setattr(modules, "run", run)
    monkeypatch.setattr(modules.ssh, "run", lambda base, command, timeout: made.uname)
    return made


def test_modules_are_built_once(box):
    path = modules.ensure(box, box.said.append)
    assert [one.name for one in path.iterdir()] == ["one.ko"]
    assert path.name.startswith("6.12.107+deb13-amd64-")
    assert modules.ensure(box, box.said.append) == path
    assert len(box.built) == len(box.said) == 1


def test_a_build_has_the_headers_and_the_source_of_the_very_kernel(box):
    modules.ensure(box, box.said.append)
    line = box.built[0]
    assert "--include=linux-headers-6.12.107+deb13-amd64,linux-source-6.12=6.12.107-1,make" in line
    assert line[-3:] == ["trixie", "/dev/null", "http://deb.example/debian"]
    assert '--aptopt=Of::Suite "trixie";' in line
    assert sum(word.endswith("build.sh 6.12.107+deb13-amd64") for word in line) == 1


def test_the_kernel_of_another_flavour_has_its_own_headers(box):
    uname = "6.12.107+deb13-rt-amd64 #1 SMP PREEMPT_RT Debian 6.12.107-1 (2026-08-29)"
    assert modules.of(box.host, uname).packages[0] == "linux-headers-6.12.107+deb13-rt-amd64"


@pytest.mark.parametrize("uname", [
    UNAME.replace("Debian 6.12.107-1", "Debian 6.12.107-2"), UNAME.replace("amd64", "rt-amd64"),
])
def test_another_kernel_has_another_name(box, uname):
    assert modules.of(box.host, uname).name != modules.of(box.host, UNAME).name


def test_another_source_has_another_name(box):
    before = modules.of(box.host, UNAME).name
    (modules.paths.MODULES / "one.c").write_text("int two;\n", encoding="utf-8")
    assert modules.of(box.host, UNAME).name != before


def test_a_build_that_fails_leaves_nothing(box, tmp_path):
    box.fails = True
    with pytest.raises(LabError, match="mmdebstrap failed"):
        modules.ensure(box, box.said.append)
    assert [path.name for path in (tmp_path / "modules").iterdir() if path.is_dir()] == []
    box.fails = False
    assert modules.ensure(box, box.said.append).is_dir()


def test_a_kernel_of_somebody_else_is_refused(box):
    with pytest.raises(LabError, match="runs no kernel of Debian's, but '6.12.1 #1 SMP'"):
        modules.of(box.host, "6.12.1 #1 SMP")


def test_a_host_that_does_not_answer_is_an_error(box):
    box.uname = None
    with pytest.raises(LabError, match="host box does not say what kernel it runs"):
        modules.ensure(box, box.said.append)


def test_a_build_for_another_architecture_asks_for_no_test_of_it_and_makes_no_initramfs(box):
    modules.ensure(box, box.said.append)
    assert "--skip=cleanup,check/qemu" in box.built[0]
    assert box.environments == [{"INITRD": "No"}]
