"""Translation of sentences by a trained network: greedy, or by beam search.

Axes: ``b`` sentence, ``s`` token of the source, ``t`` token of the translation, ``v`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from darts.data.text.sentences import PADDING
from darts.data.text.translation import BEGIN, END
from supernet.spaces.transformer.translation_network import TranslationNetwork

LENGTH_PENALTY = 0.6
"""Exponent of the length in the scores of a beam search (Wu et al. 2016, equation 14; So et al. 2019)."""


@torch.no_grad()
def greedy(network: TranslationNetwork, source: Tensor, longest: int) -> list[list[int]]:
    """Return translations whose every token is the most probable one, without the tokens of beginning and end.

    Args:
        network: in evaluation mode.
        source: sentences, ``(b, s)``.
        longest: tokens of a translation at most.
    """
    encoded, present = network.encode(source), source != PADDING
    tokens = torch.full((len(source), 1), BEGIN, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(longest + 1):
        following = network.decode(tokens, encoded, present)[:, -1].argmax(1)
        tokens = torch.cat([tokens, following.masked_fill(ended, PADDING)[:, None]], 1)
        ended |= following == END
        if ended.all():
            break
    return [_inner(row) for row in tokens.tolist()]


@torch.no_grad()
def beam_search(network: TranslationNetwork, source: Tensor, longest: int, width: int) -> list[list[int]]:
    """Return the most probable translations that a beam search finds, longer ones favoured (``LENGTH_PENALTY``).

    Args:
        network: in evaluation mode.
        source: sentences, ``(b, s)``, each of which is searched by itself.
        longest: tokens of a translation at most.
        width: number of beginnings that are followed; 1 is greedy.
    """
    encoded = network.encode(source)
    return [
        _best(network, encoded[row : row + 1], source[row : row + 1] != PADDING, longest, width)
        for row in range(len(source))
    ]


def _best(network: TranslationNetwork, encoded: Tensor, present: Tensor, longest: int, width: int) -> list[int]:
    beams: list[tuple[float, list[int]]] = [(0.0, [BEGIN])]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(longest + 1):
        count = len(beams)
        tokens = torch.tensor([row for _, row in beams], device=encoded.device)
        scores = network.decode(tokens, encoded.expand(count, -1, -1), present.expand(count, -1))[:, -1]
        totals = scores.log_softmax(1) + scores.new_tensor([score for score, _ in beams])[:, None]
        found = totals.flatten().topk(min(2 * width, totals.numel()))
        extended: list[tuple[float, list[int]]] = []
        for rank, (score, place) in enumerate(zip(found.values.tolist(), found.indices.tolist())):
            row, token = divmod(place, totals.shape[1])
            sentence = [*beams[row][1], token]
            if token == END:
                if rank < width:  # among those that are followed
                    finished.append((score / _penalty(len(sentence) - 1), sentence))
            elif len(extended) < width:
                extended.append((score, sentence))
            if len(finished) >= width:
                return _inner(max(finished)[1])
        beams = extended
    finished += [(score / _penalty(len(sentence)), sentence) for score, sentence in beams]
    return _inner(max(finished)[1])


def _penalty(length: int) -> float:
    return ((5 + length) / 6) ** LENGTH_PENALTY


def _inner(tokens: Sequence[int]) -> list[int]:
    """Return a sentence without the tokens of beginning and end, and what stands behind."""
    inner = list(tokens[1:])
    return inner[: inner.index(END)] if END in inner else inner
