"""`python -m foundations`."""

import sys

from foundations._command import main

if __name__ == "__main__":
    sys.exit(main())
