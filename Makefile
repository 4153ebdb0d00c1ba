# Copyright (c) 2026, the vfio.host authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Each target is a script that also runs without make. Needs git, make and python3;
# as root, or with sudo, what else is missing is installed.

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint unit cores sanity build docs molecule benchmark times venv release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## take devices on a virtual host, reboot it, give them back, with tables to read
	@tests/demo

test: ## everything, as CI runs it
	@.ci/run

test-long: ## the same, with everything that takes longer
	@.ci/run --long

lint: ## yamllint, ansible-lint, antsibull, ruff, mypy, shellcheck, licences, the forge's files
	@.ci/run lint

unit: ## unit tests with this machine's Python and the newest ansible-core it takes
	@.ci/run unit

cores: ## unit tests on other Pythons and ansible-cores, see .ci/matrix
	@.ci/run cores

sanity: ## ansible-test sanity
	@.ci/run sanity

build: ## build, install and import the collection
	@.ci/run build

docs: ## the documentation as a site, in the cache; says where
	@.ci/run docs

molecule: ## scenarios on the lab's virtual hosts
	@.ci/run molecule

benchmark: ## ratios against peers
	@.ci/run benchmark

times: ## what the last runs of all checks took, by stage and by scenario
	@python3 tests/tools/times.py

venv: ## make .venv with Ansible, for use by hand
	@bash -c '. .ci/lib.sh && use_demo' && echo "now: . .venv/bin/activate"

release: ## VERSION=X.Y.Z: changelog, version, artifact and documentation of a release, from a clean tree
	@tests/tools/release "$(VERSION)"

clean: ## drop virtualenvs and staged copies; the lab's images stay
	@rm -rf "$${VFIO_HOST_CACHE:-$$HOME/.cache/vfio.host}/venv" \
		"$${VFIO_HOST_CACHE:-$$HOME/.cache/vfio.host}/stage" "$${VFIO_HOST_CACHE:-$$HOME/.cache/vfio.host}/docs" .mypy_cache .pytest_cache .ruff_cache tests/output
	@if [ -L .venv ]; then rm .venv; fi
