"""Data sets: readers, splits, augmentation."""
