#!/usr/bin/env python3
"""Guards the cost of pure functions: instructions of one round of each, counted by callgrind, against instructions.tsv.

    bench/pure/instructions.py build/release/bench/pure/bench_pure [--write]

Instructions are the same on a busy machine, so that a tenth more or less is the code's doing. Fewer fail as well: a gain that is
not written down could be lost again unnoticed. What does count is the processor (AVX2 is expected; callgrind hides AVX-512).
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).with_name("instructions.tsv")
ROUNDS = 100
TOLERANCE = 0.10


def count(program):
    """Instructions of one round, by name."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out", program, "--count", str(ROUNDS)]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        counts = {}
        for dump in sorted(pathlib.Path(folder).iterdir(), key=lambda path: int(path.suffix[1:] or 0)):
            text = dump.read_text(errors="replace")
            name = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.M)
            if name:
                counts[name[1]] = round(int(re.search(r"^totals: (\d+)", text, re.M)[1]) / ROUNDS)
        return counts


def read_table():
    rows = (line.split("\t") for line in TABLE.read_text().splitlines() if not line.startswith("#"))
    return {name: int(instructions) for name, instructions in rows}


def write_table(counts):
    TABLE.write_text("# Instructions of one round, by instructions.py --write\n" +
                     "".join(f"{name}\t{instructions}\n" for name, instructions in counts.items()))


def compare(was, now):
    """One line per function that is not what the table says."""
    for name in was.keys() | now.keys():
        if name not in now:
            yield f"{name}: in the table, no longer in the program"
        elif name not in was:
            yield f"{name}: {now[name]} instructions, not in the table yet"
        elif abs(now[name] - was[name]) > TOLERANCE * was[name]:
            yield f"{name}: was {was[name]} instructions, is {now[name]} ({now[name] / was[name] - 1:+.0%})"


def main():
    program = os.path.abspath(sys.argv[1])
    now = count(program)
    if "--write" in sys.argv:
        write_table(now)
        return
    wrong = sorted(compare(read_table(), now))
    if wrong:
        print(*wrong, f"Mend the code, or accept the counts: {' '.join(sys.argv)} --write", sep="\n")
        sys.exit(1)
    print(f"{len(now)} functions take the instructions they took")


main()
