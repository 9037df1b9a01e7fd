"""Bootstraps in YAML with anchors and aliases: taken as Envoy takes them, bounded where they explode."""
import subprocess

import pytest

from meshes import BIN
from programs import ENVOY

ALIASED = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  clusters:
  - name: a
    connect_timeout: &time 1s
    type: STATIC
    load_assignment: &endpoints
      cluster_name: a
      endpoints: &list
      - lb_endpoints: [&one {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}}, *one]
  - {name: b, connect_timeout: *time, type: STATIC, load_assignment: *endpoints}
  - {name: c, connect_timeout: *time, type: STATIC, load_assignment: {cluster_name: c, endpoints: *list}}
"""


def bomb(levels, width=10):
    lines = ["x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


def validate(directory, text, *program):
    file = directory / "bootstrap.yaml"
    file.write_text(text)
    result = subprocess.run([*(program or [BIN / "meltemi-proxy"]), "--mode", "validate", "-c", file], capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("program", [(), (ENVOY,)], ids=["meltemi", "envoy"])
def test_aliases_stand_for_their_anchors(tmp_path, program):
    assert validate(tmp_path, ALIASED, *program)[0] == 0
    # Each copy is judged, as if it had been written out.
    code, said = validate(tmp_path, ALIASED.replace("port_value: 9", "port_value: 99999"), *program)
    assert code != 0 and ("99999" in said or "port_value" in said or "PortValue" in said), said


@pytest.mark.parametrize("text, reason", [
    (bomb(12), "aliases stand for more than"),
    ("a: *nowhere\n", "no anchor &nowhere"),
    ("a: &a [1, *a]\n", "no anchor &a"),  # it holds itself
    ("a: &a {b: 1}\nc:\n  <<: *a\n", "merge key"),
])
def test_what_is_refused(tmp_path, text, reason):
    code, said = validate(tmp_path, text)
    assert code == 1 and reason in said, said


def test_a_small_tower_is_no_bomb(tmp_path):
    assert validate(tmp_path, bomb(4))[0] == 0
