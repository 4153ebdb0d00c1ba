# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The survey specifications for AWX: valid by AWX's own rules, and about variables and values that the role has.

AWX's rules are those of 24.6.1: awx/api/views/__init__.py JobTemplateSurveySpec._validate_spec_data() for a specification that is saved, and
awx/main/models/mixins.py SurveyJobTemplateMixin._survey_element_validation() for an answer, a default as well.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.vfio.host.plugins.plugin_utils import _declared

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "docs" / "awx").glob("*.json"))
# The entry point of the role that a playbook calls; survey calls none, and reads a variable of main.
ENTRY_POINTS = {"survey": "main", "converge": "main", "verify": "verify", "release": "release", "report": "plan"}
# What the playbooks themselves read; one without a default has to be answered.
OF_PLAYBOOKS = {"passthrough_release": {"type": "bool", "default": False}, "passthrough_report": {"type": "str"}}
# Source: awx/main/constants.py SURVEY_TYPE_MAPPING
TYPES = {
    "text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": (float, int),
}


def refused_when_saved(spec):
    """The first error of AWX where a specification is saved, else None. In its order; without passwords, of which there are none."""
    for field, kind in (("name", str), ("description", str), ("spec", list)):
        if field not in spec:
            return f"Field '{field}' is missing from survey spec."
        if not isinstance(spec[field], kind):
            return f"Expected {kind.__name__} for field '{field}'"
    if not spec["spec"]:
        return "'spec' doesn't contain any items."
    seen = set()
    for index, item in enumerate(spec["spec"]):
        error = item_refused(index, item, seen)
        if error:
            return error
    return None


def item_refused(index, item, seen):
    """The error about one question, else None; ``seen``: the variables before it, and its own afterwards."""
    for field in ("type", "question_name", "variable", "required"):
        if field not in item:
            return f"'{field}' missing from survey question {index}"
        if not isinstance(item[field], bool if field == "required" else str):
            return f"'{field}' in survey question {index} expected to be {'boolean' if field == 'required' else 'string'}."
    if item["variable"] in seen:
        return f"'variable' '{item['variable']}' duplicated in survey question {index}."
    seen.add(item["variable"])
    if item["type"] not in TYPES:
        return f"'{item['type']}' in survey question {index} is not one of '{', '.join(TYPES)}' allowed question types."
    default = item.get("default", "")
    if default != "" and not isinstance(default, TYPES[item["type"]]):
        return f"Default value {default} in survey question {index}"
    for limit in ("min", "max"):
        if item.get(limit) is not None and not isinstance(item[limit], int):
            return f"The {limit} limit in survey question {index} expected to be integer."
    return choices_refused(index, item, default) if item["type"] in ("multiselect", "multiplechoice") else None


def choices_refused(index, item, default):
    """The error about a question with choices, else None."""
    if "choices" not in item:
        return f"Survey question {index} of type {item['type']} must specify choices."
    defaults = [one for one in default.splitlines() if one.strip()]
    if item["type"] == "multiplechoice" and len(defaults) > 1:
        return "Multiple Choice (Single Select) can only have one default value."
    if any(one not in item["choices"] for one in defaults):
        return "Default choice must be answered from the choices listed."
    return None


def refused_as_answer(item, value):
    """The error of AWX about an answer, else None."""
    choices = item.get("choices")
    if isinstance(choices, str):
        choices = [one for one in choices.splitlines() if one.strip()]
    kind = item["type"]
    if kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            return "expected to be an integer"
        low, high = item.get("min"), item.get("max")
        return "out of range" if (low is not None and value < low) or (high is not None and value > high) else None
    if kind == "text":
        return None if isinstance(value, str) and value else "expected to be string"
    if kind == "multiselect":
        return None if isinstance(value, list) and all(one in choices for one in value) else "expected to be one of the choices"
    return None if value in choices else "expected to be one of the choices"


def questions():
    return [
        pytest.param(path.stem, item, id=f"{path.stem}:{item['variable']}")
        for path in FILES for item in json.loads(path.read_text(encoding="utf-8"))["spec"]
    ]


def test_there_is_one_for_each_playbook():
    assert {path.stem for path in FILES} == {path.stem for path in (ROOT / "playbooks").glob("*.yml")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_awx_saves_it(path):
    assert refused_when_saved(json.loads(path.read_text(encoding="utf-8"))) is None


@pytest.mark.parametrize(("change", "error"), [
    ({"required": "yes"}, "'required' in survey question 0 expected to be boolean."),
    ({"type": "boolean"}, "'boolean' in survey question 0 is not one of"),
    ({"default": False}, "Default value False in survey question 0"),
    ({"default": "maybe"}, "Default choice must be answered from the choices listed."),
    ({"default": "true\nfalse"}, "can only have one default value"),
    ({"min": "0"}, "The min limit in survey question 0 expected to be integer."),
])
def test_the_rules_refuse_what_awx_refuses(change, error):
    spec = json.loads((ROOT / "docs/awx/converge.json").read_text(encoding="utf-8"))
    spec["spec"][0].update(change)
    assert error in refused_when_saved(spec)


@pytest.mark.parametrize(("name", "item"), questions())
def test_a_question_is_about_a_variable_of_the_role_and_every_answer_is_one_that_it_takes(name, item):
    options = {**_declared.specs()[ENTRY_POINTS[name]]["options"], **OF_PLAYBOOKS}
    variable, option = item["variable"], options[item["variable"]]
    if item["type"] == "integer":
        answers = [item["min"], item["max"]]
    elif item["type"] == "text":
        answers = ["/reports/report.html"]
    else:
        answers = [[one] for one in item["choices"]] if item["type"] == "multiselect" else item["choices"]
    for answer in answers:
        assert refused_as_answer(item, answer) is None
        assert _declared.misfits(options, {variable: answer}, variables={}) == []
    if "choices" in option and item["type"] == "multiselect":
        assert item["choices"] == option["choices"]


@pytest.mark.parametrize(("name", "item"), questions())
def test_who_answers_nothing_gets_the_roles_default(name, item):
    # A survey's answers are extra variables, its defaults too: they beat the inventory.
    option = {**_declared.specs()[ENTRY_POINTS[name]]["options"], **OF_PLAYBOOKS}[item["variable"]]
    if not item["required"] or "default" not in option:
        assert "default" not in item
        return
    assert refused_as_answer(item, item["default"]) is None
    assert str(item["default"]).lower() == str(option["default"]).lower()
