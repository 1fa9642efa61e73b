"""``python -m darts.compare``: methods side by side (``darts.experiments.compare``)."""

from darts.cli import run_script
from darts.experiments.compare import main

if __name__ == "__main__":
    run_script(main)
