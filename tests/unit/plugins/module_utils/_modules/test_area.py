# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._core.area import report
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._devices.needed import modules_needed
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelArea, Request
from ansible_collections.vfio.host.tests.unit.fake.kernel_modules import ModuleHost, words_of
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned

CONF, LOAD = "etc/modprobe.d/vfio-host.conf", "etc/modules-load.d/vfio-host.conf"
VFIO_PCI = {"name": "vfio-pci", "options": {"disable_vga": True, "ids": "1234:11e8"}, "before": ["nvme"]}


@pytest.fixture
def host(host_path):
    return ModuleHost(host_path)


def problems(host, *modules, **request):
    with pytest.raises((InputError, PlanError)) as caught:
        host.plan(modules=list(modules), **request)
    return caught.value.messages


def only(messages, *words):
    assert len(messages) == 1, messages
    for word in words:
        assert word in messages[0]


def row(plan, name):
    return next(one for one in plan.result()["modules"] if one["name"] == name)


def settled(host, *modules, **request):
    """Assert that the same task again changes nothing, and give its plan."""
    made, dummy = host.apply(*modules, **request)
    assert not made.changed
    return made


def test_a_kernel_whose_modules_an_update_has_removed_is_told_from_one_without_the_module(host, host_path):
    for path in host_path.glob("lib/modules/*/modules.*"):
        path.unlink()
    only(problems(host, {"name": "dummy"}), "has no module dummy, and nothing lists its modules", "reboot, else run depmod")


def test_a_module_is_loaded_with_its_options_now_and_at_boot(host):
    made, dummy = host.apply(VFIO_PCI)
    assert host.parameter("vfio_pci", "disable_vga") == "Y"
    assert words_of(host.read(CONF)) == [
        ["options", "vfio_pci", "disable_vga=Y", "ids=1234:11e8"], ["softdep", "nvme", "pre:", "vfio_pci"],
    ]
    assert words_of(host.read(LOAD)) == [["vfio_pci"]]
    assert row(made, "vfio_pci")["status"] == "changed"
    assert row(settled(host, VFIO_PCI), "vfio_pci")["status"] == "unchanged"


def test_check_mode_predicts_and_touches_nothing(host):
    before = host.snapshot()
    planned = host.plan(modules=[VFIO_PCI])
    assert host.snapshot() == before
    made, dummy = host.apply(VFIO_PCI)
    assert (planned.changed, planned.diff, planned.result()) == (made.changed, made.diff, made.result())


def test_a_task_forgets_nothing_of_modules_that_it_does_not_name(host):
    host.apply(VFIO_PCI)
    host.apply({"name": "nouveau", "state": "disabled"}, {"name": "e1000e", "options": {}})
    text = host.read(CONF)
    assert "options vfio_pci" in text and "install nouveau /bin/false" in text and "blacklist nouveau" in text
    assert words_of(host.read(LOAD)) == [["e1000e"], ["vfio_pci"]]
    host.apply({"name": "vfio_pci"})
    assert "options" not in host.read(CONF) and "nouveau" in host.read(CONF)


def test_absent_leaves_nothing_of_ours_and_the_running_kernel_alone(host):
    host.apply(VFIO_PCI, {"name": "nouveau", "state": "disabled"})
    made, dummy = host.apply({"name": "vfio_pci", "state": "absent"}, {"name": "nouveau", "state": "absent"})
    assert made.changed and row(made, "vfio_pci")["state"] == "loaded"
    assert host.read(CONF) is None and host.read(LOAD) is None
    settled(host, {"name": "vfio_pci", "state": "absent"})


def test_a_writable_option_is_written_now(host):
    host.load("vfio_iommu_type1")
    wish = {"name": "vfio_iommu_type1", "options": {"dma_entry_limit": 70000, "allow_unsafe_interrupts": "yes"}}
    made, dummy = host.apply(wish)
    assert host.parameter("vfio_iommu_type1", "dma_entry_limit") == "70000"
    assert host.parameter("vfio_iommu_type1", "allow_unsafe_interrupts") == "Y"
    assert not made.reboot_reasons and not any(words[0] in ("rmmod", "modprobe") for words in host.commands)
    settled(host, wish)


@pytest.mark.parametrize("option", ["disable_vga", "nointxmask"])
def test_an_option_that_is_read_at_load_only_reloads_a_module_that_nothing_uses(host, option):
    host.load("vfio_pci")
    made, dummy = host.apply({"name": "vfio_pci", "options": {option: 1}})
    assert host.parameter("vfio_pci", option) == "Y"
    assert [words[0] for words in host.commands if words[0] != "modinfo"] == ["rmmod", "modprobe"]
    assert not made.reboot_reasons


def test_a_module_whose_driver_has_a_device_waits_for_the_reboot(host):
    host.load("vfio_pci")
    host.bind("vfio_pci", "0000:02:00.0")
    made, dummy = host.apply(VFIO_PCI)
    assert len(made.reboot_reasons) == 2 and all("0000:02:00.0" in one for one in made.reboot_reasons)
    again = settled(host, VFIO_PCI)
    assert len(again.reboot_reasons) == 2 and row(again, "vfio_pci")["status"] == "pending"


def test_an_option_that_nobody_shows_is_remembered_until_the_module_is_loaded_anew(host):
    host.load("vfio_pci", ids="1:1")
    host.bind("vfio_pci", "0000:02:00.0")
    wish = {"name": "vfio_pci", "options": {"ids": "1234:11e8"}}
    host.apply(wish)
    assert settled(host, wish).reboot_reasons
    host.files.put(host.files.module_options, None)  # as a reboot does
    assert not settled(host, wish).reboot_reasons


def test_an_option_that_is_remembered_as_not_set_is_not_given_to_modprobe(host):
    host.load("vfio_pci")
    host.bind("vfio_pci", "0000:02:00.0")
    host.apply({"name": "vfio_pci", "options": {"ids": "1234:11e8"}})
    os.unlink(host.path("sys/bus/pci/drivers/vfio_pci/0000:02:00.0"))
    host.apply({"name": "vfio_pci", "options": {"disable_vga": True}})
    assert host.commands[-1] == ["modprobe", "--", "vfio_pci", "disable_vga=Y"]


def test_a_module_that_leaves_the_kernel_between_plan_and_apply_is_named(host):
    host.load("vfio")
    area = KernelArea(host.kernel, host.files, modules_needed)
    made = planned(area, Request(modules=[{"name": "vfio", "options": {"enable_unsafe_noiommu_mode": True}}]))
    host.run(["rmmod", "--", "vfio"])
    with pytest.raises(ApplyError, match="module vfio: its option enable_unsafe_noiommu_mode is not in sysfs any more"):
        area.apply(made, Journal(host.kernel, host.files))


def test_an_option_for_this_boot_only_is_given_to_modprobe_and_is_in_no_file(host):
    wish = {"name": "vfio_pci", "options": {"ids": "1:1"}, "at_boot": False}
    made, dummy = host.apply(wish)
    assert ["modprobe", "--", "vfio_pci", "ids=1:1"] in host.commands
    assert host.read(CONF) is None and host.read(LOAD) is None and not made.reboot_reasons
    settled(host, wish)
    host.apply({"name": "vfio_pci", "options": {"ids": "2:2"}, "at_boot": False})
    assert host.commands[-1] == ["modprobe", "--", "vfio_pci", "ids=2:2"]


def test_modules_that_need_each_other_are_unloaded_and_loaded_in_order(host):
    host.load("vfio_pci")
    names = ["vfio", "vfio_pci_core", "vfio_pci"]
    host.apply(*({"name": name, "state": "unloaded"} for name in names))
    assert host.loaded == []
    host.apply(*({"name": name} for name in names))
    assert [words[2] for words in host.commands if words[0] == "modprobe"] == names
    assert words_of(host.read(LOAD)) == [["vfio"], ["vfio_pci"], ["vfio_pci_core"]]


def test_a_used_module_cannot_be_unloaded_but_disabled_by_the_next_boot(host):
    host.load("vfio_pci")
    only(problems(host, {"name": "vfio", "state": "unloaded"}), "vfio_pci", "vfio_pci_core", "need it")
    made, dummy = host.apply({"name": "vfio", "state": "disabled"})
    assert made.reboot_reasons and "vfio" in host.loaded
    assert settled(host, {"name": "vfio", "state": "disabled"}).reboot_reasons


@pytest.mark.parametrize("state", ["unloaded", "disabled"])
def test_a_module_cannot_be_loaded_without_one_that_it_needs(host, state):
    only(problems(host, VFIO_PCI, {"name": "vfio", "state": state}), "vfio_pci is to be loaded, and needs module vfio,")


def test_a_module_cannot_be_loaded_without_one_that_was_disabled(host):
    host.apply({"name": "vfio", "state": "disabled"})
    only(problems(host, VFIO_PCI), "needs module vfio, which is disabled in", CONF)
    host.apply({"name": "vfio", "state": "absent"})
    host.write("etc/modprobe.d/x.conf", "install vfio /bin/false")
    only(problems(host, VFIO_PCI), "needs module vfio, which is disabled in", "x.conf:1")


def test_now_false_writes_the_files_and_waits(host):
    host.load("nouveau")
    wishes = [VFIO_PCI, {"name": "nouveau", "state": "disabled"}]
    made, dummy = host.apply(*wishes, now=False)
    assert host.loaded == ["nouveau"] and len(made.reboot_reasons) == 2 and host.commands == [
        ["modinfo", "-0", "-F", "parm", "vfio_pci"]
    ]
    assert len(settled(host, *wishes, now=False).reboot_reasons) == 2


def test_all_findings_come_at_once_and_say_what_there_is(host):
    found = "\n".join(problems(
        host, {"name": "vfio_pcii"}, {"name": "vfio_pci", "options": {"disable_vgaa": 1, "disable_vga": "maybe"}},
        {"name": "e1000e", "before": ["nvmee", "ahci"]}, {"name": "zswap", "state": "disabled"},
    ))
    for words in (
        "no module vfio_pcii; there are: vfio_pci",
        "no option disable_vgaa; it has: disable_vga, enable_sriov, ids, nointxmask",
        "type bool, not 'maybe'", "no module nvmee; there are: nvme", "ahci is built into", "zswap: it is built into",
    ):
        assert words in found


@pytest.mark.parametrize(("entry", "words"), [
    ({"name": "a b"}, "letters, digits"),
    ({"name": "vfio", "options": {"x": "a\nb"}}, "no blanks"),
    ({"name": "vfio", "options": {"x": "a b"}}, "no blanks"),
    ({"name": "vfio", "options": {"x": ["a"]}}, "one text"),
    ({"name": "vfio", "options": {"a-b": 1, "a_b": 2}}, "twice"),
    ({"name": "vfio", "options": {"a b": 1}}, "option's name"),
    ({"name": "vfio", "state": "gone"}, "must be one of"),
    ({"name": "vfio", "colour": "red"}, "unknown option"),
    ({"name": "vfio", "state": "disabled", "at_boot": False}, "every boot"),
    ({"name": "vfio", "state": "disabled", "options": {"a": 1}}, "no meaning"),
    ({"name": "vfio", "before": ["vfio"]}, "itself"),
    ("vfio", "mapping"),
])
def test_bad_input_is_named(host, entry, words):
    assert words in "\n".join(problems(host, entry))


def test_a_module_declared_twice_under_two_spellings_is_an_error(host):
    only(problems(host, {"name": "vfio-pci"}, {"name": "vfio_pci"}), "declared twice")


@pytest.mark.parametrize(("name", "text", "wish", "words"), [
    ("etc/modprobe.d/x.conf", "\noptions vfio-pci disable_vga=0", VFIO_PCI, "x.conf:2 sets disable_vga=0"),
    ("usr/lib/modprobe.d/x.conf", "blacklist vfio-pci", VFIO_PCI, "usr/lib/modprobe.d/x.conf:1 blacklists it"),
    ("run/modprobe.d/x.conf", "install vfio_pci /bin/true", VFIO_PCI, "run/modprobe.d/x.conf:1 runs '/bin/true'"),
    ("proc/cmdline", "modprobe.blacklist=vfio_pci", VFIO_PCI, "/proc/cmdline blacklists it"),
    ("proc/cmdline", "module_blacklist=vfio_pci", VFIO_PCI, "/proc/cmdline blacklists it"),
    ("proc/cmdline", "vfio_pci.disable_vga=0", VFIO_PCI, "/proc/cmdline sets disable_vga=0"),
    ("etc/modules", "# x\nnvme", {"name": "nvme", "state": "unloaded"}, "etc/modules:2 loads it at every boot"),
    ("etc/modprobe.d/x.conf", "install nvme /sbin/x", {"name": "nvme", "state": "disabled"}, "x.conf:1 runs '/sbin/x'"),
    ("etc/modprobe.d/x.conf", "softdep nvme pre: dm_mod", VFIO_PCI, "softdep nvme pre: vfio_pci dm_mod"),
    (CONF, "options vfio_pci disable_vga='x'", VFIO_PCI, "not written by this collection"),
])
def test_what_others_configured_to_the_contrary_is_named_with_its_line(host, name, text, wish, words):
    host.write(name, text)
    only(problems(host, wish), words)


def test_a_module_with_a_soft_dependency_of_its_own_gets_none_that_modprobe_would_not_read(host):
    only(problems(host, {"name": "vfio_pci", "before": ["r8169"]}), "softdep r8169 pre: vfio_pci realtek")


@pytest.mark.parametrize(("path", "text", "has_systemd", "loads"), [
    ("etc/modules-load.d/x.conf", "vfio-pci\n", True, True),
    ("etc/modules-load.d/x.conf", "vfio-pci ids=1:2\n", True, False),
    ("etc/modules-load.d/x.conf", "vfio-pci ids=1:2\n", False, True),
    ("etc/modules", "vfio-pci\n", True, False),
    ("etc/modules", "vfio-pci ids=1:2\n", False, True),
])
def test_a_line_of_others_that_loads_nothing_takes_the_place_of_none(host, path, text, has_systemd, loads):
    """systemd takes a whole line for a name, and reads no /etc/modules but by a link."""
    if has_systemd:
        host.write("run/systemd/system/x", "")
    host.write(path, text)
    host.apply({"name": "vfio-pci"})
    assert (host.read(LOAD) is None) is loads
    settled(host, {"name": "vfio-pci"})


def test_what_stands_elsewhere_already_is_not_written_a_second_time(host):
    host.write("etc/modprobe.d/x.conf", "options vfio-pci disable_vga=1\nsoftdep nvme pre: vfio-pci\n")
    host.write("etc/modules-load.d/x.conf", "vfio-pci\n")
    made, dummy = host.apply(VFIO_PCI)
    assert words_of(host.read(CONF)) == [["options", "vfio_pci", "ids=1234:11e8"]]
    assert host.read(LOAD) is None
    assert list(row(made, "vfio_pci")["elsewhere"]) == ["disable_vga"]
    settled(host, VFIO_PCI)


def test_a_file_that_a_file_of_the_same_name_overrides_does_not_count(host):
    host.write("usr/lib/modprobe.d/x.conf", "blacklist vfio_pci")
    host.write("etc/modprobe.d/x.conf", "")
    host.plan(modules=[VFIO_PCI])


def test_a_directory_or_a_dangling_link_among_the_files_is_no_traceback(host):
    host.write("etc/modprobe.d/x.conf/y", "")
    os.symlink("nowhere", host.path("etc/modprobe.d/z.conf"))
    host.plan(modules=[VFIO_PCI])


def test_an_option_of_a_built_in_module_belongs_on_the_kernel_command_line(host):
    wish = {"name": "zswap", "options": {"max_pool_percent": 30, "enabled": True}}
    made, dummy = host.apply(wish)
    assert made.cmdline_args == {"zswap.max_pool_percent": "30", "zswap.enabled": "Y"}
    assert host.parameter("zswap", "max_pool_percent") == "30"  # it can be written now
    assert host.read(CONF) is None and host.read(LOAD) is None
    only(made.reboot_reasons, "zswap.enabled=Y")
    assert len(made.warnings) == 2
    again = settled(host, wish)
    assert again.cmdline_args == made.cmdline_args and again.reboot_reasons == made.reboot_reasons


def test_code_that_is_never_a_module_is_known_by_its_parameters(host):
    host.write("sys/module/pcie_aspm/parameters/policy", "[default] performance powersave\n")
    os.chmod(host.path("sys/module/pcie_aspm/parameters/policy"), 0o444)
    only(problems(host, {"name": "pcie_aspm", "options": {"polcy": "x"}}), "no option polcy; it has: policy")
    made = host.plan(modules=[{"name": "pcie-aspm", "options": {"policy": "powersave"}}])
    assert made.cmdline_args == {"pcie_aspm.policy": "powersave"}
    assert row(made, "pcie_aspm")["kind"] == "builtin" and row(made, "pcie_aspm")["options"] == {"policy": "default"}


def test_an_option_of_a_built_in_module_on_the_command_line_is_met(host_path):
    host = ModuleHost(host_path, cmdline="zswap.max_pool_percent=20")
    made, dummy = host.apply({"name": "zswap", "options": {"max_pool_percent": 20}})
    assert (made.changed, made.cmdline_args, made.reboot_reasons) == (False, {}, [])
    made = host.plan(modules=[{"name": "zswap", "options": {"max_pool_percent": 30}}])
    assert made.cmdline_args == {"zswap.max_pool_percent": "30"}


@pytest.mark.parametrize("fault", ["load", "write", "prove"])
def test_a_failure_in_the_middle_puts_everything_back(host, fault):
    host.load("vfio_pci", disable_vga="1", ids="1:1")
    host.load("vfio_iommu_type1")
    host.load("nouveau")
    host.write(CONF, "options e1000e x=1\n")
    before = host.snapshot()
    if fault == "load":
        host.fails["modprobe", "nvme"] = "Invalid argument"
    elif fault == "write":
        host.kernel.refuses = ("dma_entry_limit",)
    else:
        host.modules = dict(host.modules, nvme=((), {"poll_queues": ("uint", "3", 0o444)}))
        host._options = lambda name, words: {one.split("=")[0]: one.split("=")[1] for one in words}
    with pytest.raises(ApplyError) as caught:
        host.apply(
            {"name": "vfio_pci", "options": {"disable_vga": False}}, {"name": "nouveau", "state": "disabled"},
            {"name": "vfio_iommu_type1", "options": {"dma_entry_limit": 7}},
            {"name": "nvme", "options": {"poll_queues": 2}},
        )
    assert caught.value.messages[1:] == ["everything that this task had changed was put back as it was"]
    assert host.snapshot() == before


FAILING = {"name": "nvme", "options": {"poll_queues": 2}}


@pytest.mark.parametrize("wish", [{"options": {"disable_vga": False}}, {"state": "unloaded"}, {"state": "disabled"}])
@pytest.mark.parametrize("is_in_conf", [False, True])
def test_a_module_comes_back_with_what_others_had_set_of_it(host, wish, is_in_conf):
    if is_in_conf:
        host.write("etc/modprobe.d/x.conf", "options vfio_pci nointxmask=0 disable_vga=0\n")
    host.load("vfio_pci", disable_vga="1", nointxmask="1")
    host.write("sys/module/vfio_pci/parameters/enable_sriov", "Y\n")
    before = host.snapshot()
    host.fails["modprobe", "nvme"] = "Invalid argument"
    with pytest.raises(ApplyError) as caught:
        host.apply({"name": "vfio_pci", **wish}, FAILING)
    assert caught.value.messages[1:] == ["everything that this task had changed was put back as it was"]
    assert host.snapshot() == before


def test_an_option_that_a_module_does_not_take_again_is_named_and_the_module_is_loaded(host):
    host.load("vfio_pci", disable_vga="1")
    host.fails["modprobe", "nvme"] = "Invalid argument"
    real = host._options
    host._options = lambda name, words: {option: value for option, value in real(name, words).items() if option != "disable_vga"}
    with pytest.raises(ApplyError) as caught:
        host.apply({"name": "vfio_pci", "state": "unloaded"}, FAILING)
    assert caught.value.messages[1] == "module vfio_pci was not put back: its option disable_vga is 'N', and was 'Y'"
    assert host.parameter("vfio_pci", "disable_vga") == "N"


def test_an_option_of_a_module_that_is_in_use_at_once_is_named(host):
    host.load("vfio_pci", disable_vga="1")
    real, host.fails["modprobe", "nvme"] = host.kernel.run, "Invalid argument"

    def run(words):
        result = real(words)
        if words[:3] == ["modprobe", "--", "vfio_pci"]:
            host.write("sys/module/vfio_pci/refcnt", "1\n")
        return result

    host.kernel.run = run
    with pytest.raises(ApplyError, match="vfio_pci was not put back: its option disable_vga is 'N', and was 'Y'"):
        host.apply({"name": "vfio_pci", "state": "unloaded"}, FAILING)


def test_a_value_that_is_refused_at_a_load_does_not_keep_the_module_out(host):
    host.load("vfio_pci", disable_vga="1")
    real, host.fails["modprobe", "nvme"] = host.kernel.run, "Invalid argument"
    host.kernel.run = lambda words: (1, "", "Invalid argument") if "disable_vga=Y" in words else real(words)
    with pytest.raises(ApplyError, match="its option disable_vga is 'N', and was 'Y'"):
        host.apply({"name": "vfio_pci", "state": "unloaded"}, FAILING)
    assert host.parameter("vfio_pci", "disable_vga") == "N"


def test_an_applied_plan_can_be_undone(host):
    host.load("vfio_iommu_type1")
    before = host.snapshot()
    area, journal = KernelArea(host.kernel, host.files, modules_needed), Journal(host.kernel, host.files)
    wishes = [VFIO_PCI, {"name": "vfio_iommu_type1", "options": {"dma_entry_limit": 7}}]
    area.apply(planned(area, Request(modules=wishes)), journal)
    assert host.snapshot() != before
    assert journal.restore() == []
    journal.drop()
    assert host.snapshot() == before


def test_modinfo_is_not_asked_where_everything_is_as_wanted(host):
    wish = {"name": "vfio_iommu_type1", "options": {"dma_entry_limit": 70000}}
    host.apply(wish)
    host.commands.clear()
    settled(host, wish)
    assert host.commands == []


def test_the_report_has_what_every_area_has(host):
    made = host.plan(modules=[VFIO_PCI])
    assert set(report([made])) == {"changed", "diff", "reboot_required", "reboot_reasons", "warnings"}


NAMES = st.sampled_from(["vfio", "vfio-pci", "vfio_pci_core", "nvme", "nouveau", "zswap", "nothing"])
WISHES = st.lists(st.fixed_dictionaries({"name": NAMES}, optional={
    "state": st.sampled_from(["loaded", "unloaded", "disabled", "absent"]),
    "options": st.dictionaries(
        st.sampled_from(["disable_vga", "ids", "poll_queues"]), st.sampled_from([True, 0, "1", "x"])
    ),
    "at_boot": st.booleans(),
    "before": st.lists(NAMES, max_size=2),
}), max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=WISHES, second=WISHES)
def test_whatever_is_declared_the_second_run_changes_nothing(tmp_path_factory, first, second):
    host = ModuleHost(tmp_path_factory.mktemp("host"))
    for wishes in (first, second):
        try:
            host.apply(*wishes)
        except (InputError, PlanError):
            continue
        settled(host, *wishes)
