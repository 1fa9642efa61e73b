"""``python -m darts.reversed_digits``: strings of digits and their reverse (``darts.data.text.reversed_digits``)."""

from darts.cli import run_script
from darts.data.text.reversed_digits import main

if __name__ == "__main__":
    run_script(main)
