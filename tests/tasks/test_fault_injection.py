"""istio.io: Tasks / Traffic Management / Fault Injection."""
import pytest

from meshes import stars

JASON = {"cookie": "session_user=jason"}


@pytest.fixture(scope="module", autouse=True)
def routed(bookinfo, samples):
    networking = samples / "bookinfo/networking"
    bookinfo.apply(networking / "virtual-service-all-v1.yaml", networking / "virtual-service-reviews-test-v2.yaml")
    yield
    bookinfo.delete(networking / "virtual-service-all-v1.yaml")


def test_delay_uncovers_the_timeout_in_productpage(bookinfo, samples):
    bookinfo.apply(samples / "bookinfo/networking/virtual-service-ratings-test-delay.yaml")
    late = bookinfo.get("/productpage", headers=JASON)
    assert stars(late.body) == "error"
    assert 5.5 < late.seconds < 8
    assert stars(bookinfo.get("/productpage").body) == "v1"


def test_abort_shows_ratings_unavailable_to_jason_only(bookinfo, samples):
    bookinfo.apply(samples / "bookinfo/networking/virtual-service-ratings-test-abort.yaml")
    page = bookinfo.get("/productpage", headers=JASON)
    assert "Ratings service is currently unavailable" in page.body
    assert stars(bookinfo.get("/productpage").body) == "v1"
