"""`python -m realm`: the same as `realm`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
