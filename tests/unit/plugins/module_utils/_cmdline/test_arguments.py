# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import edit, parse, parse_wishes
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError

# Words that a person might have there: quotes anywhere, repeated, unusual; none is named below.
FOREIGN = st.lists(
    st.sampled_from(
        (
            "quiet",
            "ro",
            "root=UUID=1-2",
            "console=tty0",
            "console=ttyS0,115200",
            'dyndbg="file a.c +p; file b.c +p"',
            '"memmap=1G$4G x"',
            "console=tty0",
            'foo=a"b c"d',
            "panic=-1",
            "intel_iommux=1",
            "x-intel_iommu=on",
            "a=b=c",
            "=",
            "é=ü",
        )
    ),
    max_size=8,
)
SPACES = st.sampled_from((" ", "  ", "\t", " \t "))
ARGS = st.dictionaries(
    st.sampled_from(("intel_iommu", "iommu", "nosmt", "vfio-pci.ids", "isolcpus", "earlycon")),
    st.sampled_from(("on", "pt", None, "8086:10d3,10de:1234", ["a", "b"], ["a"], "a b", 7, '"x y"')),
    min_size=1,
)


@st.composite
def lines(draw):
    words = draw(FOREIGN)
    mine = draw(
        st.lists(
            st.sampled_from(("intel_iommu=off", "iommu", "iommu=soft", "vfio_pci.ids=1:2", "nosmt=force")), max_size=3
        )
    )
    for word in mine:
        words.insert(draw(st.integers(0, len(words))), word)
    init = draw(st.sampled_from(([], ["--", "intel_iommu=init", "sh"])))
    return "".join(draw(SPACES) + word for word in words + init) + draw(st.sampled_from(("", "\n", " ")))


def kept(text, wishes):
    names = {wish.name.replace("-", "_") for wish in wishes}
    return [word.text for word in parse(text).words if word.is_inits or word.name not in names]


@given(lines())
def test_a_parsed_line_gives_back_every_byte(line):
    assert str(parse(line)) == line


@given(lines(), ARGS, st.booleans())
def test_foreign_arguments_keep_their_bytes_and_order(line, args, present):
    wishes = parse_wishes(args, present)
    assert kept(edit(line, wishes), wishes) == kept(line, wishes)


@given(lines(), ARGS, st.booleans())
def test_an_edited_line_is_as_wished_and_stays_so(line, args, present):
    wishes = parse_wishes(args, present)
    once = edit(line, wishes)
    assert all(wish.is_met(parse(once)) for wish in wishes)
    assert edit(once, wishes) == once


@given(st.text(min_size=1), st.text())
def test_no_input_becomes_a_second_argument(name, value):
    try:
        wishes = parse_wishes({name: value}, True)
    except InputError:
        return
    words = parse(edit("quiet ro", wishes)).words
    assert [word.text for word in words[:2]] == ["quiet", "ro"]
    assert len(words) == 3


@given(lines(), ARGS)
def test_what_was_added_to_a_line_without_it_is_removed_without_a_trace(line, args):
    wishes = parse_wishes(args, True)
    if any(parse(line).named(wish.name) for wish in wishes) or not kept(line, wishes) or not line.strip():
        return
    added = edit(line, wishes)
    removed = edit(added, parse_wishes(args, False))
    assert removed == line


@pytest.mark.parametrize(
    "text, name, values",
    [
        ("intel_iommu=on", "intel_iommu", ["on"]),
        ("intel-iommu=on", "intel_iommu", ["on"]),
        ("vfio-pci.ids=1:2", "vfio_pci.ids", ["1:2"]),
        ("quiet", "quiet", [None]),
        ("x=", "x", [""]),
        ('dyndbg="file a +p"', "dyndbg", ["file a +p"]),
        ('"dyndbg=file a +p"', "dyndbg", ["file a +p"]),
        ("a=b=c", "a", ["b=c"]),
        ("console=tty0 quiet console=ttyS0", "console", ["tty0", "ttyS0"]),
        ("-- quiet", "quiet", []),
        ('x="a b', "x", ["a b"]),
    ],
)
def test_a_word_means_what_it_means_to_the_kernel(text, name, values):
    assert parse(text).values(name) == values


@pytest.mark.parametrize(
    "line, args, present, wanted",
    [
        ("ro quiet\n", {"intel_iommu": "on"}, True, "ro quiet intel_iommu=on\n"),
        ("", {"intel_iommu": "on"}, True, "intel_iommu=on"),
        ("ro  intel_iommu=off  quiet", {"intel_iommu": "on"}, True, "ro  intel_iommu=on  quiet"),
        ("intel-iommu=on ro", {"intel_iommu": "on"}, True, "intel-iommu=on ro"),
        ("iommu=soft ro iommu=pt", {"iommu": "pt"}, True, "ro iommu=pt"),
        ("iommu=pt ro iommu=pt", {"iommu": "pt"}, True, "iommu=pt ro iommu=pt"),
        ("ro -- sh", {"nosmt": None}, True, "ro nosmt -- sh"),
        ("-- sh", {"nosmt": None}, True, "nosmt -- sh"),
        ("console=tty0 ro", {"console": "ttyS0"}, True, "console=tty0 console=ttyS0 ro"),
        ("console=tty0 ro", {"console": ["ttyS0", "tty0"]}, True, "console=tty0 console=ttyS0 ro"),
        ("a=1 ro", {"a": ["2", "3"]}, True, "a=1 a=2 a=3 ro"),
        ("ro iommu=pt quiet", {"iommu": "pt"}, False, "ro quiet"),
        ("ro iommu=soft quiet", {"iommu": "pt"}, False, "ro iommu=soft quiet"),
        ("ro iommu=soft iommu quiet", {"iommu": None}, False, "ro quiet"),
        ("iommu=pt  quiet", {"iommu": "pt"}, False, "quiet"),
        ("iommu=pt", {"iommu": "pt"}, False, ""),
        ("ro", {"x": "a b"}, True, 'ro x="a b"'),
        ("ro", {"hugepages": 16}, True, "ro hugepages=16"),
    ],
)
def test_a_line_is_edited_in_place(line, args, present, wanted):
    assert edit(line, parse_wishes(args, present)) == wanted


@pytest.mark.parametrize(
    "args, said",
    [
        ({"x": "a\nb"}, "printable ASCII"),
        ({"x": "a\x1bb"}, "printable ASCII"),
        ({"x": "é"}, "printable ASCII"),
        ({"x": 'a"b'}, "not closed"),
        ({"x": '"a" b'}, "several arguments"),
        ({"x": True}, "in quotes"),
        ({"x": 1.5}, "in quotes"),
        ({"x": {"a": 1}}, "a value is a text"),
        ({"x": []}, "empty list"),
        ({"x y": "a"}, "no argument's name"),
        ({"--": None}, "no argument's name"),
        ({"": None}, "no argument's name"),
        ({'x"': "a"}, "no argument's name"),
        ({"x=1 y": "a"}, "no argument's name"),
        ({"BOOT_IMAGE": "a"}, "boot loader's own"),
        ({"vfio-pci.ids": "1", "vfio_pci.ids": "2"}, "one argument to the kernel"),
    ],
)
def test_bad_input_is_refused_by_name(args, said):
    with pytest.raises(InputError, match=said):
        parse_wishes(args, True)


def test_all_bad_input_is_reported_at_once():
    with pytest.raises(InputError) as caught:
        parse_wishes({"a": "\n", "b": True, "c": "fine", "d d": None}, True)
    assert len(caught.value.messages) == 3
