"""istio.io: Tasks / Traffic Management / Request Timeouts."""
from meshes import stars

REVIEWS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v2
"""
RATINGS_2S_LATE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
spec:
  hosts:
  - ratings
  http:
  - fault:
      delay:
        percentage:
          value: 100
        fixedDelay: 2s
    route:
    - destination:
        host: ratings
        subset: v1
"""


def test_half_a_second_for_reviews(bookinfo, samples):
    bookinfo.apply(samples / "bookinfo/networking/virtual-service-all-v1.yaml")
    bookinfo.apply_text(REVIEWS)
    bookinfo.apply_text(RATINGS_2S_LATE)
    slow = bookinfo.get("/productpage")
    assert stars(slow.body) == "v2" and slow.seconds > 1.9

    bookinfo.apply_text(REVIEWS + "    timeout: 0.5s\n")
    cut = bookinfo.get("/productpage")
    assert stars(cut.body) == "error"
    assert 0.9 < cut.seconds < 1.9  # productpage tries twice, half a second each
    bookinfo.delete(samples / "bookinfo/networking/virtual-service-all-v1.yaml")
