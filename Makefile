# make demo    installs what is missing, builds, starts Bookinfo in a mesh and shows it working
# make test    installs what is missing, builds, runs every test
# make build   leaves the programs in build/release/bin
# make fuzz    runs every fuzzer for SECONDS (600), or those in NAMES
# make bench   prints the figures of docs/performance.md, beside HAProxy and Envoy
.PHONY: demo test build deps unit counts asan fuzz e2e bench fmt gcc clean
.DEFAULT_GOAL := build
jobs := $(shell nproc)

build:
	@tools/deps.sh build
	@tools/build.sh release programs

demo: build
	@tools/demo.sh

deps:
	@tools/deps.sh

unit: deps
	@tools/build.sh release programs
	@tools/build.sh release unit_tests
	@ctest --test-dir build/release --output-on-failure -j$(jobs) --timeout 300

# The instructions of pure functions against bench/pure/instructions.tsv.
counts: deps
	@tools/build.sh release bench_pure
	@ctest --test-dir build/release --output-on-failure -R '^instructions$$'

# The unit tests with AddressSanitizer and UndefinedBehaviorSanitizer.
asan: deps
	@tools/build.sh asan unit_tests
	@UBSAN_OPTIONS=print_stacktrace=1 ctest --test-dir build/asan --output-on-failure -j$(jobs) --timeout 600

e2e: deps
	@tools/build.sh release programs
	@build/deps/python/bin/pytest -q tests

# The time of each fuzzer is SECONDS; make itself knows no such variable.
fuzz: deps
	@tools/build.sh asan fuzzers
	@tools/fuzz.sh $(or $(SECONDS),600) $(NAMES)

test: deps
	@tools/test.sh

gcc: deps
	@tools/build.sh gcc

bench: deps
	@tools/build.sh release programs
	@bench/run.sh

fmt:
	@git ls-files '*.h' '*.cc' | xargs clang-format-19 -i

clean:
	@rm -rf build/release build/debug build/asan build/tsan build/gcc
