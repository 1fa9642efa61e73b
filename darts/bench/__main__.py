"""``python -m darts.bench``: search steps, evaluation and retraining, timed (``darts.bench.steps``)."""

from darts.bench.steps import main
from darts.cli import run_script

if __name__ == "__main__":
    run_script(main)
