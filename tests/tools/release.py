# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a release in a clean checkout: its changelog, its version, the artifact and the documentation. Commits and publishes nothing.

Usage: python tests/tools/release.py VERSION           (such as 0.1.0)
       python tests/tools/release.py --check VERSION   (whether the checkout is that release, for a tag)
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FRAGMENTS = "changelogs/fragments"
MADE = ("galaxy.yml", "changelogs/changelog.yaml", "CHANGELOG.md", "CHANGELOG.rst")
NEXT = """
The release {version} is prepared, and nothing is committed or published.

  artifact        {artifact}
  sha256          {digest}
  documentation   {site}

Next:

  git diff HEAD                        # read CHANGELOG.md as its users will
  git add --all && git commit --message "Release {version}"
  git tag --sign --message "vfio.host {version}" v{version}
  git push origin HEAD v{version}      # the workflow Release builds it again, and publishes it

Without that workflow: ansible-galaxy collection publish --token TOKEN ARTIFACT
To take all of it back instead: git restore . && git status
"""


class Refused(Exception):
    """Why there is no release; nothing was changed unless it says so."""


def parts(version: str) -> tuple:
    """Read "1.2.3" as numbers; releases with other words (rc1, +build) are not made here."""
    if not re.fullmatch(r"(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)", version):
        raise Refused(f"{version!r} is no version: say three numbers, such as VERSION=0.1.0")
    return tuple(int(part) for part in version.split("."))


def git(*words: str) -> str:
    """Ask git about the checkout."""
    command = ["git", "-c", f"safe.directory={CHECKOUT}", "-C", str(CHECKOUT), *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def released() -> list:
    """List the versions in the changelog."""
    changelog = yaml.safe_load((CHECKOUT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))
    return list(changelog.get("releases") or {})


def in_galaxy() -> str:
    """Read the version of galaxy.yml."""
    return str(yaml.safe_load((CHECKOUT / "galaxy.yml").read_text(encoding="utf-8"))["version"])


def fragments() -> list:
    """List the changelog's fragments."""
    return sorted((CHECKOUT / FRAGMENTS).glob("*.y*ml"))


def added_later(version: str) -> list:
    """Name what says that it came with a later version than this one."""
    found = []
    for path in [*CHECKOUT.glob("plugins/**/*.py"), *CHECKOUT.glob("roles/*/meta/*.yml")]:
        for added in re.findall(r"version_added: (?:&\w+ )?[\"']?([0-9.]+)", path.read_text(encoding="utf-8")):
            if parts(added) > parts(version):
                found.append(f"{path.relative_to(CHECKOUT)} says version_added: {added}")
    return found


def check_before(version: str) -> None:
    """Refuse, with every reason at once, what cannot become this release."""
    wanted = parts(version)
    problems = added_later(version)
    changes = git("status", "--porcelain")
    if changes:
        problems.append(f"the checkout is not clean: commit or remove these:\n{changes}")
    earlier = [one for one in released() if parts(one) >= wanted]
    if earlier:
        problems.append(f"the changelog has {', '.join(earlier)} already: say a later version")
    if parts(in_galaxy()) > wanted:
        problems.append(f"galaxy.yml says {in_galaxy()}, which is later: say that one, or set it back there")
    if git("tag", "--list", f"v{version}"):
        problems.append(f"there is a tag v{version} already")
    if not fragments():
        problems.append(f"{FRAGMENTS} has no fragment, so nothing has changed that a user could notice")
    if problems:
        raise Refused("\n".join(problems))


def check_released(version: str) -> None:
    """Refuse a checkout that is not this release, such as where a tag is on the wrong commit."""
    parts(version)
    problems = []
    if in_galaxy() != version:
        problems.append(f"galaxy.yml says {in_galaxy()}")
    if version not in released():
        problems.append(f"changelogs/changelog.yaml has no release {version}")
    if fragments():
        problems.append(f"{len(fragments())} fragments are in no release, such as {fragments()[0].name}")
    if problems:
        raise Refused(f"this is not release {version}: {'; '.join(problems)}")


def stage(*directory: str) -> Path:
    """Copy the checkout to where Ansible finds a collection, and say where."""
    command = [sys.executable, str(CHECKOUT / "tests" / "tools" / "stage.py"), *directory]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def prepare(version: str) -> None:
    """Write version and changelog. All of it is made in a copy first, so that a failure leaves the checkout as it was."""
    with tempfile.TemporaryDirectory() as parent:
        copy = stage(parent)
        galaxy = copy / "galaxy.yml"
        galaxy.write_text(re.sub(r"(?m)^version: .*$", f"version: {version}", galaxy.read_text(encoding="utf-8")), encoding="utf-8")
        command = [str(Path(sys.executable).parent / "antsibull-changelog"), "release", "--version", version]
        # It asks git whether this is a repository, which the copy is not: that is no error.
        done = subprocess.run(command, cwd=copy, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise Refused(f"antsibull-changelog failed, and nothing was changed:\n{done.stdout}")
        for name in MADE:
            shutil.copyfile(copy / name, CHECKOUT / name)
        for path in fragments():
            if not (copy / FRAGMENTS / path.name).exists():
                path.unlink()


def build(version: str) -> str:
    """Build artifact and documentation, checked as for every change, and say what comes next."""
    if subprocess.run([str(CHECKOUT / ".ci" / "run"), "build", "docs"], check=False).returncode:
        raise Refused(f"changelog and version of {version} are written, and the build failed: mend that, or take them back with git restore .")
    # Where the stages put them: .ci/lib.sh, .ci/stages/docs.
    staged = stage().parents[2]
    artifact = staged / "artifacts" / f"vfio-host-{version}.tar.gz"
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    site = staged.parents[1] / "docs" / "html" / "index.html"
    return NEXT.format(version=version, artifact=artifact, digest=digest, site=site)


def main() -> int:
    """Release, or check; print what comes next, or why not."""
    words = sys.argv[1:]
    check = words[:1] == ["--check"]
    if len(words) != 1 + check:
        print(__doc__, file=sys.stderr)
        return 2
    version = words[-1]
    try:
        if check:
            check_released(version)
        else:
            check_before(version)
            prepare(version)
            print(build(version))
    except Refused as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
