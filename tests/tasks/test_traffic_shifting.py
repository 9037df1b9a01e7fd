"""istio.io: Tasks / Traffic Management / Traffic Shifting."""
from meshes import stars


def test_half_of_reviews_to_v3_then_all(bookinfo, samples):
    networking = samples / "bookinfo/networking"
    bookinfo.apply(networking / "virtual-service-all-v1.yaml", networking / "virtual-service-reviews-50-v3.yaml")
    seen = [stars(bookinfo.get("/productpage").body) for _ in range(60)]
    assert set(seen) == {"v1", "v3"}
    assert 12 <= seen.count("v3") <= 48  # binomial(60, ½) leaves this range once in a million runs

    bookinfo.apply(networking / "virtual-service-reviews-v3.yaml")
    assert {stars(bookinfo.get("/productpage").body) for _ in range(10)} == {"v3"}
    bookinfo.delete(networking / "virtual-service-all-v1.yaml")
