"""Clips through several processes, each of which may crash or hang without ending the run.

A decoder fed with a damaged file can take its whole process down or never come back. So each
worker is a process of its own that takes one clip at a time over a pipe; when one dies or
exceeds the time limit, that clip is named and a new worker goes on. (A process pool of the
standard library gives up altogether in that case, and needs the caller's script to be guarded
by ``if __name__ == "__main__"``, which notebooks and lessons are not.)
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

Job = dict[str, Any]
"""JSON-able description of one clip."""

Result = tuple[dict[str, Any], bytes]
"""JSON-able answer and a payload."""

START_LIMIT = 300.0
"""Seconds for a worker to start: imports on a busy machine or a slow disk take a while."""

_START = "from ecstfl.workers import serve; serve()"


def serve() -> None:
    """Run in the worker: answer jobs from stdin on stdout until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    jobs = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    setup = json.loads(jobs.readline())
    module = __import__(setup["module"], fromlist=[setup["function"]])
    work = getattr(module, setup["function"])(setup["options"])
    answers.write(b'{"answer": {}, "bytes": 0}\n')  # ready: time limits count from here
    answers.flush()
    for line in jobs:
        answer, payload = work(json.loads(line))
        header = json.dumps({"answer": answer, "bytes": len(payload)}).encode() + b"\n"
        try:
            answers.write(header)
            answers.write(payload)
            answers.flush()
        except BrokenPipeError:
            return


class _Worker:
    """One process and the pipes to it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        package_home = str(Path(__file__).resolve().parents[1])
        paths = [package_home, os.environ.get("PYTHONPATH", "")]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)},
        )
        self._setup: dict[str, Any] | None = setup

    def do(self, job: Job, time_limit: float) -> Result | str:
        """The answer to one job, or the sentence that says why there is none."""
        if self._setup is not None:
            ready = self._exchange(self._setup, START_LIMIT)
            if isinstance(ready, str):
                return f"no process could be started to read it ({ready})"
            self._setup = None
        return self._exchange(job, time_limit)

    def _exchange(self, message: dict[str, Any], time_limit: float) -> Result | str:
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(time_limit, stop)
        timer.daemon = True
        timer.start()
        try:
            to: IO[bytes] = self.process.stdin  # type: ignore[assignment]
            to.write(json.dumps(message).encode() + b"\n")
            to.flush()
            pipe: IO[bytes] = self.process.stdout  # type: ignore[assignment]
            line = pipe.readline()
            if line.endswith(b"\n"):
                header = json.loads(line)
                payload = pipe.read(header["bytes"])
                if len(payload) == header["bytes"]:
                    return header["answer"], payload
        except (OSError, ValueError):
            pass
        finally:
            timer.cancel()
        code = self.process.wait()
        if late.is_set():
            return f"took longer than {time_limit:g} s; given up"
        return f"the process that read it ended with code {code}"

    def close(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self.process.wait()


def run(
    jobs: Sequence[Job],
    module: str,
    function: str,
    options: dict[str, Any],
    workers: int,
    time_limit: float,
) -> Iterator[tuple[int, Result | str]]:
    """Yield (index of the job, result or reason for its absence) as they come.

    Args:
        jobs: JSON-able descriptions.
        module, function: called in the worker with ``options``; returns a function from a job
            to a :data:`Result`, which is expected to catch what it can name.
        options: JSON-able.
        workers: number of processes, at least 1.
        time_limit: seconds for one job.
    """
    setup = {"module": module, "function": function, "options": options}
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(jobs)):
        waiting.put(index)
    done: queue.Queue[tuple[int, Result | str] | None] = queue.Queue(maxsize=4 * workers)
    stopping = threading.Event()
    alive: set[_Worker] = set()

    def put(item: tuple[int, Result | str] | None) -> None:
        while not stopping.is_set():
            with contextlib.suppress(queue.Full):
                done.put(item, timeout=0.2)
                return

    def loop() -> None:
        worker: _Worker | None = None
        while not stopping.is_set():
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                break
            if worker is None:
                try:
                    worker = _Worker(setup)
                except OSError as error:
                    put((index, f"no process could be started to read it ({error})"))
                    continue
                alive.add(worker)
            result = worker.do(jobs[index], time_limit)
            if isinstance(result, str):
                alive.discard(worker)
                worker.close()
                worker = None
            put((index, result))
        if worker is not None:
            alive.discard(worker)
            worker.close()
        put(None)

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(workers)]
    try:
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            item = done.get()
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        stopping.set()
        for worker in list(alive):
            worker.process.kill()
        for thread in threads:
            thread.join(timeout=5)


Factory = Callable[[dict[str, Any]], Callable[[Job], Result]]
"""Type of ``function`` in :func:`run`."""
