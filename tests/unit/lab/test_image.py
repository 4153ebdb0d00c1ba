# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By which name of its suite an image is made, and what a boot loader needs of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from virtlab import apt, image
from virtlab.boot import INSTALLED
from virtlab.errors import LabError

TORN = "E: File has unexpected size (9330644 != 9332140). Mirror sync in progress?\n"
# The index names packages that are not in the pool yet.
GONE = (
    "E: Failed to fetch http://deb.example/debian/pool/main/g/glibc/libc6_2.41-12%2bdeb13u5_s390x.deb  404  Not Found\n"
    "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n"
)


@pytest.fixture
def download(monkeypatch, tmp_path):
    """Downloads ``suite`` where mmdebstrap says of each name what is in ``says``; gives the names that were tried."""
    log, tried = tmp_path / "log", []
    log.write_text("")

    def call(suite, says):
        def run(argv, **dummy):
            name = argv[-3]
            tried.append(name)
            if name in says:
                log.write_text(log.read_text() + says[name])
                raise LabError("mmdebstrap failed with status 25")

        monkeypatch.setattr(image, "run", run)
        wanted = SimpleNamespace(
            suite=suite, architecture="s390x", boot="direct", initramfs="initramfs-tools", packages=("udev",), command_line=(),
        )
        image._download(wanted, tmp_path / "tar", log, lambda text: None)

    monkeypatch.setattr(apt, "mirror", lambda: "http://deb.example/debian")
    monkeypatch.setattr(apt, "options", lambda suite: ())
    call.tried = tried
    return call


def test_a_mirror_that_is_whole_is_asked_once(download):
    download("trixie", {})
    assert download.tried == ["trixie"]


@pytest.mark.parametrize("says", [TORN, GONE])
def test_one_that_is_between_two_states_is_asked_by_the_suites_other_name(download, says):
    download("trixie", {"trixie": says})
    assert download.tried == ["trixie", "stable"]


def test_one_that_is_so_by_both_names_is_an_error(download):
    with pytest.raises(LabError):
        download("trixie", {"trixie": TORN, "stable": TORN})
    assert download.tried == ["trixie", "stable"]


def test_another_fault_is_not_tried_again(download):
    with pytest.raises(LabError):
        download("trixie", {"trixie": "E: Unable to locate package linux-image-nosuch\n"})
    assert download.tried == ["trixie"]


def test_a_suite_without_another_name_is_asked_once(download):
    with pytest.raises(LabError):
        download("forky", {"forky": TORN})
    assert download.tried == ["forky"]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Has the boot loader of an image installed by a guest that says a text; gives the log of the build."""

    def call(says):
        tree, log = tmp_path / "tree", tmp_path / "log"
        (tree / "boot").mkdir(parents=True)
        for name in ("vmlinuz-6.12", "initrd.img-6.12"):
            (tree / "boot" / name).write_text("")
        monkeypatch.setattr(image, "run", lambda argv, **dummy: tree.with_name("installation.log").write_text(says))
        log.write_text("built\n")
        wanted = SimpleNamespace(name="trixie-s390x-0", architecture="s390x", boot="zipl", command_line=("root=LABEL=root",))
        image._install(wanted, tree, tmp_path / "disk.qcow2", log)
        return log.read_text()

    return call


def test_a_boot_loader_that_was_installed_has_its_guests_words_in_the_log(installed):
    assert installed(f"zipl: done\n{INSTALLED}\n") == f"built\nzipl: done\n{INSTALLED}\n"


def test_one_that_was_not_is_an_error_that_names_the_log(installed):
    with pytest.raises(LabError, match="was not installed"):
        installed("zipl: no device\n")
