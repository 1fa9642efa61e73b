"""Any network as a search space: every label of its choices among layers, inputs and values is one decision."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from genotypes.errors import InputError, kind_and_text
from genotypes.faults import quote
from genotypes.types.choices import ChoicesGenotype
from supernet.choice import ChoiceTable, Picks
from supernet.choice_parts import choice_parts
from supernet.errors import SpaceError
from supernet.layer_choice import Choice, ChosenInputs, GatedModel, InputChoice, LayerChoice, choices
from supernet.layers import SizedLayer
from supernet.mixed.backends import check_without_kernels
from supernet.network import count_parameters
from supernet.parts import Part
from supernet.spaces.choices import choice_table
from supernet.spaces.space import SearchSpace, SpaceOptions
from supernet.value_choice import ChosenValue, ValueChoice


@dataclass(frozen=True)
class ModuleSpace(SearchSpace):
    """The space of a model's choices.

    Attributes:
        model: contains choices; it is copied, never changed.
        allowed: label -> the candidates of its one row, where they are not all.
        fresh: builds the model with new weights; where not given, networks begin with the model's weights.

    Raises:
        SpaceError: where the model contains no choice, or one label means two different decisions.
    """

    model: nn.Module
    allowed: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    fresh: Callable[[], nn.Module] | None = None

    def __post_init__(self) -> None:
        seen: dict[str, Choice] = {}
        for choice in choices(self.model):
            first = seen.setdefault(choice.label, choice)
            if (type(first), first.names, first.keep) != (type(choice), choice.names, choice.keep):
                both = f"{_described(first)}, and {_described(choice)}"
                raise SpaceError(f"label {choice.label!r} is used for two different decisions: {both}")
        if not seen:
            raise SpaceError("the model holds no LayerChoice, InputChoice or ValueChoice: there is nothing to search")

    @cached_property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """One table of one row for each label; one inside candidates takes part where one of these is kept."""
        when: dict[str, list[tuple[tuple[str, str], ...]]] = {}
        for label, path in _conditions(self.model):
            when.setdefault(label, []).append(path)
        return tuple(
            choice_table(label, choice.names, when[label], self.allowed.get(label), choice.keep)
            for label, choice in self._labelled.items()
        )

    def supernet(self, backend: str = "batched") -> GatedModel:
        """Return a copy that is called with the model's inputs and gates; all backends compute it in one way.

        Raises:
            SpaceError: where the backend is unknown.
        """
        check_without_kernels(backend, "a model with choices")
        return GatedModel(self._new())

    def network(self, genotype: ChoicesGenotype, auxiliary: bool = False, searched: bool = False) -> nn.Module:
        """Return a copy in which each choice is replaced by the candidates that were chosen.

        Layers whose size was chosen begin with a part of the model's weights; scaled, where these are not ``searched``.

        Raises:
            SpaceError: where the genotype is of another model, or an auxiliary head is asked for.
        """
        if auxiliary:
            raise SpaceError("a model of your own has no auxiliary head: set `auxiliary` 0")
        return self._decided(self._new(), genotype, fresh=not searched)

    def derive(self, picks: Picks) -> ChoicesGenotype:
        """Return the names kept under each label, without decisions inside candidates that were not kept."""
        kept = {label: tuple(name for _, name in pairs) for label, pairs in picks.items()}
        reached = set(_reached(self.model, kept))
        return ChoicesGenotype(tuple((label, kept[label]) for label in self._labelled if label in reached))

    def picks(self, genotype: ChoicesGenotype) -> Picks:
        """Return the names of each decision that takes part, in the model's order.

        Raises:
            SpaceError: where a decision is missing or takes no part, or a name is none of its candidates.
        """
        kept = self._kept(genotype)
        reached = set(_reached(self.model, kept))
        spare = [label for label in kept if label not in reached]
        if spare:
            raise SpaceError(f"{spare[0]!r} is decided, but takes no part in the network of this genotype")
        return {label: tuple((0, name) for name in kept[label]) for label in self._labelled if label in kept}

    def inherit(self, network: nn.Module, supernet: GatedModel, genotype: ChoicesGenotype) -> None:
        """Copy the weights of the chosen modules."""
        network.load_state_dict(self._decided(copy.deepcopy(supernet.model), genotype).state_dict())

    def figures(self, genotype: ChoicesGenotype) -> dict[str, Any]:
        """Return the number of weights of the genotype's network."""
        network = self._decided(copy.deepcopy(self.model), genotype)
        return {"parameters": count_parameters(network)}

    def parts(self, inputs: tuple[Any, ...]) -> list[Part]:
        """Return the modules of every candidate, with the inputs that they get in a pass of the model."""
        return choice_parts(self.model, inputs)

    def check(self, run: Callable[[nn.Module], Any]) -> None:
        """Run the model once, and refuse what cannot be searched.

        Args:
            run: calls the model on a batch of any size.

        Raises:
            SpaceError: where candidates of a choice differ in shape, the model fails, or a choice is never reached.
        """
        model = copy.deepcopy(self.model).eval()
        met: set[int] = set()
        for choice in choices(model):
            choice.register_forward_hook(lambda module, *_: met.add(id(module)))
        with torch.no_grad():
            _run("the model", model, run)
        for name, module in model.named_modules():
            if isinstance(module, Choice) and id(module) not in met:
                raise SpaceError(f"{_described(module)} at {name or 'the top'} is never reached in a forward pass")
        if any(isinstance(choice, ValueChoice) for choice in self._labelled.values()):
            for place in (0, -1):
                self._check_derived(place, run)

    def _check_derived(self, place: int, run: Callable[[nn.Module], Any]) -> None:
        """Run the network of the first or the last candidates: where widths are chosen, all layers must follow them."""
        named = {table.label: table.candidates[::-1] if place else table.candidates for table in self.tables}
        kept = {label: names[: self._labelled[label].keep] for label, names in named.items()}
        genotype = self.derive({label: tuple((0, name) for name in names) for label, names in kept.items()})
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            _run(f"the network of {genotype}", self._decided(copy.deepcopy(self.model), genotype).eval(), run)

    @cached_property
    def _labelled(self) -> dict[str, Choice]:
        return {choice.label: choice for choice in choices(self.model)}

    def _decided(self, model: nn.Module, genotype: ChoicesGenotype, fresh: bool = False) -> nn.Module:
        """Return the model with its choices replaced, in place; ``fresh`` as of ``SizedLayer.decided``."""
        return _replaced(model, self._kept(genotype), fresh)

    def _kept(self, genotype: ChoicesGenotype) -> dict[str, tuple[str, ...]]:
        """Return label -> kept names of a genotype that decides all that it needs.

        Raises:
            SpaceError: where it is of another model.
        """
        if not isinstance(genotype, ChoicesGenotype):
            raise SpaceError(f"a model with choices needs label -> names, not a {type(genotype).__name__}")
        kept = dict(genotype.picks)
        missing = [label for label in _reached(self.model, kept) if label not in kept]
        if missing:
            raise SpaceError(f"the genotype does not decide {missing[0]!r}; it is of another model")
        for label, names in genotype.picks:
            choice = self._labelled.get(label)
            if (
                choice is None
                or not set(names) <= set(choice.names)
                or len(set(names)) != len(names)
                or len(names) != choice.keep
            ):
                allowed = f"{choice.keep} of {', '.join(choice.names)}" if choice else ", ".join(self._labelled)
                raise SpaceError(f"{label!r}: found {', '.join(map(quote, names))}, allowed {allowed}")
        return kept

    def _new(self) -> nn.Module:
        return self.fresh() if self.fresh else copy.deepcopy(self.model)


def _run(what: str, model: nn.Module, run: Callable[[nn.Module], Any]) -> None:
    """Run a model on a batch.

    Raises:
        SpaceError: where it fails, with the first line of the reason.
    """
    try:
        run(model)
    except InputError:
        raise
    except Exception as error:
        raise SpaceError(f"{what} fails on a batch: {kind_and_text(error, 160)}") from error


def _replaced(module: nn.Module, kept: dict[str, tuple[str, ...]], fresh: bool) -> nn.Module:
    """Return the module with every choice in it replaced; a choice is replaced itself."""
    if isinstance(module, LayerChoice):
        return _replaced(module.candidates[module.names.index(kept[module.label][0])], kept, fresh)
    if isinstance(module, InputChoice):
        return ChosenInputs([index for index, name in enumerate(module.names) if name in kept[module.label]])
    if isinstance(module, ValueChoice):
        return ChosenValue(module.values[module.names.index(kept[module.label][0])])
    if isinstance(module, SizedLayer):
        return module.decided(kept, fresh)
    for name, child in list(module._modules.items()):  # unlike named_children, every name of a module used twice
        if child is not None:
            setattr(module, name, _replaced(child, kept, fresh))
    return module


def _reached(module: nn.Module, kept: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the labels of the choices that are reached where these candidates are kept."""
    children: list[nn.Module] = list(module.children())
    if isinstance(module, Choice):
        yield module.label
        if isinstance(module, LayerChoice):
            chosen = kept.get(module.label, ())
            children = [op for op, name in zip(module.candidates, module.names) if name in chosen]
    for child in children:
        yield from _reached(child, kept)


def _conditions(
    module: nn.Module, path: tuple[tuple[str, str], ...] = ()
) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Yield the label of each choice, and the (label, candidate) pairs that must be kept for it to be reached."""
    if isinstance(module, Choice):
        yield module.label, path
    if isinstance(module, LayerChoice):
        held = dict(path)
        for op, name in zip(module.candidates, module.names):
            if held.get(module.label, name) == name:
                yield from _conditions(op, path if module.label in held else (*path, (module.label, name)))
    else:
        for child in module.children():
            yield from _conditions(child, path)


def _described(choice: Choice) -> str:
    of = f"{choice.keep} of {', '.join(choice.names)}"
    return f"{type(choice).__name__} {choice.label!r} ({of})"


def refuse(options: SpaceOptions) -> None:
    """Refuse options that do not apply to a model of one's own.

    Raises:
        SpaceError: naming the first one.
    """
    own = options.own
    for each in fields(own) if own is not None else ():
        if getattr(own, each.name) != getattr(type(own)(), each.name):
            raise SpaceError(f"`space.{each.name}` does not apply to a model of your own")
    if options.partial > 1:
        raise SpaceError("partial channels are not for a model of your own; take a method without them")


def space_of_model(
    model: Callable[[SpaceOptions], nn.Module],
    options: SpaceOptions,
    kind: type,
    reads: str,
    targets: Collection[str] = ("class",),
) -> ModuleSpace:
    """Return the space of a model that is built from the options of a run.

    Args:
        model: builds the model with new weights.
        options: of the run.
        kind: of the data set's shape that the model reads.
        reads: the kind of data, as a message names it.
        targets: of images that the model has heads for, of ``supernet.heads.HEADS``.

    Raises:
        SpaceError: where the data set is of another kind, or the options do not apply to a model.
    """
    options.require(kind, reads, targets)
    refuse(options)
    with torch.random.fork_rng(devices=[]):
        return ModuleSpace(model(options), options.allowed, partial(model, options))
