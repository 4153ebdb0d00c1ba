# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages print can be written into an inventory and run: the YAML as the role and the modules take it, and the commands."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from ansible_collections.vfio.host.plugins.plugin_utils import _declared
from ansible_collections.vfio.host.tests.tools import recipes

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


def listed(language):
    pages = {page: recipes.blocks((ROOT / page).read_text(encoding="utf-8")) for page in PAGES}
    return [pytest.param(one.code, id=f"{page}:{one.line}") for page, found in pages.items() for one in found if one.language == language]


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


# What follows is about the scenario that runs the recipes.
TABLE = yaml.safe_load((ROOT / "extensions/molecule/recipes/files/recipes.yml").read_text(encoding="utf-8"))
RECIPES = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
PAGE = """
# Recipes

```yaml
passthrough_devices:
  gpus:
    - match: {address: "0000:41:00.0"}    # yours
passthrough_timeout: 20
```

## Second

1. Indented.

   ```console
   $ ansible-playbook -i inventory vfio.host.verify
   # ulimit -l
   64
   # reboot
   ```

## Third
"""


def run_of(*entries, left_out=("Third",)):
    return {"hosts": {"node1": "lab"}, "run": list(entries), "left_out": dict.fromkeys(left_out, "why")}


FIRST = {"recipe": "Recipes", "words": {"41:00.0": "07:01.0"}, "steps": [{"declare": 1}]}
SECOND = {"recipe": "Second", "steps": [{"run": 1}]}


def test_each_recipe_of_the_page_is_run_on_the_lab_or_said_to_be_left_out():
    assert recipes.actions(RECIPES, TABLE)


def test_a_recipe_of_which_the_table_says_nothing_is_an_error():
    with pytest.raises(recipes.TableError, match="A new one"):
        recipes.actions(f"{RECIPES}\n## A new one\n", TABLE)


def test_yaml_commands_and_reboots_of_a_page_become_actions_in_order():
    found = recipes.actions(PAGE, run_of(FIRST, SECOND))
    assert [(one["recipe"], one["do"]) for one in found] == [
        ("Recipes", "name"), ("Recipes", "write"), ("Second", "name"), ("Second", "controller"), ("Second", "host"), ("Second", "lab")]
    assert found[1]["content"] == PAGE.partition("```yaml\n")[2].partition("```")[0].replace("41:00.0", "07:01.0")
    assert found[3]["command"] == "ansible-playbook -i inventory vfio.host.verify"
    assert (found[4]["host"], found[4]["command"], found[4]["shows"]) == ("lab", "ulimit -l", "64\n")
    assert found[5]["argv"] == ["reboot"]


def test_what_is_declared_replaces_what_was_unless_it_is_added():
    steps = [{"declare": 1}, {"declare": "passthrough_timeout: 30\n", "also": True}, {"declare": "passthrough_timeout: 20\n"}]
    written = [one["content"] for one in recipes.actions(PAGE, run_of({**FIRST, "steps": steps}, SECOND)) if one["do"] == "write"]
    assert [list(yaml.safe_load(one)) for one in written] == [["passthrough_devices", "passthrough_timeout"]] * 2 + [["passthrough_timeout"]]
    assert [yaml.safe_load(one)["passthrough_timeout"] for one in written] == [20, 30, 20]


def test_what_is_left_out_is_a_recipe_or_a_block_with_the_reason():
    table = run_of(FIRST, {**SECOND, "leaves": {1: "no such host"}, "steps": [{"run": 1, "lines": [1, 3]}]})
    assert [one["do"] for one in recipes.actions(PAGE, table)] == ["name", "write", "name", "controller", "lab"]
    assert recipes.left_out(table) == {"Third": "why", "Second, block 1": "no such host"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (run_of(FIRST), r"left out.*\['Second'\]"),
        (run_of(FIRST, SECOND, left_out=["Third", "Fourth"]), r"\['Fourth'\]"),
        (run_of(FIRST, SECOND, left_out=["Second", "Third"]), "or both"),
        (run_of({**FIRST, "words": {"41:00.0": "", "42:00.0": ""}}, SECOND), "does not have 42:00.0"),
        (run_of({**FIRST, "steps": []}, SECOND), "does not have 41:00.0"),
        (run_of({**FIRST, "words": {}, "steps": []}, SECOND), r"of blocks \[1\], \[\] are run"),
        (run_of(FIRST, {**SECOND, "leaves": {1: "why"}}), r"\[1\] are run as a whole, and \[1\] are left out"),
        (run_of(FIRST, {**SECOND, "steps": [{"run": 1, "lines": [1, 3]}]}), r"of blocks \[1\], \[\] are run"),
        (run_of(FIRST, {**SECOND, "steps": [{"run": 2}]}), "has 1 blocks there, and not 2"),
        (run_of(FIRST, {**SECOND, "steps": [{"run": 1, "of": "Third"}]}), "Third: the page has no such recipe with a block"),
        (run_of(FIRST, {**SECOND, "steps": [{"run": 1, "says_": []}]}), "what is this step to do"),
        (run_of(FIRST, {**SECOND, "steps": [{"run": 1, "of": "Recipes"}]}), "begins with a command"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_that_does_not_fit_its_page_is_an_error_with_the_place(table, words):
    with pytest.raises(recipes.TableError, match=words):
        recipes.actions(PAGE, table)
