"""``python -m lessonkit.builder``: see :mod:`lessonkit.builder.build`."""

import sys

from lessonkit.builder.build import main

sys.exit(main())
