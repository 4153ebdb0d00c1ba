# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give ansible-test the pip that it starts its virtualenvs with, from the package index.

ansible-test makes virtualenvs without pip and downloads a "get-pip" script from a host of its
own, which a machine that reaches only a package index cannot do. It takes the script from its
cache if there is one, and says so in its error message. So this puts one there: pip's wheel, and
three lines that run it. Where a script is there already, nothing is done.

Usage: python tests/tools/get_pip.py   (with the Python that has ansible-core)
"""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

from ansible_test._internal.python_requirements import get_venv_packages
from ansible_test._util.target.common.constants import (
    CONTROLLER_PYTHON_VERSIONS,
    REMOTE_ONLY_PYTHON_VERSIONS,
)

CACHE = Path.home() / ".ansible" / "test" / "cache"

# The interface of the script that ansible-test would download: arguments of "pip install",
# and two switches of its own that only leave packages out.
SCRIPT = """\
import sys
sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main
words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", "--upgrade", "--force-reinstall"] + words))
"""


def provide(version: str) -> None:
    """Put the script for one version of pip in ansible-test's cache."""
    script = CACHE / f"get_pip_{version.replace('.', '_')}.py"
    if script.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    download = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(CACHE)]
    subprocess.run([*download, f"pip=={version}"], check=True)
    wheel = CACHE / f"pip-{version}-py3-none-any.whl"
    fresh = script.with_suffix(".new")
    fresh.write_text(SCRIPT.format(wheel=str(wheel)), encoding="utf-8")
    fresh.replace(script)


def main() -> None:
    """Provide every version of pip that ansible-test may ask for."""
    pythons = (*REMOTE_ONLY_PYTHON_VERSIONS, *CONTROLLER_PYTHON_VERSIONS)
    wanted = {get_venv_packages(types.SimpleNamespace(version=python))["pip"] for python in pythons}
    for version in sorted(wanted):
        provide(version)


if __name__ == "__main__":
    main()
