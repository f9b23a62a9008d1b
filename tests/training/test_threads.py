"""Importing the package settles how threads wait, before torch; whoever chose is left alone."""

import os
import subprocess
import sys

import pytest

CODE = "import ecstfl, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"


@pytest.mark.parametrize(("chosen", "wanted"), [(None, "PASSIVE"), ("active", "active")])
def test_threads_wait_passively_unless_somebody_chose(chosen, wanted):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if chosen is not None:
        environment["OMP_WAIT_POLICY"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [wanted, "False"]
