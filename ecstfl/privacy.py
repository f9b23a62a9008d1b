"""Nothing leaves the machine: switches off what a dependency would report of its own accord.

Imported with the package, so that it holds in commands, notebooks and worker processes (which
inherit the environment) before the dependency is imported: onnxruntime acts on its import.
"""

import os

# onnxruntime 1.29 and later writes a device id below ~/.cache/Microsoft and asks for its maker's
# server some seconds later, unless this is set.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
