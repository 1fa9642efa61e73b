"""``python -m darts.table``: what NAS-Bench-201's table says of architectures (``darts.benchmarks.command``)."""

from darts.benchmarks.command import main
from darts.cli import run_script

if __name__ == "__main__":
    run_script(main)
