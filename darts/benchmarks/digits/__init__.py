"""The digits benchmark: every architecture of NAS-Bench-201's cell, trained on scikit-learn's digits."""
