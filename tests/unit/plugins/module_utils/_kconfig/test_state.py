# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._kconfig import table
from ansible_collections.vfio.host.plugins.module_utils._kconfig.spec import parse_wanted
from ansible_collections.vfio.host.plugins.module_utils._kconfig.state import parse_config
from ansible_collections.vfio.host.tests.unit.fake.kernel_modules import RELEASE, ModuleHost, words_of

CONF, LOAD = "etc/modprobe.d/vfio-host.conf", "etc/modules-load.d/vfio-host.conf"

DEBIAN = """\
CONFIG_CC_VERSION_TEXT="gcc"
CONFIG_VFIO=m
CONFIG_VFIO_GROUP=y
# CONFIG_VFIO_NOIOMMU is not set
CONFIG_VFIO_VIRQFD=y
CONFIG_VFIO_PCI=m
CONFIG_VFIO_PCI_VGA=y
CONFIG_VFIO_PCI_IGD=y
# CONFIG_MLX5_VFIO_PCI is not set
CONFIG_INTEL_IOMMU=y
# CONFIG_INTEL_IOMMU_DEFAULT_ON is not set
CONFIG_AMD_IOMMU=y
# CONFIG_IOMMU_DEFAULT_PASSTHROUGH is not set
# CONFIG_IOMMUFD is not set
CONFIG_E1000E=m
"""


@pytest.fixture
def make(host_path):
    return lambda config=DEBIAN, **more: ModuleHost(host_path, config=config, **more)


def look(host, **symbols):
    return host.plan(config=symbols, enforce=False).result()["options"]


def enforce(host, **symbols):
    """Enforce, assert that the second time changes nothing, and give the first plan."""
    made, dummy = host.apply(config=symbols)
    again, dummy = host.apply(config=symbols)
    assert not again.changed
    assert all(one.met for one in again.verdicts)
    return made


def unmet(host, **symbols):
    with pytest.raises(PlanError) as caught:
        host.plan(config=symbols)
    return caught.value.messages


def test_a_symbol_of_the_wanted_value_is_met_by_the_configuration(make):
    host = make()
    found = look(host, VFIO_PCI=["y", "m"], VFIO_NOIOMMU=False, CONFIG_VFIO_PCI_VGA="y")
    assert [(one["met"], one["by"]) for one in found.values()] == [(True, "config")] * 3
    assert found["VFIO_PCI"]["value"] == "m" and found["VFIO_PCI"]["source"] == host.path(f"boot/config-{RELEASE}")
    assert not enforce(host, VFIO_PCI=["y", "m"], VFIO_NOIOMMU="n").changed


def test_y_on_a_kernel_with_m_is_met_by_loading_at_boot(make):
    host = make()
    assert not look(host, VFIO_PCI="y")["VFIO_PCI"]["met"]
    made = enforce(host, VFIO_PCI="y")
    assert made.result()["options"]["VFIO_PCI"]["by"] == "module"
    assert words_of(host.read(LOAD)) == [["vfio_pci"]] and "vfio_pci" in host.loaded
    assert look(host, VFIO_PCI="y")["VFIO_PCI"]["met"]


def test_n_on_a_kernel_with_m_is_met_by_disabling_and_m_takes_that_back(make):
    host = make()
    enforce(host, VFIO_PCI="n")
    assert "install vfio_pci /bin/false" in host.read(CONF)
    enforce(host, VFIO_PCI="m")
    assert host.read(CONF) is None


def test_either_of_y_and_m_keeps_what_was_declared_but_not_a_disabled_module(make):
    host = make()
    enforce(host, VFIO_PCI="y")
    before = host.read(LOAD)
    assert look(host, VFIO_PCI=["y", "m"])["VFIO_PCI"]["met"] and look(host, VFIO_PCI="m")["VFIO_PCI"]["met"]
    enforce(host, VFIO_PCI=["y", "m"])
    assert host.read(LOAD) == before
    enforce(host, VFIO_PCI="n")
    assert not look(host, VFIO_PCI="m")["VFIO_PCI"]["met"]
    enforce(host, VFIO_PCI=["y", "m"])
    assert host.read(CONF) is None


def test_vga_is_turned_off_and_on_by_a_module_option(make):
    host = make()
    made = enforce(host, VFIO_PCI_VGA="n")
    assert made.result()["options"]["VFIO_PCI_VGA"]["by"] == "option"
    assert words_of(host.read(CONF)) == [["options", "vfio_pci", "disable_vga=Y"]]
    host.load("vfio_pci", disable_vga="Y")
    enforce(host, VFIO_PCI_VGA="y")
    assert host.read(CONF) is None and host.parameter("vfio_pci", "disable_vga") == "N"


def test_noiommu_in_the_kernel_is_kept_off_by_its_option(make):
    host = make(DEBIAN.replace("# CONFIG_VFIO_NOIOMMU is not set", "CONFIG_VFIO_NOIOMMU=y"))
    host.load("vfio", enable_unsafe_noiommu_mode="1")
    enforce(host, VFIO_NOIOMMU="n")
    assert host.parameter("vfio", "enable_unsafe_noiommu_mode") == "N"
    assert words_of(host.read(CONF)) == [["options", "vfio", "enable_unsafe_noiommu_mode=N"]]


def test_symbols_and_modules_have_lines_of_their_own(make):
    host = make()
    host.apply({"name": "vfio_pci", "options": {"ids": "1:1"}})
    enforce(host, VFIO_PCI="y", VFIO_PCI_VGA="n")
    assert words_of(host.read(CONF)) == [["options", "vfio_pci", "disable_vga=Y"], ["options", "vfio_pci", "ids=1:1"]]
    again, dummy = host.apply({"name": "vfio_pci", "options": {"ids": "1:1"}})
    assert not again.changed
    with pytest.raises(PlanError) as caught:
        host.apply({"name": "vfio_pci", "options": {"disable_vga": 0}})
    assert "declared by kernel_config" in caught.value.messages[0]
    with pytest.raises(PlanError) as caught:
        host.apply({"name": "vfio_pci", "state": "disabled"})
    assert "kernel_config loads it at boot" in caught.value.messages[0]
    host.apply({"name": "vfio_pci", "state": "absent"})
    assert host.read(CONF) is None and host.read(LOAD) is None


def test_modules_and_symbols_in_one_call_are_one_plan(make):
    host = make()
    made, dummy = host.apply({"name": "vfio_pci", "options": {"ids": "1:1"}}, config={"VFIO_PCI_VGA": "n"})
    assert host.parameter("vfio_pci", "disable_vga") == "Y"
    assert [one["name"] for one in made.result()["modules"]] == ["vfio_pci"]
    with pytest.raises(PlanError, match="cannot be"):
        host.plan(modules=[{"name": "vfio_pci"}], config={"VFIO_PCI": "n"})
    with pytest.raises(PlanError, match="option disable_vga cannot be"):
        host.plan(modules=[{"name": "vfio_pci", "options": {"disable_vga": 0}}], config={"VFIO_PCI_VGA": "n"})


def test_everything_unmet_is_told_at_once_with_what_would_meet_it(make):
    host = make()
    before = host.snapshot()
    found = unmet(
        host, MLX5_VFIO_PCI=["y", "m"], VFIO_PCI_IGD="n", IOMMUFD="y", INTEL_IOMMU_DEFAULT_ON="y", VFIO_PCI_VGA="n",
        IOMMU_DEFAULT_PASSTHROUGH="y", E1000E="y",
    )
    assert len(found) == 6
    for message, words in zip(found, (
        "CONFIG_MLX5_VFIO_PCI=y or CONFIG_MLX5_VFIO_PCI=m", "'# CONFIG_VFIO_PCI_IGD is not set'", "CONFIG_IOMMUFD=y",
        "intel_iommu=on on the kernel command line", "iommu=pt on the kernel command line", "CONFIG_E1000E=y",
    )):
        assert words in message
    assert host.snapshot() == before
    assert [one["met"] for one in look(host, IOMMUFD="y", VFIO_PCI="m").values()] == [False, True]


def test_iommu_symbols_are_met_by_the_command_line_and_its_last_word_counts(make):
    host = make(cmdline="intel_iommu=off quiet intel_iommu=on,sm_on iommu=pt amd_iommu=off")
    found = look(
        host, INTEL_IOMMU="y", INTEL_IOMMU_DEFAULT_ON="y", IOMMU_DEFAULT_PASSTHROUGH="y", AMD_IOMMU="n",
        INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON="y",
    )
    assert [one["met"] for one in found.values()] == [True] * 5
    assert [one["by"] for one in found.values()] == ["config", "cmdline", "cmdline", "cmdline", "cmdline"]
    assert "remove it there" in look(host, AMD_IOMMU="y")["AMD_IOMMU"]["reason"]


def test_who_carries_the_arguments_gets_them_and_the_symbol_is_met_from_the_next_boot(make):
    made = make().plan(config={"IOMMU_DEFAULT_PASSTHROUGH": "y", "INTEL_IOMMU_DEFAULT_ON": "y"}, carries_args=True)
    assert made.cmdline_args == {"iommu": "pt", "intel_iommu": "on"}
    assert len(made.reboot_reasons) == 2 and not made.changed


def test_without_a_configuration_modules_tell_and_the_rest_is_unknown(make):
    host = make(None, builtin={"iommufd": {}})
    found = look(host, VFIO_PCI="m", IOMMUFD="y", VFIO_GROUP="n", VFIO_PCI_IGD="n", MLX5_VFIO_PCI="m")
    assert [one["value"] for one in found.values()] == ["m", "y", "unknown", "unknown", "unknown"]
    assert [one["met"] for one in found.values()] == [True, True, False, False, False]
    assert found["VFIO_GROUP"]["source"] is None


def test_a_driver_on_the_command_line_is_no_proof_that_the_kernel_has_it(make):
    found = look(make(None, cmdline="intel_iommu=on"), INTEL_IOMMU="y", INTEL_IOMMU_DEFAULT_ON="y")
    assert (found["INTEL_IOMMU"]["value"], found["INTEL_IOMMU"]["met"]) == ("unknown", False)
    assert found["INTEL_IOMMU_DEFAULT_ON"]["by"] == "cmdline"


def test_without_a_configuration_a_parameter_tells_that_there_is_nothing_to_turn_off(make):
    modules = {"vfio": ((), {}), "vfio_pci": (("vfio",), {"disable_vga": ("bool", "N", 0o444)})}
    host = make(None, modules=modules)
    found = look(host, VFIO_NOIOMMU="n", VFIO_PCI_VGA="n")
    assert (found["VFIO_NOIOMMU"]["value"], found["VFIO_NOIOMMU"]["met"]) == ("unknown", True)
    assert found["VFIO_PCI_VGA"]["met"] is False
    enforce(host, VFIO_NOIOMMU="n", VFIO_PCI_VGA="n")


@pytest.mark.parametrize(("machine", "symbol", "value", "met"), [
    ("s390x", "VFIO_PCI_VGA", "n", True), ("s390x", "VFIO_PCI_INTX", "n", True),
    ("ppc64le", "VFIO_PCI_ZDEV_KVM", "y", False),
    ("x86_64", "VFIO_IOMMU_SPAPR_TCE", "m", False), ("aarch64", "INTEL_IOMMU_DEFAULT_ON", "y", False),
    ("s390x", "INTEL_IOMMU", "n", True),
])
@pytest.mark.parametrize("config", [DEBIAN.replace("=y", "=Y").replace("CONFIG_VFIO_PCI_VGA=Y\n", ""), None])
def test_a_symbol_of_another_architecture_says_so(make, machine, symbol, value, met, config):
    if config:
        config = "CONFIG_VFIO=m\n"
    found = look(make(config, machine=machine), **{symbol: value})[symbol]
    assert (found["value"], found["met"]) == ("n", met)
    assert "only" in found["reason"] or "does not exist" in found["reason"]


def test_symbols_that_were_always_on_before_they_were_options_are_on(make):
    host = make("CONFIG_VFIO=m\nCONFIG_VFIO_VIRQFD=m\n")
    assert [one["value"] for one in look(host, VFIO_GROUP="y", VFIO_CONTAINER="y").values()] == ["y", "y"]


def test_a_container_without_groups_is_not_always_on(make):
    host = make("CONFIG_VFIO=m\n# CONFIG_VFIO_GROUP is not set\n")
    assert [one["value"] for one in look(host, VFIO_GROUP="y", VFIO_CONTAINER="y").values()] == ["n", "n"]


def test_the_names_of_2021_mean_what_they_became(make):
    host = make(machine="x86_64")
    found = look(host, VFIO_PCI_X86="y", VFIO_PCI_S390="n", VFIO_PCI_P9="n")
    assert all(one["met"] for one in found.values())
    assert found["VFIO_PCI_X86"]["value"] == "y" and "VFIO_PCI_IGD and VFIO_PCI_VGA" in found["VFIO_PCI_X86"]["reason"]
    assert "VFIO_PCI_NVLINK2" in found["VFIO_PCI_P9"]["reason"]
    assert not look(host, VFIO_PCI_X86="n")["VFIO_PCI_X86"]["met"]  # VGA could be turned off, IGD could not


def test_on_s390_the_former_name_of_zdev_counts(make):
    host = make("CONFIG_VFIO=m\nCONFIG_VFIO_PCI_ZDEV=y\n", machine="s390x")
    found = look(host, VFIO_PCI_S390="y", VFIO_PCI_ZDEV_KVM="y")
    assert all(one["met"] for one in found.values()) and "VFIO_PCI_ZDEV" in found["VFIO_PCI_ZDEV_KVM"]["reason"]


# Debian 12's kernel for s390x, what it says of VFIO and of what VFIO is about.
BOOKWORM_S390X = """\
CONFIG_KVM_VFIO=y
CONFIG_KVM=m
# CONFIG_VFIO is not set
CONFIG_IOMMU_API=y
CONFIG_S390_IOMMU=y
"""


def test_a_kernel_without_vfio_is_one_sentence_whatever_is_wanted_of_it(make):
    host = make(BOOKWORM_S390X, machine="s390x")
    (sentence,) = unmet(host, VFIO_PCI=["y", "m"], VFIO_IOMMU_TYPE1=["y", "m"], VFIO_PCI_ZDEV_KVM="y")
    assert sentence.startswith(
        "VFIO_PCI: wanted y or m, VFIO_IOMMU_TYPE1: wanted y or m, VFIO_PCI_ZDEV_KVM: wanted y: it is n in "
    )
    assert sentence.endswith(
        "'# CONFIG_VFIO is not set', so this kernel can give no device to user space: it takes a kernel that is built with VFIO"
    )
    # What is no part of it keeps its own reason, and n is met.
    assert len(unmet(host, VFIO_PCI="y", S390_IOMMU="n")) == 2
    assert look(host, VFIO_NOIOMMU="n")["VFIO_NOIOMMU"]["met"]


def test_on_power_what_left_the_kernel_is_told(make):
    host = make("CONFIG_VFIO=m\n", machine="ppc64le")
    assert "after 5.12" in unmet(host, VFIO_PCI_P9="y")[0]


def test_a_symbol_that_nobody_knows_is_n_and_says_why(make):
    found = look(make(), VFIO_NOIOMU="n")["VFIO_NOIOMU"]
    assert found["met"] and "does not mention it" in found["reason"]


def test_the_sources_are_asked_in_order(make):
    host = make("CONFIG_VFIO_PCI=n\n")
    host.write(f"lib/modules/{RELEASE}/build/.config", "CONFIG_VFIO_PCI=m\n")
    assert look(host, VFIO_PCI="m")["VFIO_PCI"]["source"].endswith("build/.config")
    host.write(f"lib/modules/{RELEASE}/config", "CONFIG_VFIO_PCI=m\n")
    assert look(host, VFIO_PCI="m")["VFIO_PCI"]["source"].endswith(f"{RELEASE}/config")
    host.write("proc/config.gz", gzip.compress(b"CONFIG_VFIO_PCI=y\n"))
    assert look(host, VFIO_PCI="y")["VFIO_PCI"]["source"].endswith("config.gz")
    host.write("proc/config.gz", gzip.compress(b"CONFIG_VFIO_PCI=y\n")[:-9])
    assert look(host, VFIO_PCI="m")["VFIO_PCI"]["met"]


def test_a_foreign_line_that_undoes_an_equivalent_makes_the_symbol_unmet(make):
    host = make()
    host.write("etc/modprobe.d/x.conf", "options vfio_pci disable_vga=0\nblacklist vfio_pci\n")
    found = unmet(host, VFIO_PCI_VGA="n", VFIO_PCI="y")
    assert any("x.conf:1 sets disable_vga=0" in one for one in found)
    assert any("x.conf:2 blacklists it" in one for one in found)


@pytest.mark.parametrize(("value", "expected"), [
    ("y", ("y",)), (True, ("y",)), (False, ("n",)), ("M", ("m",)), (["y", "m"], ("y", "m")), ("yes", ("y",)),
    ([False, "m"], ("n", "m")),
])
def test_what_yaml_makes_of_y_and_n_is_understood(value, expected):
    assert parse_wanted({"CONFIG_VFIO": value}) == {"VFIO": expected}


@pytest.mark.parametrize("options", [
    {"VFIO": "maybe"}, {"VFIO": []}, {"VFIO": 1}, {"VFIO": None}, {"VFIO-PCI": "y"}, {"": "y"}, {True: "y"},
    {"VFIO": "y", "CONFIG_VFIO": "m"}, {"VFIO\n": "y"},
])
def test_what_is_no_symbol_or_no_value_is_an_error(options):
    with pytest.raises(InputError):
        parse_wanted(options)


def test_a_configuration_is_read_line_by_line():
    assert parse_config(DEBIAN)["VFIO_NOIOMMU"] == "n"
    assert parse_config(DEBIAN)["CC_VERSION_TEXT"] == '"gcc"'


def test_every_row_of_the_table_names_its_source():
    assert all(one.source for one in table.ROWS.values())
    assert all(name in table.ROWS for names in table.BECAME.values() for name in names)
