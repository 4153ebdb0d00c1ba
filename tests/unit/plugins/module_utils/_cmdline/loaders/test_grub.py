# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only GRUB does: a drop-in that a shell sources, and a menu of which one entry boots."""

from __future__ import annotations

import errno
import os
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders import grubcfg, grubsettings
from ansible_collections.vfio.host.plugins.module_utils._core.area import run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal, recover
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import GrubHost
from ansible_collections.vfio.host.tests.unit.fake.faults import Killed
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned

DROPIN = "etc/default/grub.d/zz-vfio-host.cfg"
GRUB_CFG = "boot/grub/grub.cfg"


def run(host, args, present=True):
    return run_areas({"cmdline": (host.area, Request(args, present))}, False, open_journal=lambda: Journal(host.kernel, host.files))["cmdline"]


def test_what_others_set_is_left_out_named_by_place_and_holds_again_afterwards(tmp_path):
    host = GrubHost(tmp_path, "intel_iommu=off quiet")
    others = host.read("etc/default/grub")
    plan = run(host, {"intel_iommu": "on"})
    assert plan.warnings == [
        f"intel_iommu=off, set at {tmp_path}/etc/default/grub:3, is left out by {tmp_path}/{DROPIN}"
    ]
    assert parse(host.boots()).values("intel_iommu") == ["on"]
    assert not run(host, {"intel_iommu": "on"}).warnings
    run(host, {"intel_iommu": "on"}, present=False)
    assert host.read(DROPIN) is None
    assert parse(host.boots()).values("intel_iommu") == ["off"]
    assert host.read("etc/default/grub") == others


def test_what_others_set_can_be_absent(tmp_path):
    host = GrubHost(tmp_path, "quiet splash")
    run(host, {"quiet": None}, present=False)
    assert host.boots().split() == ["root=UUID=1-2", "ro", "splash"]
    assert not run(host, {"quiet": None}, present=False).changed
    run(host, {"iommu": "pt"})
    assert "quiet" not in host.boots()


def test_what_is_left_out_keeps_its_order(tmp_path):
    host = GrubHost(tmp_path, "quiet iommu=soft")
    run(host, {"iommu": ["pt", "nopt"]})
    for changed in (True, False):
        assert run(host, {"quiet": None, "iommu": "soft"}, present=False).changed == changed


def test_what_others_set_already_is_not_said_twice(tmp_path):
    host = GrubHost(tmp_path, "intel-iommu=on")
    assert not run(host, {"intel_iommu": "on"}).changed
    assert host.read(DROPIN) is None


def test_what_others_quote_is_not_torn(tmp_path):
    host = GrubHost(tmp_path, 'x="a iommu=soft b" iommu=soft')
    with pytest.raises(PlanError, match=r"iommu=soft is set at .*/etc/default/grub:3 in a way that cannot be left out"):
        run(host, {"iommu": "pt"})
    assert host.calls == []


def test_a_drop_in_of_others_counts_too(tmp_path):
    host = GrubHost(tmp_path, "quiet")
    host.write("etc/default/grub.d/50-x.cfg", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX iommu=soft"\n')
    run(host, {"iommu": "pt"})
    assert parse(host.boots()).values("iommu") == ["pt"]


def test_what_others_set_in_the_meantime_holds_after_the_way_back(tmp_path):
    host = GrubHost(tmp_path, "quiet")
    run(host, {"iommu": "pt"})
    host.write("etc/default/grub.d/50-x.cfg", 'GRUB_CMDLINE_LINUX="iommu=soft $(echo panic=5)"\n')
    plan = run(host, None, present=False)
    assert (plan.result()["args"]["iommu"]["configured"], host.read(DROPIN)) == (["soft"], None)
    assert "panic=5" in host.boots()


def test_a_value_that_others_set_may_be_one_that_we_could_not_carry(tmp_path):
    host = GrubHost(tmp_path, "foo=$x quiet")
    run(host, {"foo": "1"})
    run(host, None, present=False)
    assert parse(host.boots()).values("foo") == ["$x"]


def test_what_grub_puts_in_the_place_of_a_variable_is_told_where_it_is_against_a_wish(tmp_path):
    host = GrubHost(tmp_path)
    host.write("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT='quiet $tuned_params'\n")
    host.do_update_grub()
    host.write("boot/grub/grub.cfg", 'set tuned_params="iommu=off nohz=on"\n' + host.read("boot/grub/grub.cfg"))
    warnings = run(host, {"iommu": "pt"}).warnings
    assert len(warnings) == 1 and re.match(
        r"iommu=off is set in .*/grub\.cfg \(variable tuned_params\), which GRUB adds to what is set here: remove it there", warnings[0]
    )
    assert not run(host, None, False).warnings


def test_an_entry_that_was_never_generated_is_generated(tmp_path):
    host = GrubHost(tmp_path, "quiet")
    old = host.read("boot/grub/grub.cfg")
    run(host, {"iommu": "pt"})
    host.write("boot/grub/grub.cfg", old)
    plan = run(host, {"iommu": "pt"})
    assert plan.changed
    assert "iommu=pt" in host.boots()
    assert plan.diff[0]["after"].endswith("iommu=pt\n")


def test_what_others_changed_since_is_said(tmp_path):
    host = GrubHost(tmp_path, "quiet")
    host.write("etc/default/grub.d/50-x.cfg", 'GRUB_CMDLINE_LINUX="panic=5"\n')
    assert any("panic=5" in warning for warning in run(host, {"iommu": "pt"}).warnings)


@pytest.mark.parametrize("text", ["GRUB_CMDLINE_LINUX=x\n", "", "# Written by vfio.host.kernel_cmdline.\n"])
def test_a_drop_in_that_someone_changed_is_refused(tmp_path, text):
    host = GrubHost(tmp_path)
    host.write(DROPIN, text)
    with pytest.raises(PlanError, match="not as this collection wrote it"):
        run(host, {"iommu": "pt"})


@pytest.mark.parametrize("text", ["exit 0\n", "return 3\n", "if\n"])
def test_settings_that_no_shell_can_read_are_an_error(tmp_path, text):
    host = GrubHost(tmp_path)
    host.write("etc/default/grub", text)
    with pytest.raises(PlanError, match="etc/default/grub|sh failed"):
        run(host, {"iommu": "pt"})


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)


@settings(deadline=None, max_examples=40)
@given(left_out=st.lists(PRINTABLE.filter(str.strip), max_size=3), ours=PRINTABLE.filter(str.strip), line=PRINTABLE)
def test_the_drop_in_is_data_to_the_shell(left_out, ours, line):
    text = grubsettings.render(tuple(left_out), ours)
    assert grubsettings.parse(text) == (tuple(left_out), ours.strip())
    done = subprocess.run(
        [
            "sh",
            "-ec",
            'GRUB_CMDLINE_LINUX=$1 GRUB_CMDLINE_LINUX_DEFAULT=$1; eval "$2"; printf "%s\\n%s" "$GRUB_CMDLINE_LINUX" '
            '"$GRUB_CMDLINE_LINUX_DEFAULT"',
            "sh",
            line,
            text,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    kept = grubsettings.without(line, left_out)
    assert done.stdout == f"{kept} {ours.strip()}\n{kept}"
    assert done.stderr == ""


CFG = """
set default="{default}"
menuentry "First" --id first {{
\tlinux /vmlinuz-1 one
}}
submenu 'More > of it' $menuentry_id_option 'more' {{
\tmenuentry 'Second' --class x $menuentry_id_option 'second' {{
\t\tlinux16\t/vmlinuz-2 two
\t}}
\tmenuentry 'Xen' --id xen {{
\t\tmultiboot2 /xen.gz placeholder dom0_mem=1G
\t\tmodule2 /vmlinuz-3 placeholder three
\t}}
}}
menuentry 'Firmware' --id firmware {{
\tfwsetup
}}
"""


@pytest.mark.parametrize(
    "default, env, line",
    [
        ("0", {}, "one"),
        ("1>0", {}, "two"),
        ("more>second", {}, "two"),
        ("more>xen", {}, "three"),
        ("1", {}, "two"),
        ("First", {}, "one"),
        ("gone", {}, "one"),
        ("${saved_entry}", {"saved_entry": "more>second"}, "two"),
        ("${saved_entry}", {}, "one"),
        ("0", {"next_entry": "more>xen"}, "three"),
        ("More >> of it>Xen", {}, "three"),
        ("1>9", {}, "two"),
        ("more>gone", {}, "two"),
        ("more>", {}, "two"),
        ("first>xen", {}, "one"),
        (">", {}, "one"),
        ("firmware", {}, None),
    ],
)
def test_the_entry_that_boots_is_the_one_that_grub_would_take(default, env, line):
    assert grubcfg.default_entry(CFG.format(default=default), env).line == line


@pytest.mark.parametrize("line", [
    "set default=1", "set default='1>0'", "default=more", "if true; then set default=1; fi", "set default=$saved_entry", 'set default="1" # ours',
])
def test_a_default_by_hand_counts_however_it_is_quoted(line):
    text = CFG.format(default="0") + f"# set default=9\n  {line}\n"
    assert grubcfg.default_entry(text, {"saved_entry": "1"}).line == "two"


def test_an_argument_of_a_kernel_is_no_default_of_the_menu():
    assert grubcfg.default_entry(CFG.format(default="1").replace("linux /vmlinuz-1 one", "linux /vmlinuz-1 one default=0"), {}).line == "two"


class ByPartsHost(GrubHost):
    """grub.cfg says of each part which file has written it; one of them is somebody's own, and its entry is the default."""

    mine = "40_custom"

    def install(self):
        self.write("etc/grub.d/10_linux", 'linux ${GRUB_CMDLINE_LINUX} ${GRUB_CMDLINE_LINUX_DEFAULT}\n')
        self.write("etc/grub.d/40_custom", "#!/bin/sh\nexec tail -n +3 $0\n")
        super().install()

    def do_update_grub(self, *words):
        super().do_update_grub(*words)
        path = os.path.relpath(words[-1], self.root) if words else GRUB_CFG
        text = self.read(path).replace('default="0"', 'default="mine"')
        parts = {"10_linux": text, self.mine: "menuentry 'Mine' --id mine {\n\tlinux /vmlinuz-9 root=/dev/vda2 of=mine\n}\n"}
        self.write(path, "".join(f"### BEGIN /etc/grub.d/{name} ###\n{part}### END /etc/grub.d/{name} ###\n" for name, part in parts.items()))


def test_an_entry_that_grubs_tool_does_not_make_is_refused_as_the_default_before_anything_is_touched(tmp_path):
    host = ByPartsHost(tmp_path)
    with pytest.raises(PlanError, match="boots the entry 'Mine' by default, which .*/etc/grub.d/40_custom writes, and that does not take GRUB_CMDLINE_LINUX"):
        run(host, {"iommu": "pt"})
    assert host.calls == [] and host.read(DROPIN) is None
    assert run(host, {"of": "mine"}).result()["args"]["of"]["configured"] == ["mine"]


def test_an_entry_of_custom_cfg_is_refused_as_the_default_likewise(tmp_path):
    host = GrubHost(tmp_path)
    host.write(GRUB_CFG, host.read(GRUB_CFG) + "source $prefix/custom.cfg\n")
    host.write("boot/grub/custom.cfg", "set default=mine\nmenuentry 'Mine' --id mine {\n\tlinux /vmlinuz-9 of=mine\n}\n")
    with pytest.raises(PlanError, match="boots the entry 'Mine' by default, which .*/boot/grub/custom.cfg writes"):
        run(host, {"iommu": "pt"})


@pytest.mark.parametrize("line, is_refused", [
    ('GRUB_CMDLINE_LINUX_XEN_REPLACE="root=/dev/x"', True), ("export GRUB_CMDLINE_LINUX_XEN_REPLACE=quiet", True),
    ('GRUB_CMDLINE_LINUX_XEN_REPLACE="" # none', False), ("GRUB_CMDLINE_LINUX_XEN_REPLACE=", False),
    ('#GRUB_CMDLINE_LINUX_XEN_REPLACE="x"', False), ('GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT="x"', False),
])
def test_a_line_that_xen_s_kernel_has_of_its_own_is_named(tmp_path, line, is_refused):
    class Host(ByPartsHost):
        """Xen's entry is the default."""

        mine = "20_linux_xen"

    host = Host(tmp_path)
    host.write("etc/grub.d/20_linux_xen", "${GRUB_CMDLINE_LINUX}\n")
    host.write("etc/default/grub", host.read("etc/default/grub") + line + "\n")
    wanted = (PlanError, "etc/default/grub:4 sets GRUB_CMDLINE_LINUX_XEN_REPLACE") if is_refused else (ApplyError, "does not boot as wished")
    with pytest.raises(wanted[0], match=wanted[1]):
        run(host, {"iommu": "pt"})


@pytest.mark.parametrize("mine", ["10_linux", "11_gone"])
def test_an_entry_of_a_file_that_takes_the_variable_or_that_nobody_can_read_is_asked_as_ever(tmp_path, mine):
    class Host(ByPartsHost):
        """The default is of another part."""

    Host.mine = mine
    with pytest.raises(ApplyError, match="does not boot as wished with iommu"):
        run(Host(tmp_path), {"iommu": "pt"})


def test_custom_cfg_may_have_the_entry_that_boots(tmp_path):
    host = GrubHost(tmp_path)
    host.write("boot/grub/custom.cfg", "set default=mine\nmenuentry 'Mine' --id mine {\n\tlinux /vmlinuz-9 of=mine\n}\n")
    assert host.area.look(host.area.scan()).boot.entries[0][1] != "of=mine"
    host.write(GRUB_CFG, host.read(GRUB_CFG) + "if [ -f $prefix/custom.cfg ]; then source $prefix/custom.cfg; fi\n")
    (entry,) = host.area.look(host.area.scan()).boot.entries
    assert entry == (f"{tmp_path}/{GRUB_CFG}, entry 'Mine'", "of=mine")


def test_a_menu_without_entries_has_no_default():
    assert grubcfg.default_entry("set timeout=0\n", {}) is None


def test_grub_cfg_is_the_old_one_as_long_as_update_grub_runs(tmp_path):
    seen = []

    class Host(GrubHost):
        def do_update_grub(self, *words):
            super().do_update_grub(*words)
            seen.append(self.read(GRUB_CFG))

    host = Host(tmp_path)
    old = host.read(GRUB_CFG)
    run(host, {"iommu": "pt"})
    assert seen == [old, old]
    assert host.read(GRUB_CFG) != old
    assert os.listdir(tmp_path / "boot/grub") == ["grub.cfg"]


def test_an_update_grub_of_somebodys_own_that_takes_no_other_file_will_do(tmp_path):
    class Host(GrubHost):
        def do_update_grub(self, *dummy_words):
            super().do_update_grub()

    host = Host(tmp_path)
    # A run that was cut may have left this.
    host.write(GRUB_CFG + ".vfio-host", "stale")
    run(host, {"iommu": "pt"})
    assert parse(host.boots()).values("iommu") == ["pt"]
    assert os.listdir(tmp_path / "boot/grub") == ["grub.cfg"]


def test_an_update_grub_that_fails_leaves_the_old_grub_cfg_and_no_rest(tmp_path):
    class Host(GrubHost):
        def run(self, argv):
            if argv[0].endswith("update-grub"):
                self.write(GRUB_CFG + ".vfio-host.new", "half")
                return 1, "", "syntax error"
            return super().run(argv)

    host = Host(tmp_path)
    old = host.read(GRUB_CFG)
    with pytest.raises(ApplyError, match="syntax error"):
        run(host, {"iommu": "pt"})
    assert host.read(GRUB_CFG) == old
    assert os.listdir(tmp_path / "boot/grub") == ["grub.cfg"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS, errno.ESTALE, errno.ENOMEM])
@pytest.mark.parametrize("name", ["lstat", "unlink", "rename", "open", "fsync"])
def test_one_fault_of_the_file_system_leaves_the_old_grub_cfg_and_no_rest(tmp_path, monkeypatch, name, number):
    host = GrubHost(tmp_path)
    old, real, broken = host.read(GRUB_CFG), getattr(os, name), []

    def once(path, *more, **named):
        is_it = os.readlink(f"/proc/self/fd/{path}") if name == "fsync" else path
        if not broken and str(is_it).endswith(GRUB_CFG + ".vfio-host"):
            broken.append(path)
            raise OSError(number, os.strerror(number))
        return real(path, *more, **named)

    monkeypatch.setattr(os, name, once)
    with pytest.raises(ApplyError, match=f"running update-grub|{errno.errorcode[number]}"):
        run(host, {"iommu": "pt"})
    assert broken and host.read(GRUB_CFG) == old
    assert os.listdir(tmp_path / "boot/grub") == ["grub.cfg"]


def test_what_a_run_that_was_killed_had_the_tool_make_goes_with_the_next(tmp_path):
    class Host(GrubHost):
        def run(self, argv):
            if argv[0].endswith("update-grub"):
                self.write(GRUB_CFG + ".vfio-host.new", "half")
                self.write(GRUB_CFG + ".vfio-host", "half")
                raise Killed
            return super().run(argv)

    host = Host(tmp_path)
    old = host.read(GRUB_CFG)
    with pytest.raises(Killed):
        run(host, {"iommu": "pt"})
    cut_off = recover(host.kernel, host.files)
    assert cut_off is not None and cut_off.problems == []
    assert host.read(GRUB_CFG) == old
    assert os.listdir(tmp_path / "boot/grub") == ["grub.cfg"]


# GRUB begins every line with it (source: grub-core/loader/i386/linux.c).
LOADERS_WORD = "BOOT_IMAGE=/boot/vmlinuz "


def longest(host):
    """A value with which the line, with the loader's word before it, is as long as an x86 kernel reads."""
    host.write("proc/sys/kernel/arch", "x86_64\n")
    plan = planned(host.area, Request({"x": "y"}))
    return "y" * (2048 - len(plan.after[0][1]) - len(LOADERS_WORD))


def test_a_line_of_all_that_the_kernel_reads_is_set(tmp_path):
    host = GrubHost(tmp_path, "quiet")
    wish = {"x": longest(host)}
    assert len(LOADERS_WORD + run(host, wish).after[0][1]) == 2047
    assert not run(host, wish).changed


def test_a_line_that_the_kernel_would_cut_is_refused_with_its_size(tmp_path):
    host = GrubHost(tmp_path, "quiet")
    wish, before = {"x": longest(host) + "y"}, host.read(GRUB_CFG)
    with pytest.raises(PlanError, match="the kernel command line would have 2048 bytes, and a kernel for x86_64 reads 2047"):
        run(host, wish)
    assert host.read(GRUB_CFG) == before and host.read(DROPIN) is None


def test_a_line_that_is_too_long_already_may_be_made_shorter(tmp_path):
    host = GrubHost(tmp_path, "quiet " + "x" * 2100)
    host.write("proc/sys/kernel/arch", "x86_64\n")
    run(host, {"quiet": None}, present=False)
    assert "quiet" not in host.boots()
