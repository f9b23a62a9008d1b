"""Jobs through several processes, each of which may crash or hang without ending the run.

A decoder fed with a damaged file can take its whole process down or never come back. So each
worker is a process of its own that does one job at a time; when it dies or exceeds the time limit,
that job is named, with the last words of the process, and a new worker goes on. The pools of the
standard library give up altogether when a process dies, cannot end one that hangs, and need the
caller's script to be guarded by ``if __name__ == "__main__"``, which lessons are not.

What may go wrong around a worker, and what is done about it:

* start-up code of the user (``sitecustomize.py``, ``.pth`` files) prints, reads or hangs: answers
  travel over a pipe of their own, there is nothing to read, and starting has a time limit;
* a ``random.py`` or ``cv2.py`` lies in the working folder: Python's safe path leaves it out;
* this process is killed: the pipe ends, and with it the worker.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any, Final

from ecstfl.errors import UserError

START_LIMIT: Final = 300.0
"""Seconds for a worker to start: imports on a busy machine or a slow disk take a while."""

SEND_LIMIT: Final = 60.0
"""Seconds for an answer to come through once it has begun, and for a killed process to end."""

# this very package is imported, whichever other the path would find; its folder shadows nothing
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import ecstfl; del sys.path[0]; "
    "from ecstfl.workers import serve; serve(int(sys.argv[2]))"
)


def run(
    make: Callable[[], Callable[[Any], Any]],
    jobs: Sequence[Any],
    names: Sequence[str],
    workers: int,
    time_limit: float,
) -> Iterator[tuple[int, Any, str]]:
    """Yield (index of a job, its answer, "") or (index, None, why there is none) as they come.

    Args:
        make: called once in each process; returns the function from a job to its answer. A
            function of a module, or ``functools.partial`` of one.
        jobs: anything that can be pickled.
        names: what a sentence calls each job.
        workers: number of processes; 0 works in this one, where no time limit holds.
        time_limit: seconds for one job.

    Raises:
        UserError: no process can be started; its last words say why.
    """
    if not workers:
        work = make()
        for index, job in enumerate(jobs):
            yield index, *_attempt(work, job, names[index])
        return
    waiting = deque(range(len(jobs)))
    team: list[_Worker] = []
    try:
        while waiting or team:
            while len(team) < workers and len(waiting) > sum(w.index is None for w in team):
                try:
                    team.append(_Worker(make))
                except OSError as error:  # the system has no room: fewer may do
                    workers = len(team)
                    if not team:
                        raise UserError(f"no process could be started: {error}") from error
            ready = connection.wait([worker.pipe for worker in team], timeout=0.5)
            for worker in list(team):
                index, alive = worker.index, True
                try:
                    answer = worker.receive(worker.pipe in ready)
                except _Lost as lost:
                    who = "no process could be started" if index is None else names[index]
                    answer, alive = (None, f"{who}: {lost}"), False
                if answer is None:
                    continue  # still at it
                no_start = index is None and answer[1]
                if alive and waiting and not no_start:
                    # before the answer is handed on, which may take a while
                    following = waiting.popleft()
                    worker.give(following, jobs[following], names[following], time_limit)
                else:
                    team.remove(worker)
                    worker.end()
                if index is not None:
                    yield index, *answer
                elif no_start:  # no job's fault: the others go on, if there are any
                    workers = len(team)
                    if not team:
                        raise UserError(no_start)
    finally:
        for worker in team:
            worker.end()


def _attempt(work: Callable[[Any], Any], job: Any, name: str) -> tuple[Any, str]:
    """(answer, "") or (None, why there is none): one job must not end the run."""
    try:
        return work(job), ""
    except UserError as error:
        return None, str(error)
    except MemoryError:
        return None, f"{name}: not enough memory"
    except Exception as error:
        return None, f"{name}: {type(error).__name__}: {error}"


class _Lost(Exception):
    """Why a worker gives no answer any more."""


class _Worker:
    """One process and the pipe to it, seen from outside."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self.index: int | None = None  # of its job
        self.words = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (what the process prints)
        self.pipe, theirs = multiprocessing.Pipe()
        handle = theirs.fileno()
        flags: dict[str, Any] = {"pass_fds": [handle], "start_new_session": True}
        if os.name == "nt":
            os.set_handle_inheritable(handle, True)
            flags = {"close_fds": False}
        home = str(Path(__file__).resolve().parents[1])
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, home, str(handle)],
                stdin=subprocess.DEVNULL,
                stdout=self.words,
                stderr=self.words,
                env=_environment(),
                **flags,
            )
        finally:
            theirs.close()
        self._send(make, START_LIMIT)

    def give(self, index: int, job: Any, name: str, time_limit: float) -> None:
        """Send a job; what was printed before it is forgotten."""
        self.index = index
        self.words.seek(0)  # the process writes at this place too: it shares the open file
        self.words.truncate()
        self._send((job, name, time_limit), time_limit)

    def _send(self, message: Any, limit: float) -> None:
        self.limit, self.deadline = limit, time.monotonic() + limit
        with contextlib.suppress(OSError):  # it has ended: receive() says why
            self.pipe.send(message)

    def receive(self, ready: bool) -> tuple[Any, str] | None:
        """The answer to what was sent last, or None when there is none yet.

        Raises:
            _Lost: the process has ended or taken too long.
        """
        if ready:
            guard = threading.Timer(SEND_LIMIT, self.process.kill)
            guard.start()
            try:
                return self.pipe.recv()
            except Exception:  # the end of the pipe, or whatever half a message reads as
                pass
            finally:
                guard.cancel()
        elif time.monotonic() > self.deadline:
            raise _Lost(f"took longer than {self.limit:g} s; given up")
        elif self.process.poll() is None or self.pipe.poll():
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.poll()
        words = self._last_words(killed=code is not None and code < 0)
        raise _Lost(f"its process ended with code {code}" + (f" ({words})" if words else ""))

    def _last_words(self, killed: bool) -> str:
        """The last line printed; of a crash, its name, which stands before the places in code."""
        self.words.seek(max(0, self.words.seek(0, os.SEEK_END) - 10_000))
        lines = [line.strip() for line in self.words.read().decode(errors="replace").split("\n")]
        fatal = [line for line in lines if killed and line.startswith("Fatal Python error")]
        return (fatal or [line for line in lines if line] or [""])[-1][:300]

    def end(self) -> None:
        """End the process, and what it has started, at once."""
        if self.process.returncode is None:
            with contextlib.suppress(OSError):
                if os.name == "nt":
                    self.process.kill()
                else:
                    os.killpg(self.process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(SEND_LIMIT)
        self.pipe.close()
        self.words.close()


def _environment() -> dict[str, str]:
    """One thread a worker; no empty entry in PYTHONPATH, which means the working folder."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | threads | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}


def serve(handle: int) -> None:
    """Run in the worker: do jobs that come through the pipe until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # a crash leaves its name behind, whatever start-up code has made of these
    sys.stdout = sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    faulthandler.enable()
    kind = connection.PipeConnection if os.name == "nt" else connection.Connection
    pipe, jobs = kind(handle), queue.SimpleQueue()
    make = pipe.recv()
    threading.Thread(target=_listen, args=(pipe, jobs), daemon=True).start()
    work, problem = _attempt(lambda _: make(), None, "the process could not begin")
    pipe.send((None, problem))  # ready: time limits count from here
    while True:
        job, name, time_limit = jobs.get()
        # a job that holds Python's lock would outlive a killed parent: it ends itself
        faulthandler.dump_traceback_later(time_limit + SEND_LIMIT, exit=True)
        pipe.send(_attempt(work, job, name))
        faulthandler.cancel_dump_traceback_later()


def _listen(pipe: connection.Connection, jobs: queue.SimpleQueue[Any]) -> None:
    """Hand on the jobs; the end of the pipe is the end of the parent, and of this process."""
    try:
        while True:
            jobs.put(pipe.recv())
    except (OSError, EOFError):
        os._exit(0)
    except Exception:
        traceback.print_exc()
        os._exit(1)
