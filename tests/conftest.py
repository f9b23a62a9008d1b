"""Shared by all tests: side by side they share the cores, so each keeps to one thread."""

import os
import sys

import pytest

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
