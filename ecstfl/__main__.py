"""``python -m ecstfl``: the same as the command ``ecstfl``."""

import sys

from ecstfl.cli.main import main

sys.exit(main())
