"""Spaces of mobile networks: inverted residuals of chosen kernel, expansion, depth and width."""
