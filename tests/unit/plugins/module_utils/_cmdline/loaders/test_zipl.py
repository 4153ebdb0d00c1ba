# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""zipl.conf: values with one kind of quotes, the other, or none."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
from ansible_collections.vfio.host.plugins.module_utils._core.area import report, run_areas
from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.tests.unit.fake.bootloaders import ZiplHost

CONF = "etc/zipl.conf"
HEAD = "[defaultboot]\ndefault=a\n[a]\ntarget=/boot\nimage=/boot/vmlinuz\n"


def run(host, args=None, present=True, check=False):
    plans = list(run_areas({"cmdline": (host.area, Request(args, present))}, check, open_journal=lambda: Journal(host.kernel, host.files)).values())
    return {**report(plans), **plans[0].result()}


def make(tmp_path, line):
    host = ZiplHost(tmp_path)
    host.write(CONF, f"{HEAD}{line}\n")
    return host


PLAIN, QUOTED = {"iommu": "pt"}, {"dyndbg": "file a.c +p"}


@pytest.mark.parametrize("line, args, made", [
    ("parameters = root=LABEL=root ro", PLAIN, "parameters = root=LABEL=root ro iommu=pt"),
    ("parameters = root=LABEL=root ro  ", QUOTED, 'parameters = root=LABEL=root ro dyndbg="file a.c +p"  '),
    ('parameters="root=/dev/a ro"', PLAIN, 'parameters="root=/dev/a ro iommu=pt"'),
    ('parameters="root=/dev/a ro"', QUOTED, "parameters='root=/dev/a ro dyndbg=\"file a.c +p\"'"),
    ("parameters='root=/dev/a ro'", PLAIN, "parameters='root=/dev/a ro iommu=pt'"),
    ("parameters='root=/dev/a ro'", QUOTED, "parameters='root=/dev/a ro dyndbg=\"file a.c +p\"'"),
    ("parameters =", PLAIN, "parameters =iommu=pt"),
    ('parameters = ""', PLAIN, 'parameters = "iommu=pt"'),
])
def test_quotes_stay_or_give_way_and_come_back_to_the_byte(tmp_path, line, args, made):
    host = make(tmp_path, line)
    before = host.read(CONF)
    assert run(host, args)["changed"]
    assert host.read(CONF) == f"{HEAD}{made}\n"
    assert not run(host, args)["changed"]
    run(host, None, False)
    assert host.read(CONF) == before
    assert not (tmp_path / "var/lib/vfio-host").exists()


OTHERS = """\
[rescue]
parameters = root=/dev/a single
[other]
parameters = "root=/dev/b ro"
[dump]
dumptofs = /dev/sda1
parameters = "dump_compress=gzip"
"""


@pytest.mark.parametrize("head", ["[defaultboot]\ndefault = a\n", "[defaultboot]\ndefaultmenu = m\n:m\n1 = a\n2 = old\n", ""])
def test_sections_for_rescue_of_other_systems_and_of_dump_tools_stay_as_they_are(tmp_path, head):
    host = ZiplHost(tmp_path)
    host.write("proc/cmdline", "root=/dev/a ro\n")
    host.write(CONF, f"{head}[old]\nparameters = root=/dev/a ro x\n{OTHERS}[a]\nparameters = root=/dev/a ro\n")
    before = host.read(CONF)
    assert run(host, PLAIN)["changed"]
    assert host.read(CONF) == f"{head}[old]\nparameters = root=/dev/a ro x iommu=pt\n{OTHERS}[a]\nparameters = root=/dev/a ro iommu=pt\n"
    assert not run(host, PLAIN)["changed"]
    run(host, None, False)
    assert host.read(CONF) == before


def test_what_an_earlier_version_has_set_in_such_a_section_is_taken_back(tmp_path):
    host = ZiplHost(tmp_path)
    text = "[defaultboot]\ndefault = a\n[a]\nparameters = root=/dev/a ro{}\n[rescue]\nparameters = root=/dev/a single{}\n"
    host.write(CONF, text.format(" iommu=pt", " iommu=pt"))
    lines = {f"{tmp_path}/{CONF}, section {name}": {"made": [f"{line} iommu=pt"], "was": line} for name, line in (
        ("a", "root=/dev/a ro"), ("rescue", "root=/dev/a single"),
    )}
    host.write("var/lib/vfio-host/kernel-cmdline", json.dumps({"finished": True, "lines": lines}))
    run(host, None, False)
    assert host.read(CONF) == text.format("", "")


def test_quotes_come_back_after_several_runs_too(tmp_path):
    host = make(tmp_path, 'parameters="root=/dev/a ro"')
    before = host.read(CONF)
    run(host, QUOTED)
    run(host, PLAIN)
    run(host, {"dyndbg": None}, False)
    assert "parameters='root=/dev/a ro iommu=pt'" in host.read(CONF)
    run(host, None, False)
    assert host.read(CONF) == before


def test_a_line_that_needs_both_kinds_of_quotes_is_refused(tmp_path):
    host = make(tmp_path, "parameters=\"root=/dev/a it's\"")
    with pytest.raises(PlanError, match="both kinds of quotes"):
        run(host, QUOTED)


@pytest.mark.parametrize("value", ["${A}", "x${ZIPL_Y}y", "'${A}'", "a b ${A"])
def test_what_zipl_would_fill_in_is_refused(tmp_path, value):
    host = make(tmp_path, "parameters = root=LABEL=root ro")
    with pytest.raises(PlanError, match="cannot be carried"):
        run(host, {"x.a": value}, check=True)


def test_a_dollar_alone_is_carried(tmp_path):
    host = make(tmp_path, "parameters = root=LABEL=root ro")
    assert run(host, {"x.a": "$A"})["args"]["x.a"]["configured"] == ["$A"]


MENU = """\
[defaultboot]
defaultmenu = menu
:menu
target=/boot
2 = a
1 = b
{}[a]
target=/boot
image=/boot/vmlinuz
parmfile=/boot/parmfile
[b]
target=/boot
image=/boot/vmlinuz
parameters="root=/dev/b"
"""


@pytest.mark.parametrize("default", ["default = 2\n", ""])
def test_a_section_that_boots_by_a_menu_needs_parameters_of_its_own(tmp_path, default):
    host = ZiplHost(tmp_path)
    host.write(CONF, MENU.format(default))
    with pytest.raises(PlanError, match="the default section a has no parameters of its own"):
        run(host, PLAIN, check=True)


def test_the_section_that_boots_by_a_menu_is_the_one_that_is_told_of(tmp_path):
    host = ZiplHost(tmp_path)
    host.write(CONF, MENU.format("default=1\n").replace("parmfile=/boot/parmfile", 'parameters="iommu=pt"'))
    assert run(host, PLAIN, check=True)["args"]["iommu"]["configured"] == ["pt"]
    host.write(CONF, host.read(CONF).replace('"root=/dev/b"', '"iommu=off"'))
    assert run(host, {"x": "y"}, check=True)["changed"]
    assert [name.rpartition(" ")[2] for name, dummy in host.area.look(host.area.scan()).boot.entries] == ["b", "a"]


def test_a_word_without_brackets_begins_no_section(tmp_path):
    host = ZiplHost(tmp_path)
    host.write(CONF, 'defaultauto\n[defaultboot]\ndefaultauto\ndefault=a\n[a]\nimage=/boot/vmlinuz\nparmfile=/p\n[b]\nparameters="x"\n')
    with pytest.raises(PlanError, match="the default section a has no parameters of its own"):
        run(host, PLAIN, check=True)


@pytest.mark.parametrize("text, message", [
    ("ro iommu=off\n", "iommu=off is set in /boot/parm, which zipl adds"), ("ro\n-- x\n", "/boot/parm has a bare --"), ("ro iommu=pt\n", None), (None, None),
])
def test_a_parmfile_beside_the_parameters_counts(tmp_path, text, message):
    host = make(tmp_path, 'parmfile = /boot/parm,0x1000\nparameters = "root=LABEL=root ro"')
    if text is not None:
        host.write("boot/parm", text)
    before = host.read(CONF)
    if message is None:
        assert run(host, PLAIN)["changed"]
        host.write("boot/parm", "iommu=off")
        run(host, None, False)
        assert host.read(CONF) == before
        return
    with pytest.raises(PlanError, match=message):
        run(host, PLAIN, check=True)
