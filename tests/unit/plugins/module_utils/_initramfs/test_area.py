# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gc
import gzip
import json
import os
import weakref
from contextlib import suppress

import pytest

from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal, recover
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, PlanError
from ansible_collections.vfio.host.plugins.module_utils._initramfs.plan import ImageRequest
from ansible_collections.vfio.host.tests.unit.fake.images import KERNEL, OPTIONS, RULES, ImageHost, cpio, image
from ansible_collections.vfio.host.tests.unit.fake.sealed import planned

IMAGE = f"/boot/initrd.img-{KERNEL}"
OTHER = "6.1.0-1-amd64"


@pytest.fixture
def make(tmp_path):
    """A function that makes a host with one kernel, whose image holds nothing, and with one policy."""

    def function(tool="initramfs-tools", **kernel):
        host = ImageHost(tmp_path / "root", tool)
        host.add_kernel(**kernel)
        host.put(RULES, "rules\n")
        return host

    return function


@pytest.fixture
def host(make):
    return make()


class TestStaleness:
    def test_an_image_without_the_rules_is_rebuilt_once(self, host):
        assert host.run()["images"] == [{
            "path": host.root + IMAGE, "kernel": KERNEL, "status": "rebuilt", "reason": f"lacks {RULES}",
        }]
        before = os.stat(host.root + IMAGE)
        host.log.clear()
        result = host.run()
        assert not result["changed"] and result["diff"] == [] and host.log == []
        assert result["images"][0]["status"] == "current"
        after = os.stat(host.root + IMAGE)
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_exactly_the_stale_images_are_rebuilt(self, host):
        other = host.add_kernel(OTHER, members={"usr/lib/udev/rules.d/60-vfio-host-p.rules": b"rules\n"})
        assert host.statuses() == {IMAGE: "rebuilt", other: "current"}
        assert [words[-1] for words in host.log] == [KERNEL]

    def test_a_changed_policy_makes_every_image_stale(self, host):
        host.add_kernel(OTHER)
        host.run()
        host.put(RULES, "other rules\n")
        assert set(host.statuses().values()) == {"rebuilt"}

    def test_the_options_file_counts_as_well(self, host):
        host.run()
        host.put(OPTIONS, "options vfio-pci disable_vga=1\n")
        assert host.run()["images"][0]["reason"] == f"lacks {OPTIONS}"
        assert not host.run()["changed"]

    def test_foreign_rules_do_not_count(self, host):
        host.run()
        host.put("/etc/udev/rules.d/70-mine.rules", "x")
        host.put("/run/udev/rules.d/60-vfio-host-q.rules", "x")
        assert not host.run()["changed"]

    def test_an_image_that_nobody_can_read_is_rebuilt_and_says_why(self, host):
        host.put(IMAGE, b"\x28\xb5\x2f\xfd broken")
        assert "cannot be read" in host.run()["images"][0]["reason"]
        assert not host.run()["changed"]

    def test_check_mode_predicts_and_touches_nothing_but_its_cache(self, host):
        before = host.get(IMAGE)
        result = host.run(check=True)
        assert result["changed"] and host.log == [] and host.get(IMAGE) == before
        assert result["diff"] == [{
            "before_header": "images", "after_header": "images",
            "before": f"{host.root + IMAGE}:\n  lacks {RULES}\n",
            "after": f"{host.root + IMAGE}: rebuilt by initramfs-tools\n",
        }]
        assert result["images"] == host.run()["images"]

    def test_what_other_areas_are_about_to_write_counts_as_written(self, host):
        host.run()
        ahead = {host.root + RULES: "newer\n", host.root + "/run/udev/rules.d/60-vfio-host-p.rules": "volatile\n"}
        plan = planned(host.area(), ImageRequest(ahead=ahead))
        assert plan.stale == {host.root + IMAGE: [f"holds another {RULES}"]}
        plan = planned(host.area(), ImageRequest(ahead={host.root + RULES: None}))
        assert plan.stale == {host.root + IMAGE: ["still holds /usr/lib/udev/rules.d/60-vfio-host-p.rules"]}

    def test_applying_takes_the_files_as_they_are_by_then(self, host):
        area = host.area()
        plan = planned(area, ImageRequest(ahead={host.root + RULES: "guessed\n"}))
        host.put(RULES, "written\n")
        area.apply(plan, Journal(host.fs, host.files))
        assert not host.run()["changed"]


class TestRelease:
    def test_with_the_last_policy_gone_the_images_are_rebuilt_without(self, host):
        host.run()
        host.put(RULES, None)
        reason = host.run(present=False)["images"][0]["reason"]
        assert reason == "still holds /usr/lib/udev/rules.d/60-vfio-host-p.rules"
        assert not host.run(present=False)["changed"]

    def test_absent_leaves_what_the_tool_copies_by_itself(self, host):
        host.run()
        assert not host.run(present=False)["changed"]

    @pytest.mark.parametrize("state", [True, False])
    def test_the_tool_s_file_goes_with_the_last_policy(self, make, state):
        host = make("dracut")
        host.run()
        assert host.get("/etc/dracut.conf.d/vfio-host.conf") is not None
        host.put(RULES, None)
        assert host.run(present=state)["changed"]
        assert host.get("/etc/dracut.conf.d/vfio-host.conf") is None
        assert not host.run(present=state)["changed"]


class TestCache:
    def test_an_image_is_read_once_a_boot(self, host):
        host.run()
        host.run()
        assert host.reads == 0
        host.put("/run/vfio-host/initramfs.json", None)
        assert not host.run()["changed"]
        assert host.reads == 1

    def test_an_image_that_somebody_replaced_is_read_again(self, host):
        host.run()
        host.put(IMAGE, image({}))
        assert host.run(check=True)["changed"]

    @pytest.mark.parametrize("text", [
        "", "{", "[]", "7", '{"version": 1}', '{"version": 1, "images": []}', '{"version": 9, "images": {}}',
        '{"version": 1, "images": {"/boot/x": {"stamp": 1, "held": {}}}}', '{"version": 1, "images": {"/boot/x": 1}}',
    ])
    def test_a_broken_cache_is_no_cache(self, host, text):
        host.run()
        host.put("/run/vfio-host/initramfs.json", text)
        assert not host.run()["changed"]
        assert host.reads == 1
        assert list(json.loads(host.get("/run/vfio-host/initramfs.json"))["images"]) == [host.root + IMAGE]


class TestKernels:
    def test_a_kernel_without_an_image_is_named_and_left(self, host):
        host.add_kernel(OTHER, path=None)
        row = host.run()["images"][-1]
        assert (row["path"], row["kernel"], row["status"]) == (None, OTHER, "missing")
        assert [words[-1] for words in host.log] == [KERNEL]

    @pytest.mark.parametrize("name", ["initrd.img-5.0-gone", f"initrd.img-{KERNEL}.bak", "initramfs-0-rescue-abc.img"])
    def test_images_of_no_installed_kernel_are_none_of_ours(self, host, name):
        host.put(f"/boot/{name}", image({}))
        assert list(host.statuses()) == [IMAGE]

    def test_a_link_to_an_image_is_not_counted_again(self, host):
        os.symlink(f"initrd.img-{KERNEL}", f"{host.root}/boot/initrd.img-{OTHER}")
        os.makedirs(f"{host.root}/lib/modules/{OTHER}")
        assert list(host.statuses()) == [IMAGE]

    def test_the_boot_loader_s_copy_follows(self, host):
        host.put("/etc/machine-id", "0123abcd\n")
        copy = f"/boot/efi/0123abcd/{KERNEL}/initrd.img-{KERNEL}"
        host.put(copy, image({}))
        host.run()
        assert host.get(copy) == host.get(IMAGE)
        host.put(copy, image({}))
        assert host.run()["images"][0]["reason"] == f"its copy {host.root + copy} lacks {RULES}"


class TestNoTool:
    def test_no_tool_and_no_image_is_no_error(self, make):
        host = make(None, path=None)
        result = host.run()
        assert result["tool"] is None and not result["changed"]

    def test_no_tool_for_an_image_that_lacks_the_rules_is_one(self, make):
        with pytest.raises(PlanError, match="no tool is here to rebuild it: install"):
            make(None).run()

    def test_no_tool_for_an_image_that_needs_none(self, make):
        host = make(None)
        host.put(RULES, None)
        assert host.run()["images"][0]["status"] == "current"

    def test_rpm_ostree_is_refused_with_its_own_way(self, host):
        host.put("/run/ostree-booted", "")
        with pytest.raises(PlanError, match="rpm-ostree initramfs-etc"):
            host.run()


class TestRoom:
    def test_a_full_boot_is_found_before_anything_is_touched(self, host, monkeypatch):
        monkeypatch.setattr(host.paths, "room", lambda path: (path, 100, True))
        with pytest.raises(PlanError, match="needs 1 MiB free on its file system, which has 0: remove kernels"):
            host.run()
        assert host.log == []

    def test_so_is_one_that_is_mounted_read_only(self, host, monkeypatch):
        monkeypatch.setattr(host.paths, "room", lambda path: (1, 1 << 40, False))
        with pytest.raises(PlanError, match="is read-only: mount it"):
            host.run()

    def test_room_for_the_boot_loader_s_copy_is_looked_for(self, host, monkeypatch):
        copy = f"/boot/efi/0123abcd/{KERNEL}/initrd.img-{KERNEL}"
        host.put("/etc/machine-id", "0123abcd\n")
        host.put(copy, image({}))
        monkeypatch.setattr(host.paths, "room", lambda path: (path, 100 if "/efi/" in path else 1 << 40, True))
        with pytest.raises(PlanError, match=f"{copy}: needs 1 MiB free on its file system, which has 0"):
            host.run()

    def test_a_host_with_nothing_to_do_needs_no_room(self, host, monkeypatch):
        host.run()
        monkeypatch.setattr(host.paths, "room", lambda path: (1, 0, False))
        assert not host.run()["changed"]


class TestFailures:
    """Whatever fails: the old images are in place, byte for byte, and nothing is left over."""

    def fails(self, host, words):
        before = {path: host.get(path) for path in host.statuses(check=True)}
        config = host.get("/etc/dracut.conf.d/vfio-host.conf")
        with pytest.raises(ApplyError, match=words) as caught:
            host.run()
        assert {path: host.get(path) for path in before} == before
        assert host.get("/etc/dracut.conf.d/vfio-host.conf") == config
        assert [name for name in host.left_over() if not os.path.isdir(f"{host.root}/var/tmp/{name}")] == []
        return caught.value.messages

    @pytest.mark.parametrize(("tool", "program", "path"), [
        ("initramfs-tools", "mkinitramfs", "/boot/initrd.img-{}"),
        ("dracut", "dracut", "/boot/initramfs-{}.img"),
    ])
    def test_a_tool_that_fails_is_quoted(self, make, tool, program, path):
        host = make(tool, path=path)
        host.complaints[program] = "first\nNo space left on device"
        messages = self.fails(host, "ended with status 1: first / No space left on device")
        assert messages[-1] == "everything that this task had changed was put back as it was"

    def test_a_tool_that_fails_for_the_second_image_leaves_the_first_as_it_was(self, host):
        host.add_kernel(OTHER)
        good = host.complaints

        def second(words):
            if words[-1] == KERNEL:
                return 1, "", "failed"
            good.pop("mkinitramfs")
            answer = host.fs.run(words)
            good["mkinitramfs"] = second
            return answer

        good["mkinitramfs"] = second
        self.fails(host, "was not rebuilt")

    @pytest.mark.parametrize(("data", "words"), [
        (b"", "no cpio archive"),
        (image({})[:-30], "cannot be read"),
        (image({}), f"lacks {RULES}"),
        (gzip.compress(cpio({RULES[1:]: b"rules\n"})), "has no /init"),
    ])
    def test_a_new_image_that_is_not_good_is_not_put_in_place(self, host, data, words):
        def build(command):
            with open(command[2], "wb") as stream:
                stream.write(data)
            return 0, "", ""

        host.complaints["mkinitramfs"] = build
        self.fails(host, words)

    def test_a_tool_that_makes_no_file_is_found_out(self, host):
        host.complaints["mkinitramfs"] = lambda words: (0, "", "")
        self.fails(host, "cannot be read: No such file")

    def test_a_hook_that_fails_puts_the_old_image_back_and_is_run_for_it_again(self, host):
        host.put("/etc/initramfs/post-update.d/zz-zipl", "")
        answers = [(1, "", "zipl: no device"), (0, "", "")]
        host.complaints["run-parts"] = lambda words: answers.pop(0)
        self.fails(host, "the boot loader was not told: .* zipl: no device")
        assert answers == []

    def test_a_hook_that_fails_for_both_leaves_the_mark_for_the_next_run(self, host):
        host.put("/etc/initramfs/post-update.d/zz-zipl", "")
        host.complaints["run-parts"] = "zipl: no device"
        before = host.get(IMAGE)
        with pytest.raises(ApplyError, match="not put back: "):
            host.run()
        assert host.get(IMAGE) == before
        assert host.left_over()[0] == f".vfio-host-old-initrd.img-{KERNEL}"
        host.complaints.clear()
        assert "broke off before the boot loader was told" in host.run()["images"][0]["reason"]
        assert not host.run()["changed"]

    def test_a_copy_that_does_not_fit_leaves_the_old_image(self, host, monkeypatch):
        rename = os.rename

        def full(old, new):
            if new == host.root + IMAGE:
                raise OSError(28, "No space left on device")
            rename(old, new)

        monkeypatch.setattr(os, "rename", full)
        before = host.get(IMAGE)
        with pytest.raises(ApplyError, match="cannot be written: ENOSPC"):
            host.run()
        assert host.get(IMAGE) == before

    def test_undo_gives_the_old_images_and_the_old_file_back(self, make):
        host = make("dracut", path="/boot/initramfs-{}.img")
        before = host.get(f"/boot/initramfs-{KERNEL}.img")
        area, journal = host.area(), Journal(host.fs, host.files)
        area.apply(planned(area, ImageRequest()), journal)
        assert journal.restore() == []
        assert host.get(f"/boot/initramfs-{KERNEL}.img") == before
        assert host.get("/etc/dracut.conf.d/vfio-host.conf") is None


class Killed(BaseException):
    """The end of this process, from one moment to the next: no handler of ours runs."""


@pytest.mark.parametrize("moment", ["link", "rename", "unlink", "fsync"])
@pytest.mark.parametrize("number", range(4))
def test_a_run_killed_at_any_moment_leaves_a_whole_image_and_the_next_run_goes_on(make, monkeypatch, moment, number):
    host = make()
    before = host.get(IMAGE)
    real, calls = getattr(os, moment), []

    def deadly(*args, **kwargs):
        # The cache and the emptying of the spool can end anywhere.
        if "dir_fd" in kwargs or any(isinstance(one, str) and one.endswith(".json") for one in args):
            return real(*args, **kwargs)
        calls.append(args)
        if len(calls) > number:
            raise Killed()
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, moment, deadly)
        with suppress(Killed):
            host.run()
    new = image({"usr/lib/udev/rules.d/60-vfio-host-p.rules": b"rules\n"})
    assert host.get(IMAGE) in (before, new) or host.get(IMAGE)[-8:] == new[-8:]
    host.run()
    assert not host.run()["changed"]
    assert [name for name in os.listdir(host.root + "/boot") if "vfio-host" in name] == []


def test_a_run_that_was_killed_in_the_middle_of_an_image_leaves_nothing_of_it_to_the_next(host, monkeypatch):
    host.put("/var/tmp/vfio-host-no-spool", "x")
    before, boot = host.get(IMAGE), sorted(os.listdir(host.root + "/boot"))

    def copy(source, target, labelled, real=host.paths._copy):
        if target.endswith("/.vfio-host-new-initrd.img-" + KERNEL):
            real(source, target, labelled)
            monkeypatch.setattr(host.paths, "remove", lambda path: None)
            raise Killed
        real(source, target, labelled)

    area, journal = host.area(), Journal(host.fs, host.files)
    plan = planned(area, ImageRequest())
    monkeypatch.setattr(host.paths, "_copy", copy)
    with pytest.raises(Killed):
        area.apply(plan, journal)
    assert len(os.listdir(host.root + "/boot")) == len(boot) + 2 and len(os.listdir(host.root + "/var/tmp")) == 2
    assert recover(host.fs, host.files).problems == []
    assert host.get(IMAGE) == before and sorted(os.listdir(host.root + "/boot")) == boot
    assert os.listdir(host.root + "/var/tmp") == ["vfio-host-no-spool"]


def test_the_spool_of_a_run_that_was_killed_in_the_middle_of_building_goes_with_the_next_build(host):
    host.put("/var/tmp/vfio-host-left/0-new", "half")
    host.run()
    assert not os.path.exists(host.root + "/var/tmp/vfio-host-left")


def test_an_image_that_a_run_could_not_put_back_the_next_run_puts_back(make, monkeypatch):
    host = make()
    before, real = host.get(IMAGE), os.rename

    def run():
        def rename(old, new):
            # The second one of the image is that of the way back; what the boot loader then says ends the run.
            if new == host.root + IMAGE and renamed:
                raise OSError(28, "No space left on device")
            renamed.append(new) if new == host.root + IMAGE else None
            real(old, new)

        renamed = []
        with monkeypatch.context() as patch, pytest.raises(ApplyError, match="was not put back: .* ENOSPC") as caught:
            patch.setattr(os, "rename", rename)
            patch.setattr("ansible_collections.vfio.host.plugins.module_utils._initramfs.apply.Builder._finish", fail)
            host.run()
        assert "the next run tries once more to put that back" in caught.value.messages

    def fail(*dummy):
        raise ApplyError("the boot loader was not told")

    run()
    assert host.get(IMAGE) != before
    # The end of the process.
    ended = weakref.ref(host.paths)
    host.paths = host._open = None
    gc.collect()
    assert ended() is None
    assert recover(host.fs, host.files).problems == []
    assert host.get(IMAGE) == before and host.left_over() == []


def test_a_copy_of_an_image_that_somebody_has_removed_is_named_and_the_others_are_put_back(make):
    host = make()
    other = host.add_kernel(OTHER)
    before = host.get(other)
    area, journal = host.area(), Journal(host.fs, host.files)
    area.apply(planned(area, ImageRequest()), journal)
    made = host.get(IMAGE)
    (copy,) = [one.olds[host.root + IMAGE] for one in journal._resources if getattr(one, "path", "") == host.root + IMAGE]
    os.unlink(copy)
    (problem,) = recover(host.fs, host.files).problems
    assert f"since somebody has removed {copy}, the copy of what it was: have it made anew" in problem
    assert (host.get(IMAGE), host.get(other)) == (made, before)


def test_while_an_image_cannot_be_put_back_its_copies_stay(host, monkeypatch):
    area, journal = host.area(), Journal(host.fs, host.files)
    area.apply(planned(area, ImageRequest()), journal)

    def refuse(*dummy):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "rename", refuse)
    problems = recover(host.fs, host.files).problems
    assert f"{IMAGE} was not put back" in problems[0]
    assert len(os.listdir(host.root + "/var/tmp")) == 1
