# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of images are made of values: no host, no tool and no file is needed for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import digest
from ansible_collections.vfio.host.plugins.module_utils._initramfs.plan import Image, ImageRequest, Images, make_plan
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import Chosen, ImageFile

RULES = "/etc/udev/rules.d/60-vfio-host-p.rules"
PATH = "/boot/initrd.img-6.12"
MIB = 1 << 20
HOST = Images(
    tool=Chosen("dracut", "/etc/dracut.conf.d/vfio-host.conf", 0o644),
    images=[Image(ImageFile(PATH, "6.12"), {PATH: {}}, None, False, 10 * MIB)],
    bare={}, contents={RULES: "rules\n"}, config="wanted\n", config_runs=True, config_wanted="wanted\n",
    room={PATH: (1, 100 * MIB, True)}, spool_room=(2, 100 * MIB, True), foreign=[], is_ostree=False,
)


def with_image(**fields):
    return replace(HOST, images=[replace(HOST.images[0], **fields)])


def test_an_image_that_lacks_the_rules_is_rebuilt():
    plan = make_plan(HOST, ImageRequest())
    assert plan.stale == {PATH: [f"lacks {RULES}"]}
    assert plan.diff[0]["after"] == f"{PATH}: rebuilt by dracut\n"


def test_an_image_that_holds_them_stays():
    plan = make_plan(with_image(held={PATH: {RULES: digest("rules\n")}}), ImageRequest())
    assert (plan.changed, plan.diff) == (False, [])


def test_what_is_in_the_tools_way_is_told_of_images_that_are_to_be_rebuilt():
    with pytest.raises(PlanError, match="the preset is in the way"):
        make_plan(with_image(obstacles=("the preset is in the way",)), ImageRequest())


def test_what_is_in_the_tools_way_is_nothing_to_an_image_that_stays():
    host = with_image(held={PATH: {RULES: digest("rules\n")}}, obstacles=("the preset is in the way",))
    assert not make_plan(host, ImageRequest()).changed


def test_of_two_images_the_same_obstacle_is_told_once():
    twice = replace(HOST, images=[replace(HOST.images[0], obstacles=("in the way",))] * 2)
    with pytest.raises(PlanError) as caught:
        make_plan(twice, ImageRequest())
    assert caught.value.messages == ["in the way"]


def test_without_a_tool_a_stale_image_is_an_error():
    with pytest.raises(PlanError, match="no tool is here to rebuild it"):
        make_plan(replace(HOST, tool=None, config=None, config_wanted=None), ImageRequest())


def test_a_file_system_without_room_is_told():
    with pytest.raises(PlanError, match="needs 13 MiB free on its file system, which has 5"):
        make_plan(replace(HOST, room={PATH: (1, 5 * MIB, True)}), ImageRequest())
