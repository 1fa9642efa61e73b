"""Targets that are maps or boxes: semantic segmentation and detection; their data, objectives, metrics and pictures."""
