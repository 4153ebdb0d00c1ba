# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from virtlab import apt
from virtlab.errors import LabError

LIST = """\
# deb http://old.example/debian sid main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://deb.example/debian bookworm main contrib # ours
deb-src http://deb.example/debian bookworm main
deb http://deb.example/debian-security bookworm-security main
"""

SOURCES = """\
# a comment
Types: deb deb-src
URIs: http://security.example/debian-security
Suites: trixie-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb
URIs: http://deb.example/debian http://second.example/debian
Suites: trixie
 trixie-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/a.gpg

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
"""


def test_the_one_line_format():
    first, second = apt.parse_list(LIST)
    assert (first.uri, first.suites) == ("http://deb.example/debian", ("bookworm",))
    assert (first.components, first.signed_by) == (("main", "contrib"), "/usr/share/keyrings/a.gpg")
    assert second.uri == "http://deb.example/debian-security"


def test_the_stanza_format():
    found = list(apt.parse_deb822(SOURCES))
    assert [source.uri for source in found] == [
        "http://security.example/debian-security", "http://deb.example/debian", "http://second.example/debian",
    ]
    assert found[1].suites == ("trixie", "trixie-updates")
    assert found[1].signed_by == "/usr/share/keyrings/a.gpg"


def test_a_key_inside_a_stanza_is_no_file():
    text = "Types: deb\nURIs: http://x/debian\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n"
    assert [source.signed_by for source in apt.parse_deb822(text)] == [""]


@pytest.mark.parametrize("parse, text", [(apt.parse_list, LIST), (apt.parse_deb822, SOURCES)])
def test_the_archive_is_found_among_others(parse, text):
    assert apt.main_archive(parse(text)).uri == "http://deb.example/debian"


def test_both_formats_are_read_and_other_files_are_not(tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one/debian bookworm main\n", encoding="utf-8")
    (parts / "two.list").write_text("deb http://two/debian bookworm main\n", encoding="utf-8")
    (parts / "three.sources").write_text(SOURCES, encoding="utf-8")
    (parts / "four.list.disabled").write_text("deb http://four/debian bookworm main\n", encoding="utf-8")
    uris = [source.uri for source in apt.read(tmp_path)]
    assert uris[0] == "http://one/debian"
    assert "http://two/debian" in uris
    assert "http://four/debian" not in uris


def test_no_archive_is_an_error_with_a_way_out():
    with pytest.raises(LabError, match="VFIO_HOST_LAB_MIRROR"):
        apt.main_archive([apt.Source("http://x/ubuntu", ("noble",), ("main",))])


def test_an_address_that_was_chosen_wins(monkeypatch):
    monkeypatch.setenv("VFIO_HOST_LAB_MIRROR", "http://mine/debian")
    assert apt.mirror() == "http://mine/debian"


def test_shell_assignments():
    assert apt.dict_of("A='b c'\nVERSION_CODENAME=trixie\n") == {"A": "b c", "VERSION_CODENAME": "trixie"}


def _configured(monkeypatch, **values):
    def run(argv, timeout):
        return f"VALUE='{values[argv[-1]]}'" if argv[-1] in values else ""

    monkeypatch.setattr(apt, "run", run)


def test_the_machines_own_way_to_its_mirror_is_carried_over(monkeypatch):
    _configured(monkeypatch, **{"Acquire::http::Proxy": "http://proxy:3128"})
    assert apt.options("bookworm") == ('Acquire::http::Proxy "http://proxy:3128";',)


def test_metadata_past_its_date_is_taken_of_a_rolling_suite_only(monkeypatch):
    _configured(monkeypatch)
    assert apt.options("sid") == ('Acquire::Check-Valid-Until "false";',)
    assert apt.options("trixie") == ()


@pytest.mark.parametrize("value", ["true", "false"])
def test_an_option_of_the_suite_prevails_over_the_machines(monkeypatch, value):
    _configured(monkeypatch, **{"Acquire::Check-Valid-Until": value})
    assert apt.options("sid") == ('Acquire::Check-Valid-Until "false";',)
