# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError
from ansible_collections.vfio.host.plugins.module_utils._kernel import alias as aliases
from ansible_collections.vfio.host.plugins.module_utils._kernel.control import ModuleControl
from ansible_collections.vfio.host.plugins.module_utils._kernel.kmod import Modules, normalize_module_name
from ansible_collections.vfio.host.tests.unit.fake import hosts
from ansible_collections.vfio.host.tests.unit.fake.model import Module, alias

BUILTIN = Module(
    "mlx5_vfio_pci",
    ("mlx5_vfio_pci",),
    (alias("15b3", "101e", bus="vfio_pci"),),
    builtin=True,
    file="vfio/pci/mlx5/mlx5-vfio-pci.ko",
)


@pytest.fixture
def modules_of(make_host):
    def make(*more, **changes):
        return Modules(make_host(hosts.with_modules(hosts.x86(**changes), *more)).kernel)

    return make


def test_dash_and_underscore_are_one():
    assert normalize_module_name("vfio-pci") == normalize_module_name("vfio_pci") == "vfio_pci"


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("e1000e", "loaded"),
        ("vfio_pci", "loadable"),
        ("vfio-pci", "loadable"),
        ("mlx5_vfio_pci", "builtin"),
        ("nosuch", "absent"),
        ("e100", "absent"),
        ("1000e", "absent"),
        ("vfio.pci", "absent"),
        ("(", "absent"),
    ],
)
def test_a_module_has_a_state(modules_of, name, state):
    assert modules_of(BUILTIN).state(name) == state


@pytest.mark.parametrize("file", ["x/zz-top.ko", "x/zz-top.ko.xz", "x/zz_top.ko.zst", "x/zz_top.ko.gz"])
def test_a_module_is_loadable_however_its_file_is_packed(modules_of, file):
    assert modules_of(Module("zz_top", (), file=file)).state("zz_top") == "loadable"


TABLE = """\
# Aliases extracted from modules themselves.
alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
alias pci:v*d*sv*sd*bc02sc00i* any_network
alias pci:v00008086d*sv*sd*bc02sc00i* any_of_intel
alias pci:v00001AF4d000010D3sv*sd*bc*sc*i* other
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias pci:v00008086d000010D3sv*sd*bc*sc*i* last"""


@pytest.mark.parametrize("modalias", [
    "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00", "pci:v00001AF4d000010D3sv00001AF4sd00000000bc01sc00i00",
    "pci:v000010DEd00001EB8sv000010DEsd00000000bc03sc02i00",
])
def test_the_aliases_for_a_device_are_those_of_all_that_match_it_in_their_order(make_host, modalias):
    host = make_host(hosts.with_modules(hosts.x86(), Module(
        "built", (), (alias("8086", "10d3"), alias("1af4", "10d3")), builtin=True, file="net/built.ko",
    )))
    host.tree.put(f"{host.kernel.module_tree}/modules.alias", TABLE)
    modules = Modules(host.kernel)
    wanted = aliases.matching(modules.aliases(aliases.NATIVE), modalias)
    assert aliases.matching(modules.native_aliases(modalias), modalias) == wanted
    assert [one.module for dummy, one in wanted] == {
        "8086": ["e1000e", "any_network", "any_of_intel", "last", "built"], "1AF4": ["other", "built"], "10DE": [],
    }[modalias[9:13]]


def test_aliases_of_built_in_modules_come_last(modules_of):
    found = modules_of(BUILTIN).aliases(aliases.VFIO)
    assert [(one.module, one.source) for one in found] == [
        ("vfio_pci", "modules.alias"),
        ("mlx5_vfio_pci", "modules.builtin.modinfo"),
    ]


def test_what_one_module_declares_is_told_on_both_buses(modules_of):
    both = Module("odd_vfio_pci", ("odd",), (alias("1234", "1111"), alias("1234", "1111", bus="vfio_pci")))
    assert len(modules_of(both).aliases_of("odd-vfio-pci")) == 2


def test_a_modules_drivers_have_names_of_their_own(make_host):
    kernel = make_host(hosts.with_modules(hosts.x86(), hosts.XE_VARIANT)).kernel
    assert Modules(kernel).drivers("xe_vfio_pci") == []
    ModuleControl(kernel).load("xe_vfio_pci")
    modules = Modules(kernel)
    assert modules.drivers("xe_vfio_pci") == ["xe-vfio-pci"]
    assert modules.driver_module("xe-vfio-pci") == "xe_vfio_pci"
    assert modules.is_registered("xe-vfio-pci")
    assert not modules.is_registered("xe_vfio_pci")


def test_a_driver_built_in_without_a_name_has_no_module(modules_of):
    assert modules_of().driver_module("pcieport") is None


@pytest.mark.parametrize(
    ("text", "disabled"),
    [
        ("blacklist mlx5-vfio-pci\n", True),
        ("  blacklist   mlx5_vfio_pci # why\n", True),
        ("install mlx5_vfio_pci /bin/false\n", True),
        ("install mlx5_vfio_pci /usr/bin/true\n", True),
        ("blacklist \\\n mlx5_vfio_pci\n", True),
        ("# blacklist mlx5_vfio_pci\n", False),
        ("options mlx5_vfio_pci a=1\n", False),
        ("install mlx5_vfio_pci /sbin/modprobe x\n", False),
        ("blacklist\n", False),
    ],
)
def test_modprobe_d_disables(modules_of, text, disabled):
    assert ("mlx5_vfio_pci" in modules_of(modprobe_d={"x.conf": text}).disabled()) is disabled


def test_only_conf_files_count(modules_of):
    assert not modules_of(modprobe_d={"x.conf.bak": "blacklist a\n", "README": "blacklist b\n"}).disabled()


def test_a_file_in_etc_hides_its_namesake_in_lib(modules_of, make_host):
    host = make_host(hosts.x86(modprobe_d={"x.conf": "# nothing\n"}))
    host.tree.put(host.tree.root / "lib/modprobe.d/x.conf", "blacklist a\n")
    host.tree.put(host.tree.root / "usr/lib/modprobe.d/y.conf", "blacklist b\n")
    assert Modules(host.kernel).disabled() == {"b"}


@pytest.mark.parametrize("kind, expected", [("directory", {"a"}), ("dangling", {"a"}), ("null", set()), ("file", {"b"})])
def test_what_is_no_file_in_etc_hides_none(make_host, kind, expected):
    host = make_host(hosts.x86())
    host.tree.put(host.tree.root / "lib/modprobe.d/x.conf", "blacklist a\n")
    path = host.tree.root / "etc/modprobe.d/x.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        host.tree.put(path, "blacklist b\n")
    else:
        path.symlink_to("/dev/null" if kind == "null" else "gone")
    assert Modules(host.kernel).disabled() == expected


@pytest.mark.parametrize("key", ["modprobe.blacklist", "module_blacklist", "module-blacklist"])
def test_the_command_line_disables(modules_of, key):
    assert modules_of(cmdline=f"ro {key}=a_b,c quiet").disabled() == {"a_b", "c"}


def test_a_module_that_does_not_load_says_why(host):
    with pytest.raises(ApplyError, match="module nosuch does not load: modprobe says: .*not found"):
        ModuleControl(host.kernel).load("nosuch")


def test_a_module_is_loaded_by_name_behind_a_double_dash(make_host):
    host = make_host(hosts.x86())
    ModuleControl(host.kernel).load("vfio_pci")
    assert host.faults.log == [("command", "modprobe -- vfio_pci")]


def test_the_native_driver_is_loaded_by_alias_and_under_the_blacklist(make_host):
    host = make_host(hosts.x86(blacklist=("e1000e",)))
    ModuleControl(host.kernel).load_native(host.spec.functions[13].modalias)
    assert host.driver(hosts.NIC) is None


def test_a_kernel_without_a_modules_directory_has_no_modules(make_host):
    host = make_host(hosts.x86(modules=()))
    for path in (host.tree.root / "lib/modules" / host.spec.kernel).iterdir():
        path.unlink()
    modules = Modules(host.kernel)
    assert modules.aliases(aliases.VFIO) == []
    assert modules.state("vfio_pci") == "absent"


@pytest.mark.parametrize("end", ["/drivers", "/holders", "/refcnt"])
def test_a_module_of_which_it_cannot_be_read_who_uses_it_is_no_free_one(host, monkeypatch, end):
    def refuse(real):
        def call(path, *more, **named):
            if str(path).endswith("/module/e1000e" + end):
                raise OSError(errno.EIO, "no")
            return real(path, *more, **named)

        return call

    for name in ("open", "listdir"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    users = ModuleControl(host.kernel).users("e1000e")
    assert users.references is None
    assert users.unread == (f"{host.kernel.modules}/e1000e{end}",)
