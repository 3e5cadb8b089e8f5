"""``python -m lucidlite`` is the command line."""

from __future__ import annotations

import sys

from lucidlite.cli import main

sys.exit(main())
