# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking back all that was set, asked of every back end."""

from __future__ import annotations

import json
import os
import stat
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import BACKENDS, HOSTS, TOOLS, BootHost, GrubHost, ZiplHost
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned
from ansible_collections.vfio.host.tests.unit.plugins.module_utils._cmdline.loaders.setting import DROP, LINE, ON, RECORD, UNORDERED, back, run, snapshot

TOOLED = sorted(name for name in HOSTS if TOOLS.get(name, name))
# Where a person sets arguments.
SOURCES = {
    "kernel-install": "etc/kernel/cmdline",
    "grubby": "boot/loader/entries/0123-6.11.4.conf",
    "zipl": "etc/zipl.conf",
    "rpm-ostree": "kargs",
    "proxmox-boot-tool": "etc/kernel/cmdline",
    "systemd-boot": "boot/loader/entries/arch.conf",
    "sdbootutil": "etc/kernel/cmdline",
    "mkinitcpio": "etc/kernel/cmdline",
    "ukify": "etc/kernel/cmdline",
}


@pytest.fixture(params=sorted(HOSTS))
def name(request):
    return request.param


@pytest.fixture(params=sorted(SOURCES))
def in_place(request):
    return request.param


@pytest.fixture
def host(name, tmp_path):
    return HOSTS[name](tmp_path, LINE)


def values(host, *names):
    return [parse(host.boots()).values(name) for name in names]


def test_what_was_set_and_dropped_is_taken_back_to_the_byte(host, name):
    before = snapshot(host, name in UNORDERED)
    host.reboot()
    assert run(host, ON, drop=DROP)["changed"]
    assert not run(host, ON, drop=DROP)["changed"]
    assert values(host, "intel_iommu", "iommu", "quiet") == [["on"], ["pt"], []]
    result = back(host)
    assert (result["changed"], result["reboot_required"], result["backend"]) == (True, False, BACKENDS.get(name, name))
    assert snapshot(host, name in UNORDERED) == before
    assert not (host.root / "var/lib/vfio-host").exists()
    calls = len(host.calls)
    again = back(host)
    assert (again["changed"], again["args"], again["backend"], again["diff"]) == (False, {}, None, [])
    assert len(host.calls) == calls


def test_of_two_equal_words_both_come_back(name, tmp_path):
    host = HOSTS[name](tmp_path, LINE.replace("intel_iommu=off", "intel_iommu=off intel_iommu=off") + " console=tty0 memmap=1 memmap=1")
    before = snapshot(host, name in UNORDERED)
    assert run(host, {**ON, "console": "ttyS0"}, drop={"memmap": "1"})["changed"]
    assert [sorted(texts) for texts in values(host, "console", "memmap")] == [["tty0", "tty0", "ttyS0"], []]
    assert back(host)["changed"]
    assert snapshot(host, name in UNORDERED) == before


def test_only_what_runs_otherwise_waits_for_a_reboot(host):
    host.reboot()
    run(host, ON, drop=DROP)
    result = back(host)
    assert (result["reboot_required"], result["reboot_reasons"]) == (False, [])
    assert result["args"]["intel_iommu"] == {"wanted": [], "configured": ["off"], "running": ["off"], "status": "met"}


def test_what_still_runs_is_said(host):
    run(host, ON, drop=DROP)
    host.reboot()
    result = back(host)
    assert sorted(result["reboot_reasons"]) == [
        "the running kernel was not started with quiet",
        "the running kernel was started with intel_iommu=on, which is no longer configured",
        "the running kernel was started with iommu=pt, which is no longer configured",
    ]
    assert sorted(result["args"]) == ["intel_iommu", "iommu", "quiet"]
    assert result["args"]["iommu"] == {"wanted": [], "configured": [], "running": ["pt"], "status": "pending"}


def test_check_mode_predicts_and_touches_nothing(host):
    for act in (lambda check: run(host, ON, check=check, drop=DROP), lambda check: back(host, check)):
        before, calls = snapshot(host), list(host.calls)
        predicted = act(True)
        assert (snapshot(host), host.calls) == (before, calls)
        assert act(False) == predicted
        assert predicted["diff"]


@pytest.mark.parametrize("kind", [BootHost, *HOSTS.values()])
def test_where_nothing_was_set_nothing_is_looked_for(tmp_path, kind):
    host = kind(tmp_path)
    host.area.scan()
    for path in (tmp_path / "usr").rglob("*"):
        if path.is_file():
            path.unlink()
    host.calls.clear()
    result = back(host)
    assert (result["changed"], result["args"], result["backend"], host.calls) == (False, {}, None, [])


def test_what_was_there_already_is_not_ours(name, tmp_path):
    host = HOSTS[name](tmp_path, "intel_iommu=on quiet")
    before = snapshot(host, name in UNORDERED)
    run(host, {"intel_iommu": "on"})
    assert not back(host)["changed"]
    run(host, {"intel_iommu": "on", "iommu": "pt"})
    back(host)
    assert snapshot(host, name in UNORDERED) == before


def test_what_was_before_the_first_change_comes_back_after_the_third(host, name):
    before = snapshot(host, name in UNORDERED)
    for value in ("on", "sm_on", "on,sm_on"):
        run(host, {"intel_iommu": value})
    run(host, {"iommu": "pt"})
    back(host)
    assert snapshot(host, name in UNORDERED) == before


def test_what_was_removed_by_name_is_not_taken_back(in_place, tmp_path):
    host = HOSTS[in_place](tmp_path, LINE)
    run(host, ON)
    run(host, {"intel_iommu": None}, present=False)
    back(host)
    assert values(host, "intel_iommu", "iommu") == [[], []]
    assert host.read(RECORD) is None


def test_what_was_dropped_is_not_brought_back_once_it_is_absent_by_name(in_place, tmp_path):
    host = HOSTS[in_place](tmp_path, LINE)
    run(host, {"iommu": "pt"}, drop={"quiet": None})
    run(host, {"quiet": None}, present=False)
    assert not run(host, {"quiet": None}, present=False)["changed"]
    back(host)
    assert values(host, "quiet", "iommu") == [[], []]


def test_of_an_argument_that_counts_each_time_only_what_was_added_goes(name, tmp_path):
    host = HOSTS[name](tmp_path, "console=tty0 ro")
    run(host, {"console": "ttyS0", "pci": ["a", "b"]})
    back(host)
    assert values(host, "console", "pci") == [["tty0"], []]


def edit(host, name, old, new):
    """As a person with an editor, who then runs the tool."""
    assert old in host.read(SOURCES[name])
    host.write(SOURCES[name], host.read(SOURCES[name]).replace(old, new))
    for version in getattr(host, "versions", ()):
        host.do_kernel_install("add", version, "")


def test_what_somebody_changed_since_stays_and_is_named(in_place, tmp_path):
    host = HOSTS[in_place](tmp_path, LINE)
    run(host, ON)
    edit(host, in_place, "intel_iommu=on", "intel_iommu=sm_on")
    result = back(host)
    assert result["warnings"] == [
        "intel_iommu was changed by somebody since this collection set it: it stays as it is"
    ]
    assert values(host, "intel_iommu", "iommu") == [["sm_on"], []]
    assert host.read(RECORD) is None
    assert not back(host)["changed"]


def test_what_somebody_added_since_stays(in_place, tmp_path):
    host = HOSTS[in_place](tmp_path, LINE)
    run(host, {**ON, "console": "ttyS0", "pci": ["a", "b"]}, drop=DROP)
    edit(host, in_place, "panic=5", "panic=6 console=hvc0 pci=c nosmt")
    back(host)
    line = parse(host.boots())
    names = ("intel_iommu", "iommu", "quiet", "panic", "pci", "nosmt")
    assert [line.values(one) for one in names] == [["off"], [], [None], ["6"], ["c"], [None]]
    assert sorted(line.values("console")) == ["hvc0", "tty0"]


def test_the_record_says_what_was_and_what_was_made(tmp_path):
    host = HOSTS["kernel-install"](tmp_path, "ro intel_iommu=off quiet")
    run(host, {"intel_iommu": "on"})
    entry = {
        "made": ["ro intel_iommu=on quiet systemd.machine_id=0123"],
        "was": "ro intel_iommu=off quiet systemd.machine_id=0123",
    }
    assert json.loads(host.read(RECORD)) == {
        "finished": True,
        "lines": {
            f"{tmp_path}/etc/kernel/cmdline": {
                "made": ["ro intel_iommu=on quiet\n"],
                "was": "ro intel_iommu=off quiet\n",
            },
            **{f"{tmp_path}/boot/efi/loader/entries/lab-{version}.conf": entry for version in host.versions},
        },
    }
    assert (tmp_path / RECORD).stat().st_mode & 0o777 == 0o644


def test_each_section_gets_its_own_value_back(tmp_path):
    host = ZiplHost(tmp_path, "ro iommu=off")
    host.write("etc/zipl.conf", host.read("etc/zipl.conf").replace("iommu=off", "iommu=soft iommu=nopt", 1))
    host.do_zipl()
    before = snapshot(host)
    run(host, {"iommu": "pt"})
    assert host.read("etc/zipl.conf").count("iommu=pt") == 2
    back(host)
    assert snapshot(host) == before


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", '{"finished": true, "lines": {}}', '{"finished": 1, "lines": {"a": {"made": 1}}}', "\udce9",
        '{"finished": true, "lines": {"a": {"made": ["b"], "was": []}}}',
        '{"finished": true, "lines": {"a": {"made": ["b"], "was": 0}}}',
        '{"finished": true, "lines": {"a": {"made": ["b", false], "was": ""}}}',
        '{"finished": true, "lines": {"a": {"made": ["b"], "was": "", "raw": 5}}}',
        '{"finished": true, "lines": {"a": {"made": ["b"], "was": "", "raw": ["b"]}}}',
    ],
)
@pytest.mark.parametrize("args", [None, ON])
def test_a_record_that_someone_changed_is_refused(in_place, tmp_path, text, args):
    host = HOSTS[in_place](tmp_path)
    host.write(RECORD, text)
    with pytest.raises(PlanError, match=f"{RECORD} is not as this collection wrote it.*: remove it"):
        run(host, args, present=args is not None)
    assert host.calls == []


@pytest.mark.parametrize("name", ["proxmox-boot-tool", "sdbootutil", "mkinitcpio", "ukify"])
def test_a_file_that_was_made_under_another_boot_loader_stays_where_this_one_needs_it(name, tmp_path):
    host, path = HOSTS[name](tmp_path, LINE), f"{tmp_path}/etc/kernel/cmdline"
    line, before = host.read("etc/kernel/cmdline"), snapshot(host)
    run(host, ON)
    made = host.read("etc/kernel/cmdline")
    # As grubby leaves it on a host that had no such file.
    first = {"made": [made.strip("\n")], "was": line.strip("\n")}
    host.write(RECORD, json.dumps({"finished": True, "lines": {"/boot/vmlinuz-6.12": first, path: {"made": [made], "was": None}}}))
    back(host)
    assert host.read("etc/kernel/cmdline") == line
    assert snapshot(host) == before
    assert not back(host)["changed"]


def test_a_record_of_another_boot_loader_is_named(tmp_path):
    host = GrubHost(tmp_path)
    host.write(RECORD, "{}")
    result = back(host)
    assert not result["changed"]
    assert "tells of another boot loader than grub" in result["warnings"][0]


@pytest.mark.parametrize("name, path", [
    ("grub-mkconfig", "etc/default/grub"), ("grubby", "etc/default/grub"), ("kernel-install", "etc/kernel/cmdline"),
    ("kernelstub", "etc/kernelstub/configuration"), ("mkinitcpio", "etc/kernel/cmdline"), ("proxmox-boot-tool", "etc/kernel/cmdline"),
    ("systemd-boot", "boot/loader/entries/arch.conf"), ("zipl", "etc/zipl.conf"),
])
def test_a_file_of_others_stays_the_link_that_it_is_and_as_private_as_it_is(name, path, tmp_path):
    host = HOSTS[name](tmp_path, LINE)
    if host.read(path) is None:
        host.write(path, f'GRUB_CMDLINE_LINUX="{LINE}"\n')
    place, target = host.root / path, host.root / "srv/theirs"
    target.parent.mkdir()
    place.rename(target)
    place.symlink_to(os.path.relpath(target, place.parent))
    target.chmod(0o600)
    before = target.read_text()
    run(host, ON)
    assert place.is_symlink() and "iommu=pt" in target.read_text() and stat.S_IMODE(target.stat().st_mode) == 0o600
    back(host)
    assert place.is_symlink() and target.read_text() == before and stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", TOOLED)
def test_a_tool_that_fails_leaves_everything_to_be_taken_back_later(host, name):
    before = snapshot(host, name in UNORDERED)
    run(host, ON, drop=DROP)
    ours = snapshot(host, name in UNORDERED)
    host.fail[TOOLS.get(name, name)] = 1
    with pytest.raises(ApplyError, match="no space left on device"):
        back(host)
    assert snapshot(host, name in UNORDERED) == ours
    back(host)
    assert snapshot(host, name in UNORDERED) == before


def test_it_can_be_undone(host, name):
    run(host, ON, drop=DROP)
    ours = snapshot(host, name in UNORDERED)
    area, journal = host.area, Journal(host.kernel, host.files)
    area.apply(planned(area, Request(None, False)), journal)
    assert journal.restore() == []
    journal.drop()
    assert snapshot(host, name in UNORDERED) == ours


WORDS = st.lists(
    st.sampled_from(
        (
            "ro",
            "quiet",
            "console=tty0",
            "console=tty0",
            'dyndbg="file a.c +p; file b.c +p"',
            'foo=a"b c"d',
            "é=ü",
            "iommu=soft",
            "iommu=nopt",
            "intel-iommu=off",
            "intel_iommu=on",
            "nosmt=force",
        )
    ),
    min_size=1,
    max_size=7,
)
ARGS = st.dictionaries(
    st.sampled_from(("intel_iommu", "iommu", "nosmt", "console", "pci")),
    st.sampled_from(("on", "pt", None, ["tty0", "b"])),
    max_size=3,
)
DROPS = st.dictionaries(st.sampled_from(("iommu", "quiet", "foo")), st.sampled_from((None, "soft")), max_size=2)


@pytest.mark.exhaustive
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(words=WORDS, gaps=st.sampled_from((" ", "  ", " \t ")), runs=st.lists(st.tuples(ARGS, DROPS), max_size=3))
def test_whatever_was_set_the_host_gets_its_bytes_back(name, words, gaps, runs):
    if name in UNORDERED:
        words, gaps = [word for word in dict.fromkeys(words) if '"' not in word], " "
    with tempfile.TemporaryDirectory() as root:
        host = HOSTS[name](root, gaps.join(words))
        before = snapshot(host, name in UNORDERED)
        for args, drop in runs:
            run(host, args, drop=drop)
            assert not run(host, args, drop=drop)["changed"]
        back(host)
        assert snapshot(host, name in UNORDERED) == before
