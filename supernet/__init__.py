"""Supernets: networks of mixed operations that take gates, and the networks derived from them."""
