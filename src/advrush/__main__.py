"""`python -m advrush`: the command line where no script `advrush` is on the path."""

import sys

from advrush.cli import main

sys.exit(main())
