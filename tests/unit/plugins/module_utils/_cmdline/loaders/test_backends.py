# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every back end has to do, asked of all of them alike."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.plan import make_plan
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import RELEASE, REPORT
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import BACKENDS, HOSTS, TOOLS
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned

ON = {"intel_iommu": "on", "iommu": "pt"}
TOOLED = sorted(name for name in HOSTS if TOOLS.get(name, name))


@pytest.fixture(params=sorted(HOSTS))
def name(request):
    return request.param


@pytest.fixture
def host(name, tmp_path):
    return HOSTS[name](tmp_path)


def run(host, args=None, present=True, check=False, drop=None):
    wish = host.area, Request(ON if args is None else args, present, drop or {})
    plans = list(run_areas({"cmdline": wish}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def snapshot(host):
    return {
        str(path.relative_to(host.root)): path.read_bytes()
        for path in host.root.rglob("*")
        if path.is_file() and path.name != "grub.cfg"
    }


class Untouchable:
    """A host that nobody may look at. Where files are is no secret."""

    def __init__(self, paths=None):
        self._paths = paths

    def __getattr__(self, name):
        value = getattr(self._paths, name, None)
        if value is None or callable(value):
            raise AssertionError(f"a plan asks the host for {name}")
        return value


@pytest.mark.parametrize("request_", [
    Request(ON), Request(ON, False), Request(None, False), Request({"x": "y"}, undeclared=RELEASE), Request({"x": "y"}, undeclared=REPORT),
])
def test_a_plan_is_made_of_values_alone(host, request_):
    run(host)
    state = host.area.look(host.area.scan())
    wanted = make_plan(state, request_)
    for backend in (state.backend, getattr(state.backend, "_grub", None)):
        if backend is not None:
            backend._fs = backend._files = Untouchable()
            backend._paths = Untouchable(backend._paths)
    plan = make_plan(state, request_)
    assert (plan.change, plan.after, plan.diff, plan.warnings, plan.reboot_reasons) == (
        wanted.change, wanted.after, wanted.diff, wanted.warnings, wanted.reboot_reasons
    )


def test_a_host_is_known_by_what_it_has(name, host):
    assert run(host)["backend"] == BACKENDS.get(name, name)


def test_arguments_are_there_after_the_reboot_and_the_second_run_changes_nothing(host):
    first = run(host)
    assert (first["changed"], first["reboot_required"]) == (True, True)
    assert first["args"]["intel_iommu"] == {"wanted": ["on"], "configured": ["on"], "running": [], "status": "pending"}
    calls = len(host.calls)
    second = run(host)
    assert (second["changed"], second["reboot_required"], second["diff"]) == (False, True, [])
    assert len(host.calls) == calls
    host.reboot()
    assert parse(host.boots()).values("intel_iommu") == ["on"]
    third = run(host)
    assert (third["changed"], third["reboot_required"]) == (False, False)
    assert third["args"]["iommu"]["status"] == "met"


@pytest.mark.parametrize(("name", "place"), [
    ("grub", "boot/grub"), ("grub", "etc"), ("grub2-mkconfig", "boot"), ("grubby", "boot"), ("grubby", "etc"), ("kernel-install", "boot/efi"),
    ("kernel-install", "etc"), ("kernelstub", "boot"), ("mkinitcpio", "efi"), ("proxmox-boot-tool", "etc"), ("sdbootutil", "boot"),
    ("systemd-boot", "boot"), ("ukify", "efi"), ("zipl", "etc"),
])
@pytest.mark.parametrize("check", [True, False])
def test_what_has_to_change_on_a_read_only_file_system_is_told_before_anything_is_touched(host, monkeypatch, place, check):
    monkeypatch.setattr(Files, "is_read_only", lambda dummy, path: path.startswith(f"{host.root}/{place}/"))
    before = snapshot(host)
    state = host.area.look(host.area.scan())
    change = make_plan(replace(state, read_only=()), Request(ON)).change
    touched = sorted(path for path in state.read_only if change.commands or path in change.files)
    assert touched
    with pytest.raises(PlanError) as caught:
        run(host, check=check)
    assert sorted(caught.value.messages) == [
        f"{path} has to change, and its file system is read-only: mount it rw, then run again" for path in touched
    ]
    assert (snapshot(host), host.calls) == (before, [])


@pytest.mark.parametrize("name", ["grub", "kernel-install", "zipl", "grubby"])
def test_a_read_only_file_system_is_no_obstacle_where_nothing_changes(host, monkeypatch):
    run(host)
    monkeypatch.setattr(Files, "is_read_only", lambda dummy, path: True)
    assert not run(host)["changed"]


def test_check_mode_predicts_and_touches_nothing(host):
    before = snapshot(host)
    predicted = run(host, check=True)
    assert snapshot(host) == before
    assert host.calls == []
    done = run(host)
    assert {key: done[key] for key in ("changed", "diff", "reboot_required", "reboot_reasons")} == {
        key: predicted[key] for key in ("changed", "diff", "reboot_required", "reboot_reasons")
    }
    assert predicted["diff"]


def test_absent_takes_it_back(host):
    before = host.boots()
    files = snapshot(host)
    run(host)
    result = run(host, ON, present=False)
    assert (result["changed"], result["reboot_required"]) == (True, False)
    assert host.boots().split() == before.split()
    assert snapshot(host) == files
    assert not run(host, ON, present=False)["changed"]


def test_absent_says_that_the_argument_still_runs(host):
    run(host)
    host.reboot()
    result = run(host, ON, present=False)
    assert result["reboot_required"]
    assert result["args"]["iommu"] == {"wanted": [], "configured": [], "running": ["pt"], "status": "pending"}


@pytest.mark.parametrize(
    "line", ["ro intel_iommu=off quiet", "intel-iommu=off ro intel_iommu=sm_on", "iommu=soft ro iommu=nopt"]
)
def test_another_value_gives_way(name, tmp_path, line):
    host = HOSTS[name](tmp_path, line)
    assert run(host)["changed"]
    assert parse(host.boots()).values("intel_iommu") == ["on"]
    assert parse(host.boots()).values("iommu") == ["pt"]
    assert not run(host)["changed"]


def test_an_argument_that_may_occur_more_than_once_is_added_to_the_others(name, tmp_path):
    host = HOSTS[name](tmp_path, "console=tty0 ro")

    def consoles():
        found = parse(host.boots()).values("console")
        # GRUB_CMDLINE_LINUX, where ours are, stands before what this host has in GRUB_CMDLINE_LINUX_DEFAULT.
        return found[-1:] + found[:-1] if name.startswith("grub") and name != "grubby" else found

    run(host, {"console": "ttyS0,115200"})
    assert consoles() == ["tty0", "ttyS0,115200"]
    run(host, {"console": ["hvc0", "tty0"]})
    assert consoles() == ["tty0", "ttyS0,115200", "hvc0"]
    run(host, {"console": "ttyS0,115200"}, present=False)
    assert consoles() == ["tty0", "hvc0"]


def test_one_run_sets_some_arguments_and_drops_others(name, tmp_path):
    host = HOSTS[name](tmp_path, "iommu=off quiet amd_iommu=on")
    host.reboot()
    drop = {"iommu": "off", "amd-iommu": None, "intel-iommu": "on", "nosmt": None}
    result = run(host, {"intel_iommu": "on"}, drop=drop)
    line = parse(host.boots())
    assert [line.values(one) for one in ("intel_iommu", "iommu", "amd_iommu")] == [["on"], [], []]
    assert "quiet" in host.boots().split()
    assert result["args"] == {
        "intel_iommu": {"wanted": ["on"], "configured": ["on"], "running": [], "status": "pending"},
        "iommu": {"wanted": [], "configured": [], "running": ["off"], "status": "pending"},
        "amd-iommu": {"wanted": [], "configured": [], "running": ["on"], "status": "pending"},
    }
    assert result["reboot_reasons"] == [
        "the running kernel was not started with intel_iommu=on",
        "the running kernel was started with iommu=off, which is no longer configured",
        "the running kernel was started with amd_iommu=on, which is no longer configured",
    ]
    assert run(host, {"intel_iommu": "on"}, drop=drop)["args"] == result["args"]
    assert not run(host, {"intel_iommu": "on"}, drop=drop)["changed"]
    host.reboot()
    assert list(run(host, {"intel_iommu": "on"}, drop=drop)["args"]) == ["intel_iommu"]


def test_of_what_is_to_be_dropped_only_that_value_goes(name, tmp_path):
    host = HOSTS[name](tmp_path, "iommu=soft quiet")
    assert not run(host, {"quiet": None}, drop={"iommu": "off"})["changed"]
    assert parse(host.boots()).values("iommu") == ["soft"]


@pytest.mark.parametrize("name", TOOLED)
def test_a_tool_that_fails_is_told_in_its_own_words_and_everything_is_put_back(host, name):
    files, before = snapshot(host), host.boots()
    tool = TOOLS.get(name, name)
    host.fail[tool] = 1
    with pytest.raises(ApplyError) as caught:
        run(host)
    assert f"{tool} failed with status 1" in str(caught.value)
    assert "no space left on device" in str(caught.value)
    assert "put back" in str(caught.value)
    assert snapshot(host) == files
    assert host.boots().split() == before.split()


@pytest.mark.parametrize("name", TOOLED)
def test_a_tool_that_does_nothing_is_found_out(host, name):
    if name == "zipl":
        pytest.skip("what zipl wrote cannot be read back; its status is all there is")
    files = snapshot(host)
    host.broken.add({"proxmox-boot-tool": "proxmox", "ukify": "kernel-install"}.get(name, name if name == "mkinitcpio" else BACKENDS.get(name, name)))
    with pytest.raises(ApplyError, match="as wished|configured no partition"):
        run(host)
    assert snapshot(host) == files


@pytest.mark.parametrize("name", TOOLED)
def test_a_tool_that_always_fails_leaves_the_files_as_they_were(host, name):
    files = snapshot(host)
    host.fail[TOOLS.get(name, name)] = 9
    with pytest.raises(ApplyError, match="(the command line|everything that this task had changed) was put back as it was"):
        run(host)
    # The next run has the tool try once more, which is all that is left.
    assert {path: text for path, text in snapshot(host).items() if not path.startswith("run/vfio-host/")} == files


def test_a_write_that_fails_is_put_back(tmp_path):
    least = 3
    for index in range(least):
        host = HOSTS["kernel-install"](tmp_path / str(index))
        files = snapshot(host)
        host.faults.reset()
        host.faults.fail_at(index, errno.ENOSPC)
        with pytest.raises(ApplyError, match="No space left on device"):
            run(host)
        assert len(host.faults.log) > index
        assert snapshot(host) == files
        assert run(host)["changed"]
        assert run(host)["args"]["iommu"]["configured"] == ["pt"]


@pytest.mark.parametrize("name", TOOLED)
def test_what_could_not_be_put_back_is_said(host, name):
    if name in ("rpm-ostree", "grubby"):
        pytest.skip("its files are the tool's own: a tool that fails has not written them")
    host.fail[TOOLS.get(name, name)] = 1
    area = host.area
    before = planned(area, Request(ON)).state.boot.files
    journal = Journal(host.kernel, Stubborn(host.files, before))
    with pytest.raises(ApplyError, match="not put back: .* read-only"):
        run_areas({"cmdline": (area, Request(ON))}, False, open_journal=lambda: journal)


class Stubborn:
    """Files that take a change and do not take it back."""

    def __init__(self, files, before):
        self._files, self._before = files, before

    def __getattr__(self, name):
        return getattr(self._files, name)

    def put(self, path, text, *more, **named):
        if path in self._before and text == self._before[path]:
            raise ApplyError(f"{path} cannot be written: read-only")
        self._files.put(path, text, *more, **named)


def test_the_area_can_be_undone(host):
    before, files = host.boots(), snapshot(host)
    area, journal = host.area, Journal(host.kernel, host.files)
    area.apply(planned(area, Request(ON)), journal)
    assert journal.restore() == []
    journal.drop()
    assert snapshot(host) == files
    assert host.boots().split() == before.split()


@pytest.mark.parametrize("value", ["$(reboot)", "`reboot`", "'; reboot; '", "\\", "a'b"])
def test_no_value_reaches_a_shell(host, name, value):
    marker = host.root / "reboot"
    try:
        run(host, {"x": value})
    except PlanError as error:
        assert "cannot be carried" in str(error)
    else:
        assert name not in ("grub", "grub-mkconfig", "grub2-mkconfig", "grubby", "proxmox-boot-tool")
        assert parse(host.boots()).values("x") == [value]
    assert not marker.exists()


FOREIGN = st.lists(
    st.sampled_from(
        (
            "quiet",
            "ro",
            "console=tty0",
            "console=ttyS0,115200",
            'dyndbg="file a.c +p; file b.c +p"',
            "a=b=c",
            'foo=a"b c"d',
            "console=tty0",
            "panic=-1",
            "x-iommu=pt",
            "intel_iommux",
            "$kernelopts",
            "é=ü",
            "k='v'",
        )
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    words=FOREIGN, own=st.sampled_from(([], ["iommu=soft"], ["intel-iommu=off"], ["iommu=pt"])), at=st.integers(0, 6)
)
def test_foreign_arguments_keep_quotes_duplicates_and_order(name, words, own, at):
    words = [word for word in words if name != "zipl" or "'" not in word]
    # What stands beside $kernelopts grubby does not edit: it is refused.
    words = [word for word in words if name != "grubby" or not own or word != "$kernelopts"]
    line = " ".join(words[:at] + own + words[at:])
    with tempfile.TemporaryDirectory() as root:
        host = HOSTS[name](root, line)

        def foreign():
            named = ("intel_iommu", "iommu")
            return [word.text for word in parse(host.boots()).words if word.name not in named]

        before = foreign()
        run(host)
        assert foreign() == before
        run(host, {"intel_iommu": None, "iommu": None}, present=False)
        assert foreign() == before
        assert not parse(host.boots()).values("iommu")
