# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation site: this repository's Markdown, and what antsibull-docs makes of the plugins. tests/tools/site.py builds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

project = "vfio.host"
author = "the vfio.host authors"
copyright = "2026, the vfio.host authors"  # pylint: disable=redefined-builtin
html_title = html_short_title = "vfio.host"

extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
# Headings as deep as the pages link to them.
myst_heading_anchors = 3

html_theme = "sphinx_ansible_theme"
html_theme_options = {"topbar_links": {"Source": "https://github.com/vfio-host/vfio.host"}}
html_static_path = html_css_files = ["narrow.css"]
html_show_sphinx = False
html_copy_source = False
html_use_modindex = False
html_use_index = False
pygments_style = "ansible"
highlight_language = "YAML+Jinja"

# Every reference has to be there. Labels of ansible-core's own documentation are those of labels.txt, so a build needs no network.
nitpicky = True
intersphinx_mapping = {
    "ansible": ("https://docs.ansible.com/projects/ansible/latest/", str(Path(__file__).parent / "ansible-core.inv")),
}


def _home(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """The link of the top bar, which the theme takes as it is, from a page in whatever directory."""
    context["theme_documentation_home_url"] = context["pathto"]("index")


def setup(app: Any) -> None:
    """What Sphinx calls with its application."""
    app.connect("html-page-context", _home)
