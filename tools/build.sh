#!/usr/bin/env bash
# tools/build.sh PRESET [TARGET...]: configures once, then builds; quiet unless something goes wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
targets=("${@:2}")
[ -f "build/$preset/build.ninja" ] || { echo "build: configuring $preset"; cmake --preset "$preset" >"build/$preset.log" 2>&1 || { cat "build/$preset.log" >&2; exit 1; }; }
echo "build: $preset ${targets[*]:-all}"
start=$SECONDS
# Clang prints what is wrong; ninja's progress is noise in a log and help on a terminal.
if [ -t 1 ]; then ninja -C "build/$preset" "${targets[@]}"; else ninja -C "build/$preset" --quiet "${targets[@]}"; fi
echo "build: $preset ${targets[*]:-all} done in $((SECONDS - start)) s"
