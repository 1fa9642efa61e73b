"""The time of a search step on a GPU, predicted without one."""
