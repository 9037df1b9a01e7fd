#!/usr/bin/env bash
# Prints the figures of docs/performance.md. Paired runs against HAProxy and Envoy use the harness in ../shared/bench;
# where it is absent those rows are skipped and the output says so. Takes about ten minutes on two cores.
#   bench/run.sh [quick]   quick: fewer pairs
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/bin
pairs=7
[ "${1:-}" = quick ] && pairs=3

if [ -f ../shared/bench/bench.py ]; then
  python3 ../shared/bench/bench.py --scenario D1:16,D1:64,D9,D12 --peers haproxy,envoy,null,meltemi --baseline haproxy,envoy \
    --pairs "$pairs" --meltemi "$bin/meltemi-proxy" --envoy build/deps/envoy --build build/bench --json build/bench.json
else
  echo "bench: ../shared/bench is absent: the paired proxy figures are skipped"
fi
build/deps/python/bin/python bench/mesh_figures.py
