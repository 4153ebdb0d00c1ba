# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""From images and files to a plan: which images are stale and why, and the one file of their tool. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.diff import piece
from ansible_collections.vfio.host.plugins.module_utils._host.errors import PlanError
from ansible_collections.vfio.host.plugins.module_utils._initramfs.image import digest, findings

if TYPE_CHECKING:
    from typing import Mapping

    from ansible_collections.vfio.host.plugins.module_utils._initramfs.tools.base import Chosen, ImageFile

    # The number of a file system's device, its free bytes, whether it can be written to.
    Room = tuple[int, int, bool]

CURRENT, REBUILT, MISSING = "current", "rebuilt", "missing"
_MIB = 1 << 20


@dataclass(frozen=True)
class Image:
    """An image as it is. ``held``: of it and of each copy, path -> its files of ours, path -> SHA-256; ``problem``: why that is not
    known; ``size`` in bytes.

    ``is_kept``: an earlier run put it in place and was interrupted before the boot loader was told. ``obstacles``: why its tool cannot
    build it as configured, sentences.
    """

    file: ImageFile
    held: dict[str, dict[str, str]]
    problem: str | None
    is_kept: bool
    size: int
    obstacles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Foreign:
    """An image that no tool here is known to build. ``is_booted``: this host boots by it; ``held``, ``problem``: as of an Image."""

    path: str
    is_unified: bool
    is_booted: bool
    held: dict[str, str]
    problem: str | None


@dataclass(frozen=True)
class Images:
    """What a plan is made from. ``tool``: None where no tool is here. ``bare``: installed kernels without an image, each with its file.

    ``contents``: path -> text of what images have to hold; ``config``, ``config_wanted``: the text of the tool's file,
    as it is and as it is needed; ``config_runs``: it has the mode that it needs. ``room``: path of an image ->
    the Room of its file system; ``spool_room``: that of the one on which images are built; ``root``: what paths of the host begin with.
    """

    tool: Chosen | None
    images: list[Image]
    bare: dict[str, str]
    contents: dict[str, str]
    config: str | None
    config_runs: bool
    config_wanted: str | None
    room: dict[str, Room]
    spool_room: Room
    foreign: list[Foreign]
    is_ostree: bool
    root: str = ""


@dataclass(frozen=True)
class ImageRequest:
    """What a task asks for. ``ahead``: path -> text, or None, of files that other areas of the same run will write."""

    present: bool = True
    ahead: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ImagePlan:
    """The whole of a run. ``stale``: path -> reasons; ``wanted``, ``tolerated``: as findings() takes them."""

    host: Images
    request: ImageRequest
    stale: dict[str, list[str]]
    wanted: dict[str, str]
    tolerated: dict[str, str]
    config: str | None
    warnings: list[str] = field(default_factory=list)
    # The next boot reads the images; that it is needed is said by whoever has a device or an option waiting for it.
    reboot_reasons: tuple[str, ...] = ()

    @property
    def rebuilt(self) -> list[Image]:
        """The images to build."""
        return [image for image in self.host.images if image.file.path in self.stale]

    @property
    def config_changes(self) -> bool:
        """Whether the tool's file has to be written or removed."""
        return self.config != self.host.config or (self.config is not None and not self.host.config_runs)

    @property
    def changed(self) -> bool:
        """Whether applying it changes anything."""
        return bool(self.stale) or self.config_changes

    @property
    def diff(self) -> list[dict[str, str]]:
        """The tool's file, and the images with the reasons, before and after."""
        pieces = []
        if self.config_changes and self.host.tool is not None:
            path = self.host.tool.config_path
            before = self.host.config or ""
            if self.host.config is not None and not self.host.config_runs:
                before += "# cannot be run\n"
            pieces.append(piece(path, before=before, after=self.config or ""))
        if self.stale and self.host.tool is not None:
            pieces.append(piece(
                "images",
                before="".join(f"{path}:\n{_told(reasons)}" for path, reasons in self.stale.items()),
                after="".join(f"{path}: rebuilt by {self.host.tool.name}\n" for path in self.stale),
            ))
        return pieces

    def result(self) -> dict[str, object]:
        """The area's own part of a task's result."""
        rows: list[dict[str, str | None]] = [
            {
                "path": image.file.path, "kernel": image.file.kernel,
                "status": REBUILT if image.file.path in self.stale else CURRENT,
                "reason": "; ".join(self.stale.get(image.file.path, ())) or None,
            }
            for image in self.host.images
        ]
        rows += [
            {"path": None, "kernel": kernel, "status": MISSING, "reason": f"{path} has no image"}
            for kernel, path in self.host.bare.items()
        ]
        return {"tool": None if self.host.tool is None else self.host.tool.name, "images": rows}


def make_plan(host: Images, request: ImageRequest) -> ImagePlan:
    """The ImagePlan for a request on a host as it was read. Raises PlanError with every reason at once."""
    texts = {**host.contents, **request.ahead}
    on_host = {path: digest(text) for path, text in texts.items() if text is not None}
    # Without a wish, an image may hold what its tool copies anyway, as it is on the host, and nothing that has gone.
    wanted: dict[str, str] = on_host if request.present else {}
    tolerated: dict[str, str] = {} if request.present else on_host
    stale = {}
    for image in host.images:
        reasons = _reasons(image, wanted, tolerated)
        if reasons:
            stale[image.file.path] = reasons
    plan = ImagePlan(
        host, request, stale, wanted, tolerated,
        config=host.config_wanted if wanted else None,
        warnings=[
            f"{one.path} is {_kind(one)}, which this collection does not rebuild, and {'; '.join(reasons)}"
            for one, reasons in _stale_foreign(host, wanted, tolerated) if not one.is_booted
        ],
    )
    problems = _problems(plan) + [
        f"this host boots by {one.path}, {_kind(one)}, which {'; '.join(reasons)}, and no tool is known here that builds it: build it "
        "anew when the files are there, and leave the images out here"
        for one, reasons in _stale_foreign(host, wanted, tolerated) if one.is_booted
    ]
    if problems:
        raise PlanError(*problems)
    return plan


def _stale_foreign(host: Images, wanted: dict[str, str], tolerated: dict[str, str]) -> list[tuple[Foreign, list[str]]]:
    """(a Foreign image, why it is not as wanted) of those that are not."""
    reasons_of = [(foreign, [foreign.problem] if foreign.problem else findings(foreign.held, wanted, tolerated=tolerated)) for foreign in host.foreign]
    return [(foreign, reasons) for foreign, reasons in reasons_of if reasons and (wanted or not foreign.problem)]


def _told(reasons: list[str]) -> str:
    """A line for each reason and each file."""
    return "".join(f"  {line}\n" for reason in reasons for line in reason.replace(", ", ",\n").splitlines())


def _kind(foreign: Foreign) -> str:
    """What a Foreign image is, for messages."""
    return "a unified kernel image" if foreign.is_unified else "an image that a boot entry loads, and a copy of none that a tool known here makes"


def _reasons(image: Image, wanted: dict[str, str], tolerated: dict[str, str]) -> list[str]:
    """Why an image has to be rebuilt: phrases."""
    reasons = [image.problem] if image.problem else []
    if image.is_kept:
        reasons.append("an earlier rebuild broke off before the boot loader was told")
    for path, held in image.held.items():
        lacks = findings(held, wanted, tolerated=tolerated)
        reasons += lacks if path == image.file.path else [f"its copy {path} {lack}" for lack in lacks]
    return reasons


def _problems(plan: ImagePlan) -> list[str]:
    """Why what is stale cannot be rebuilt: sentences."""
    host = plan.host
    if plan.wanted and host.is_ostree:
        return [
            "the images of this host belong to rpm-ostree, whose deployments this collection does not rebuild: use "
            "'rpm-ostree initramfs-etc --track' for the files in /etc, and leave the images out here"
        ]
    if host.tool is None:
        return [
            f"{path} {'; '.join(reasons)}, and no tool is here to rebuild it: install initramfs-tools, dracut or "
            "mkinitcpio" for path, reasons in plan.stale.items()
        ]
    problems = sorted({obstacle for image in plan.rebuilt for obstacle in image.obstacles}) if plan.wanted else []
    return problems + _space_problems(plan)


def _space_problems(plan: ImagePlan) -> list[str]:
    """Where the new images would not fit: the largest beside its old one, and two of each in the spool."""
    problems: list[str] = []
    # File system -> (bytes needed, bytes free, for what).
    needs: dict[int, tuple[int, int, str]] = {}
    places = [(image, path) for image in plan.rebuilt for path in (image.file.path,) + image.file.copies]
    for image, path in places:
        system, free, writable = plan.host.room[path]
        if not writable:
            problems.append(f"{path} has to be rebuilt, and its file system is read-only: mount it rw")
        need, dummy, what = needs.get(system, (0, free, path))
        needs[system] = max(need, image.size * 5 // 4), free, what
    if needs:
        system, free, dummy = plan.host.spool_room
        beside = needs[system][0] if system in needs else 0
        twice = sum(image.size for image in plan.rebuilt) * 9 // 4
        needs[system] = (beside + twice, free, "images under construction")
    problems += [
        f"{what}: needs {need // _MIB + 1} MiB free on its file system, which has {free // _MIB}: remove kernels that "
        "are no longer used, or other files" for need, free, what in needs.values() if need > free
    ]
    return problems


__all__ = ("CURRENT", "Foreign", "Image", "ImagePlan", "ImageRequest", "Images", "MISSING", "REBUILT", "make_plan")
