# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages print can be written into an inventory and run: the YAML as the role and the modules take it, and the commands."""

from __future__ import annotations

import ast
import json
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml

from ansible_collections.vfio.host.plugins.plugin_utils import _declared

ROOT = Path(__file__).parents[3]
SPECS = yaml.safe_load((ROOT / "roles/passthrough/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
OPTIONS = SPECS["main"]["options"]
PAGES = ("README.md", "docs/user-guide.md", "docs/recipes.md", "roles/passthrough/README.md")
TASKS = (
    "A second graphics card", "Eight VFs on two ports", "See what would change", "Give back everything, or one policy", "Locked out",
    "Run QEMU as a user", "refused because of its IOMMU group",
    "Beside libvirt, Proxmox, Kubernetes", "Rename a policy", "From vfio-pci.ids=", "From driverctl",
    "Reboot a cluster host by host", "From AWX", "By the host itself: ansible-pull", "Many hosts", "An option of vfio-pci", "By UID on s390, by serial number",
)
PREFIX = "vfio.host."


def blocks(page, language):
    """The code of a page in this language, each with the line that it begins at."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [(text[:one.start()].count("\n") + 2, textwrap.dedent(one[2])) for one in found]


def listed(language):
    return [pytest.param(code, id=f"{page}:{line}") for page in PAGES for line, code in blocks(page, language)]


def check_variables(values):
    assert _declared.unknown_variables(values, OPTIONS) == []
    known = {name: value for name, value in values.items() if name in OPTIONS}
    assert _declared.misfits(OPTIONS, known, variables=known) == []
    assert _declared.unmeant(known, known) == []


def check_task(task):
    """A task of ours names a module or a role that there is, with options that it has."""
    for name, given in task.items():
        if name.endswith((".import_role", ".include_role")):
            assert (ROOT / "roles" / given["name"][len(PREFIX):]).is_dir()
        if name.startswith(PREFIX):
            source = ast.parse((ROOT / "plugins/modules" / f"{name[len(PREFIX):]}.py").read_text(encoding="utf-8"))
            documentation = next(
                node.value.value for node in source.body if isinstance(node, ast.Assign) and node.targets[0].id == "DOCUMENTATION"
            )
            fragments = yaml.safe_load(documentation).get("extends_documentation_fragment", [])
            options = set(yaml.safe_load(documentation).get("options", {}))
            options |= {"force", "timeout", "confirm", "now", "at_boot", "state"} if "vfio.host.devices" in fragments else set()
            assert set(given or {}) <= options


@pytest.mark.parametrize("code", listed("yaml"))
def test_yaml_of_a_page_is_what_the_role_and_the_modules_take(code):
    found = yaml.safe_load(code)
    if isinstance(found, dict):
        check_variables(found)
        return
    for item in found:
        for task in item.get("tasks", [item]):
            check_task(task)
        check_variables(item.get("vars", {}))


@pytest.mark.parametrize("code", listed("console"))
def test_a_command_of_a_page_names_a_playbook_and_variables_that_there_are(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("drain.yml", "uncordon.yml"):  # the reader's, as the recipe shows them
        (tmp_path / name).touch()
    for line in re.findall(r"^\$ (ansible-playbook .*)$", code, re.MULTILINE):
        words = shlex.split(line, comments=True)
        names = [word[len(PREFIX):] for word in words if word.startswith(PREFIX)]
        assert len(names) == 1 and (ROOT / "playbooks" / f"{names[0]}.yml").is_file()
        given = {}
        for option, value in zip(words, words[1:]):
            if option == "-e":
                given.update(json.loads(value) if value.startswith("{") else {value.partition("=")[0]: value.partition("=")[2]})
        check_variables(given)


@pytest.mark.parametrize("task", TASKS)
def test_the_recipes_answer_what_people_ask(task):
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    (section,) = [one for one in re.split(r"^## ", text, flags=re.MULTILINE)[1:] if task in one.partition("\n")[0]]
    assert "```" in section


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks" / "inventory").glob("*_vars/*.yml")), ids=lambda path: path.stem)
def test_the_sample_inventory_is_what_the_role_takes(path):
    check_variables(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES)
def test_a_link_of_a_page_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target
