"""How torch's threads wait and how it takes memory, settled before torch is imported.

By default a thread that has nothing to do spins on its core. Beside other programs that is a
disaster: the threads of one training wait for each other on cores that spinning threads hold
(``docs/speed.md`` has the numbers). Told to wait passively, they sleep, and the cores are free.

Large tensors lie in large pages where the system has them (Linux): fewer pages to ask for.

Imported with the package, so that it holds in commands, notebooks and worker processes (which
inherit the environment), where torch is not imported first. Whoever sets a variable otherwise is
left alone.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
