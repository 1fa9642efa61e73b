"""``python -m darts.translate``: translations by a trained network (``darts.retraining.translate``)."""

from darts.cli import run_script
from darts.retraining.translate import main

if __name__ == "__main__":
    run_script(main)
