"""Work that crashes, hangs and prints, for the test of the workers."""

import os
import signal
import sys
import time
from pathlib import Path


def unruly(options):
    """Run in a worker: does what the job says."""

    def work(job):
        if job["do"] == "crash":
            print("Traceback ...\nValueError: the last words", file=sys.stderr)
            sys.stderr.flush()
            os._exit(7)
        if job["do"] == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if job["do"] == "hang":
            time.sleep(600)
        if job["do"] == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if job["do"] == "child":  # leaves a process behind that keeps the pipe open
            if os.fork() == 0:
                time.sleep(600)
            os._exit(3)
        if job["do"] == "lock":
            import fcntl

            with Path(job["file"]).open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write("held")
                file.flush()
                time.sleep(600)
        if job["do"] == "raise":
            raise ZeroDivisionError("by zero")
        if job["do"] == "print":
            print("a library says hello", flush=True)
            os.write(1, b"and again\n")
        return {"did": job["do"], "options": options}, b"x" * job.get("bytes", 3)

    return work


def broken(options):
    """Cannot begin."""
    raise ImportError("no such thing")
