"""``python -m darts.table``: what a benchmark's table says of architectures (``darts.benchmarks.nasbench201``)."""

from darts.benchmarks.nasbench201 import main
from darts.cli import run_script

if __name__ == "__main__":
    run_script(main)
