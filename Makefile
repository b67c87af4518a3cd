# Peyk: the few commands that people and CI type. `make help` lists them.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

SWIFT ?= swift
# What the build needs from Debian, and what the demo and the tests run.
PACKAGES := libsqlite3-dev libzstd-dev pkg-config sqlite3
# Generated code is formatted by its generator.
OURS = $(shell find Package.swift Client Protocol Server Sources Tests -name '*.swift' ! -name '*.pb.swift')
TEST = $(SWIFT) test --disable-xctest --skip-build
# Tests that fill both cores, or wait for deadlines on real sockets, run apart from each other.
APART := ^(ConvergenceTests|SimulationTests|PeykNetTests|IntegrationTests|CrashTests|FaultTests|FailureTests|ChaosTests)\.

.PHONY: help deps build release test crash faults failures chaos spin fuzz mutants properties lint format generate man demo bench clean \
	simulate smallworld replay

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install what is missing of the Debian packages that the build needs
	@.ci/deps $(PACKAGES)

build: deps ## Build everything, for debugging
	$(SWIFT) build

release: deps ## Build peyk and peykd, optimised
	$(SWIFT) build -c release --product peyk
	$(SWIFT) build -c release --product peykd

test: deps lint ## Lint, build, and run every test (the demo too, as one of them)
	$(SWIFT) build --build-tests
	$(TEST) --skip '$(APART)'
	$(TEST) --filter '^ConvergenceTests\.'
	$(TEST) --no-parallel --filter '^SimulationTests\.'
	$(TEST) --no-parallel --filter '^PeykNetTests\.'
	$(TEST) --no-parallel --filter '^IntegrationTests\.'
	$(TEST) --no-parallel --filter '^CrashTests\.'
	$(TEST) --no-parallel --filter '^FaultTests\.'
	$(TEST) --no-parallel --filter '^FailureTests\.'
	$(TEST) --no-parallel --filter '^ChaosTests\.'

crash: deps ## Kill peyk KILLS times and peykd SERVER_KILLS times, at failpoints and at random (SEED replays)
	$(SWIFT) build --build-tests
	PEYK_KILLS=$(or $(KILLS),500) PEYK_SERVER_KILLS=$(or $(SERVER_KILLS),100) \
		PEYK_RESTORE_KILLS=$(or $(RESTORE_KILLS),25) PEYK_SEED=$(or $(SEED),1) \
		$(TEST) --no-parallel --filter '^CrashTests\.'

spin: ## Check the models of the protocol, and that each fails with one rule taken away (BOUNDS=full for more)
	@.ci/deps spin gcc libc6-dev
	@Tests/Spin/check.sh $(MODELS)

faults: deps ## The n-th write, sync, open fails, for every n, over every step of replica and server
	$(SWIFT) build --build-tests
	PEYK_FAULT_STEP=1 $(TEST) --no-parallel --filter '^FaultTests\.'

failures: deps ## The failures of other systems, each REPEAT times where it is a matter of chance
	$(SWIFT) build --build-tests
	PEYK_REPEAT=$(or $(REPEAT),20) $(TEST) --no-parallel --filter '^FailureTests\.'

chaos: deps ## Ten peyk and one peykd on a bad line for SECONDS (SEED makes another schedule)
	$(SWIFT) build --build-tests
	PEYK_CHAOS_SECONDS=$(or $(SECONDS),600) PEYK_SEED=$(or $(SEED),1) \
		$(TEST) --no-parallel --filter '^ChaosTests\.'

properties: deps ## CASES (10000) of each property; what fails is made small, and says how to replay it
	$(SWIFT) build --build-tests
	PEYK_CASES=$(or $(CASES),10000) $(TEST) --filter 'Properties[./]'

fuzz: deps ## Fuzz TARGET, or all, for SECONDS (60) each; KEEP=1 keeps what reached new code in seeds/fuzz
	@SECONDS_EACH=$(or $(SECONDS),60) Tests/PeykFuzz/fuzz.sh

mutants: deps ## Seed bugs, one at a time, and see that the tests find each (ONLY="3 17" for some)
	@.ci/deps patch
	@ONLY="$(ONLY)" Tests/Mutants/run.sh

SEEDS ?= 1000
START ?= 1
OPERATIONS ?= 300
# No new seed begins after so many minutes; 0 for no limit.
MINUTES ?= 0
STORIES ?= 100000
# Of some 1.8 million stories each so many-th is told; a prime, so that it goes through all kinds.
STRIDE ?= 17
# Swift's libraries and SQLite in one piece with the program: a sixth less time for each seed.
SIMULATE = PEYK_TARGETS=peyk-simulate $(SWIFT) build -c release --scratch-path .build-simulate --static-swift-stdlib \
	-Xlinker --whole-archive -Xlinker -l:libsqlite3.a -Xlinker --no-whole-archive -Xlinker -lm

simulate: deps ## Simulate SEEDS=… seeds from START=…, or MINUTES=… of them; failing ones shrink into seeds/simulation
	@$(SIMULATE) --product peyk-simulate
	@Tests/Simulate/run.sh "$$($(SIMULATE) --show-bin-path)/peyk-simulate" seeds $(SEEDS) $(START) $(OPERATIONS) $(MINUTES)

smallworld: deps ## Tell STORIES=… stories of one record, each STRIDE=…th, from number START=…
	@$(SIMULATE) --product peyk-simulate
	@Tests/Simulate/run.sh "$$($(SIMULATE) --show-bin-path)/peyk-simulate" stories $(STORIES) $(START) $(STRIDE)

replay: deps ## Tell step by step what the schedule FILE=… does
	@$(SIMULATE) --product peyk-simulate
	@"$$($(SIMULATE) --show-bin-path)/peyk-simulate" --trace $(FILE)

lint: ## Check the format of our Swift
	@$(SWIFT) format lint --strict --parallel $(OURS)
	@echo "format: clean"

format: ## Bring our Swift into its format
	$(SWIFT) format format --in-place --parallel $(OURS)

generate: ## Generate the Swift of Protocol/peyk/v1/*.proto anew (needs protoc; minutes the first time)
	@.ci/deps protobuf-compiler
	Protocol/peyk/generate.sh

man: deps ## Write the manual pages of both programs to .build/man
	$(SWIFT) build --product peyk
	$(SWIFT) build --product peykd
	@mkdir -p .build/man
	@for program in peyk peykd; do "$$($(SWIFT) build --show-bin-path)/$$program" manual > .build/man/$$program.1; done
	@echo "try: man -l .build/man/peyk.1"

demo: deps ## Two reps and a manager, offline and in conflict, on this machine, in about a minute
	$(SWIFT) build --product peyk
	$(SWIFT) build --product peykd
	@seeds/demo/run.sh "$$($(SWIFT) build --show-bin-path)"

bench: deps ## The first speed measure: ratios to plain SQLite
	$(SWIFT) build -c release --product PeykBenchmarks
	"$$($(SWIFT) build -c release --show-bin-path)/PeykBenchmarks" $(BENCH_ARGUMENTS)

clean: ## Remove what was built
	$(SWIFT) package clean
