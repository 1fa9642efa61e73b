"""``python -m supernet.bench``: time the functions of the mixed operations (``supernet.bench.kernels``)."""

import sys

from supernet.bench.kernels import run

if __name__ == "__main__":
    sys.exit(run())
