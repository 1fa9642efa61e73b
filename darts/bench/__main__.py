"""``python -m darts.bench``: time search, evaluation and retraining steps (``darts.bench.steps``)."""

from darts.bench.steps import main
from darts.cli import run_script

if __name__ == "__main__":
    run_script(main)
