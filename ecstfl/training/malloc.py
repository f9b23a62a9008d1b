"""Memory that a training step frees is kept for the next step.

C3D's early layers make tensors of tens of megabytes, the same ones in every step. By default the C
library gives such memory back to the system when it is freed, and the system hands out pages that
it has to clear first, one by one. That costs a fifth of a step (``docs/speed.md``). Kept memory
costs nothing; it is given back when the process ends.
"""

from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell malloc to keep what is freed; returns whether it can (glibc, so Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
        return all(mallopt(name, value) == 1 for name, value in settings)
    return False
