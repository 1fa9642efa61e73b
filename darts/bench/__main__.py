"""``python -m darts.bench``: time search, evaluation and retraining steps (``darts.bench.steps``)."""

if __name__ == "__main__":
    from darts.environment import report_failed_imports

    report_failed_imports()

from darts.bench.steps import main
from darts.cli import run_script

if __name__ == "__main__":
    run_script(main)
