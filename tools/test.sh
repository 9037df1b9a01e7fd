#!/usr/bin/env bash
# Every test, in the least time: while the whole-program tests wait for what they start, the sanitized
# programs are built behind them. Unit tests run once, with sanitizers: what is optimised runs in the
# whole-program tests.
set -euo pipefail
cd "$(dirname "$0")/.."
log=build/asan-build.log
tools/build.sh release programs bench_pure
set -m # a process group of its own, to end it as a whole
nice -n 19 tools/build.sh asan unit_tests fuzzers >"$log" 2>&1 &
builder=$!
trap 'kill -- -"$builder" 2>/dev/null || true' EXIT
build/deps/python/bin/pytest -q tests
wait "$builder" || { cat "$log" >&2; exit 1; }
trap - EXIT
make --no-print-directory counts asan
tools/fuzz.sh 2
echo "all tests passed"
