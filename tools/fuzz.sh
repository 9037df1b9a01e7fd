#!/usr/bin/env bash
# tools/fuzz.sh SECONDS [NAME...]: runs the fuzzers of build/asan (all by default) for so long each, as many at a time as
# there are processors. Seeds are in tests/fuzz/NAME; what a run adds stays in build/fuzz/NAME, and so does a finding.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
names=("$@")
if [ ${#names[@]} = 0 ]; then
  for program in build/asan/fuzz/*; do names+=("$(basename "$program")"); done
fi

run() {
  local name=$1 seconds=$2 seeds=()
  mkdir -p "build/fuzz/$name/corpus"
  [ -d "tests/fuzz/$name" ] && seeds=("tests/fuzz/$name")
  if ! nice "build/asan/fuzz/$name" -max_total_time="$seconds" -timeout=180 -rss_limit_mb=2048 -print_final_stats=1 \
      -artifact_prefix="build/fuzz/$name/" "build/fuzz/$name/corpus" "${seeds[@]}" >"build/fuzz/$name/log" 2>&1; then
    echo "fuzz: $name found something; build/fuzz/$name/log ends with:"
    tail -40 "build/fuzz/$name/log"
    return 1
  fi
  echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name/log") runs in $seconds s"
}
export -f run
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run {} '"$seconds"
