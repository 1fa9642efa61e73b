"""``python -m supernet.fused.prediction``: predict a search step's time (``supernet.fused.prediction.command``)."""

import sys

from supernet.fused.prediction.command import run

if __name__ == "__main__":
    sys.exit(run())
