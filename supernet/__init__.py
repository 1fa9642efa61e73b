"""Supernets: networks of mixed operations that take gates, and the networks derived from them.

``LayerChoice`` and ``InputChoice`` make a search space of any network; ``SPACES`` are the spaces by name.
"""

from supernet.layer_choice import InputChoice, LayerChoice
from supernet.spaces import SPACES

__all__ = ["SPACES", "InputChoice", "LayerChoice"]
