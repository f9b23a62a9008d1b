"""Memory that is freed stays with the process, so that the next step need not ask for it again."""

import subprocess
import sys

import pytest

CODE = """
import ctypes, resource
from ecstfl.training.malloc import keep_freed_memory
if not keep_freed_memory():
    print("no glibc")
    raise SystemExit
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def faults():
    block = libc.malloc(ctypes.c_size_t(64 * 2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ctypes.memset(block, 1, 64 * 2**20)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def test_freed_memory_is_there_again_without_a_page_fault():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    if done.stdout.strip() == "no glibc":
        pytest.skip("this system's malloc is not glibc's")
    assert int(done.stdout) < 100  # 64 MB have 16,384 pages of 4 kB
