"""The objectives of a search without gradients, by name."""

MAXIMIZED = {
    "accuracy": True,
    "proxy": True,
    "loss": False,
    "parameters": False,
    "multiply_adds": False,
    "memory_accesses": False,
    "memory": False,
    "latency": False,
    "seconds": False,
}
"""Name of an objective -> whether it is maximized."""
