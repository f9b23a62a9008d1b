"""How torch's threads wait for each other, settled before torch is imported.

By default a thread that has nothing to do spins on its core. Beside other programs that is a
disaster: the threads of one training wait for each other on cores that spinning threads hold
(``docs/speed.md`` has the numbers). Told to wait passively, they sleep, and the cores are free.

Whoever sets the variable otherwise is left alone. With one thread nothing waits.
"""

from __future__ import annotations

import os


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait; no effect once torch has been imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
