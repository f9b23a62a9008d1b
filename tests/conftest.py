"""Shared by all tests: side by side they share the cores, so each keeps to one thread."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is no fault of the code that is drawn for
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch and NumPy are imported
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture(autouse=True)
def threads_are_left_alone():
    """Fail a test after which torch has another number of threads: later bits depend on it."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if before is not None:
        after = sys.modules["torch"].get_num_threads()
        sys.modules["torch"].set_num_threads(before)
        assert after == before, "this test changed the number of torch's threads"


@pytest.fixture
def quick_maps(monkeypatch):
    """Maps in no time: two of the features in place of UMAP, which compiles for 20 seconds."""

    def two_features(features, seed=0, neighbours=15):
        return features[:, :2].astype("float64")

    monkeypatch.setattr("ecstfl.figures.maps.umap_map", two_features)
    monkeypatch.setattr("ecstfl.figures.maps._import_umap", lambda: None)


@pytest.fixture(scope="session")
def smoke_cache(tmp_path_factory):
    """A cache with the prepared clips of the smoke profile, made once for all processes of tests.

    Only to be read: what else a test prepares goes to a cache of its own.
    """
    from ecstfl.clips.preprocess_set import preprocess
    from ecstfl.datasets.embedded import open_embedded
    from ecstfl.experiments.profiles import get_profile, select_clips

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    smoke = get_profile("smoke")
    clips = select_clips(smoke, open_embedded())
    preprocess(clips, smoke.preprocess, folder / "smoke-cache", workers=0, progress=False)
    return folder / "smoke-cache"
