"""The embedded store under a real meltemid: what was acknowledged is there after any death; a watch tells each event once."""
import json
import random
import resource
import threading
import time

import pytest

from meshes import wait_until
from programs import Api, ControlPlane, UnixConnection

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name, value=""):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


@pytest.fixture
def plane(tmp_path):
    plane = ControlPlane(tmp_path, "--state-dir", tmp_path / "state", "--api-address", f"unix:{tmp_path}/api.sock")
    plane.api = Api(tmp_path / "api.sock")
    try:
        yield plane
    finally:
        plane.close()


def names(api):
    return {item["metadata"]["name"] for item in api.list(MAPS)["items"]}


def test_kill_9_loses_nothing_acknowledged(plane):
    plane.start()
    acknowledged = set()
    for life in range(3):
        writer_ended = threading.Event()

        def write(life=life):
            for n in range(100000):
                name = f"life{life}-{n}"
                try:
                    if plane.api.call("POST", MAPS, config_map(name))[0] != 201:
                        break
                except (OSError, ValueError):
                    break
                acknowledged.add(name)
            writer_ended.set()

        before = len(acknowledged)
        thread = threading.Thread(target=write)
        thread.start()
        wait_until(lambda: len(acknowledged) >= before + 40, what="forty writes")
        plane.kill()
        assert writer_ended.wait(20)
        thread.join()
        plane.start()
        missing = acknowledged - names(plane.api)
        assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged writes are gone: {sorted(missing)[:5]}"


def test_conflicts_and_versions_survive_a_restart(plane):
    plane.start()
    made = plane.api.create(MAPS, config_map("a", "1"))
    version = made["metadata"]["resourceVersion"]
    status, changed = plane.api.call("PUT", f"{MAPS}/a", {**made, "data": {"value": "2"}})
    assert status == 200 and int(changed["metadata"]["resourceVersion"]) > int(version)
    status, error = plane.api.call("PUT", f"{MAPS}/a", {**made, "data": {"value": "3"}})
    assert status == 409 and error["reason"] == "Conflict"
    plane.kill()
    plane.start()
    status, found = plane.api.call("GET", f"{MAPS}/a")
    assert status == 200 and found["data"] == {"value": "2"} and found["metadata"]["uid"] == made["metadata"]["uid"]
    status, _ = plane.api.call("DELETE", f"{MAPS}/a")
    assert status == 200 and plane.api.call("GET", f"{MAPS}/a")[0] == 404
    later = plane.api.create(MAPS, config_map("b"))
    assert int(later["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


class Watcher(threading.Thread):
    def __init__(self, path, version):
        super().__init__(daemon=True)
        self.connection = UnixConnection(path, timeout=30)
        self.connection.request("GET", f"{MAPS}?watch=true&resourceVersion={version}")
        self.answer = self.connection.getresponse()
        self.events = []

    def run(self):
        try:
            for line in self.answer:
                event = json.loads(line)
                self.events.append((event["type"], event["object"]["metadata"]["name"], int(event["object"]["metadata"]["resourceVersion"])))
        except (OSError, ValueError, AttributeError):
            pass


def test_watches_from_any_version_tell_the_same_story(plane):
    seed = int(time.time())
    print(f"seed {seed}")
    rng = random.Random(seed)
    plane.start()
    start = plane.api.list(MAPS)["metadata"]["resourceVersion"]
    watchers = [(int(start), Watcher(plane.api.path, start))]
    watchers[0][1].start()
    present = set()
    writes = 0
    for _ in range(150):
        name = f"m{rng.randrange(10)}"
        if name in present and rng.random() < 0.4:
            assert plane.api.call("DELETE", f"{MAPS}/{name}")[0] == 200
            present.discard(name)
        elif name in present:
            assert plane.api.call("PATCH", f"{MAPS}/{name}", {"data": {"value": str(writes)}}, "application/merge-patch+json")[0] == 200
        else:
            plane.api.create(MAPS, config_map(name))
            present.add(name)
        writes += 1
        if rng.random() < 0.1:
            version = plane.api.list(MAPS)["metadata"]["resourceVersion"]
            watchers.append((int(version), Watcher(plane.api.path, version)))
            watchers[-1][1].start()
    story = watchers[0][1]
    wait_until(lambda: len(story.events) >= writes, what=f"{writes} events")
    assert len(story.events) == writes
    versions = [version for _, _, version in story.events]
    assert versions == sorted(set(versions)), "each event once, in order"
    for since, watcher in watchers[1:]:
        expected = [event for event in story.events if event[2] > since]
        wait_until(lambda: len(watcher.events) >= len(expected), what=f"events since {since}")
        assert watcher.events == expected


def test_a_full_disk_refuses_the_write_and_harms_nothing(plane, tmp_path):
    plane.start()
    plane.api.create(MAPS, config_map("before", "x"))
    size = max(file.stat().st_size for file in (tmp_path / "state").rglob("*") if file.is_file())
    # The kernel refuses what would make any file longer, as a full disk does.
    resource.prlimit(plane.program.process.pid, resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))
    refused = None
    for n in range(50):
        status, answer = plane.api.call("POST", MAPS, config_map(f"big{n}", "y" * 20_000))
        if status != 201:
            refused = answer
            break
    assert refused and refused["kind"] == "Status", "the store took more than the disk holds"
    plane.program.assert_runs()
    kept = names(plane.api)
    assert "before" in kept and f"big{n}" not in kept
    resource.prlimit(plane.program.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    plane.api.create(MAPS, config_map("after"))
    plane.kill()
    plane.start()
    assert names(plane.api) == kept | {"after"}


def test_a_torn_write_is_no_damage(plane, tmp_path):
    """The log's last record is cut, as when the power goes: the rest stands."""
    plane.start()
    for n in range(20):
        plane.api.create(MAPS, config_map(f"m{n}"))
    plane.kill()
    (log,) = (tmp_path / "state").rglob("*-wal")
    if log.stat().st_size > 100:
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size - 50)
    plane.start()
    kept = names(plane.api)
    assert {f"m{n}" for n in range(19)} <= kept


def test_a_store_of_nonsense_is_refused_in_words(plane, tmp_path):
    plane.start()
    plane.close()
    (store,) = (tmp_path / "state").rglob("*.db")
    for extra in (tmp_path / "state").rglob("*-wal"):
        extra.unlink()
    store.write_bytes(b"nonsense" * 1000)
    with pytest.raises(AssertionError, match="(?s)ended with 1:.*store"):
        plane.start()
