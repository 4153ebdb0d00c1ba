# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._kernel import modprobe
from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import as_text, fitting, same
from ansible_collections.vfio.host.plugins.module_utils._modules import hidden_options
from ansible_collections.vfio.host.plugins.module_utils._modules import records as module_records
from ansible_collections.vfio.host.plugins.module_utils._modules.records import Record
from ansible_collections.vfio.host.plugins.module_utils._modules.spec import parse_wishes

# Texts of an alphabet: hypothesis makes these quicker than texts of a regular expression.
NAMES = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=8)
VALUES = st.text(string.ascii_letters + string.digits + "_.,:/+*@%=~-", max_size=12)
RECORDS = st.lists(
    st.builds(
        Record,
        owner=st.sampled_from(module_records.OWNERS),
        module=NAMES,
        options=st.dictionaries(NAMES, VALUES, max_size=3).map(lambda found: tuple(sorted(found.items()))),
        load=st.booleans(),
        disabled=st.booleans(),
        before=st.sets(NAMES, max_size=2).map(lambda found: tuple(sorted(found))),
    ),
    max_size=5,
    unique_by=lambda one: (one.owner, one.module),
)


def back(records):
    return module_records.parse_records(
        module_records.render_modprobe(records), module_records.render_load(records), modprobe_path="m", load_path="l"
    )


@given(RECORDS)
def test_what_is_written_reads_back_as_it_was(records):
    kept = [one for one in records if not one.is_empty]
    assert back(records) == sorted(kept, key=lambda one: (one.owner, one.module))


@given(RECORDS)
def test_nothing_but_what_was_declared_gets_into_the_files(records):
    text = (module_records.render_modprobe(records) or "") + (module_records.render_load(records) or "")
    declared = {one.module for one in records} | {native for one in records for native in one.before}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        words = line.split(" ")
        assert words[0] in ("options", "blacklist", "install", "softdep") or (len(words) == 1 and words[0] in declared)
        assert len(words) == 1 or words[1] in declared


@given(st.text(max_size=30) | st.from_regex(r"[a-z=\"'# \n\\$`;]{0,12}"))
def test_a_value_of_any_text_is_refused_or_stays_one_word(value):
    try:
        wishes = parse_wishes([{"name": "vfio", "options": {"x": value}}])
    except InputError:
        return
    record = Record(module_records.KERNEL_MODULE, "vfio", tuple(wishes[0].options.items()))
    assert back([record]) == [record]
    lines = module_records.render_modprobe([record]).split("\n")
    assert [line for line in lines if not line.startswith("#")] == [f"options vfio x={value}", ""]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_foreign_files_of_any_content_are_read_without_a_traceback(data):
    text = data.decode("utf-8", "replace")
    found = modprobe.Configuration(tuple(modprobe.parse_conf(text, "x") + modprobe.parse_cmdline(text)), {})
    modprobe.parse_load(text, "x")
    modprobe.parse_cmdline_load(text)
    hidden_options.parse(text)
    for one in found.directives:
        found.settings(one.module)
        found.install(one.module)
        found.softdep(one.module)
        modprobe.soft_dependencies(one.rest)
    found.disabled()


@given(st.text(alphabet="abcdeinoptsx_=-.#:/ \t\n\\\"", max_size=80))
def test_a_file_of_ours_changed_by_hand_is_read_or_refused(text):
    try:
        records = module_records.parse_records(text, text, modprobe_path="m", load_path="l")
    except PlanError:
        return
    assert back(records) == [one for one in records if not one.is_empty]


@given(st.dictionaries(NAMES, st.tuples(st.integers(0, 2**64), st.dictionaries(NAMES, st.none() | VALUES, min_size=1))))
def test_what_is_remembered_reads_back_as_it_was(remembered):
    assert hidden_options.parse(hidden_options.render(remembered)) == remembered


@pytest.mark.parametrize(("text", "expected"), [
    ("options vfio-pci ids=1 disable_vga=1", [("options", "vfio_pci", "ids=1 disable_vga=1", "f:1")]),
    ("# options a b\n\n  blacklist\ta-b  ", [("blacklist", "a_b", "", "f:3")]),
    (
        "options a \\\n  x=1 \\\n  y=2\nblacklist b",
        [("options", "a", "  x=1   y=2", "f:1"), ("blacklist", "b", "", "f:4")],
    ),
    ("# a comment goes on \\\nblacklist b", []),
    ("nonsense", []),
    ("options a path=x\\\\\nblacklist b", [("options", "a", "path=x\\", "f:1"), ("blacklist", "b", "", "f:2")]),
    ("options a x=\\\"y\\\"\nblacklist b\\", [("options", "a", 'x="y"', "f:1"), ("blacklist", "b", "", "f:2")]),
    ("options a x=1\0 y=2\nblacklist b", [("options", "a", "x=1", "f:1"), ("blacklist", "b", "", "f:2")]),
    ("# options\0\nblacklist b\n\n", [("blacklist", "b", "", "f:2")]),
    ("blacklist a\x0bb\x85", [("blacklist", "a\x0bb\x85", "", "f:1")]),
])
def test_lines_are_read_as_kmod_reads_them(text, expected):
    found = [(one.verb, one.module, one.rest.split(), one.where) for one in modprobe.parse_conf(text, "f")]
    assert found == [(verb, module, rest.split(), where) for verb, module, rest, where in expected]


def test_a_softdep_line_without_a_word_is_none():
    found = modprobe.Configuration(tuple(modprobe.parse_conf("softdep a\nsoftdep a pre: b\n", "f")))
    assert found.softdep("a").rest == "pre: b"


@pytest.mark.parametrize(("text", "expected"), [
    ('a=1 b c="x y"  d=', [("a", "1"), ("b", None), ("c", "x y"), ("d", "")]),
    ('"a=x y" b', [("a", "x y"), ("b", None)]),
    ('a="', [("a", "")]),
])
def test_parameters_are_split_as_the_kernel_splits_them(text, expected):
    assert modprobe.split_options(text) == expected


def test_the_command_line_blacklists_forbids_loads_and_sets():
    text = "quiet modprobe.blacklist=a_b,c module_blacklist=d vfio-pci.disable_vga=1 x.y modules_load=p,q-r"
    found = modprobe.Configuration(tuple(modprobe.parse_cmdline(text)))
    assert found.blacklisted("a_b") == ["/proc/cmdline"]
    assert found.forbidden("d") == ["/proc/cmdline"]
    assert [(one.name, one.value) for one in found.settings("vfio_pci", builtin=True)] == [("disable_vga", "1")]
    assert [(one.name, one.value) for one in found.settings("x")] == [("y", None)]
    assert modprobe.parse_cmdline_load(text) == {"p": "/proc/cmdline", "q_r": "/proc/cmdline"}
    assert found.disabled() == {"a_b", "c", "d"}


@pytest.mark.parametrize(("text", "expected"), [
    # So does kmod.
    ("modprobe.blacklist=a-b,c_d", {"c_d"}),
    # The kernel compares letter by letter, and no module's own name has '-'.
    ("module_blacklist=a-b,c", {"c"}),
    ("module_blacklist=a module-blacklist=b,c", {"b", "c"}),
    ("module_blacklist=a module_blacklist", set()),
    ("quiet -- module_blacklist=a", set()),
    ("initcall_blacklist=vfio_pci_init,x initcall_blacklist=vfio_init", {"vfio_pci", "vfio"}),
    ("initcall_blacklist=sysfb_init,e1000_init_module", set()),
])
def test_what_the_kernel_refuses_is_what_it_would(text, expected):
    assert modprobe.Configuration(tuple(modprobe.parse_cmdline(text))).disabled() == expected


def test_an_install_line_that_loads_the_module_after_all_does_not_stand_in_for_it():
    text = "install a /sbin/modprobe --ignore-install a && logger a\ninstall b* /bin/true\ninstall bc echo"
    found = modprobe.Configuration(tuple(modprobe.parse_conf(text, "f")))
    assert found.install("a") is None
    assert found.install("bc").where == "f:2"


@pytest.mark.parametrize(("text", "kind", "expected"), [
    ("true", "bool", "Y"), ("off", "bool", "N"), ("1", "bool", "1"), ("maybe", "bool", None), ("", "bool", None),
    ("Y", "int", "1"), ("0x10", "uint", "0x10"), ("many", "uint", None), ("1_0", "int", None), ("x,y", "string", "x,y"),
    ("anything", "", "anything"),
])
def test_values_are_made_to_fit_their_type(text, kind, expected):
    assert fitting(text, kind) == expected


@pytest.mark.parametrize(("values", "kind", "expected"), [
    (("Y", "1"), "bool", True), (("Y", "n"), "bool", False), ((None, "Y"), "bool", True), (("16", "0x10"), "uint", True),
    (("Y", "1"), "", False), (("(null)", ""), "string", True), ((None, "1"), "int", False), (("a", "b"), "string", False),
])
def test_values_are_compared_by_meaning(values, kind, expected):
    assert same(*values, kind=kind) is expected
    assert same(*reversed(values), kind=kind) is expected


def test_a_yaml_boolean_is_written_as_the_kernel_prints_it():
    assert (as_text(True), as_text(False), as_text(7), as_text("x")) == ("Y", "N", "7", "x")
