"""The size of the network or supernet, and the search space."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from darts.config.fields import Resume
from darts.config.ranges import POSITIVE, at_most


@dataclass(frozen=True)
class SpaceConfig:
    """The network: its size, for a search or for a retraining."""

    channels: Annotated[int, POSITIVE, at_most(65_536)] = 16
    """Number of channels of the first layers; hidden size of a recurrent network."""
    layers: Annotated[int, POSITIVE, at_most(10_000)] = 8
    """Depth: the number of cells (DARTS), of cells in a stage (NAS-Bench-201) or of blocks."""
    stem: Literal["auto", "cifar", "strided", "imagenet", "imagenet_wide"] = "auto"
    """The first layers. strided halves the image's size, imagenet divides it by 8, and auto takes imagenet from 96
    pixels on; imagenet_wide is three times as wide, as in the supernets of PC-DARTS and DrNAS."""
    name: str | None = None
    """The search space; by default darts, or the space of the genotype that is retrained."""
    stages: Annotated[int | None, POSITIVE, at_most(3)] = None
    """Stages of cells in a NAS-Bench-201 network; by default 3."""


@dataclass(frozen=True)
class SearchSpaceConfig(SpaceConfig):
    """The supernet. A space refuses those of the options that it has no use for."""

    nodes: Annotated[int | None, POSITIVE, at_most(64)] = None
    """Intermediate nodes of the searched cell; by default the search space's own number."""
    candidates: Literal["darts", "s1", "s2", "s3", "s4"] = "darts"
    """Candidate operations of an edge: the eight of DARTS, or those of a reduced space, S1 to S4 (RobustDARTS)."""
    patches: Annotated[tuple[int, ...], POSITIVE] = ()
    """Candidate sides of a vision transformer's patches, in pixels; by default those that cut the image's side into 4
    to 8."""
    widths: Annotated[tuple[int, ...], POSITIVE, at_most(65_536)] = ()
    """Candidate widths of its tokens; by default a half, three quarters and all of the channels."""
    depths: Annotated[tuple[int, ...], POSITIVE, at_most(256)] = ()
    """Candidate numbers of its blocks; by default a half, three quarters and all of the layers."""
    heads: Annotated[tuple[int, ...], POSITIVE, at_most(65_536)] = ()
    """Candidate numbers of heads of a block; by default a half, three quarters and all of those that fit into the
    channels."""
    kernels: Annotated[tuple[int, ...], POSITIVE, at_most(15)] = ()
    """Candidate sides of a block's convolution, odd; by default 3 and 5."""
    ratios: Annotated[tuple[float, ...], POSITIVE, at_most(64)] = ()
    """Candidate widths between a block's two layers, as multiples of the tokens' width; by default 1, 2 and 4."""
    head_width: Annotated[int | None, POSITIVE, at_most(65_536)] = None
    """Width of a head; by default a third of the channels, and 64 at most."""
    partial: Annotated[int | None, POSITIVE] = None
    """K: candidate operations see 1/K of the channels (PC-DARTS); by default the method's own."""
    backend: Annotated[Literal["auto", "reference", "batched", "fused"], Resume.FREE] = "auto"
    """How mixed operations are computed: by PyTorch, operation by operation (reference) or operations of a kind
    together (batched), or by fused kernels (fused): Triton's on a GPU, C++ functions on a CPU, which are compiled once.
    The results are the same but for rounding; auto is fused where the kernels are found to compute the same, else
    batched."""

    @property
    def of_networks(self) -> SpaceConfig:
        """The size of the networks of its genotypes, as deep and as wide as the supernet."""
        return SpaceConfig(**{each.name: getattr(self, each.name) for each in fields(SpaceConfig)})
