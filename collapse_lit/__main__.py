"""``python -m collapse_lit`` is ``collapse-lit``."""

import sys

from collapse_lit.cli import main

sys.exit(main())
