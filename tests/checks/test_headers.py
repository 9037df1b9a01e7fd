"""Every header compiles alone. A header that its own source includes first was proven so by the build;
the others are compiled here."""
import json
import re
import shlex
import subprocess

import pytest

from project import ROOT, sources


def compile_flags():
    database = ROOT / "build/release/compile_commands.json"
    if not database.exists():
        pytest.fail("build/release is missing: run `make build`")
    flags = {}
    for entry in json.loads(database.read_text()):
        if entry["file"].startswith(str(ROOT / "build")):
            continue
        words = shlex.split(entry["command"])
        for at, word in enumerate(words):
            if word == "-isystem":
                flags[f"-isystem {words[at + 1]}"] = None
            elif word.startswith(("-I", "-D", "-std")):
                flags[word] = None
    return [word for flag in flags for word in flag.split() if word]


def is_first_include_of_its_source(header):
    source = header.with_suffix(".cc")
    if not source.exists():
        return False
    first = re.search(r'^#include\s+"([^"]+)"', source.read_text(), re.M)
    return first is not None and first.group(1) == str(header.relative_to(ROOT))


def test_each_header_compiles_alone():
    flags = compile_flags()
    headers = [f for f in sources("*.h") if f.relative_to(ROOT).parts[0] not in ("tests", "bench")
               and not is_first_include_of_its_source(f)]
    commands = []
    for header in headers:
        commands.append((header, ["clang++-19", "-fsyntax-only", "-x", "c++", "-w", *flags, "-include", str(header.relative_to(ROOT)), "/dev/null"]))
    failed = []
    running = []
    for header, command in commands:
        running.append((header, subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)))
        if len(running) >= 2:
            failed += finish(*running.pop(0))
    for item in running:
        failed += finish(*item)
    assert not failed, "\n".join(failed)


def finish(header, process):
    _, errors = process.communicate()
    return [f"{header.relative_to(ROOT)}:\n{errors[:600]}"] if process.returncode else []
