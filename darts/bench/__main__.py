"""``python -m darts.bench``: time search, evaluation and retraining steps (``darts.bench.steps``).

``python -m darts.bench gpu`` runs a whole session on a GPU (``darts.bench.gpu``).
"""

import sys

if __name__ == "__main__":
    from darts.environment import report_failed_imports

    report_failed_imports()

from darts.bench import gpu, steps
from darts.cli import run_script

if __name__ == "__main__":
    if sys.argv[1:2] == ["gpu"]:
        del sys.argv[1]
        run_script(gpu.main)
    else:
        run_script(steps.main)
