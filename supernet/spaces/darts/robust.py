"""The reduced spaces S1 to S4, in which DARTS fails (Zela et al. 2020, section 3).

In S1 each edge has two candidates of its own, as listed in the authors' code. In S2 every edge has the skip connection
and the 3x3 separable convolution, in S3 also ``none``; S4 has noise in place of the skip connection. All have cells of
four nodes.
"""

_SKIP, _MAX, _AVG = "skip_connect", "max_pool_3x3", "avg_pool_3x3"
_SEP3, _DIL3, _DIL5 = "sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5"

CANDIDATES: dict[str, tuple[str, ...]] = {
    "s1": (_MAX, _AVG, _SKIP, _SEP3, _DIL3, _DIL5),
    "s2": (_SKIP, _SEP3),
    "s3": ("none", _SKIP, _SEP3),
    "s4": ("noise", _SEP3),
}
"""Space -> candidates of its edges."""

ALLOWED: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "s1": {
        "normal": (
            (_SKIP, _DIL3),
            (_SKIP, _DIL5),
            (_SKIP, _DIL5),
            (_SKIP, _SEP3),
            (_SKIP, _DIL3),
            (_MAX, _SKIP),
            (_SKIP, _SEP3),
            (_SKIP, _SEP3),
            (_SKIP, _DIL3),
            (_SKIP, _SEP3),
            (_MAX, _SKIP),
            (_SKIP, _DIL3),
            (_DIL3, _DIL5),
            (_DIL3, _DIL5),
        ),
        "reduce": (
            (_MAX, _AVG),
            (_MAX, _DIL3),
            (_MAX, _AVG),
            (_MAX, _AVG),
            (_SKIP, _DIL5),
            (_MAX, _AVG),
            (_MAX, _SEP3),
            (_SKIP, _DIL3),
            (_SKIP, _DIL5),
            (_MAX, _AVG),
            (_MAX, _AVG),
            (_SKIP, _DIL5),
            (_SKIP, _DIL5),
            (_SKIP, _DIL5),
        ),
    }
}
"""Space -> table label -> each edge's candidates, where they are not all."""
