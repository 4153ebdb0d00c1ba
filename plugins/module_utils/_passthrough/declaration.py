# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""The whole declaration of a host, and the request that it makes of each area, which may depend on the plans of earlier areas.

The order of areas is that of applying: kernel modules and configuration, command line, numbers of VFs, devices, drivers of VFs
that nobody declares, nodes of devices, locked memory, images. The code of an area
is imported when it is needed: on a host nothing is compiled beforehand, and that is most of what a run with nothing to do
costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ansible_collections.vfio.host.plugins.module_utils._core.undeclared import MOVES, RELEASE
from ansible_collections.vfio.host.plugins.module_utils._host.errors import InputError
from ansible_collections.vfio.host.plugins.module_utils._host.platform import PLATFORMS as KNOWN_PLATFORMS
from ansible_collections.vfio.host.plugins.module_utils._host.platform import X86, platform_of
from ansible_collections.vfio.host.plugins.module_utils._passthrough import platforms

if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ansible_collections.vfio.host.plugins.module_utils._core.area import Wishes
    from ansible_collections.vfio.host.plugins.module_utils._host.files import Files
    from ansible_collections.vfio.host.plugins.module_utils._host.sysfs import Sysfs
    from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelPlan

    # The plans made so far, by the names of their areas; each area has a class of its own.
    Plans = Mapping[str, Any]

# The areas, by the names of their options and results.
KERNEL, CMDLINE, SRIOV, DEVICES, IMAGES = "modules", "kernel_cmdline", "sriov", "devices", "initramfs"
PROBES = "sriov_probes"
NODES, IOMMU_NODE, MEMLOCK = "nodes", "iommu_node", "memlock"
CONFIG, PLATFORMS, CONSUMERS = "kernel_config", "platforms", "consumers"


class _Late:
    """An area, or what areas share, that ``make`` creates at its first use."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    @cached_property
    def made(self) -> Any:
        """What it stands for."""
        return self._make()

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.made, verb)


def _kernel_area(fs: Sysfs, files: Files) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._modules.area import KernelArea
    return KernelArea(fs, files, _modules_needed)


def _modules_needed(fs: Sysfs) -> Any:
    from ansible_collections.vfio.host.plugins.module_utils._devices.needed import modules_needed
    return modules_needed(fs)


def _cmdline_area(fs: Sysfs, files: Files) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import CmdlineArea
    return CmdlineArea(fs, files)


def _number_area(fs: Sysfs, files: Files, scan: _Late) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._sriov.area import NumberArea
    return NumberArea(fs, files, scan.made)


def _probe_area(fs: Sysfs, files: Files) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._sriov.area import ProbeArea
    return ProbeArea(fs, files)


def _device_area(fs: Sysfs, files: Files, scan: _Late) -> Any:
    from ansible_collections.vfio.host.plugins.module_utils._devices.area import DeviceArea
    return DeviceArea(fs, files, scan.made)


def _scan(fs: Sysfs, files: Files) -> Any:
    from ansible_collections.vfio.host.plugins.module_utils._devices.area import Scan
    return Scan(fs, files)


def _node_area(fs: Sysfs, files: Files) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._nodes.area import NodeArea
    return NodeArea(fs, files)


def _memlock_area(fs: Sysfs, files: Files) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._memlock.area import MemlockArea
    return MemlockArea(fs, files)


def _image_area(fs: Sysfs, files: Files) -> object:
    from ansible_collections.vfio.host.plugins.module_utils._host.images import ImageFiles
    from ansible_collections.vfio.host.plugins.module_utils._initramfs.area import ImageArea
    return ImageArea(fs, files, ImageFiles(files.root))


@dataclass(frozen=True)
class Iommu:
    """What decides about turning the IOMMU on. ``is_off``: that of an x86 machine is off, and not on purpose, as in no-IOMMU mode.
    ``table``: the ACPI table that describes it, DMAR or IVRS; None: neither. ``running``: the running kernel's command line.
    """

    is_off: bool
    table: str | None
    running: str


def iommu_of(fs: Sysfs) -> Iommu:
    """The Iommu of a host."""
    tables = fs.names(f"{fs.firmware}/acpi/tables")
    noiommu = fs.read(f"{fs.modules}/vfio/parameters/enable_unsafe_noiommu_mode") == "Y"
    return Iommu(
        is_off=platform_of(fs) == X86 and not noiommu and not fs.names(fs.iommu_groups),
        table=next((table for table in ("DMAR", "IVRS") if table in tables), None),
        running=fs.read(f"{fs.proc}/cmdline") or "",
    )


@dataclass(frozen=True)
class Declaration:
    """What a task declares: the module's options. With state absent and nothing named, everything of ours goes."""

    options: dict[str, Any]

    @property
    def named(self) -> list[str]:
        """The areas that the task names, also with an empty value."""
        return [name for name in (KERNEL, CONFIG, CMDLINE, SRIOV, DEVICES, NODES, IOMMU_NODE, MEMLOCK) if self.options[name] is not None]

    @property
    def present(self) -> bool:
        """Whether the state is present."""
        return bool(self.options["state"] == "present")

    @property
    def is_everything(self) -> bool:
        """Whether everything of this collection is to be taken back."""
        return not self.present and not self.named

    def wants(self, area: str) -> bool:
        """Whether the task is about an area. An empty mapping of devices counts, since it may give devices back."""
        return self.is_everything or bool(self.options[area]) or (area == DEVICES and DEVICES in self.named)

    def _looks(self, area: str, files: Files) -> bool:
        """Whether a task with an empty value for an area has to look for what earlier tasks have left there."""
        named = area in self.named or (area == KERNEL and CONFIG in self.named)
        return named and self.present and self.options["undeclared"] in MOVES and _is_marked(area, files)

    def wishes(self, fs: Sysfs, files: Files) -> Wishes:
        """The wishes, for run_areas(). Raises InputError."""
        self._check()
        return self._on(platform_of(fs))._wishes(fs, files)

    def _on(self, platform: str) -> Declaration:
        """The declaration, with the needs of the platform added where it declares a device for VFIO."""
        needs = (self.options[PLATFORMS] or {}).get(platform)
        if not (needs and self.present and self._takes_devices()):
            return self
        return Declaration(platforms.with_needs(self.options, needs))

    def _wishes(self, fs: Sysfs, files: Files) -> Wishes:
        iommu, scan = iommu_of(fs), _Late(lambda: _scan(fs, files))
        return {
            KERNEL: (_Late(lambda: _kernel_area(fs, files)), lambda dummy: self._kernel(files)),
            CMDLINE: (_Late(lambda: _cmdline_area(fs, files)), lambda plans: self._cmdline(plans, iommu, files)),
            SRIOV: (_Late(lambda: _number_area(fs, files, scan)), lambda dummy: self._sriov(files)),
            DEVICES: (_Late(lambda: _device_area(fs, files, scan)), lambda plans: self._devices(plans, iommu)),
            PROBES: (_Late(lambda: _probe_area(fs, files)), self._probes),
            NODES: (_Late(lambda: _node_area(fs, files)), lambda plans: self._nodes(plans, scan, files)),
            MEMLOCK: (_Late(lambda: _memlock_area(fs, files)), lambda dummy: self._memlock(files)),
            IMAGES: (_Late(lambda: _image_area(fs, files)), lambda plans: self._images(plans, iommu)),
        }

    def _check(self) -> None:
        platforms.check(self.options[PLATFORMS] or {}, KNOWN_PLATFORMS)
        if self.present and not self.named:
            raise InputError(
                f"nothing is declared: name at least one of {', '.join((DEVICES, SRIOV, KERNEL, CONFIG, CMDLINE, NODES, MEMLOCK))}"
            )
        if not self.present and self.options[CONFIG]:
            raise InputError(
                f"{CONFIG} cannot be taken back by symbol: name the modules that stand in for them in {KERNEL}, or nothing "
                "at all, to take everything back"
            )
        self._check_consumers()

    def _check_consumers(self) -> None:
        """The area of devices checks them; it is not asked where the task names no devices."""
        if not (self.present and self.options.get(CONSUMERS) and self.options[DEVICES] is None):
            return
        from ansible_collections.vfio.host.plugins.module_utils._devices.consumers import parse_of_policies
        problems: list[str] = []
        parse_of_policies(self.options[CONSUMERS], {}, key=CONSUMERS, problems=problems)
        raise InputError(*problems)

    def _kernel(self, files: Files) -> object:
        if not (self.wants(KERNEL) or self.wants(CONFIG) or self._looks(KERNEL, files)):
            return None
        from ansible_collections.vfio.host.plugins.module_utils._modules.area import Request
        return Request(
            modules=self.options[KERNEL], config=self.options[CONFIG] if self.present else None, present=self.present,
            now=self.options["now"], carries_args=True, config_key=CONFIG, force=tuple(self.options["force"]),
            undeclared=self.options["undeclared"] if self.present else None,
        )

    def _cmdline(self, plans: Plans, iommu: Iommu, files: Files) -> object:
        # With a change to be confirmed, what is only for the next boot waits until it is.
        if self.options["confirm"]:
            return None
        needed = plans[KERNEL].cmdline_args if self.present and KERNEL in plans else {}
        turns_on = self.present and iommu.is_off and self._takes_devices()
        looks = self._looks(CMDLINE, files)
        if not (self.wants(CMDLINE) or needed or turns_on or looks):
            return None
        from ansible_collections.vfio.host.plugins.module_utils._cmdline import iommu_arguments
        from ansible_collections.vfio.host.plugins.module_utils._cmdline.area import Request
        from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import normalize, parse
        if not self.present:
            return Request(self.options[CMDLINE], present=False)
        args: dict[str, Any] = dict(self.options[CMDLINE] or {})
        drop: Any = {}
        declared = {normalize(str(name)): value for name, value in args.items()}
        _check_same(declared, {name: (normalize(name), value) for name, value in needed.items()})
        if turns_on:
            wanted, drop = iommu_arguments.turning_on(iommu.table, parse(iommu.running))
            needed = dict(wanted, **needed)
        args.update({name: value for name, value in needed.items() if normalize(name) not in declared})
        why = "the IOMMU is off, and only the kernel command line turns it on, but " if turns_on else f"{CMDLINE}: "
        meant: dict[str, Any] = dict.fromkeys(plans[KERNEL].arguments_meant if KERNEL in plans else ())
        meant.update({name: values for name, values in iommu_arguments.TURNED_ON.items() if self._takes_devices() and name not in meant})
        return Request(
            args, drop=drop, why=why, undeclared=self.options["undeclared"] if looks else None, meant=meant,
        )

    def _takes_devices(self) -> bool:
        """Whether any device is declared for a VFIO driver. Values of a wrong shape do not count; the area refuses them."""
        from ansible_collections.vfio.host.plugins.module_utils._devices.spec import NATIVE
        policies = self.options[DEVICES]
        entries = [one for entries in policies.values() if isinstance(entries, list) for one in entries] if policies else []
        return any(isinstance(one, dict) and one.get("driver") != NATIVE for one in entries)

    def _sriov(self, files: Files) -> object:
        if not (self.wants(SRIOV) or self._looks(SRIOV, files)):
            return None
        from ansible_collections.vfio.host.plugins.module_utils._sriov.options import number_request
        gives_all = self.is_everything or (self.present and self.options["undeclared"] == RELEASE and DEVICES in self.named)
        policies = None if gives_all else frozenset(self.options[DEVICES] or ())
        return number_request(self.options, self.options[SRIOV], key=SRIOV, policies=policies)

    def _devices(self, plans: Plans, iommu: Iommu) -> object:
        # Without a plan for the VFs nobody can say which devices there will be.
        if not self.wants(DEVICES) or (self.wants(SRIOV) and SRIOV not in plans):
            return None
        from ansible_collections.vfio.host.plugins.module_utils._devices.options import device_request
        prediction = plans[SRIOV].prediction if SRIOV in plans else None
        comes = iommu.is_off and _comes(plans, iommu.table)
        return device_request(self.options, self.options[DEVICES], iommu_comes=comes, prediction=prediction, consumers=self.options.get(CONSUMERS))

    def _probes(self, plans: Plans) -> object:
        if SRIOV not in plans:
            return None
        return plans[SRIOV], [one.device.address for one in plans[DEVICES].devices] if DEVICES in plans else []

    def _nodes(self, plans: Plans, scan: _Late, files: Files) -> object:
        # Without a plan for the devices nobody can say whose they will be.
        if self.wants(DEVICES) and DEVICES not in plans:
            return None
        is_left = _is_marked(NODES, files)
        # What is bound or given back may share a group, and so a node, with a device of which the node was given by an earlier run.
        gives = self.options[DEVICES] and is_left
        if not (self.options[NODES] or self.options[IOMMU_NODE] or gives or self._looks(NODES, files) or (self.is_everything and is_left)):
            return None
        from ansible_collections.vfio.host.plugins.module_utils._nodes.request import node_request
        host = plans[DEVICES].host if DEVICES in plans else scan.host
        return node_request(self.options, plans.get(DEVICES), host=host, gives_all=self.is_everything)

    def _memlock(self, files: Files) -> object:
        # It changes nothing that runs, so a change to be confirmed goes without it.
        if self.options["confirm"] or not (self.wants(MEMLOCK) or self._looks(MEMLOCK, files)):
            return None
        from ansible_collections.vfio.host.plugins.module_utils._memlock.request import memlock_request
        return memlock_request(self.options, gives_all=self.is_everything)

    def _check_together(self, plans: Plans, iommu: Iommu) -> None:
        """Raise InputError where one part takes away at the next boot what another needs: asked last, when all have been planned."""
        arguments = self.options[CMDLINE] or {}
        if not (self.present and self.options["at_boot"] and (arguments or KERNEL in plans)):
            return
        from ansible_collections.vfio.host.plugins.module_utils._passthrough import contradictions
        problems: list[str] = []
        if arguments and CMDLINE in plans and self._takes_devices():
            problems += contradictions.without_iommu(arguments, plans[CMDLINE], table=iommu.table)
        for area, needed in ((DEVICES, contradictions.needed_for_devices), (SRIOV, contradictions.needed_for_vfs)):
            plan = plans.get(area)
            if plan is not None:
                survey = (plan if area == DEVICES else plan.state).host.survey
                problems += contradictions.without_module(
                    needed(plan), arguments if CMDLINE in plans else {}, modules=survey.modules, kernel=plans.get(KERNEL),
                )
        if problems:
            raise InputError(*problems)

    def _images(self, plans: Plans, iommu: Iommu) -> object:
        self._check_together(plans, iommu)
        if not self.options[IMAGES] or self.options["confirm"]:
            return None
        ahead: dict[str, str | None] = dict(plans[KERNEL].modules.files) if KERNEL in plans else {}
        for name in (SRIOV, DEVICES, NODES):
            ahead.update(plans[name].changed_files() if name in plans else {})
        from ansible_collections.vfio.host.plugins.module_utils._initramfs.area import ImageRequest
        return ImageRequest(present=not self.is_everything, ahead=ahead)


def _is_marked(area: str, files: Files) -> bool:
    """Whether this collection has left anything of an area on the host. Cheap: it looks at a few paths."""
    if area == KERNEL:
        paths = [files.modprobe_conf, files.modules_load_conf]
    elif area == CMDLINE:
        from ansible_collections.vfio.host.plugins.module_utils._host.bootpaths import BootPaths
        boot = BootPaths(files.root)
        paths = [boot.cmdline_record, boot.grub_dropin]
    elif area == NODES:
        from ansible_collections.vfio.host.plugins.module_utils._nodes.rules import NAME
        paths = [f"{directory}/{NAME}" for directory in (files.boot_rules, files.volatile_rules)]
    elif area == MEMLOCK:
        from ansible_collections.vfio.host.plugins.module_utils._memlock.records import written
        return bool(written(files))
    else:
        from ansible_collections.vfio.host.plugins.module_utils._sriov.rules import NUMBERS, PROBES
        paths = [f"{directory}/{name}" for directory in (files.boot_rules, files.volatile_rules) for name in (NUMBERS, PROBES)]
    return any(files.read(path) is not None for path in paths)


def _comes(plans: Plans, table: str | None) -> bool:
    """Whether the IOMMU is on from the next boot on. True where the command line's plan failed, which has a message of its own."""
    if CMDLINE not in plans:
        return True
    from ansible_collections.vfio.host.plugins.module_utils._cmdline import iommu_arguments
    from ansible_collections.vfio.host.plugins.module_utils._cmdline.arguments import parse
    return table is not None and all(iommu_arguments.is_on(table, parse(line)) for dummy, line in plans[CMDLINE].after)


def _check_same(declared: Mapping[str, object], needed: Mapping[str, tuple[str, str]]) -> None:
    """Raise InputError where modules or the configuration need an argument that is declared otherwise.

    ``declared``: name as the kernel compares it -> value; ``needed``: name -> (the same, value).
    """
    problems = [
        f"{CMDLINE}: {name} is {declared[key]!r}, and {name}={value} is what the declared {KERNEL} and {CONFIG} need: "
        "make them one"
        for name, (key, value) in needed.items()
        if str(declared.get(key, value)) != value
    ]
    if problems:
        raise InputError(*problems)


def result(plans: Plans) -> dict[str, object]:
    """The areas' part of the task's result: one key for each area with a plan, and ``undeclared``, a list of rows."""
    shown: dict[str, object] = {"undeclared": [row for plan in plans.values() for row in getattr(plan, "undeclared", ())]}
    for name, plan in plans.items():
        own = plan.result()
        if name == KERNEL:
            shown.update({key: own[key] for key in (KERNEL, CONFIG) if key in own})
            shown["options_wanted"] = _options_wanted(plan)
        elif name in (SRIOV, DEVICES, PROBES, NODES, MEMLOCK):
            shown.update(own)
        else:
            shown[name] = own
        if name == SRIOV:
            shown["vfs_before"] = {pf.device.address: [vf.address for vf in pf.before] for pf in plan.pfs}
    return shown


def _options_wanted(plan: KernelPlan) -> dict[str, dict[str, str]]:
    """Module -> its declared options, in the form in which the kernel prints them. Options in force may differ until the next boot."""
    from ansible_collections.vfio.host.plugins.module_utils._kernel.parameters import as_shown
    return {
        one.demand.module: {name: as_shown(value, one.demand.types.get(name, "")) for name, value in one.demand.options.items()}
        for one in plan.modules.modules
    }


__all__ = ("DEVICES", "Declaration", "Iommu", "iommu_of", "result")
