"""Differentiable architecture search: how a space is searched, and how its results are trained."""
