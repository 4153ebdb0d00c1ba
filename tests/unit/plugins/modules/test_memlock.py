# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of locked memory: the files, what has to be restarted, and who else sets them."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.tests.unit.fake import hosts

GIB = 1024 ** 3
QEMU = "qemu@a.service"
DROPIN = f"/etc/systemd/system/{QEMU}.d/90-vfio-host.conf"
VM, KVM = 900, 993  # the numbers of the user vm and of the group kvm
LIMITS = "/etc/security/limits.d/90-vfio-host.conf"
WISH = {"memlock": {"units": {QEMU: "64G", "dpdk.service": "infinity"}, "users": {"vm": "16G", "@kvm": "infinity"}}, "initramfs": False}


@pytest.fixture
def make_served(make_host):
    """A function from services (unit -> (pid, soft, hard)) to a host that has qemu@.service and dpdk.service."""

    def make(services=None, **changes):
        """The host."""
        host = make_host(hosts.x86(services=services or {}, **changes))
        for name in ("lib/systemd/system/qemu@.service", "etc/systemd/system/dpdk.service"):
            host.tree.put(host.tree.root / name, "[Service]\n")
        (host.tree.root / "run/systemd/system").mkdir(parents=True)
        return host

    return make


@pytest.fixture
def host(make_served):
    """A host on which none of the services runs."""
    return make_served()


def text(host, path):
    return host.files.read(host.root + path)


def put(host, path, content):
    host.tree.put(host.tree.root / path.lstrip("/"), content)


def test_services_and_users_get_their_limits(run_module, host):
    before = host.snapshot("/run/vfio-host")
    predicted = run_module(host, "passthrough", check=True, **WISH)
    assert host.snapshot("/run/vfio-host") == before
    assert run_module(host, "passthrough", **WISH) == predicted
    assert text(host, DROPIN).splitlines()[1:] == ["[Service]", f"LimitMEMLOCK={64 * GIB}"]
    assert "LimitMEMLOCK=infinity" in text(host, "/etc/systemd/system/dpdk.service.d/90-vfio-host.conf")
    assert text(host, LIMITS).splitlines()[1:] == ["@kvm - memlock unlimited", f"vm - memlock {16 * GIB // 1024}"]
    assert host.kernel.told_systemd == 1
    again = run_module(host, "passthrough", **WISH)
    assert (again["changed"], again["diff"], host.kernel.told_systemd) == (False, [], 1)


def test_a_service_that_runs_with_another_limit_has_to_be_restarted(run_module, make_served):
    host = make_served({QEMU: (700, 8388608, 8388608), "dpdk.service": (701, "unlimited", "unlimited")})
    result = run_module(host, "passthrough", **WISH)
    assert result["restart"] == [QEMU]
    assert [(one["name"], one["running"], one["restart"]) for one in result["memlock"]] == [
        ("dpdk.service", "infinity", False), (QEMU, "8388608", True), ("@kvm", None, False), ("vm", None, False),
    ]
    again = run_module(host, "passthrough", check=True, **WISH)
    assert (again["changed"], again["restart"]) == (False, [QEMU])


def test_instances_that_run_with_another_limit_than_their_template_have_to_be_restarted(run_module, make_served):
    host = make_served({
        "qemu@a.service": (700, 64 * GIB, 64 * GIB), "qemu@b.service": (701, 8388608, 8388608), "qemu@c.service": (0, 0, 0),
        "qemu@d.service": (703, 8388608, 64 * GIB), "qemu@own.service": (704, GIB, GIB), "dpdk.service": (705, GIB, GIB),
        "qemu@other.service": (706, 2 * GIB, 2 * GIB),
    })
    put(host, "/etc/systemd/system/qemu@other.service.d/95-mine.conf", "[Service]\nLimitMEMLOCK=2G\n")
    wish = {"memlock": {"units": {"qemu@.service": "64G", "qemu@own.service": "1G"}}, "initramfs": False}
    result = run_module(host, "passthrough", **wish)
    assert result["restart"] == ["qemu@b.service", "qemu@d.service"]
    assert [(one["name"], one["pid"], one["running"], one["restart"]) for one in result["memlock"]] == [
        ("qemu@.service", 701, "8388608", True), ("qemu@own.service", 704, str(GIB), False),
    ]
    assert (
        "qemu@other.service has another limit than qemu@.service: /etc/systemd/system/qemu@other.service.d/95-mine.conf:2 says 2G, "
        "which is read after ours"
    ) in str(result["warnings"])
    released = run_module(host, "passthrough", state="absent", initramfs=False)
    assert released["restart"] == ["qemu@a.service", "qemu@own.service"]


def test_a_template_without_instances_has_nothing_to_restart(run_module, host):
    result = run_module(host, "passthrough", memlock={"units": {"qemu@.service": "64G"}}, initramfs=False)
    assert (result["restart"], result.get("warnings", [])) == ([], [])
    assert [(one["pid"], one["running"]) for one in result["memlock"]] == [(None, None)]


@pytest.mark.parametrize("value, size", [("64G", 64 * GIB), (68719476736, 64 * GIB), ("8M", 8 * 1024 ** 2), ("4097", 4097)])
def test_a_limit_is_bytes_or_a_size(run_module, host, value, size):
    run_module(host, "passthrough", memlock={"units": {QEMU: value}, "users": {"vm": value}}, initramfs=False)
    assert f"LimitMEMLOCK={size}\n" in text(host, DROPIN)
    assert f"vm - memlock {-(-size // 1024)}\n" in text(host, LIMITS)


@pytest.mark.parametrize("value", ["lots", "64 G", "-1", True, 1.5, None, "1.5G", "0", 4095, "16E", "64GB\n[Service]", []])
def test_what_is_no_limit_is_an_error(run_module, host, value):
    before = host.snapshot("/run/vfio-host")
    result = run_module(host, "passthrough", memlock={"units": {QEMU: value}, "users": {"vm": value}}, initramfs=False)
    assert result["failed"]
    assert [line.split(" ")[0] for line in result["msg"].splitlines()] == [f"memlock.units.{QEMU}", "memlock.users.vm"]
    assert host.snapshot("/run/vfio-host") == before


@pytest.mark.parametrize("name", ["jo.doe@corp.example", "CORP\\jo", "jo$", "j" * 64])
def test_a_user_of_a_directory_gets_a_limit_by_the_name_that_the_directory_has(run_module, make_served, name):
    host = make_served(name_service={("passwd", name): 70000, ("passwd", "other"): (name, 70000)})
    assert run_module(host, "passthrough", memlock={"users": {name: "1G"}}, initramfs=False)["changed"]
    assert text(host, LIMITS).splitlines()[1:] == [f"{name} - memlock {GIB // 1024}"]
    assert not run_module(host, "passthrough", memlock={"users": {name: "1G"}}, initramfs=False)["changed"]
    result = run_module(host, "passthrough", memlock={"users": {"other": "1G"}}, initramfs=False)
    assert f"memlock.users.other: this host calls that user {name}, and its limits are looked up by that name" in result["msg"]


def test_every_name_that_is_wrong_is_said_at_once(run_module, host):
    result = run_module(host, "passthrough", initramfs=False, memlock={
        "units": {"qemu": "1G", "../x.service": "1G", "none.service": "1G"}, "users": {"v m": "1G", "ghost": "1G", "@ghosts": "1G"}, "unit": {},
    })
    lines = result["msg"].splitlines()
    assert len(lines) == 7
    for words in ("'qemu' is no name of a service", "there is no such service", "'v m' is no name of a user", "there is no user ghost",
                  "there is no group ghosts", "did you mean units?"):
        assert any(words in line for line in lines), words


@pytest.mark.parametrize("path", [
    f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "/run/systemd/system/qemu@.service.d/zz.conf", "/usr/lib/systemd/system/service.d/99.conf",
    f"/etc/systemd/system.control/{QEMU}.d/91.conf",
])
def test_a_drop_in_that_is_read_later_is_named_with_its_line(run_module, host, path):
    put(host, path, "[Unit]\nLimitMEMLOCK=1\n[Service]\nNice=1\nLimitMEMLOCK=8M\n")
    result = run_module(host, "passthrough", memlock={"units": {QEMU: "64G"}}, initramfs=False)
    assert result["msg"] == f"memlock.units.{QEMU}: {path}:5 says 8M, which is read after ours: take it out, or declare the same"
    assert text(host, DROPIN) is None


@pytest.mark.parametrize("declared, other, is_one", [
    ("dpdk.service", "testpmd.service", True), ("testpmd.service", "dpdk.service", True), ("testpmd.service", "pktgen.service", True),
    ("dpdk.service", "masked.service", False), ("masked.service", "gone.service", False),
])
def test_a_later_drop_in_of_another_name_of_the_service_is_named(run_module, host, declared, other, is_one):
    units = host.tree.root / "etc/systemd/system"
    for name, target in (
        ("testpmd", "/etc/systemd/system/dpdk.service"), ("pktgen", "testpmd.service"), ("masked", "/dev/null"), ("gone", "/dev/null"),
        ("loop", "loop.service"),
    ):
        (units / f"{name}.service").symlink_to(target)
    put(host, f"/etc/systemd/system/{other}.d/95-mine.conf", "[Service]\nLimitMEMLOCK=8M\n")
    result = run_module(host, "passthrough", memlock={"units": {declared: "64G"}}, initramfs=False)
    assert (f"/etc/systemd/system/{other}.d/95-mine.conf:2 says 8M, which is read after ours" in result.get("msg", "")) == is_one


@pytest.mark.parametrize("path, content", [
    (f"/etc/systemd/system/{QEMU}.d/80-mine.conf", "[Service]\nLimitMEMLOCK=8M\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nLimitMEMLOCK=64G\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nLimitMEMLOCK=64G:64G\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nLimitMEMLOCK = 65536M:63G 1024M\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nLimitMEMLOCK=63.5G 512M\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nLimitMEMLOCK=\\\n# mine\n64G\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nLimitMEMLOCK=8M\nLimitMEMLOCK=64G\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf", "[Service]\nEnvironment=A=B \\\nLimitMEMLOCK=8M\n"),
    ("/etc/systemd/system/dpdk.service.d/95-mine.conf", "[Service]\nLimitMEMLOCK=infinity:infinity\n"),
    (f"/etc/systemd/system/{QEMU}.d/95-mine.conf.bak", "[Service]\nLimitMEMLOCK=8M\n"),
    ("/etc/security/limits.d/10-mine.conf", "vm - memlock 8\n"),
    ("/etc/security/limits.d/95-mine.conf", f"vm - memlock {16 * GIB // 1024}\n# vm - memlock 8\nvm - nofile 5\nother - memlock 8\n"),
    ("/etc/security/limits.d/95-mine.conf", f"vm - memlock 00{16 * GIB // 1024}\n"),
    ("/etc/security/limits.conf", "vm - memlock 8\n"),
])
def test_what_is_read_before_ours_or_says_the_same_is_no_conflict(run_module, host, path, content):
    put(host, path, content)
    assert run_module(host, "passthrough", **WISH)["changed"]


@pytest.mark.parametrize("value", [
    "64G:infinity", "8M:64G", "64G:65G", "64G:", ":64G", "64G:64G:64G", "64g", "512M 63G", "64G 64G", "64G 1", "64 G:x", "infinity:64G", "0x1000000000", "",
])
def test_a_value_of_a_later_drop_in_that_is_not_the_same_is_named(run_module, host, value):
    path = f"/etc/systemd/system/{QEMU}.d/95-mine.conf"
    put(host, path, f"[Service]\nLimitMEMLOCK={value}\n")
    assert f"{path}:2 says {value or 'nothing'}, which is read after ours" in run_module(host, "passthrough", **WISH)["msg"]


def test_of_several_later_drop_ins_the_last_one_decides(run_module, host):
    first, last = (f"/etc/systemd/system/{QEMU}.d/{name}.conf" for name in ("95-a", "96-b"))
    put(host, first, "[Service]\nLimitMEMLOCK=8M\n")
    put(host, last, "[Service]\nLimitMEMLOCK=16M\n")
    message = run_module(host, "passthrough", **WISH)["msg"]
    assert f"{first}:2 says 8M" in message and f"{last}:2 says 16M" in message
    put(host, last, "[Service]\nLimitMEMLOCK=64G\n")
    assert run_module(host, "passthrough", **WISH)["changed"]


@pytest.mark.parametrize("line", [
    "vm soft memlock 64", "vm - memlock unlimited", "vm - MEMLOCK 64", f"{VM}: - memlock 64", f":{VM} hard memlock 64", f"0:{VM} - memlock 64",
])
def test_a_line_for_the_same_user_that_is_read_later_is_named(run_module, host, line):
    put(host, "/etc/security/limits.d/95-mine.conf", f"# mine\n{line}\n")
    result = run_module(host, "passthrough", **WISH)
    assert f"memlock.users.vm: /etc/security/limits.d/95-mine.conf:2 says {line}, which is read after ours" in result["msg"]


@pytest.mark.parametrize("line", [
    f"{VM} - memlock 64", f":{VM + 1} - memlock 64", f"{VM + 1}: - memlock 64", f"@:{VM} - memlock 64", "vm - memlock", ": - memlock 64",
])
def test_a_line_for_other_users_is_no_conflict(run_module, host, line):
    put(host, "/etc/security/limits.d/95-mine.conf", f"{line}\n")
    assert run_module(host, "passthrough", **WISH)["changed"]


@pytest.mark.parametrize("line", ["@kvm soft memlock 64", f"@:{KVM} - memlock 64", f"@{KVM}: - memlock 64"])
def test_a_line_for_the_same_group_that_is_read_later_is_named(run_module, host, line):
    put(host, "/etc/security/limits.d/95-mine.conf", f"{line}\n")
    assert f"memlock.users.@kvm: /etc/security/limits.d/95-mine.conf:1 says {line}, which" in run_module(host, "passthrough", **WISH)["msg"]


@pytest.mark.parametrize("path", [
    "/etc/security/limits.conf", "/etc/security/limits.d/10-mine.conf", "/etc/security/limits.d/95-mine.conf", "/usr/etc/security/limits.d/10-x.conf",
    "/usr/etc/security/limits.conf",
])
@pytest.mark.parametrize("line", ["vm -", f"{VM}: -"])
def test_a_line_that_takes_a_user_out_of_all_limits_is_named_wherever_it_is(run_module, host, path, line):
    put(host, path, f"# mine\n{line}\n")
    result = run_module(host, "passthrough", memlock={"users": {"vm": "infinity"}}, initramfs=False)
    assert result["msg"] == (
        f"memlock.users.vm: {path}:2 says {line}, which keeps pam_limits from setting any limit: take it out, or declare the same"
    )


def test_a_vendors_file_that_the_host_has_replaced_is_not_read(run_module, host):
    put(host, "/usr/etc/security/limits.d/95-x.conf", "vm -\n")
    put(host, "/etc/security/limits.d/95-x.conf", "# nothing\n")
    assert run_module(host, "passthrough", **WISH)["changed"]


def test_a_systemd_that_does_not_answer_is_told_of(run_module, host):
    host.faults.reset()
    host.faults.fail_at(0, errno.EIO)
    result = run_module(host, "passthrough", check=True, **WISH)
    assert "whether dpdk.service has to be restarted is not known: systemctl show says: Input/output error" in str(result["warnings"])


def test_users_need_a_file_that_boots_leave(run_module, host):
    result = run_module(host, "passthrough", at_boot=False, **WISH)
    assert "memlock.users: limits of users are read at every login" in result["msg"]
    run_module(host, "passthrough", at_boot=False, memlock={"units": {QEMU: "64G"}}, initramfs=False)
    assert text(host, DROPIN) is None
    assert text(host, f"/run/systemd/system/{QEMU}.d/90-vfio-host.conf") is not None


def test_now_false_tells_systemd_nothing(run_module, host):
    assert run_module(host, "passthrough", now=False, **WISH)["changed"]
    assert host.kernel.told_systemd == 0


def test_everything_that_is_taken_back_leaves_nothing(run_module, make_served):
    host = make_served({QEMU: (700, 64 * GIB, 64 * GIB)})
    before = host.snapshot("/run/vfio-host")
    run_module(host, "passthrough", **WISH)
    result = run_module(host, "passthrough", state="absent", initramfs=False)
    assert host.snapshot("/run/vfio-host", "/etc/security") == {
        path: content for path, content in before.items() if not path.startswith("/etc/security")
    }
    assert text(host, LIMITS) is None
    assert (result["restart"], host.kernel.told_systemd) == ([QEMU], 2)
    assert not run_module(host, "passthrough", state="absent", initramfs=False)["changed"]


def test_absent_takes_back_what_is_named(run_module, host):
    run_module(host, "passthrough", **WISH)
    run_module(host, "passthrough", state="absent", memlock={"units": {QEMU: None}, "users": {"vm": "16G"}}, initramfs=False)
    assert text(host, DROPIN) is None
    assert text(host, LIMITS).splitlines()[1:] == ["@kvm - memlock unlimited"]


def test_what_nobody_declares_is_reported_and_released_when_asked(run_module, host):
    run_module(host, "passthrough", **WISH)
    told = run_module(host, "passthrough", memlock={}, initramfs=False)
    assert (told["changed"], [one["name"] for one in told["undeclared"]]) == (False, ["dpdk.service", QEMU, "@kvm", "vm"])
    assert f"unit {QEMU} may lock 64 GiB of memory by this collection, and nobody declares that" in told["undeclared"][1]["reason"]
    run_module(host, "passthrough", memlock={}, undeclared="release", initramfs=False)
    assert text(host, DROPIN) is None and text(host, LIMITS) is None


@pytest.mark.parametrize("path", [DROPIN, LIMITS])
def test_a_file_of_ours_that_somebody_changed_is_an_error(run_module, host, path):
    run_module(host, "passthrough", **WISH)
    put(host, path, "vm - nofile 8\n")
    assert path in run_module(host, "passthrough", **WISH)["msg"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failure_at_any_step_puts_everything_back(run_module, make_served, number):
    for index in range(40):
        host = make_served()
        before = host.snapshot("/run/vfio-host")
        host.faults.reset()
        host.faults.fail_at(index, number)
        result = run_module(host, "passthrough", **WISH)
        if "is not known" in str(result.get("warnings")):
            continue  # a question, which changes nothing
        if not result.get("failed"):
            assert index > 4
            return
        after = host.snapshot("/run/vfio-host")
        assert {path for path in after if before.get(path) != after[path]} == set(), index
        # What systemd has read again is read once more when the files are back.
        assert host.kernel.told_systemd in (0, 1, 2)
    raise AssertionError("the run never came to its end")


def test_a_change_to_be_confirmed_goes_without_it(run_module, host):
    put(host, "/etc/hostname", "x")
    host.kernel.run = lambda words: (0, "", "")
    result = run_module(host, "passthrough", check=True, confirm=30, **WISH)
    assert "memlock" not in result


def test_a_host_without_systemd_gets_the_files_alone(run_module, make_host):
    host = make_host(hosts.x86())
    put(host, "/lib/systemd/system/qemu@.service", "[Service]\n")
    assert run_module(host, "passthrough", memlock={"units": {QEMU: "64G"}}, initramfs=False)["changed"]
    assert host.kernel.told_systemd == 0
