"""``python -m ecstfl``: the same as the command ``ecstfl``."""

import os
import sys

# python -m lets files of the working folder (a random.py beside the videos) stand in for libraries
if not sys.flags.safe_path and (not sys.path[0] or sys.path[0] == os.getcwd()):
    del sys.path[0]

from ecstfl.cli.main import main

sys.exit(main())
