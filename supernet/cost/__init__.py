"""Costs of networks and of candidates: parameters, multiply-adds, memory accesses."""
