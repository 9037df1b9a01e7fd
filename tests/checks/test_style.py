"""Formatting, licence lines, bans, sizes."""
import re
import shutil
import statistics
import subprocess

import pytest

from project import ROOT, sources

CPP = ("*.h", "*.cc")
THREADING = re.compile(r"\bstd::(mutex|thread|jthread|condition_variable|atomic|shared_mutex)\b")
# A name of our own; Envoy's are only declared ahead ("class HttpConnectionManager;").
BANNED_NAMES = re.compile(r"\b(?:class|struct)\s+\w*(Manager|Helper|Util|Utils|Impl)\b(?!;)")
SOURCE_LINES_MAX = 700
TEST_LINES_MAX = 1200


def test_formatting():
    tool = shutil.which("clang-format-19")
    if not tool:
        pytest.fail("clang-format-19 is missing: run tools/deps.sh")
    files = [str(f) for f in sources(*CPP)]
    result = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=1", *files], capture_output=True, text=True)
    assert result.returncode == 0, "run `make fmt`:\n" + result.stderr[:4000]


def test_licence_line():
    missing = [str(f.relative_to(ROOT)) for f in sources(*CPP) if "SPDX-License-Identifier: Apache-2.0" not in f.read_text()[:200]]
    assert not missing, missing


def test_only_the_runtime_names_threads():
    allowed = ("lib/runtime/", "lib/telemetry/", "lib/tls/", "host/", "tests/", "bench/")
    wrong = [str(f.relative_to(ROOT)) for f in sources(*CPP)
             if not str(f.relative_to(ROOT)).startswith(allowed) and not f.name.endswith("_test.cc")
             and f.parent.name != "testing" and THREADING.search(f.read_text())]
    assert not wrong, f"threads, mutexes and atomics belong to lib/runtime: {wrong}"


def test_no_throw():
    wrong = [str(f.relative_to(ROOT)) for f in sources(*CPP) if re.search(r"^\s*throw\b", f.read_text(), re.M)]
    assert not wrong, wrong


def test_names():
    wrong = [f"{f.relative_to(ROOT)}: {m.group(0)}" for f in sources(*CPP) for m in BANNED_NAMES.finditer(f.read_text())]
    assert not wrong, wrong


def lines(path):
    return path.read_text().count("\n")


def test_file_sizes(record_property):
    sizes = {f: lines(f) for f in sources(*CPP)}
    ordinary = sorted(n for f, n in sizes.items() if not f.name.endswith("_test.cc"))
    p95 = ordinary[int(len(ordinary) * 0.95)]
    print(f"files: {len(ordinary)}, lines: {sum(ordinary)}, median {statistics.median(ordinary):.0f}, p95 {p95}")
    over = [f"{f.relative_to(ROOT)}: {n}" for f, n in sizes.items()
            if n > (TEST_LINES_MAX if f.name.endswith("_test.cc") else SOURCE_LINES_MAX)]
    assert not over, over


FUNCTION_START = re.compile(r"^(?:  )?[A-Za-z].*[)\w] (?:const |override |final |noexcept )*\{$")


def function_lengths(path):
    """Lengths of functions that start in column 0 or 2, by brace matching on clang-formatted text."""
    text = path.read_text().splitlines()
    at = 0
    while at < len(text):
        line = text[at]
        if FUNCTION_START.match(line) and not re.match(r"^\s*(namespace|class|struct|enum|union|extern|if|for|while|switch|do|else)\b", line):
            indent = len(line) - len(line.lstrip())
            end = at + 1
            while end < len(text) and not (text[end].startswith(" " * indent + "}") and len(text[end]) - len(text[end].lstrip()) == indent):
                end += 1
            yield at + 1, end - at + 1, line.strip()
            at = end
        at += 1


def test_function_sizes():
    limit = 70
    found = [(n, f"{f.relative_to(ROOT)}:{at}", name) for f in sources("*.cc") if not f.name.endswith("_test.cc")
             for at, n, name in function_lengths(f)]
    counts = sorted(n for n, _, _ in found)
    print(f"functions: {len(counts)}, median {statistics.median(counts):.0f}, p95 {counts[int(len(counts) * 0.95)]}")
    over = [f"{where}: {n} lines: {name}" for n, where, name in sorted(found, reverse=True) if n > limit]
    assert not over, "\n".join(over)
