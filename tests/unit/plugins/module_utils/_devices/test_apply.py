# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying a plan out: a failure at any step puts everything back, and says so."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.hosts import EDU, NIC, NVME, PAIR, PAIR2, TWIN

PUT_BACK = "everything that this task had changed was put back as it was"


def take(*entries):
    return lambda host, **options: host.take(*entries, **options)


def release(host, **options):
    return host.release(**options)


# What was before, and the run that fails.
RUNS = {
    "take": (None, take({"match": {"net": "enp2s0"}}, NVME, EDU, PAIR, PAIR2)),
    "edit": (take(NIC, NVME, EDU), take(TWIN, NVME)),
    "release": (take(NIC, NVME, EDU), release),
    "change driver": (
        take({"match": {"address": EDU}, "driver": "vfio-pci"}, NIC),
        take({"match": {"address": NIC}, "driver": "e1000e"}, {"match": {"address": EDU}, "driver": "native"}),
    ),
    "this boot only": (take(NIC), lambda host: host.take(NIC, EDU, at_boot=False)),
}


@pytest.fixture
def prepared(make_host):
    """A function from a run's name to a host on which it is about to happen, vfio-pci loaded."""

    def make(name):
        host = make_host(hosts.x86(modules_load=("vfio_pci",)))
        if RUNS[name][0]:
            RUNS[name][0](host)
        host.faults.reset()
        return host, RUNS[name][1]

    return make


def snapshot(host):
    """The host, but for the numbers of VFIO's character devices: the kernel gives the next free one."""
    return {
        path: content
        for path, content in host.snapshot("/sys/class/vfio-dev").items()
        if "/vfio-dev/vfio" not in path
    }


def is_optional(step):
    """Steps whose failure is no failure: the native module need not exist."""
    return "--use-blacklist" in step[1]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_failure_at_any_step_puts_the_host_back_as_it_was(prepared, name):
    host, run = prepared(name)
    run(host)
    steps = list(host.faults.log)
    assert len(steps) > 4
    for index, step in enumerate(steps):
        if is_optional(step):
            continue
        host, run = prepared(name)
        before = snapshot(host)
        host.faults.fail_at(index, errno.EIO)
        with pytest.raises(ApplyError) as caught:
            run(host)
        assert snapshot(host) == before, f"after a failure of step {index}, {step}"
        assert caught.value.messages[-1] == PUT_BACK


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_run_after_a_failure_does_it(prepared, name):
    host, run = prepared(name)
    run(host)
    wanted, count = (host.drivers(), host.rules(), host.rules(volatile=True)), len(host.faults.log)
    host, run = prepared(name)
    host.faults.fail_at(count - 1, errno.EIO)
    with pytest.raises(ApplyError):
        run(host)
    run(host)
    assert (host.drivers(), host.rules(), host.rules(volatile=True)) == wanted


def test_an_error_names_the_device_the_step_and_the_kernels_answer(host):
    host.kernel.refusals["vfio-pci", NIC] = errno.EINVAL
    with pytest.raises(ApplyError) as caught:
        host.take(NVME, NIC)
    message = caught.value.messages[0]
    assert message.startswith(
        f"{NIC} (Intel Corporation 82574L Gigabit Network Connection): vfio-pci does not bind: "
    )
    assert "EINVAL" in message
    assert "no IOMMU group" in message
    assert caught.value.messages[1:] == [PUT_BACK]


def test_a_refused_probe_puts_every_device_of_the_task_back(host):
    before = host.drivers()
    host.kernel.refusals["vfio-pci", NIC] = errno.EINVAL
    with pytest.raises(ApplyError):
        host.take(NVME, EDU, NIC, PAIR, PAIR2)
    assert host.drivers() == before
    assert host.rules() is None


def test_a_bind_that_never_shows_is_an_error_after_the_timeout(host):
    host.kernel.slow["vfio-pci", NIC] = 1000
    with pytest.raises(ApplyError, match="vfio-pci did not bind in 3 seconds, the device has no driver"):
        host.take(NIC, timeout=3)
    assert 3 <= host.kernel.now < 3.2
    assert host.driver(NIC) == "e1000e"


def test_a_deferred_bind_that_never_comes_says_what_the_kernel_said(host):
    host.kernel.deferrals["vfio-pci", NIC] = 1000
    with pytest.raises(ApplyError, match="EAGAIN"):
        host.take(NIC)


def test_what_cannot_be_put_back_is_said_by_name_and_the_rest_is_put_back(host):
    host.kernel.refusals["vfio-pci", PAIR2] = errno.EIO
    host.kernel.refusals["e1000e", NIC] = errno.EIO
    with pytest.raises(ApplyError) as caught:
        host.take(NIC, NVME, PAIR, PAIR2)
    assert caught.value.messages[2:] == ["the next run tries once more to put that back"]
    assert caught.value.messages[1].startswith(
        f"{NIC} (Intel Corporation 82574L Gigabit Network Connection) could not be put"
    )
    assert "driver e1000e and override None" in caught.value.messages[1]
    assert (host.driver(NVME), host.driver(PAIR), host.driver(PAIR2)) == ("nvme", "e1000", "e1000")
    assert host.rules() is None


def test_a_device_that_vanishes_in_the_middle_is_an_error_and_the_others_are_put_back(host):
    index = 5
    host.faults.at(index, lambda: host.unplug(NIC))
    with pytest.raises(ApplyError, match=NIC):
        host.take(NVME, NIC)
    assert host.driver(NVME) == "nvme"
    assert host.rules() is None


def test_an_override_that_the_kernel_does_not_keep_is_seen(host, monkeypatch):
    react = host.kernel._override
    monkeypatch.setattr(
        host.kernel, "_override", lambda address, value: react(address, "other" if value.strip() else value)
    )
    with pytest.raises(ApplyError, match="the kernel did not keep driver_override 'vfio-pci'"):
        host.take(NIC)


def test_a_bind_that_succeeds_with_another_driver_is_seen(host, monkeypatch):
    monkeypatch.setattr(
        host.kernel,
        "_bind",
        lambda driver, address: host.tree.attach(
            host.kernel.functions[address], "e1000e" if driver == "vfio-pci" else driver, False
        ),
    )
    with pytest.raises(ApplyError, match="did not bind in 1 seconds, the device has e1000e"):
        host.take(NIC)


def test_a_driver_that_comes_back_by_itself_is_seen_at_the_end(host, monkeypatch):
    """Somebody else rebinds the first device while the last is being changed."""
    bind = host.kernel._bind

    def meddle(driver, address):
        bind(driver, address)
        if address == NIC and driver == "vfio-pci":
            host.kernel._detach(NVME)

    monkeypatch.setattr(host.kernel, "_bind", meddle)
    with pytest.raises(ApplyError, match=f"{NVME} .* after all steps it has driver None"):
        host.take(NVME, NIC)


def test_an_unbind_that_somebody_else_did_is_no_error(host):
    index = 5
    host.faults.at(index, lambda: host.kernel._detach(NVME))
    host.take(NVME)
    assert host.driver(NVME) == "vfio-pci"


def unload_native(host):
    """rmmod e1000e: what it has bound is unbound first."""
    for address in (NIC, TWIN):
        if host.driver(address) == "e1000e":
            host.kernel._detach(address)
    host.tree.unregister(host.kernel._modules.pop("e1000e"))


def load_native(host):
    host.kernel.modprobe("e1000e")


@pytest.mark.parametrize("before, meanwhile", [((), unload_native), ((unload_native,), load_native)])
def test_a_native_driver_that_goes_or_comes_before_any_step_changes_nothing(make_host, before, meanwhile):
    def make():
        host = make_host(hosts.x86())
        for change in before:
            change(host)
        host.faults.reset()
        return host

    host = make()
    host.take(NIC)
    steps = len(host.faults.log)
    assert steps > 4
    for index in range(steps):
        host = make()
        host.faults.at(index, lambda host=host: meanwhile(host))
        host.take(NIC)
        assert (host.driver(NIC), host.override(NIC)) == ("vfio-pci", "vfio-pci"), f"before step {index}"
        assert not host.take(NIC)["changed"]


def test_a_driver_that_was_probing_when_the_override_was_written_is_unbound(host):
    host.kernel._detach(NIC)
    index = 5
    host.faults.at(index, lambda: host.tree.attach(host.kernel.functions[NIC], "e1000e", False))
    host.take(NIC)
    assert host.faults.log[index] == ("write", "/sys/bus/pci/drivers/vfio-pci/bind", NIC)
    assert host.driver(NIC) == "vfio-pci"


def test_a_module_is_loaded_once_for_all_devices_that_need_it(host):
    host.take(NIC, NVME, EDU)
    assert [one[1] for one in host.faults.log if one[0] == "command" and one[1].startswith("modprobe ")] == ["modprobe -- vfio_pci"]
    assert [host.driver(one) for one in (NIC, NVME, EDU)] == ["vfio-pci"] * 3


def test_a_module_that_does_not_load_is_named(make_host):
    spec = hosts.x86()
    host = make_host(spec)
    host.kernel.spec = hosts.x86(modules=tuple(one for one in spec.modules if one.name != "vfio_pci"))
    with pytest.raises(ApplyError, match="module vfio_pci does not load: modprobe says: modprobe: FATAL"):
        host.take(NIC)
    assert host.driver(NIC) == "e1000e"


def test_a_file_that_cannot_be_written_stops_before_the_first_device(host):
    host.faults.fail_at(1, errno.ENOSPC)  # the journal is the first
    with pytest.raises(ApplyError, match="60-vfio-host-p.rules cannot be written: ENOSPC"):
        host.take(NIC)
    assert not [one for one in host.faults.log if one[0] == "write"]


def test_no_plan_ever_clears_an_override_with_an_empty_write_or_writes_null(host):
    host.take(NIC, NVME)
    host.release()
    values = {one[2] for one in host.faults.log if one[0] == "write" and one[1].endswith("driver_override")}
    assert values == {"vfio-pci", "\n"}
