# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""make release: in a repository of the test's own, with the checkout's files, where the stages are a stub."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
STUB = "#!/bin/sh\n" + """\
echo "$@" >> "$VFIO_HOST_CACHE/asked"
artifacts=$(dirname "$(python3 tests/tools/stage.py)")/../../artifacts
mkdir -p "$artifacts" && echo product > "$artifacts/vfio-host-$(sed -n 's/^version: //p' galaxy.yml).tar.gz"
"""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("antsibull_changelog") is None, reason="antsibull-changelog is in the development virtualenv alone"
)


class Repository:
    """A clone that may be released, and what git and the tool say of it."""

    def __init__(self, path, environment):
        self.path, self.environment = path, environment

    def git(self, *words):
        return subprocess.run(
            ["git", *words], cwd=self.path, check=True, capture_output=True, text=True, env=self.environment,
        ).stdout

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")

    def release(self, *words):
        return subprocess.run(
            [sys.executable, "tests/tools/release.py", *words], cwd=self.path, check=False, capture_output=True, text=True, env=self.environment,
        )

    def read(self, name):
        return (self.path / name).read_text(encoding="utf-8")

    def refused(self, *words):
        """What it says where it refuses; then it has changed nothing."""
        before = self.git("status", "--porcelain")
        done = self.release(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert self.git("status", "--porcelain") == before
        return done.stderr


def made_in(path):
    """The checkout's product as the only commit of a repository, before its first release; the stages are a stub."""
    clone = path / "clone"
    # Not .git: this runs in a copy of the checkout as well, which has none.
    others = shutil.ignore_patterns("__pycache__", ".*_cache", ".git", ".venv", ".ansible", "output", "unit", "lab", "extensions")
    shutil.copytree(ROOT, clone, symlinks=True, ignore=others)
    (clone / ".ci" / "run").write_text(STUB)
    (clone / "changelogs/changelog.yaml").write_text("---\nancestor: null\nreleases: {}\n")
    fragment = clone / "changelogs/fragments/1-one.yml"
    fragment.parent.mkdir(exist_ok=True)
    fragment.write_text("---\nbugfixes:\n  - pci_facts - one thing is better.\n")
    (path / "cache").mkdir()
    who = {f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    made = Repository(clone, dict(
        os.environ, **who, VFIO_HOST_CACHE=str(path / "cache"), HOME=str(path), GIT_CONFIG_GLOBAL="/dev/null", PYTHONDONTWRITEBYTECODE="1",
    ))
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit()
    return made


@pytest.fixture
def repository(tmp_path):
    return made_in(tmp_path)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """What became of the first release, and where; nothing of it is committed. For tests that only read."""
    made = made_in(tmp_path_factory.mktemp("released"))
    return made.release("0.1.0"), made


def test_one_command_makes_changelog_and_version(released):
    done, repository = released
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load(repository.read("changelogs/changelog.yaml"))["releases"]) == ["0.1.0"]
    assert "pci_facts - one thing is better." in repository.read("CHANGELOG.rst")
    assert "v0\\.1\\.0" in repository.read("CHANGELOG.md")
    assert "version: 0.1.0\n" in repository.read("galaxy.yml")
    assert list((repository.path / "changelogs/fragments").glob("*.yml")) == []


def test_it_builds_artifact_and_documentation_and_says_what_comes_next(released):
    done, repository = released
    assert (repository.path.parent / "cache/asked").read_text() == "build docs\n"
    for words in ("git tag --sign", "v0.1.0", "git push", "ansible-galaxy collection publish", "vfio-host-0.1.0.tar.gz"):
        assert words in done.stdout


def test_it_changes_nothing_but_changelog_version_and_fragments(released):
    changed = {line[3:] for line in released[1].git("status", "--porcelain").splitlines()}
    others = {name for name in changed if not name.startswith("changelogs/fragments/")}
    assert others | {"galaxy.yml"} == {"CHANGELOG.md", "CHANGELOG.rst", "changelogs/changelog.yaml", "galaxy.yml"}


def test_what_was_made_is_that_release_and_no_other(released):
    assert released[1].release("--check", "0.1.0").returncode == 0
    assert "galaxy.yml says 0.1.0; changelogs/changelog.yaml has no release 0.2.0" in released[1].refused("--check", "0.2.0")


def test_what_was_not_released_is_no_release(repository):
    said = repository.refused("--check", "0.1.0")
    assert "changelogs/changelog.yaml has no release 0.1.0" in said and "fragments are in no release" in said


def test_the_next_release_has_the_changes_since(repository):
    assert repository.release("0.1.0").returncode == 0
    (repository.path / "changelogs/fragments").mkdir(exist_ok=True)
    (repository.path / "changelogs/fragments/2-two.yml").write_text("---\nbugfixes:\n  - survey - another thing is better.\n")
    repository.commit()
    assert "the changelog has 0.1.0 already" in repository.refused("0.1.0")
    assert repository.release("0.1.1").returncode == 0
    assert "version: 0.1.1\n" in repository.read("galaxy.yml")
    assert list(yaml.safe_load(repository.read("changelogs/changelog.yaml"))["releases"]) == ["0.1.0", "0.1.1"]


def test_what_is_no_version_is_refused(repository):
    for version in ("", "1", "0.1", "v0.1.0", "0.1.0-rc1", "0.01.0", "0.1.0\n"):
        assert "is no version: say three numbers" in repository.refused(version)


def test_a_checkout_that_is_not_clean_is_refused_with_what_is_not(repository):
    (repository.path / "forgotten.txt").write_text("a draft")
    (repository.path / "README.md").write_text("edited")
    said = repository.refused("0.1.0")
    assert "not clean" in said and "?? forgotten.txt" in said and "README.md" in said


def test_every_reason_is_said_at_once(repository):
    for path in (repository.path / "changelogs/fragments").glob("*.yml"):
        path.unlink()
    galaxy = repository.path / "galaxy.yml"
    galaxy.write_text(galaxy.read_text().replace("version: 0.1.0", "version: 0.3.0"))
    repository.commit()
    repository.git("tag", "v0.0.9")
    said = repository.refused("0.0.9")
    for reason in ("version_added: 0.1.0", "galaxy.yml says 0.3.0", "tag v0.0.9", "has no fragment"):
        assert reason in said


def test_a_changelog_that_cannot_be_made_changes_nothing(repository):
    (repository.path / "changelogs/config.yaml").write_text("title: [\n")
    repository.commit()
    assert "antsibull-changelog failed, and nothing was changed" in repository.refused("0.1.0")


def test_a_build_that_fails_says_how_to_take_the_release_back(repository):
    (repository.path / ".ci/run").write_text("#!/bin/sh\nexit 1\n")
    repository.commit()
    done = repository.release("0.1.0")
    assert done.returncode == 1
    assert "git restore ." in done.stderr
    repository.git("restore", ".")
    assert repository.git("status", "--porcelain") == ""
