"""``python -m darts.export``: a trained network for other programs (``darts.retraining.export``)."""

from darts.cli import run_script
from darts.retraining.export import main

if __name__ == "__main__":
    run_script(main)
