"""The DARTS space and its reduced forms."""

DARTS_PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The candidate operations of the DARTS space, in the order of the columns of its logits (Liu et al. 2019)."""
