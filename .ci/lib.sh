# shellcheck shell=bash
# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What the stages share; each sources it first.
#
#   ROOT        the checkout
#   STAGE       the staged copy of the collection, at .../ansible_collections/vfio/host
#   use_dev     puts the development virtualenv first on the PATH; use_demo the one for make demo
#   phase       runs a command with a clock: tests/tools/phase.py
#   stage       stages the checkout and enters the copy
#   unit_tests  runs pytest with a Python, side by side
#   skip        says aloud what does not run, and why
#   took        notes what a stage or a scenario took, for tests/tools/times.py

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

export VFIO_HOST_CACHE=${VFIO_HOST_CACHE:-${HOME:-/root}/.cache/vfio.host}
# The clock of all phases.
export VFIO_HOST_BEGAN=${VFIO_HOST_BEGAN:-$EPOCHSECONDS}
# Nothing is left in the home directory but this cache.
export ANSIBLE_HOME=${ANSIBLE_HOME:-$VFIO_HOST_CACHE/ansible} PIP_CACHE_DIR=${PIP_CACHE_DIR:-$VFIO_HOST_CACHE/pip}
# Inputs that made a test fail are tried again, and are not among the sources that the sanity tests read.
export HYPOTHESIS_STORAGE_DIRECTORY=$VFIO_HOST_CACHE/hypothesis
# Each process of the tests would compile everything again: half a minute of pytest alone, a fifth of each ansible-playbook.
unset PYTHONDONTWRITEBYTECODE
# Ansible refuses to run without UTF-8, and nobody is there to answer a prompt.
export LC_ALL=C.UTF-8
export ANSIBLE_NOCOLOR=1 NO_COLOR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset ANSIBLE_FORCE_COLOR FORCE_COLOR

phase() { "$ROOT/tests/tools/phase" "$@"; }
note() { printf -- '-- %s\n' "$*"; }
fail() {
    printf 'ERROR: %s\n' "$*" >&2
    exit 1
}

# unit_tests PYTHON [ARGUMENT...]
# In as many processes as there are processors; what a file's tests share stays in one.
unit_tests() {
    local python=$1 output status=0 reason
    shift
    output=$(mktemp)
    phase pytest "$python" -m pytest --numprocesses auto --dist loadfile "$@" 2>&1 | tee --ignore-interrupts "$output" || status=$?
    # "SKIPPED [2] FILE:LINE: reason": how many tests, and why.
    while read -r reason; do
        skip "unit tests, $("$python" --version): $reason"
    done < <(sed -n 's/^SKIPPED //p' "$output")
    rm "$output"
    return "$status"
}

# Skips are collected, so that .ci/run can repeat them where they are read.
skip() {
    printf 'SKIP: %s\n' "$*"
    if [[ -n ${VFIO_HOST_SKIPS:-} ]]; then printf '%s\n' "$*" >>"$VFIO_HOST_SKIPS"; fi
}

# took KIND NAME VERDICT SECONDS
took() {
    local IFS=$'\t'
    if [[ -n ${VFIO_HOST_TIMES:-} ]]; then printf '%s\n' "$*" >>"$VFIO_HOST_TIMES"; fi
}

use_dev() { use_venv dev requirements-dev.txt; }
use_demo() { use_venv demo requirements-demo.txt; }

use_venv() {
    local python=${PYTHON:-python3} venv
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than 3.11, which ansible-core 2.19 needs: set PYTHON to a newer one"
    venv=$(tests/tools/venv "$1" "$python" -r "$2")
    # For people: ". .venv/bin/activate". A real directory there is somebody's own; the development one has the most.
    if [[ ! -e .venv ]] || [[ -L .venv && ($1 == dev || $(readlink .venv) != */dev-*) ]]; then ln -sfn "$venv" .venv; fi
    export PATH="$venv/bin:$PATH" VIRTUAL_ENV=$venv
}

# COLLECTIONS is where FQCNs resolve; Python reads the same tree by PYTHONPATH.
stage() {
    STAGE=$(python3 tests/tools/stage.py)
    use_collections "${STAGE%/ansible_collections/vfio/host}"
    cd "$STAGE"
}

use_collections() {
    COLLECTIONS=$1
    export ANSIBLE_COLLECTIONS_PATH=$COLLECTIONS PYTHONPATH=$COLLECTIONS
}

# Builds the collection from the staged copy and installs it where nothing else is,
# so that what users get is tested, not what lies in the checkout.
ARTIFACTS=
install_collection() {
    local stage_parent
    stage
    stage_parent=$COLLECTIONS
    ARTIFACTS=$stage_parent/artifacts
    rm -rf "$ARTIFACTS" "$stage_parent/installed"
    phase "collection build" ansible-galaxy collection build --force --output-path "$ARTIFACTS"
    use_collections "$stage_parent/installed"
    phase "collection install" ansible-galaxy collection install --force --collections-path "$COLLECTIONS" "$ARTIFACTS"/vfio-host-*.tar.gz
    cd "$COLLECTIONS/ansible_collections/vfio/host"
}
