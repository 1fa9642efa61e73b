"""The files of a run: checkpoints, logs, curves, pictures."""
