# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vfio.host.plugins.modules import initramfs
from ansible_collections.vfio.host.tests.unit.fake.images import KERNEL, RULES, ImageHost


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = ImageHost(tmp_path / "root", "dracut")
    host.add_kernel()
    host.put(RULES, "rules\n")
    monkeypatch.setattr(initramfs, "ImageFiles", lambda: host.paths)
    return host


def test_check_run_check_run(host, run_module):
    predicted = run_module(host, "initramfs", check=True)
    done = run_module(host, "initramfs")
    assert predicted == done
    assert done["changed"] and not done["reboot_required"] and done["tool"] == "dracut"
    assert [(row["kernel"], row["status"]) for row in done["images"]] == [(KERNEL, "rebuilt")]
    for check in (True, False):
        again = run_module(host, "initramfs", check=check)
        assert not again["changed"] and again["diff"] == [] and again["images"][0]["status"] == "current"


def test_the_diff_shows_the_tool_s_file_and_the_stale_images(host, run_module):
    config, images = run_module(host, "initramfs", check=True)["diff"]
    assert config["before"] == "" and "install_optional_items" in config["after"]
    assert f"lacks {RULES}" in images["before"]


def test_absent_takes_everything_back(host, run_module):
    run_module(host, "initramfs")
    host.put(RULES, None)
    assert run_module(host, "initramfs", state="absent")["changed"]
    assert not run_module(host, "initramfs", state="absent")["changed"]


def test_a_failure_is_one_message_that_names_image_and_tool(host, run_module):
    host.complaints["dracut"] = "dracut: no space"
    result = run_module(host, "initramfs")
    assert result["failed"] and f"initrd.img-{KERNEL} was not rebuilt" in result["msg"]
    assert "dracut: no space" in result["msg"]


def test_an_ordinary_user_is_told_to_become_root(host, run_module, monkeypatch):
    monkeypatch.setattr(type(host.fs), "is_root", False)
    assert "become: true" in run_module(host, "initramfs")["msg"]
