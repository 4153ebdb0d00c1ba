# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Builds images and puts them in place: all new ones are built and read before the first old one is replaced."""

from __future__ import annotations

from ansible_collections.vfio.host.plugins.module_utils._boot.initramfs_image import Unreadable, findings, read_image
from ansible_collections.vfio.host.plugins.module_utils._host.errors import ApplyError, errno_text, last_words
from ansible_collections.vfio.host.plugins.module_utils._host.undo import all_or_nothing, tried


class Builder:
    """Carries one plan out. What it has replaced can be put back until it is let go."""

    def __init__(self, fs, files, paths):
        self._fs = fs
        self._files = files
        self._paths = paths
        # (image, {path: copy of what was there}), in the order of replacing
        self._replaced = []

    def apply(self, plan):
        """Raises ApplyError; then every image and the tool's file are as before, or the messages say which is not."""
        with all_or_nothing(
            "rebuilding images", lambda: self._put_back(plan), "the images are as they were before",
        ):
            self._put_config(plan, plan.config)
            built = [(image.file, self._build(plan, image.file)) for image in plan.rebuilt]
            for image, output in built:
                self._switch(plan, image, output)

    def undo(self, plan):
        """Put everything back. Raises ApplyError with what could not be."""
        problems = self._put_back(plan)
        if problems:
            raise ApplyError(*problems)

    def _put_config(self, plan, text):
        if plan.config_changes:
            self._files.put(plan.host.tool.config_path, text, plan.host.tool.config_mode)

    def _build(self, plan, image):
        """A new image in the spool, read and found good: its path."""
        tool = plan.host.tool
        try:
            output = f"{self._paths.spool()}/{len(self._paths.spooled())}-new"
        except OSError as error:
            raise ApplyError(f"there is no place to build an image in: {errno_text(error.errno)}") from error
        self._run(tool.build(image, output), f"{image.path} was not rebuilt")
        problems = self._faults(plan, output)
        if problems:
            raise ApplyError(
                f"{image.path} was not rebuilt: the image that {tool.name} made {'; '.join(problems)}; look at what it "
                "is configured to leave out"
            )
        return output

    def _faults(self, plan, path):
        """Why an image is not good: phrases."""
        try:
            content = read_image(self._paths, path)
        except Unreadable as error:
            return [f"cannot be read: {error}"]
        return ([] if content.has_init else ["has no /init"]) + findings(content.held, plan.wanted, plan.tolerated)

    def _switch(self, plan, image, output):
        olds = {}
        for path in (image.path,) + image.copies:
            olds[path] = f"{self._paths.spool()}/{len(self._paths.spooled())}-old"
            self._paths.copy(path, olds[path])
        self._replaced.append((image, olds))
        self._paths.keep_old(image.path)
        for path in (image.path,) + image.copies:
            self._paths.replace(path, output)
        self._finish(plan, image)
        for path in (image.path,) + image.copies:
            faults = self._faults(plan, path)
            if faults:
                raise ApplyError(f"{path}, read back, {'; '.join(faults)}")
        self._paths.drop_old(image.path)
        self._paths.remove(output)

    def _finish(self, plan, image):
        for words in plan.host.tool.finish(image):
            self._run(words, f"{image.path} is rebuilt, and the boot loader was not told")

    def _run(self, words, what):
        status, out, err = self._fs.run(words)
        if status:
            raise ApplyError(f"{what}: {' '.join(words)} ended with status {status}: {last_words(out, err)}")

    def _put_back(self, plan):
        problems = []

        def attempt(function, *args):
            problems.extend(f"not put back: {message}" for message in tried(function, *args))

        attempt(self._put_config, plan, plan.host.config)
        for image, olds in reversed(self._replaced):
            before = len(problems)
            for path, old in olds.items():
                attempt(self._paths.replace, path, old)
            attempt(self._finish, plan, image)
            if len(problems) == before:
                attempt(self._paths.drop_old, image.path)
        self._replaced = []
        return problems


__all__ = ("Builder",)
