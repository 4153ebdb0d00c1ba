# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The area of initramfs images: read, plan, apply. What the modules call."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._boot.counters import is_at
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.entries import EntryFiles
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.grub import Grub
from ansible_collections.vfio.host.plugins.module_utils._cmdline.loaders.zipl import Zipl
from ansible_collections.vfio.host.plugins.module_utils._core.area import require_root
from ansible_collections.vfio.host.plugins.module_utils._host.errors import VfioHostError
from ansible_collections.vfio.host.plugins.module_utils._host.images import inner
from ansible_collections.vfio.host.plugins.module_utils._host.versions import parsed
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import Unreadable, is_to_hold, read_image
from ansible_collections.vfio.host.plugins.module_utils._initramfs.plan import Foreign, Image, ImageRequest, Images, make_plan
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import Tool
from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.registry import TOOLS

if TYPE_CHECKING:
    from typing import Collection

    from ansible_collections.vfio.host.plugins.module_utils._core.journal import Journal
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.plan import ImagePlan
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import ImageFile

_CACHE_VERSION = 1


class ImageArea:
    """The images of one host, through ``fs`` (programs), ``files`` (configuration) and ``paths`` (an ImageFiles)."""

    def __init__(self, fs: Sysfs, files: Files, paths: ImageFiles) -> None:
        self._fs = fs
        self._files = files
        self._paths = paths

    def read(self, dummy: ImageRequest) -> Images:
        """The images as they are now. One that is the same since it was last read is not read again in this boot."""
        require_root(self._fs)
        kernels = self._paths.kernels()
        tools = [tool(self._fs, self._files, self._paths) for tool in TOOLS]
        tool, found = _choose([tool for tool in tools if tool.found()], kernels)
        if tool is None:
            # In no tool's charge, but perhaps in a boot loader's.
            found = list({image.path: image for tool in tools for image in Tool.images(tool, kernels)}.values())
        found, strays = self._with_loaded(found)
        cache = _Cache(self._files, self._paths)
        images = [self._image(cache, file, tool) for file in found]
        cache.save()
        with_image = {image.kernel for image in found}
        return Images(
            tool=None if tool is None else tool.chosen,
            images=images,
            bare={
                kernel: path for kernel, path in self._paths.kernel_files(kernels).items()
                if kernel not in with_image and path not in with_image
            },
            contents=self._contents(),
            config=None if tool is None else self._files.read(tool.config_path),
            config_runs=tool is None or not tool.config_mode & 0o100 or self._files.is_executable(tool.config_path),
            config_wanted=None if tool is None else tool.config(),
            room={
                path: self._paths.room(os.path.dirname(path))
                for image in images for path in (image.file.path,) + image.file.copies
            },
            spool_room=self._paths.spool_room(),
            foreign=self._foreign(strays, {path for file in found for path in (file.path,) + file.copies}),
            is_ostree=self._fs.exists(self._paths.ostree_booted),
            root=self._paths.root,
        )

    def _with_loaded(self, files: list[ImageFile]) -> tuple[list[ImageFile], list[str]]:
        """(the ImageFiles, with what boots this system loads as copies of them, the images among it that are no copy).

        An entry for rescue boots it as it was made, so its image is left as it is, too: Fedora's has one that no kernel's tool rebuilds.
        """
        entries: EntryFiles[None] = EntryFiles(self._fs, self._files, self._paths)
        running = entries.system().line
        loaded = [
            f"{entry.place}/{name.lstrip('/')}" for entry in entries.all_entries()
            if entry.fields.get("linux") and not entry.is_rescue and entry.other_root(running) is None for name in entry.initrds
        ]
        for loader in (Grub(self._fs, self._files, self._paths), Zipl(self._fs, self._files, self._paths)):
            loaded += [path for name in loader.loaded_images() for path in [self._paths.found(name)] if path is not None]
        strays: list[str] = []
        for path in loaded:
            known = [copy for image in files for copy in (image.path,) + image.copies]
            if not self._paths.is_image(path) or any(os.path.samefile(path, copy) for copy in known):
                continue
            twins = [image for image in files if self._paths.is_same(image.path, path)]
            files = [replace(image, copies=image.copies + (path,)) if image in twins[:1] else image for image in files]
            strays += [] if twins or path in strays else [path]
        return files, strays

    def _foreign(self, strays: list[str], known: Collection[str]) -> list[Foreign]:
        """The Foreign images: unified ones, and what boot entries load, that no tool here is known to build."""
        booted = self._paths.loader_text(self._fs, "StubImageIdentifier")
        has_stub = self._paths.loader_text(self._fs, "StubInfo") is not None
        unified = [path for path in self._paths.unified_images() if path not in known]
        foreign = []
        for path in unified + strays:
            is_booted = path in strays or (
                has_stub and (not booted or is_at(path, booted))
            )
            try:
                content = read_image(self._paths, path)
            except Unreadable as error:
                foreign.append(Foreign(path, path in unified, is_booted, {}, f"cannot be read: {error}"))
                continue
            if content.has_init:
                foreign.append(Foreign(path, path in unified, is_booted, content.held, None))
        return foreign

    def _image(self, cache: _Cache, file: ImageFile, tool: Tool | None) -> Image:
        """An image with what it and its copies hold."""
        held, problem, stamp = {}, None, self._paths.stamp(file.path)
        for path in (file.path,) + file.copies:
            try:
                held[path] = cache.held(path)
            except Unreadable as error:
                problem = f"cannot be read: {error}"
        obstacles = () if tool is None else tuple(tool.problems([file]))
        return Image(file, held, problem, self._paths.is_kept(file.path), stamp[2] if stamp else 0, obstacles)

    def _contents(self) -> dict[str, str]:
        """What images have to hold, as it is on the host: path -> text."""
        paths = [f"{self._files.boot_rules}/{name}" for name in self._files.names(self._files.boot_rules)]
        texts = {}
        for path in paths + [self._files.modprobe_conf]:
            name = self._paths.inner(path)
            text = self._files.read(path) if is_to_hold(name) else None
            if text is not None:
                texts[name] = text
        return texts

    def plan(self, images: Images, request: ImageRequest) -> ImagePlan:
        """The plan for an ImageRequest; nothing is touched. Raises PlanError."""
        ahead = {inner(images.root, path): text for path, text in request.ahead.items()}
        ahead = {path: text for path, text in ahead.items() if is_to_hold(path)}
        return make_plan(images, replace(request, ahead=ahead))

    def apply(self, plan: ImagePlan, journal: Journal) -> ImagePlan:
        """Carry it out. Raises ApplyError."""
        # Other areas have written their files by now; a driver's name may have been learnt only then.
        request = replace(plan.request, ahead={})
        plan = self.plan(self.read(request), request)
        from ansible_collections.vfio.host.plugins.module_utils._initramfs.apply import Builder
        if plan.host.tool is not None:
            kinds = {kind.name: kind for kind in TOOLS}
            tool = kinds[plan.host.tool.name](self._fs, self._files, self._paths)
            Builder(self._fs, self._files, paths=self._paths, tool=tool).apply(plan, journal)
        self._remember(plan)
        return plan

    def _remember(self, plan: ImagePlan) -> None:
        """Have the cache know the images that were built."""
        cache = _Cache(self._files, self._paths)
        for image in plan.rebuilt:
            for path in (image.file.path,) + image.file.copies:
                try:
                    cache.held(path)
                except (Unreadable, VfioHostError):
                    continue  # the next run reads it again, and says why it cannot
        cache.save()


def _choose(tools: list[Tool], kernels: list[str]) -> tuple[Tool | None, list[ImageFile]]:
    """The tool that has images here, else the first one; and its images."""
    images_of = [(tool, tool.images(kernels)) for tool in tools]
    for tool, images in images_of:
        if images:
            return tool, images
    return images_of[0] if images_of else (None, [])


@dataclass(frozen=True)
class _Known:
    """What an image held, path -> SHA-256, when it had this stamp."""

    stamp: list[int] | None
    held: dict[str, str]


class _Cache:
    """What each image held when it was last read, kept below /run: good as long as the file's stamp is the same.

    Only reading is saved by it. Whatever is wrong with it, the images themselves are read.
    """

    def __init__(self, files: Files, paths: ImageFiles) -> None:
        self._files = files
        self._paths = paths
        self._known = self._load()
        self._seen: dict[str, _Known] = {}

    def _load(self) -> dict[str, _Known]:
        """Path -> _Known, as the file says; nothing where it is not as it is written here."""
        try:
            kept = parsed(self._files.read(self._paths.cache) or "{}", self._paths.cache)
            images = kept["images"] if kept.get("version") == _CACHE_VERSION else {}
            return {
                path: _Known(list(one["stamp"]), {str(name): str(one["held"][name]) for name in one["held"]})
                for path, one in images.items()
            }
        except (AttributeError, KeyError, OSError, TypeError, ValueError, VfioHostError):
            return {}

    def held(self, path: str) -> dict[str, str]:
        """The files of ours in an image, path -> SHA-256. Raises Unreadable."""
        stamp = self._paths.stamp(path)
        known = self._known.get(path)
        if known is None or known.stamp != stamp:
            known = _Known(stamp, read_image(self._paths, path).held)
        self._seen[path] = known
        return known.held

    def save(self) -> None:
        """Write it, where it has changed. Without it the next run reads the images again, so a failure to write is no error."""
        kept = {path: one for path, one in self._known.items() if self._paths.stamp(path) == one.stamp}
        kept.update(self._seen)
        if kept == self._known:
            return
        with suppress(VfioHostError):
            images = {path: {"stamp": known.stamp, "held": known.held} for path, known in kept.items()}
            self._files.put(self._paths.cache, json.dumps({"version": _CACHE_VERSION, "images": images}, sort_keys=True))


__all__ = ("ImageArea", "ImageRequest")
