"""istio.io: Tasks / Traffic Management / Request Routing, on Istio's own YAML."""
from meshes import stars


def versions(mesh, count=12, headers=None):
    return {stars(mesh.get("/productpage", headers=headers).body) for _ in range(count)}


def test_without_rules_all_versions_are_seen(bookinfo):
    assert versions(bookinfo, 30) == {"v1", "v2", "v3"}


def test_everything_to_v1_then_jason_to_v2(bookinfo, samples):
    networking = samples / "bookinfo/networking"
    bookinfo.apply(networking / "virtual-service-all-v1.yaml")
    assert versions(bookinfo) == {"v1"}

    bookinfo.apply(networking / "virtual-service-reviews-test-v2.yaml")
    assert versions(bookinfo) == {"v1"}
    login = bookinfo.get("/login", method="POST")
    assert login.status == 302
    assert versions(bookinfo, headers={"cookie": "session_user=jason"}) == {"v2"}

    bookinfo.delete(networking / "virtual-service-all-v1.yaml")
    assert versions(bookinfo, 30) == {"v1", "v2", "v3"}
