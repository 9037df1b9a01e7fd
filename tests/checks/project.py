"""Where the project is and which files it tracks."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def sources(*patterns):
    """Files git tracks (or would track), matching the patterns."""
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return [ROOT / line for line in sorted(set(out.splitlines())) if (ROOT / line).exists()]
