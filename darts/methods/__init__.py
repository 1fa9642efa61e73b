"""Every search method, and every piece that one is composed of, by name."""

from darts.method import EdgeWeights, Method
from darts.methods import darts, pc_darts

METHODS: dict[str, Method] = {
    "darts": darts.METHOD,
    "pc_darts": pc_darts.METHOD,
}

EDGES: dict[str, EdgeWeights] = {"per_node": pc_darts.per_node}
