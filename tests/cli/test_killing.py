"""Killed at any moment, shared by any number of processes: the result is that of one quiet run.

Everything happens in real processes, forked from one that has done the imports, and every kill is
a real SIGKILL: no handler runs, nothing is flushed.
"""

import contextlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from test_badruns import outcome
from toy import toy_config, toy_data

from ecstfl.files import atomic_write
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import claim, run_directory, sweep
from ecstfl.training import train_all
from ecstfl.training.loop import train_run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
HERE = Path(__file__).parents[1]

PROLOGUE = f"""
import json, os, random, signal, sys, time, traceback
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import torch
import torch._dynamo  # which the first step of an optimizer imports, here before every fork
torch.set_num_threads(1)
from toy import toy_config, toy_data
from ecstfl.runs import run_folder as runs
from ecstfl.training import train_all
clipset, clips = toy_data(groups=3, folds=3)

class Prepared:
    pass

prepared, places = Prepared(), Prepared()
prepared.clipset, prepared.clips = clipset, clips

def work(configs, prepare=lambda: None):
    '''Start a process that trains what is pending; return its id.'''
    pid = os.fork()
    if pid:
        return pid
    try:
        prepare()
        train_all._train_pending(configs, prepared, places, "cpu", lambda *_: None, lambda *_: None)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def end(pid):
    '''Wait for a process; return True if it was killed.'''
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)
"""


SERVE = """
for line in sys.stdin:  # each piece of code in a child, which has the imports and nothing else
    code, where, arguments = json.loads(line)
    folder = places.results = Path(where)
    child = os.fork()
    if not child:
        try:
            with (folder / "said").open("w") as said:
                os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
            exec(code, globals())
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def processes():
    """A function that runs code after the prologue, in a process of its own, below a folder.

    It returns the last line that the code prints.
    """
    server = subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )

    def run(code, folder, *arguments):
        print(
            json.dumps([textwrap.dedent(code), str(folder), arguments]),
            file=server.stdin,
            flush=True,
        )
        status = int(server.stdout.readline())
        said = (folder / "said").read_text()
        assert status == 0, said
        assert "broken" not in said, said
        return said.splitlines()[-1]

    yield run
    server.stdin.close()
    server.wait()


def left(results, config):
    return {p.name for p in run_directory(results, config).iterdir()} - {".lock"}


FILES = {"run.json", "features.npz", "model.safetensors"}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The outcome of every configuration used here, trained in this process without a stop.

    On one thread, as in the processes: last digits depend on the number of threads.
    """
    folder, known = tmp_path_factory.mktemp("quiet"), {}
    clipset, clips = toy_data(groups=3, folds=3)
    threads = torch.get_num_threads()

    def of(config):
        if config not in known:
            torch.set_num_threads(1)
            try:
                train_run(config, clipset, clips, folder)
            finally:
                torch.set_num_threads(threads)
            known[config] = outcome(folder, config)
        return known[config]

    return of


def config_of(epochs, seed=0, fold=1):
    return toy_config(toy_data(groups=3, folds=3)[0], epochs=epochs, seed=seed, fold=fold)


def test_ten_kills_at_random_moments_change_nothing(tmp_path, quiet, processes):
    seed = random.SystemRandom().randrange(10**6)
    code = """
        draws = random.Random(*arguments)
        configs = [toy_config(clipset, epochs=12)]
        trial = work([toy_config(clipset, epochs=12, seed=7)])
        started = time.monotonic()
        end(trial)
        whole = time.monotonic() - started
        kills = tries = 0
        while kills < 10 and tries < 40:
            pid = work(configs)
            time.sleep(draws.uniform(0, whole / 5))
            os.kill(pid, signal.SIGKILL)
            kills += end(pid)
            tries += 1
        assert not end(work(configs))
        print(kills)
    """
    kills = int(processes(code, tmp_path, seed))
    config = config_of(epochs=12)
    assert kills == 10, f"seed {seed}"
    assert outcome(tmp_path, config) == quiet(config), f"seed {seed}"
    assert left(tmp_path, config) == FILES


def test_a_kill_at_every_step_of_every_write_changes_nothing(tmp_path, quiet, processes):
    """Half-written, written, synced, renamed, unlinked: a process dies at each of these points."""
    code = """
        class Half:
            '''A file that dies after half of a write.'''
            def __init__(self, file):
                self._file = file
            def write(self, data):
                if memoryview(data).nbytes < 1000 or alive():
                    return self._file.write(data)
                view = memoryview(data).cast("B")
                self._file.write(view[: len(view) // 2])
                self._file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            def __getattr__(self, name):
                return getattr(self._file, name)
            def __enter__(self):
                return self
            def __exit__(self, *error):
                return self._file.__exit__(*error)

        count, deadly = 0, 0

        def alive():
            global count
            count += 1
            return count != deadly

        def dying(function):
            def first(*arguments, **options):
                if not alive():
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)
            return first

        def arm():
            for name in ("fsync", "chmod", "replace", "unlink"):
                setattr(os, name, dying(getattr(os, name)))
            fdopen = os.fdopen
            os.fdopen = lambda *a, **k: Half(fdopen(*a, **k))

        places_of_death = 0
        while True:
            deadly = places_of_death + 1
            places.results = folder / str(deadly)
            configs = [toy_config(clipset, epochs=2)]
            if not end(work(configs, arm)):
                break
            assert not end(work(configs))
            places_of_death += 1
        print(places_of_death)
    """
    deaths = int(processes(code, tmp_path))
    # five files (two checkpoints, features, model, run.json) of at least four steps each
    assert deaths >= 20
    config = config_of(epochs=2)
    for n in range(1, deaths + 2):
        assert outcome(tmp_path / str(n), config) == quiet(config), f"killed at step {n}"
        assert left(tmp_path / str(n), config) == FILES


SHARED = """
    configs = [toy_config(clipset, epochs=3, seed=s, fold=f) for s in (0, 1) for f in (1, 2, 3)]
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    original = train_all.train_run

    def noted(config, *arguments, **options):
        os.write(log, f"begin {config.name}\\n".encode())
        run = original(config, *arguments, **options)
        os.write(log, f"end {config.name}\\n".encode())
        return run

    train_all.train_run = noted
"""


def test_three_processes_share_a_plan_and_train_nothing_twice(tmp_path, quiet, processes):
    code = SHARED + (
        """
    pids = [work(configs[n:] + configs[:n]) for n in (0, 1, 2)]
    assert not any([end(pid) for pid in pids])
    print("done")
    """
    )
    assert processes(textwrap.dedent(code), tmp_path) == "done"
    log = (tmp_path / "log").read_text().splitlines()
    configs = [config_of(3, s, f) for s in (0, 1) for f in (1, 2, 3)]
    for config in configs:
        assert log.count(f"begin {config.name}") == log.count(f"end {config.name}") == 1
        assert outcome(tmp_path, config) == quiet(config)


def test_when_one_of_three_is_killed_the_next_command_finishes_its_run_only(
    tmp_path, quiet, processes
):
    code = SHARED + (
        """
    pids = [work(configs[n:] + configs[:n]) for n in (0, 1, 2)]
    while (folder / "log").read_text().count("begin") < 3:
        time.sleep(0.001)
    os.kill(pids[0], signal.SIGKILL)
    killed = [end(pid) for pid in pids]
    os.write(log, b"---\\n")
    assert not end(work(configs))
    print(killed)
    """
    )
    assert processes(textwrap.dedent(code), tmp_path) == "[True, False, False]"
    before, after = (tmp_path / "log").read_text().split("---\n")
    configs = [config_of(3, s, f) for s in (0, 1) for f in (1, 2, 3)]
    for config in configs:
        assert before.count(f"end {config.name}") + after.count(f"end {config.name}") == 1
        assert outcome(tmp_path, config) == quiet(config)
    assert after.count("begin") <= 1


def write_without_end(configs, clipset, places, device, threads, messages, number):
    """A training process that is in the middle of a checkpoint for as long as it lives."""
    directory = run_directory(places.results, configs[number])
    with claim(directory), atomic_write(directory / "checkpoint.pt"):
        messages.put(("epoch", configs[number], 1, {}))
        time.sleep(600)


def test_an_interrupted_command_removes_what_its_processes_were_writing(tmp_path, monkeypatch):
    configs = [config_of(3, seed) for seed in (0, 1)]
    directories = [run_directory(tmp_path, config) for config in configs]

    class Interrupted(contextlib.nullcontext):
        def __init__(self, configs):
            super().__init__(self)

        def epoch(self, *_):
            while not all(list(directory.glob("*.part")) for directory in directories):
                time.sleep(0.01)
            raise KeyboardInterrupt

    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(train_all.multiprocessing, "get_context", lambda _: fork)
    monkeypatch.setattr(train_all, "_worker", write_without_end)
    monkeypatch.setattr(train_all, "_Bars", Interrupted)
    places = Places(cache=tmp_path, results=tmp_path, figures=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_all.train_all(configs, None, None, places, workers=2, device="cpu")
    assert [path.name for d in directories for path in d.iterdir()] == [".lock", ".lock"]


def test_an_interrupt_between_two_steps_of_a_write_leaves_nothing_behind(tmp_path):
    def write():
        with claim(tmp_path):
            (tmp_path / "checkpoint.ptx.part").touch()  # made, and its writer never came to know
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not list(tmp_path.glob("*.part"))


def test_what_another_process_is_writing_is_not_swept(tmp_path):
    part = tmp_path / "checkpoint.ptx.part"
    with claim(tmp_path):
        part.touch()
        pid = os.fork()
        if not pid:  # a lock belongs to a process and its descriptor: ask from another one
            code = 1
            with contextlib.suppress(BaseException):
                sweep(tmp_path)
                code = 0
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert part.exists()
    part.touch()
    sweep(tmp_path)
    assert not part.exists()
