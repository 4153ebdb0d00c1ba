# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation site of the staged collection: its Markdown as it is, its plugins and role by antsibull-docs.

Any warning of Sphinx fails the build, a reference to what is not there among them, and so does a link that leads nowhere. Needs no network.

Usage: python tests/tools/site.py DIRECTORY   (what was in it is replaced; DIRECTORY/html is the site)
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import zlib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# Where Markdown is, in the repository as in the site: so a link means the same in both.
PAGES = ("*.md", "docs/*.md", "LICENSE")
# Where a directory is this script's: it deletes none that it did not make.
MARK = ".vfio-host-site"
ID = re.compile(r'\bid="([^"]+)"')
LINK = re.compile(r'<a\b[^>]*\bhref="([^"]*)"')


def inventory(labels: str) -> bytes:
    """Make an inventory of intersphinx out of lines "LABEL PATH" (source: sphinx/util/inventory.py, version 2)."""
    lines = [line.split() for line in labels.splitlines() if line and not line.startswith("#")]
    entries = "".join(f"{label} std:label -1 {path} {label}\n" for label, path in lines)
    head = "# Sphinx inventory version 2\n# Project: ansible\n# Version: \n# The remainder of this file is compressed using zlib.\n"
    return head.encode() + zlib.compress(entries.encode())


def lay_out(source: Path) -> None:
    """Put all pages that are written by hand, and the settings, into ``source``."""
    for path in sorted((CHECKOUT / "docs" / "site").iterdir()):
        shutil.copy2(path, source)
    (source / "ansible-core.inv").write_bytes(inventory((source / "labels.txt").read_text(encoding="utf-8")))
    for pattern in PAGES:
        for path in sorted(CHECKOUT.glob(pattern)):
            target = source / path.relative_to(CHECKOUT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(path, target)


def dead_links(root: Path) -> list[str]:
    """Links of the pages below ``root`` to pages or places that are not there: "PAGE: LINK" each. Sphinx knows its own, and none of a template's."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.html"))}
    places = {path: set(ID.findall(text)) for path, text in pages.items()}
    dead = []
    for page, text in pages.items():
        for link in dict.fromkeys(map(html.unescape, LINK.findall(text))):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(page.parent / urllib.parse.unquote(parts.path))) if parts.path else page
            place = urllib.parse.unquote(parts.fragment)
            if not target.exists() or place and place not in places.get(target, {place}):
                dead.append(f"{page.relative_to(root)}: {link}")
    return dead


def run(*command: object) -> None:
    """Run a program of this virtualenv; its failure is this script's."""
    words = [str(word) for word in command]
    done = subprocess.run([Path(sys.executable).parent / words[0], *words[1:]], check=False)
    if done.returncode:
        sys.exit(f"site: {words[0]} failed, see above")


def main() -> int:
    """Build, and print where the site is."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    target = Path(sys.argv[1]).resolve()
    if target.exists() and os.listdir(target) and not (target / MARK).exists():
        print(f"site: {target} has files of somebody else: name another directory, or an empty one", file=sys.stderr)
        return 1
    if target == CHECKOUT or CHECKOUT in target.parents:
        print(f"site: {target} is inside of the checkout: name a directory outside of it", file=sys.stderr)
        return 1
    shutil.rmtree(target, ignore_errors=True)
    source = target / "source"
    # antsibull-docs wants a directory that nobody else can write.
    source.mkdir(mode=0o755, parents=True)
    (target / MARK).touch()
    lay_out(source)
    run(
        "antsibull-docs", "--config-file", CHECKOUT / ".ci" / "antsibull.cfg", "collection", "--use-current", "--no-add-antsibull-docs-version",
        "--no-indexes", "--fail-on-error", "--dest-dir", source, "vfio.host",
    )
    run(
        "sphinx-build", "--quiet", "--fail-on-warning", "--keep-going", "--jobs", "auto", "--builder", "html",
        "--doctree-dir", target / "doctrees", source, target / "html",
    )
    dead = dead_links(target / "html")
    if dead:
        print("site: links that lead nowhere:", *dead, sep="\n  ", file=sys.stderr)
        return 1
    print(f"the site: {target / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
