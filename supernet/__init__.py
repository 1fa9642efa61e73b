"""Supernets: networks of mixed operations that take gates, and the networks derived from them.

``LayerChoice``, ``InputChoice`` and ``ValueChoice`` make a search space of any network, ``supernet.layers`` are layers
whose sizes are choices; ``SPACES`` are the spaces by name.
"""

from supernet.layer_choice import InputChoice, LayerChoice
from supernet.spaces import SPACES
from supernet.value_choice import ValueChoice

__all__ = ["SPACES", "InputChoice", "LayerChoice", "ValueChoice"]
