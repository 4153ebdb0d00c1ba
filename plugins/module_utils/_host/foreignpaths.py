# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no outside code may rely on it.

"""Where other programs keep what they do at boot: globs from the host's root, by the kind of their files. Pure.

Of kinds in MERGED only the first file of a name counts, in the order of these globs.
"""

from __future__ import annotations

from typing import Sequence, Tuple

_SYSTEMD = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")


def _in(places: Sequence[str], rest: str) -> Tuple[str, ...]:
    return tuple(f"{place}/{rest}" for place in places)


UDEV, LINK, NETWORK, TMPFILES = "udev", "link", "network", "tmpfiles"
NETPLAN, NMSTATE, KEYFILE, NM_CONF, IFCFG, IFUPDOWN = "netplan", "nmstate", "keyfile", "nm_conf", "ifcfg", "ifupdown"
SYSFS_CONF, SYSCTL, TUNED, SCRIPT, DRIVERCTL, DPDK = "sysfs_conf", "sysctl", "tuned", "script", "driverctl", "dpdk"
LIBVIRT, NOVA, PROXMOX, PROXMOX_MAPPING = "libvirt", "nova", "proxmox", "proxmox_mapping"
DRACUT, INITRAMFS_TOOLS, MKINITCPIO, MODULES_LOAD = "dracut", "initramfs_tools", "mkinitcpio", "modules_load"
OPENRC, VF_LISTS, OPERATOR = "openrc", "vf_lists", "operator"

# (sources: udev(7), systemd.link(5), tmpfiles.d(5), netplan(5), NetworkManager.conf(5), nmstate.service(8), sysfs.conf(5),
# initramfs-tools(7), dracut.conf(5), mkinitcpio.conf(5))
PATTERNS = {
    UDEV: _in(_SYSTEMD, "udev/rules.d/*.rules"),
    LINK: _in(_SYSTEMD, "systemd/network/*.link"),
    NETWORK: _in(_SYSTEMD, "systemd/network/*.network"),
    TMPFILES: _in(_SYSTEMD, "tmpfiles.d/*.conf"),
    NETPLAN: _in(("/run", "/etc", "/usr/lib", "/lib"), "netplan/*.yaml"),
    NMSTATE: ("/etc/nmstate/*.yml", "/etc/nmstate/*.yaml"),
    KEYFILE: _in(
        ("/run/NetworkManager", "/etc/NetworkManager", "/usr/lib/NetworkManager"), "system-connections/*",
    ),
    NM_CONF: ("/etc/NetworkManager/NetworkManager.conf",) + _in(("/etc", "/run", "/usr/lib"), "NetworkManager/conf.d/*.conf"),
    IFCFG: ("/etc/sysconfig/network-scripts/ifcfg-*", "/etc/sysconfig/network/ifcfg-*"),
    IFUPDOWN: ("/etc/network/interfaces", "/etc/network/interfaces.d/*"),
    SYSFS_CONF: ("/etc/sysfs.conf", "/etc/sysfs.d/*.conf"),
    SYSCTL: _in(_SYSTEMD, "sysctl.d/*.conf") + ("/etc/sysctl.conf",),
    TUNED: ("/etc/tuned/*/tuned.conf", "/etc/tuned/profiles/*/tuned.conf"),
    SCRIPT: (
        "/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/*", "/etc/local.d/*.start", "/etc/network/if-pre-up.d/*",
        "/etc/network/if-up.d/*", "/etc/NetworkManager/dispatcher.d/*", "/etc/NetworkManager/dispatcher.d/*.d/*",
        "/usr/lib/NetworkManager/dispatcher.d/*", "/usr/lib/NetworkManager/dispatcher.d/*.d/*", "/etc/networkd-dispatcher/*/*",
        "/etc/initramfs-tools/scripts/*/*", "/etc/initcpio/hooks/*", "/etc/libvirt/hooks/*", "/etc/libvirt/hooks/*.d/*",
        # As the hook helper of many guides has them: guest, operation, sub-operation.
        "/etc/libvirt/hooks/*.d/*/*/*/*", "/var/lib/cloud/scripts/per-boot/*",
        # Run by a service of Red Hat's initscripts (source: initscripts.spec, loadmodules.service), where that is enabled.
        "/etc/sysconfig/modules/*.modules",
    ),
    # Of TripleO's os-net-config and of the OpenStack charms, each with a service that reads it at boot.
    VF_LISTS: ("/var/lib/os-net-config/sriov_config.yaml", "/etc/sriov-netplan-shim/interfaces.yaml"),
    # A file a card, by its address.
    OPERATOR: ("/etc/sriov-operator/pci/*",),
    DRIVERCTL: ("/etc/driverctl.d/*",),
    DPDK: ("/etc/dpdk/interfaces",),
    LIBVIRT: tuple(f"/etc/libvirt/{kind}/*.xml" for kind in ("qemu", "qemu/networks", "libxl", "ch")),
    NOVA: ("/etc/nova/nova.conf", "/etc/nova/nova.conf.d/*.conf", "/etc/nova/*.conf.d/*.conf"),
    PROXMOX: ("/etc/pve/qemu-server/*.conf",),
    PROXMOX_MAPPING: ("/etc/pve/mapping/pci.cfg",),
    DRACUT: ("/etc/dracut.conf",) + _in(("/etc", "/usr/lib/dracut"), "dracut.conf.d/*.conf"),
    # As mkinitramfs reads them (source: the loop over CONFDIR/modules there).
    INITRAMFS_TOOLS: ("/etc/initramfs-tools/modules", "/usr/share/initramfs-tools/modules.d/*"),
    OPENRC: ("/etc/conf.d/modules",),
    MODULES_LOAD: _in(_SYSTEMD, "modules-load.d/*.conf"),
    MKINITCPIO: ("/etc/mkinitcpio.conf", "/etc/mkinitcpio.conf.d/*.conf"),
}
MERGED = frozenset((UDEV, LINK, NETWORK, TMPFILES, NETPLAN, KEYFILE, NM_CONF, DRACUT, MODULES_LOAD, SYSCTL))

# Names of the profiles of tuned that are in force.
ACTIVE_PROFILE = "/etc/tuned/active_profile"
# Drop-ins of a .link or .network file NAME: NAME.d/*.conf.
# Where a shell and systemd find a program that is named without a directory, and that no package brings.
LOCAL_PROGRAMS = ("/usr/local/sbin", "/usr/local/bin")
OUR_MODULES_LOAD = "/etc/modules-load.d/vfio-host.conf"
ETC_MODULES, SYSTEMD = "/etc/modules", "/run/systemd"
NETWORK_PLACES = _in(_SYSTEMD, "systemd/network")
# What the administrator has put in place; packages have theirs in /usr/lib.
# Of services of packages, those count that somebody has enabled; what some of them do is read from their configuration.
PACKAGED_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
TOLD_ELSEWHERE = ("dpdk.service", "driverctl@.service", "sysfsutils.service")
UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
# What has these names is not run, or not read, by any of the programs above.
BACKUPS = ("~", ".bak", ".orig", ".rpmsave", ".rpmorig", ".rpmnew", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".swp")
CRONTABS = ("/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/root", "/var/spool/cron/root")


__all__ = (
    "ACTIVE_PROFILE", "BACKUPS", "CRONTABS", "ETC_MODULES", "LOCAL_PROGRAMS", "MERGED", "NETWORK_PLACES", "OUR_MODULES_LOAD", "PACKAGED_UNITS", "PATTERNS",
    "SYSTEMD", "TOLD_ELSEWHERE", "UNITS",
)
