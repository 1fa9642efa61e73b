"""Decoding equals exhaustive search where it must; a trained network translates; mistakes are one line."""

import itertools
import json
from importlib.util import find_spec

import pytest
import torch
from rich.console import Console

import train_final
from darts.data.text.translation import BEGIN, END
from darts.errors import UserError
from darts.retraining.decoding import LENGTH_PENALTY, beam_search, greedy
from darts.retraining.translate import bleu, main
from genotypes import write
from supernet.shapes import TranslationShape
from supernet.spaces.transformer.translation import EVOLVED_TRANSFORMER, TranslationSpace
from tests import scripts

SPACE = TranslationSpace(TranslationShape(9, 6, 6, 5), channels=8)
SOURCE = torch.tensor([[2, 4, 5, 6, 3], [2, 7, 8, 3, 0]])


def network_of(seed):
    torch.manual_seed(seed)
    network = SPACE.network(EVOLVED_TRANSFORMER).double().eval()
    network.classifier.weight.data *= 4
    return network


def test_a_beam_of_1_is_greedy_decoding():
    for seed in range(3):
        network = network_of(seed)
        assert beam_search(network, SOURCE, 4, 1) == greedy(network, SOURCE, 4)


def test_a_wide_beam_finds_the_best_of_all():
    network, longest = network_of(0), 2
    network.classifier.bias.data[END] += 3
    best = {}
    for length in range(longest + 1):
        for inner in itertools.product([0, 1, 2, 4, 5], repeat=length):
            tokens = torch.tensor([[BEGIN, *inner, END]])
            with torch.no_grad():
                scores = network(SOURCE[:1], tokens[:, :-1]).log_softmax(2)[0]
            score = sum(scores[k, token].item() for k, token in enumerate(tokens[0, 1:].tolist()))
            best[inner] = score / ((5 + length + 1) / 6) ** LENGTH_PENALTY
    (found,) = beam_search(network, SOURCE[:1], longest, 200)
    assert tuple(found) == max(best, key=best.get)


def test_a_trained_network_translates(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evolved.json").write_text(write(EVOLVED_TRANSFORMER))
    size = ["--space.channels", 8, "--epochs", 1, "--data.limit", 40, "--batch-size", 20]
    scripts.said(train_final, "translation_reversed_digits", "--genotype", "evolved.json", *size, "--name", "run")
    figures = json.loads((tmp_path / "runs" / "run" / "metrics.json").read_text())
    for beam in ("1", "2"):
        console = Console(record=True, quiet=False, width=200)
        main(["runs/run", "--beam", beam, "--output", "found.tsv"], console)
        rows = [line.split("\t") for line in (tmp_path / "found.tsv").read_text().splitlines()]
        assert len(rows) == 40 and all(row[0].split() == row[2].split()[::-1] for row in rows)
        exact = sum(row[1] == row[2] for row in rows)
        assert f"{exact} of 40 sentences exact" in console.export_text()
        if beam == "1":
            assert exact == round(40 * figures["test_sentence_accuracy"])
    (tmp_path / "one.tsv").write_text("1 word ? 2\t2 1\n")
    main(["runs/run", "--pairs", "one.tsv", "--output", "found.tsv"], console)
    assert "of 1 sentences exact" in console.export_text()
    assert (tmp_path / "found.tsv").read_text().startswith("1 word ? 2\t")
    with pytest.raises(UserError, match="`pairs` none.tsv: no such file"):
        main(["runs/run", "--pairs", "none.tsv"], console)
    with pytest.raises(UserError, match="nowhere"):
        main(["nowhere"], Console(quiet=True))


def test_bleu_is_sacrebleus_or_says_what_it_needs():
    line = bleu(["3 2 1", "4 4 4 4"], ["3 2 1", "4 4 4 4"])
    assert ("BLEU 100.00" in line) if find_spec("sacrebleu") else (line.endswith("pip install sacrebleu"))
