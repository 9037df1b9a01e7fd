#!/usr/bin/env bash
# Starts Bookinfo in a mesh on this machine and shows it working. Leaves the mesh running; a second run starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."
meltemi=build/release/bin/meltemi

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }

# Stars of the reviews that ten product pages show, counted: none is v1, black v2, red v3.
split() {
  local page counts=""
  for _ in $(seq "$1"); do
    page=$(curl -sS --max-time 15 "$url/productpage")
    case $page in
      *'product reviews!'*) counts+="failed"$'\n' ;;
      *'color="red"'*) counts+="reviews v3 (red stars)"$'\n' ;;
      *'color="black"'*) counts+="reviews v2 (black stars)"$'\n' ;;
      *) counts+="reviews v1 (no stars)"$'\n' ;;
    esac
  done
  printf '%s' "$counts" | sort | uniq -c
}

if "$meltemi" status >/dev/null 2>&1; then
  step "A mesh is running already; stopping it first"
  show "$meltemi" down
fi

step "1. Six workloads, each with a proxy, and an ingress gateway"
show "$meltemi" up samples/bookinfo
url=$("$meltemi" status -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["gateway"]["url"])')

step "2. The product page through the gateway"
printf '$ curl %s/productpage | grep title\n' "$url"
curl -sS --max-time 15 "$url/productpage" | grep -o '<title>.*</title>'

step "3. No rules yet: 30 pages, reviews taken in turn from v1, v2, v3"
split 30

step "4. A VirtualService sends everything to v1"
show "$meltemi" apply -f samples/bookinfo/networking/virtual-service-all-v1.yaml

step "5. 30 pages again"
split 30

step "6. Who talks to whom, and how"
show "$meltemi" status

step "The mesh goes on running. Try:"
cat <<TEXT
  $url/productpage                                        in a browser
  $meltemi apply -f samples/bookinfo/networking/virtual-service-reviews-50-v3.yaml
  $meltemi logs reviews-v3 --proxy
  $meltemi down
TEXT
