"""State dicts of the authors' code (github.com/quark0/darts, ``cnn/``), loaded by name into the networks of the space.

Both the supernet and derived networks are covered, for CIFAR and for ImageNet. The authors' state dicts do not hold the
alphas; their BatchNorm's ``num_batches_tracked`` is not read.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from supernet.mixed.graph import MixedGraph
from supernet.spaces.darts.cells import CIFARStem, MixedCell, Network

_CIFAR_STEM = {"stem.0": "stem.conv", "stem.1": "stem.norm"}
_IMAGENET_STEM = {
    "stem0.0": "stem.conv0",
    "stem0.1": "stem.norm0",
    "stem0.3": "stem.conv1",
    "stem0.4": "stem.norm1",
    "stem1.1": "stem.conv2",
    "stem1.2": "stem.norm2",
}
_AUXILIARY = {
    "auxiliary_head.features.2": "auxiliary_head.conv0",
    "auxiliary_head.features.3": "auxiliary_head.norm0",
    "auxiliary_head.features.5": "auxiliary_head.conv1",
    "auxiliary_head.features.6": "auxiliary_head.norm1",
    "auxiliary_head.classifier": "auxiliary_head.classifier",
}


def quark0_names(network: Network) -> dict[str, tuple[str, int | None]]:
    """Return the authors' name of every tensor -> its name here, and which slice of a stacked tensor it is."""
    stem = _CIFAR_STEM if isinstance(network.stem, CIFARStem) else _IMAGENET_STEM
    modules = {**stem, "classifier": "classifier", **(_AUXILIARY if network.auxiliary_head else {})}
    names: dict[str, tuple[str, int | None]] = {}
    for index, cell in enumerate(network.cells):
        prefix = f"cells.{index}"
        modules |= {f"{prefix}.{name}": f"{prefix}.{name}" for name in ("preprocess0", "preprocess1")}
        if isinstance(cell.inside, MixedCell):
            names |= dict(_stacked_names(cell.inside.graph, f"{prefix}._ops", f"{prefix}.inside.graph"))
        else:
            modules |= {f"{prefix}._ops.{k}": f"{prefix}.inside.ops.{k}" for k in range(len(cell.inside.ops))}
    for published, module in modules.items():
        for name in _tensors(network.get_submodule(module)):
            names[f"{published}.{name}"] = f"{module}.{name}", None
    return names


def load_quark0(network: Network, state: Mapping[str, Tensor]) -> None:
    """Copy the tensors of a state dict of the authors' code to a network.

    Raises:
        ValueError: naming what is missing, left over, or of another shape.
    """
    state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    names = quark0_names(network)
    missing, unknown = sorted(names.keys() - state.keys()), sorted(state.keys() - names.keys())
    if missing or unknown:
        raise ValueError(f"not a state dict of this network: missing {missing[:3]}, left over {unknown[:3]}")
    tensors = network.state_dict()
    for published, (name, part) in names.items():
        target = tensors[name] if part is None else tensors[name][part]
        if target.shape != state[published].shape:
            raise ValueError(f"{published}: shape {tuple(state[published].shape)}, expected {tuple(target.shape)}")
        target.copy_(state[published])


def _stacked_names(graph: MixedGraph, published: str, prefix: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield the authors' name of each tensor of a graph, its stacked tensor here, and its slice of that."""
    for index, source in enumerate(graph.sources):
        for name, op in source.ops.items():
            column = source.columns[name]
            for part, edge in enumerate(source.edges[name]):
                for tensor in _tensors(op):
                    stacked = f"{prefix}.sources.{index}.ops.{name}.{tensor}"
                    yield f"{published}.{source.rows[edge]}._ops.{column}.{tensor}", (stacked, part)


def _tensors(module: nn.Module) -> list[str]:
    return list(module.state_dict())
