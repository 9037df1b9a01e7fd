"""Wrong input: one sentence what is wrong, one what to do, exit status 1, nothing half done."""
import contextlib
import socket
import sqlite3

import pytest

from meshes import Mesh, ROOT

BOOKINFO = ROOT / "samples/bookinfo"


@pytest.fixture
def mesh():
    mesh = Mesh("bad")
    yield mesh
    mesh.close()


@pytest.fixture(scope="module")
def running():
    mesh = Mesh("good")
    try:
        mesh.up(BOOKINFO)
        yield mesh
    finally:
        mesh.close()


def refused(result, *words):
    text = result.stderr
    assert result.returncode == 1, text
    for word in words:
        assert word in text, text
    assert 1 < len(text.strip().splitlines()) <= 6 or ". " in text, f"what is wrong and what to do:\n{text}"


def test_a_typo_in_yaml_names_file_line_column_field(running, tmp_path):
    file = tmp_path / "typo.yaml"
    file.write_text("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: fine\nspec:\n  hosts: [reviews]\n"
                    "  http:\n  - route:\n    - destination: {host: reviews}\n---\n"
                    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: typo\nspec:\n  hosts: [ratings]\n"
                    "  http:\n  - rout:\n    - destination: {host: ratings}\n")
    file.chmod(0o644)
    tmp_path.chmod(0o755)
    result = running.run("apply", "-f", "-", stdin=file.read_text(), check=False)
    assert result.returncode == 1
    assert ":18:5" in result.stderr and "spec.http[0].rout" in result.stderr and "route" in result.stderr, result.stderr
    names = running.run("get", "virtualservices", "-o", "name").stdout
    assert "/fine" not in names and "/typo" not in names, "nothing of a file with an error is applied"


def test_a_wrong_type_says_what_was_expected(running):
    text = ("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: wrong}\nspec:\n  hosts: [reviews]\n"
            "  http:\n  - timeout: soon\n    route:\n    - destination: {host: reviews}\n")
    result = running.run("apply", "-f", "-", stdin=text, check=False)
    assert result.returncode == 1
    assert "spec.http[0].timeout" in result.stderr and "duration" in result.stderr.lower(), result.stderr


def test_an_image_without_a_mapping(mesh, tmp_path):
    images = mesh.home / "images.yaml"
    images.write_text("images:\n- image: nothing\n  command: ['true']\n")
    images.chmod(0o644)
    refused(mesh.up(BOOKINFO, images=images, check=False), "image", "images.yaml")


def test_a_port_in_use(mesh):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", mesh.gateway_port))
        taken.listen()
        refused(mesh.up(BOOKINFO, check=False), str(mesh.gateway_port))


def test_a_second_up_of_the_same_mesh(running):
    refused(running.up(BOOKINFO, check=False), "running", "down")


def test_a_state_dir_of_another_layout(mesh):
    mesh.up(BOOKINFO)
    mesh.run("down")
    stores = list((mesh.home / "state").rglob("*.db")) + list((mesh.home / "state").rglob("*.sqlite"))
    assert stores, "down keeps the state directory"
    with contextlib.closing(sqlite3.connect(stores[0])) as db, db:
        tables = [r[0] for r in db.execute("select name from sqlite_master where type='table'")]
        meta = next(t for t in tables if "meta" in t or "schema" in t or "layout" in t)
        db.execute(f"update {meta} set value = '0'")
    refused(mesh.up(BOOKINFO, check=False), "layout")


def test_no_mesh_running(mesh):
    refused(mesh.run("status", check=False), "up")


def test_an_unknown_command_and_an_unknown_kind(running):
    result = running.run("aply", check=False)
    assert result.returncode == 1 and "apply" in result.stderr
    result = running.run("get", "virtualservicez", check=False)
    assert result.returncode == 1 and "virtualservices" in result.stderr
