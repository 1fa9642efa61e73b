"""``python -m darts.benchmarks.digits`` (``darts.benchmarks.digits.command``)."""

from darts.benchmarks.digits.command import main
from darts.cli import run_script

if __name__ == "__main__":
    run_script(main)
