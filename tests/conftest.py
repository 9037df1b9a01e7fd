import pytest

import meshes


def pytest_report_header(config):
    if not meshes.SHARED.is_dir():
        return "../shared is absent: tests on Istio's own samples are skipped"


@pytest.fixture(scope="session")
def samples():
    if not meshes.SAMPLES.is_dir():
        pytest.skip("../shared/cases/samples is absent")
    return meshes.SAMPLES


@pytest.fixture(scope="module")
def bookinfo(samples):
    """Istio's Bookinfo, unchanged, with its gateway, its destination rules and curl."""
    mesh = meshes.Mesh("bookinfo")
    try:
        mesh.up(samples / "bookinfo/platform/kube/bookinfo.yaml", samples / "curl/curl.yaml",
                samples / "bookinfo/networking/bookinfo-gateway.yaml", samples / "bookinfo/networking/destination-rule-all.yaml")
        yield mesh
    finally:
        mesh.close()
