"""Translations by a retrained network: of a file of pairs, or of its data set's test split, and how good they are.

python -m darts.translate runs/NAME --beam 4
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from rich.progress import track

from darts.artifacts.checkpoint import load
from darts.artifacts.run_config import load_space_config
from darts.artifacts.run_record import RunRecord, read_record
from darts.config import DataConfig, RetrainConfig
from darts.config.command_line import parse_command
from darts.config.fields import check_ranges
from darts.config.ranges import POSITIVE, at_most
from darts.data.registry import open_data
from darts.data.text.pairs import MAX_LENGTH, Pairs, encoded, read_pairs
from darts.data.text.sentences import PADDING, tokens_of
from darts.data.text.translation import BEGIN, END
from darts.errors import UserError
from darts.methods.space_factory import space_from
from darts.retraining.decoding import beam_search, greedy
from darts.training.run_checkpoints import STATE_ERRORS
from genotypes.atomic_write import require_writable, write_atomically
from genotypes.errors import last_line
from supernet.shapes import TranslationShape
from supernet.spaces.transformer.translation_network import TranslationNetwork

BATCH = 128
"""Sentences that are translated together."""

PAIRS = "pairs", "reversed_digits"
"""Data sets of sentences and their translations."""

NO_WORDS = PADDING, BEGIN, END

UNKNOWN_WORD = "<unk>"
"""Stands for every word outside a vocabulary; a sentence has no such token."""

SHOWN = 5
"""Translations that are printed."""


@dataclass(frozen=True)
class TranslateConfig:
    """Options of the command."""

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """Folder of a finished retraining."""
    pairs: Path | None = None
    """File of sentences and their translations, with a tab between them; by default the data set's test split."""
    beam: Annotated[int, POSITIVE, at_most(1000)] = 1
    """Width of the beam search; 1 takes the most probable token each time."""
    output: Path | None = None
    """File to write all translations to: source, translation and reference, with tabs between them."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Translate, and print how good the translations are.

    Raises:
        UserError: where the run holds no network for translation, or a file cannot be read.
    """
    config = parse_command(TranslateConfig, arguments, prog="python -m darts.translate", description=__doc__)
    if config.output and config.pairs and os.path.abspath(config.output) == os.path.abspath(config.pairs):
        raise UserError(f"`output` is {config.output}, the file of the pairs; give another file")
    if config.output:
        require_writable(config.output)
    record = read_record(config.run)
    network, words = rebuilt(record)
    pairs = _tokens(read_pairs(config.pairs, "pairs", fewest=1)) if config.pairs else _test_pairs(record, words)
    translations = translated(network, words, [source for source, _ in pairs], config.beam, console)
    rows = [(" ".join(a), " ".join(b), " ".join(c)) for (a, c), b in zip(pairs, translations)]
    for source, translation, reference in rows[:SHOWN]:
        console.print(f"{source} -> {translation}" + ("" if translation == reference else f"  (not {reference})"))
    if config.output:
        write_atomically(config.output, "".join("\t".join(row) + "\n" for row in rows).encode())
    exact = sum(translation == reference for _, translation, reference in rows)
    console.print(f"{exact:,} of {len(rows):,} sentences exact, {100 * exact / len(rows):.2f} %", highlight=False)
    console.print(bleu([row[1] for row in rows], [row[2] for row in rows]), highlight=False)


def bleu(translations: Sequence[str], references: Sequence[str]) -> str:
    """Return the BLEU of tokens in lower case in words (Papineni et al. 2002; Post 2018); or what it needs."""
    if find_spec("sacrebleu") is None:
        return "BLEU needs the package sacrebleu: pip install sacrebleu"
    sacrebleu: Any = import_module("sacrebleu")
    score = sacrebleu.corpus_bleu(list(translations), [list(references)], tokenize="none", force=True).score
    return f"BLEU {score:.2f} (sacrebleu, tokens in lower case)"


def translated(
    network: TranslationNetwork,
    words: Sequence[Mapping[str, int]],
    sentences: Sequence[Sequence[str]],
    beam: int,
    console: Console,
) -> list[list[str]]:
    """Return the translations of sentences, as tokens.

    Args:
        network: in evaluation mode.
        words: vocabularies of both languages.
        sentences: as tokens.
        beam: width of the beam search.
        console: shows the progress.
    """
    names = {index: word for word, index in words[1].items()}
    found: list[list[str]] = []
    batches = range(0, len(sentences), BATCH)
    for first in track(batches, "translating", console=console, transient=True, disable=not console.is_terminal):
        part = sentences[first : first + BATCH]
        length = 2 + max(map(len, part))
        source = torch.stack([encoded(sentence, words[0], length) for sentence in part])
        longest = min(2 * length + 10, 2 * MAX_LENGTH)
        tokens = greedy(network, source, longest) if beam == 1 else beam_search(network, source, longest, beam)
        found += [[names.get(token, UNKNOWN_WORD) for token in row] for row in tokens]
    return found


def rebuilt(record: RunRecord) -> tuple[TranslationNetwork, list[Mapping[str, int]]]:
    """Return the network of a finished retraining in evaluation mode, and the vocabularies of both languages.

    Raises:
        UserError: where the run has no network for translation.
    """
    path = record.folder / "weights.pt"
    if not path.exists() or record.genotype is None:
        raise UserError(f"{record.folder}: not a finished retraining, weights.pt is missing")
    state = load(path)
    words: list[Any] = [state.get("vocabulary"), state.get("target_vocabulary")]
    if not all(map(_is_vocabulary, words)):
        raise UserError(f"{path}: it holds no vocabularies of two languages; its network does not translate")
    sizes = [END + 1 + len(each) for each in words]
    shape = TranslationShape(sizes[0], sizes[1], 2, 2)
    space = space_from(RetrainConfig(space=load_space_config(record.folder)), shape=shape, genotype=record.genotype)
    network = space.network(record.genotype)
    if not isinstance(network, TranslationNetwork):
        raise UserError(f"{record.folder}: the network of genotype.json does not translate")
    try:
        network.load_state_dict(state["network"])
    except STATE_ERRORS as error:
        reason = last_line(error)
        raise UserError(f"{path}: its weights are not those of genotype.json and config.json ({reason})") from None
    return network.eval(), words


def _is_vocabulary(words: Any) -> bool:
    """Return whether a value maps words to their indices, which begin behind those of the signs."""
    if not isinstance(words, Mapping) or not all(isinstance(word, str) for word in words):
        return False
    return list(words.values()) == list(range(END + 1, END + 1 + len(words)))


def _test_pairs(record: RunRecord, words: Sequence[Mapping[str, int]]) -> list[tuple[list[str], list[str]]]:
    """Return the pairs of the test split of the run's data set, as tokens; ``UNKNOWN_WORD`` for unknown ones.

    Raises:
        UserError: where the data set is not that of the training any more.
    """
    given = record.config
    root, limit = given.get("data.root"), given.get("data.limit")
    name = given.get("data.name")
    if name not in PAIRS or not isinstance(root, str | None) or type(limit) not in (int, NoneType):
        raise UserError(f"{record.folder}: config.json does not name its data set; give the sentences by `pairs`")
    config = DataConfig(name, root=Path(root) if root else None, limit=limit)
    check_ranges(config)
    data = open_data(config, torch.device("cpu"), 0)
    if [data.vocabulary, data.target_vocabulary] != list(words):
        raise UserError(
            f"{record.folder}: its data set has other words since it was trained; give the sentences by `pairs`"
        )
    split = data.test
    assert isinstance(split, Pairs)
    names = [{index: word for word, index in each.items()} for each in words]
    sides = [
        [[known.get(token, UNKNOWN_WORD) for token in row if token not in NO_WORDS] for row in rows.tolist()]
        for known, rows in zip(names, (split.source, split.target))
    ]
    return list(zip(*sides))


def _tokens(pairs: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    return [(tokens_of(source), tokens_of(target)) for source, target in pairs]
