"""`python3 -m core …` from any Python; what it needs is installed on the way."""

import sys

from core import bootstrap

if __name__ == "__main__":
    sys.exit(bootstrap.main(sys.argv[1:]))
