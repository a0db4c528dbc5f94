# What one types here. `make help` lists it.

SHELL := /bin/bash
ORIGIN ?=
LIMITS ?= --refresh-after 1m --expire-after 7d
SWIFT ?= swift
SOURCES = $(shell git ls-files -co --exclude-standard '*.swift')

.PHONY: help build demo test sanitize integration clients origins abuse soak format lint bench clean

help: ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

build: ## a release build at bin/perennial
	@scripts/setup build
	@scripts/build-release

demo: build ## see the pattern on a slow origin; ORIGIN=https://… puts the gateway before that instead, with limits
	@if [ -n "$(ORIGIN)" ]; then exec bin/perennial serve --origin "$(ORIGIN)" $(LIMITS); else exec bin/perennial demo; fi

test: ## every test, set-up included
	@scripts/setup test
	@scripts/test

integration: ## only the test with httpbin, nginx and curl, on bin/perennial or PERENNIAL=path
	@scripts/setup test
	@scripts/integration-test

clients: ## only the test with requests, httpx, fetch and Chromium, likewise
	@scripts/setup test
	@scripts/real-clients

origins: ## only the test with Django, Radicale, pip, Kinto, git, boto3, skopeo and live pages, likewise
	@scripts/setup origins
	@scripts/real-origins

abuse: ## ten minutes of hostile clients and a hostile origin, on bin/perennial or PERENNIAL=path
	@scripts/abuse

soak: ## a fleet under disturbances: MINUTES=3 ENGINE=sqlite SEED=, on bin/perennial or PERENNIAL=path
	@scripts/soak --minutes $(or $(MINUTES),3) --engine $(or $(ENGINE),sqlite) $(if $(SEED),--seed $(SEED))

format: ## format the sources
	@$(SWIFT) format format -i -p $(SOURCES)

lint: ## check the format of the sources
	@$(SWIFT) format lint -s -p $(SOURCES)

sanitize: ## the gateway's tests under the thread sanitizer
	@scripts/setup test
	@scripts/sanitize

bench: ## the benchmarks
	@scripts/setup bench
	@scripts/bench

clean: ## remove what was built
	rm -rf .build .build-release bin Benchmarks/.build Examples/*/.build
