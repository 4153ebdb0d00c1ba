# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where lines go, and how wide they are."""

from __future__ import annotations

import pytest
from ansible import constants

from ansible_collections.vfio.host.plugins.plugin_utils import _screen
from ansible_collections.vfio.host.plugins.plugin_utils._text import ADD, Line, columns, cut, fill, short


@pytest.mark.parametrize("callback, stream", [("default", "out"), ("minimal", "out"), ("ansible.posix.json", "err"), ("ansible.posix.jsonl", "err")])
def test_a_callback_that_writes_json_has_standard_output_for_itself(monkeypatch, capfd, callback, stream):
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    _screen.show([Line("node1  done"), Line("  + row", ADD)])
    shown = capfd.readouterr()
    assert getattr(shown, stream).splitlines() == ["node1  done", "  + row"]
    assert getattr(shown, "err" if stream == "out" else "out") == ""


def test_no_terminal_is_79_columns(monkeypatch):
    monkeypatch.setattr(_screen.Display(), "columns", 79, raising=False)
    assert _screen.width() == 79


@pytest.mark.parametrize("address, told", [("0000:02:00.0", "02:00.0"), ("0001:02:00.0", "0001:02:00.0"), ("10000:02:00.0", "10000:02:00.0")])
def test_a_domain_is_left_out_where_it_is_0(address, told):
    assert short(address) == told


@pytest.mark.parametrize("text, width, told", [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("ab cd", 4, "ab…"), ("abc", 1, "…")])
def test_what_does_not_fit_is_cut(text, width, told):
    assert cut(text, width) == told


def test_fragments_are_broken_between_them_and_within_only_where_a_line_is_too_short():
    assert fill(["aaaa", "bbbb", "cc"], 11, indent=2) == ["aaaa, bbbb,", "  cc"]
    assert fill(["a b c d e f g h i j k l m n"], 24, indent=2, first=20) == ["", "  a b c d e f g h i j k", "  l m n"]
    assert fill([], 20, indent=2) == [""]


@pytest.mark.parametrize("width", range(1, 20))
def test_characters_of_two_columns_take_two(width):
    text = "ネットe\u0301ワーク0"
    assert columns(text) == 14
    assert columns(cut(text, width)) <= width
    assert cut(text, 14) == text


def test_a_line_of_characters_of_two_columns_is_no_wider_than_the_screen():
    lines = fill(["/srv/" + "仮想 マシン " * 12, "mounted"], 40, indent=4)
    assert max(map(columns, lines)) <= 40
    assert "".join(lines).replace(" ", "") == "/srv/" + "仮想マシン" * 12 + ",mounted"
