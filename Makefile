# The ways into this repository. Each one stands in scripts/, installs what it misses and can be run again.
.DEFAULT_GOAL := help
.PHONY: help build demo test lint audit bench image wheel

help: ## list these targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## the binaries and the static supervisor, in target/debug
	@scripts/build.sh

demo: ## one job from a new folder to its archive, on this machine
	@scripts/demo.sh

test: ## every test, with real processes and real containers
	@scripts/test.sh

lint: ## format, clippy, shell scripts; a warning is an error
	@scripts/lint.sh

audit: ## licences, duplicates and vulnerabilities of dependencies (needs the internet)
	@scripts/audit.sh

bench: ## the measurements of docs/operating/performance.md
	@scripts/bench.sh

wheel: ## a Python package with the SDK and the program `atlas`, in target/wheels
	@scripts/wheel.sh

image: ## the worker image, from Debian packages; BASE=IMAGE takes one of a registry
	@scripts/ensure-docker.sh
	@deploy/worker/build-image.sh $(if $(BASE),--base '$(BASE)')
