"""The reduced spaces S1 to S4, in which DARTS fails (Zela et al. 2020, section 3).

S1 leaves each edge two candidates of its own, listed in the authors' code. S2 has skip connections and 3x3 separable
convolutions on every edge, S3 has ``none`` as well; in S4 noise stands in for the skips.
All have cells of four nodes.
"""

_SKIP, _MAX, _AVG = "skip_connect", "max_pool_3x3", "avg_pool_3x3"
_SEP3, _DIL3, _DIL5 = "sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5"

CANDIDATES: dict[str, tuple[str, ...]] = {
    "s1": (_MAX, _AVG, _SKIP, _SEP3, _DIL3, _DIL5),
    "s2": (_SKIP, _SEP3),
    "s3": ("none", _SKIP, _SEP3),
    "s4": ("noise", _SEP3),
}
"""Space -> candidates that an edge can have."""

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
