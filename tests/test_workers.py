"""Processes that crash, hang, talk at their start or lose their parent: no wait without an end."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest
import unruly

from ecstfl import workers
from ecstfl.errors import UserError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def findable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def run(deeds, n_workers=2, time_limit=60.0, make=unruly.unruly, **more):
    jobs = [{"do": deed, **more} for deed in deeds]
    names = [f"job {k}" for k in range(len(jobs))]
    return workers.run(partial(make, {"a": 1}), jobs, names, n_workers, time_limit)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_workers_survive_everything():
    deeds = ["fine", "crash", "fine", "print", "hang", "segfault", "raise", "stop", "child", "fine"]
    got = {index: rest for index, *rest in run(deeds, time_limit=5, bytes=1_000_000)}
    assert sorted(got) == list(range(len(deeds)))
    for index, deed in enumerate(deeds):
        if deed in ("fine", "print"):
            assert got[index] == [({"did": deed, "options": {"a": 1}}, b"x" * 1_000_000), ""]
        else:
            assert got[index][0] is None
    problems = [problem for _, problem in (got[i] for i in range(len(deeds)))]
    assert problems[1] == "job 1: its process ended with code 7 (ValueError: the last words)"
    assert problems[4] == "job 4: took longer than 5 s; given up"
    assert problems[5].startswith("job 5: its process ended with code -11 (Fatal Python error: Seg")
    assert problems[6] == "job 6: ZeroDivisionError: by zero"
    assert problems[7] == "job 7: took longer than 5 s; given up"
    assert problems[8] == "job 8: its process ended with code 3"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_name_of_a_crash_is_found_behind_what_was_printed_for_an_earlier_job():
    *_, (_, _, problem) = run(["print", "segfault"], 1)
    assert problem.startswith("job 1: its process ended with code -11 (Fatal Python error: Seg")


NOISE = """
import os, subprocess, sys, threading
print("hello")
print("x" * 200_000, file=sys.stderr)
threading.Timer(1, os.write, (1, b"later")).start()
subprocess.Popen(["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo hello; sleep 0.2; done"])
os.environ["PYTHONINSPECT"] = "1"
try:
    input("your name? ")
except EOFError:  # there is nobody to ask
    pass
{}
"""


@pytest.mark.parametrize("more", ["raise RuntimeError", "sys.stdout = sys.stderr = None"])
def test_start_up_code_of_the_user_may_do_what_it_likes(tmp_path, monkeypatch, more):
    (tmp_path / "sitecustomize.py").write_text(NOISE.format(more))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{HERE}")
    assert [problem for *_, problem in run(["fine", "print", "fine"], 1)] == ["", "", ""]


def test_lines_of_pth_files_may_print(tmp_path, monkeypatch):
    (tmp_path / "talks.pth").write_text("import sys; print('hello'); print(sys.path)\n")
    (tmp_path / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(tmp_path)!r})\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{HERE}")
    assert [problem for *_, problem in run(["fine", "fine"], 1)] == ["", ""]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import time; time.sleep(600)", "took longer than 2 s; given up"),
        ("import os; print('no licence', flush=True); os._exit(4)", r"code 4 \(no licence\)"),
        ("import os; os.closerange(3, 100)", r"code 1 \(OSError: .*Bad file descriptor\)"),
    ],
)
def test_a_start_that_fails_ends_the_run_with_its_last_words(tmp_path, monkeypatch, code, message):
    (tmp_path / "sitecustomize.py").write_text(code + "\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{HERE}")
    monkeypatch.setattr(workers, "START_LIMIT", 2 if "sleep" in code else 300)
    with pytest.raises(UserError, match=f"no process could be started: .*{message}"):
        list(run(["fine"] * 50))


def test_what_cannot_begin_or_be_found_is_told(monkeypatch):
    with pytest.raises(UserError, match="could not begin: ImportError: no such thing"):
        list(run(["fine"] * 50, make=unruly.broken))
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(UserError, match="ModuleNotFoundError: No module named 'unruly'"):
        list(run(["fine"] * 50))
    monkeypatch.setattr(workers.sys, "executable", str(HERE / "no python"))
    with pytest.raises(UserError, match="No such file"):
        list(run(["fine"] * 50))


@pytest.mark.parametrize("names", [("random", "queue", "json"), ("cv2", "numpy", "ecstfl")])
def test_files_of_the_working_folder_shadow_nothing(tmp_path, monkeypatch, names):
    for name in names:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the library')\n")
    monkeypatch.chdir(tmp_path)
    # an empty entry, which a careless export leaves, means the working folder
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{HERE}{os.pathsep}")
    assert [problem for *_, problem in run(["fine", "fine"], 1)] == ["", ""]


def test_leaving_early_ends_the_workers(monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        workers.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    stream = run(["fine", "hang", "hang", "hang"])
    next(stream)
    assert len(started) == 2
    stream.close()
    assert all(process.poll() is not None for process in started)


@pytest.mark.skipif(os.name == "nt", reason="needs flock")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_worker_outlives_its_parent(tmp_path, how):
    """Each worker holds a file's lock as long as it lives."""
    import fcntl

    files = [tmp_path / f"{k}" for k in range(2)]
    script = textwrap.dedent(
        f"""
        import signal
        from functools import partial
        import unruly
        from ecstfl import workers
        signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored where tests run
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        jobs = [{{"do": "lock", "file": name}} for name in {[str(f) for f in files]}]
        list(workers.run(partial(unruly.unruly, {{}}), jobs, ["a", "b"], 2, 600))
        """
    )
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )
    deadline = time.monotonic() + 300
    while not all(f.exists() and f.read_text() for f in files):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(how)
    parent.wait(300)
    for path in files:
        with path.open("r+") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    assert time.monotonic() < deadline, "a worker is still there"
                    time.sleep(0.05)
