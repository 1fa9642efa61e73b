"""What a user may give as ``x`` and ``y``: recognized, checked and encoded."""
