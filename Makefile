# The front door. Every target installs what it needs first; a second run finds it there and takes seconds.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# Node 24 comes with `npm ci`, whatever node the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

envd_target := $(shell uname -m)-unknown-linux-gnu
export WRENN_ENVD_BIN := $(CURDIR)/envd/target/$(envd_target)/release/envd

.PHONY: help install node_modules envd images run demo test test-long chaos check format generate bench \
        build dev dev-agent dev-frontend doctor

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: ## Debian packages, node_modules and envd
	@scripts/install

node_modules:
	@scripts/install node

envd: ## The guest agent, static
	@scripts/install envd

images: install ## Kernel, initramfs and root file system below WRENN_DIR
	@node apps/cli/src/main.ts images

run: install ## The platform on this machine, in the foreground
	@exec node apps/cli/src/main.ts up

demo: install ## Start, a hello capsule, everything torn down
	@exec node apps/cli/src/main.ts demo

test: install ## Every test
	@exec node scripts/test.ts

test-long: install ## Tests that take too long for every change
	@exec node scripts/test.ts --long

chaos: install ## 1000 random operations while everything is killed; WRENN_CHAOS_SEED repeats a run
	@WRENN_CHAOS_OPERATIONS=$${WRENN_CHAOS_OPERATIONS:-1000} exec vitest run --project chaos

check: install ## Format, lint, types, dependency directions, generated code, clippy
	@exec node scripts/check.ts

format: node_modules ## Writes the format that `check` wants
	@biome check --write .
	cd envd && cargo fmt

generate: node_modules ## Code from the protos
	@npm run --silent generate

bench: install ## Performance: make bench SUITE=create, or all of them
	@exec node bench/src/main.ts $(SUITE)

build: install ## builds/: wrenn, wrenn-cp, wrenn-agent and envd, each complete in itself
	@exec node scripts/build.ts

dev: install ## The control plane from source, with its own PostgreSQL; restarts on a change
	@exec node scripts/dev/control-plane.ts

dev-agent: install ## A host agent from source for it; restarts on a change, capsules run on
	@exec node scripts/dev/agent.ts

dev-frontend:
	@echo "make dev-frontend: there is no frontend yet; the console is a later step, see CHANGELOG.md" >&2
	exit 1

doctor: node_modules ## What this machine has and lacks, and what to do about it
	@exec node apps/cli/src/main.ts doctor
