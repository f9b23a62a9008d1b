"""Shared by all tests: side by side they share the cores, so each keeps to one thread."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch and NumPy are imported
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
