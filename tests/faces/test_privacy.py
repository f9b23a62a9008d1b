"""Nothing is written below the user's home and no socket is opened when a detector is opened."""

import os
import shutil
import subprocess
import sys

import pytest

OPEN = """
import sys, time
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
import numpy as np
from ecstfl.faces.retinaface import RetinaFace
RetinaFace().detect(np.zeros((64, 64, 3), np.uint8))
time.sleep(float(sys.argv[1]))
print(opened)
"""


def run(code, home, prefix=(), wait=0):
    """Run Python with an empty home, and without what this process was told about reporting."""
    unwanted = ("ORT_", "XDG_", "HOME", "PYTHONSTARTUP")
    env = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*prefix, sys.executable, "-c", code, str(wait)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def left_in(home):
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file())


def test_opening_the_detector_writes_nothing_and_asks_nobody(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = run(OPEN, home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert left_in(home) == []


@pytest.mark.slow
def test_no_socket_below_python_either(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    # what is to be seen comes about nine seconds after the import
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    done = run(OPEN, home, ("strace", "-f", "-qq", "-e", "trace=network", "-o", str(log)), 15)
    if "ptrace" in done.stderr.lower() or not log.exists():
        pytest.skip("strace may not look at processes here")
    assert done.returncode == 0, done.stderr
    calls = [line for line in log.read_text().splitlines() if "socket" in line or "connect" in line]
    assert calls == []


def test_any_module_of_the_package_switches_reports_off(tmp_path):
    code = "import ecstfl.labels, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run(code, tmp_path).stdout.strip() == "1"
