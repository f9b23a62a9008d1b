"""Work that crashes, hangs and prints, for the test of the workers."""

import os
import signal
import time


def unruly(options):
    """Run in a worker: does what the job says."""

    def work(job):
        if job["do"] == "crash":
            os._exit(7)
        if job["do"] == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if job["do"] == "hang":
            time.sleep(600)
        if job["do"] == "print":
            print("a library says hello", flush=True)
            os.write(1, b"and again\n")
        return {"did": job["do"], "options": options}, b"x" * job.get("bytes", 3)

    return work
