"""Includes follow tools/layers.txt; products never see each other."""
import re

from project import ROOT, sources

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)
GENERATED = re.compile(r"^(envoy|xds|udpa|google/(rpc|api))/")


def allowed_edges():
    edges = {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            folder, _, targets = line.partition(":")
            edges[folder.strip()] = targets.split()
    return edges


def folder_of(path, folders):
    matches = [f for f in folders if path == f or path.startswith(f + "/")]
    return max(matches, key=len) if matches else None


def test_includes_follow_the_layers():
    edges = allowed_edges()
    wrong = []
    for file in sources("*.h", "*.cc"):
        relative = str(file.relative_to(ROOT))
        folder = folder_of(relative, edges)
        if folder is None:
            continue
        targets = edges[folder] + [folder]
        for included in INCLUDE.findall(file.read_text()):
            if GENERATED.match(included):
                if "xds_api" not in targets:
                    wrong.append(f"{relative}: {included} (Envoy's API is not for {folder})")
            elif (ROOT / included.split("/")[0]).is_dir() and "/" in included:
                if not any(included.startswith(t + "/") for t in targets):
                    wrong.append(f"{relative}: {included} (not among the edges of {folder})")
    assert not wrong, "\n".join(wrong)


def test_every_folder_with_code_has_edges():
    edges = allowed_edges()
    missing = {str(f.parent.relative_to(ROOT)) for f in sources("*.h", "*.cc")
               if folder_of(str(f.relative_to(ROOT)), edges) is None and f.relative_to(ROOT).parts[0] not in ("tests", "bench")}
    assert not missing, f"add to tools/layers.txt: {sorted(missing)}"
