"""The statements of a search method's components about themselves: what they provide, require and exclude.

Properties are plain words, such as ``simplex`` for gates that are themselves the parameters. A component that requires
``simplex`` works only beside one that provides it; a component that excludes it works only where none does. The
checks (``darts.methods.compose``) compare the words and know no component.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OPERATIONS = "operations"
"""Property of a supernet whose edges hold operations between states (``supernet.mixed.graph.MixedGraph``)."""

DOUBLE_BACKWARD = "double_backward"
"""Property of a supernet's backend through which a gradient's gradient can be taken: the ``reference`` backend."""

SGD_STEPS = "sgd_steps"
"""Property of weights that take steps of SGD: a step ahead of them is computed from gradient and momentum."""

NETWORKS = "networks"
"""Property of stages that change the network's candidates or begin with a new network."""

NEW_NETWORK = "new_network"
"""Property of stages of which a later one begins with a new network."""

SINGLE_LEVEL = "single_level"
"""Property of a step that takes the logits' gradient on the examples that train the weights."""


@dataclass(frozen=True)
class Requirements:
    """The statement of one component.

    Attributes:
        provides: properties that the component brings.
        requires: property -> why the component needs it, a clause that ends before "set ...".
        excludes: property -> why the component cannot work beside it.
    """

    provides: frozenset[str] = frozenset()
    requires: Mapping[str, str] = field(default_factory=dict)
    excludes: Mapping[str, str] = field(default_factory=dict)


class Component:
    """Base of components that state something. A plain function provides, requires and excludes nothing."""

    def requirements(self) -> Requirements:
        """Return the statement of this component, which may depend on its options."""
        return Requirements()


def requirements_of(component: Any) -> Requirements:
    """Return the statement of a component; an empty one for a plain function."""
    return component.requirements() if isinstance(component, Component) else Requirements()
