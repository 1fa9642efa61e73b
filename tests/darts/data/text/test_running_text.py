"""Running text: files, batches, the state that is carried between them, averaged weights; and that it learns."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from darts.config import (
    DataConfig,
    DropoutConfig,
    LanguageConfig,
    LanguageRetrainConfig,
    LanguageSearchConfig,
    MethodConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
    WeightsConfig,
)
from darts.data.text.running_text import LONGEST, SHORTEST, RunningText
from darts.data.text.text_reader import UNKNOWN, read_text
from darts.errors import UserError
from darts.oneshot.builder import make_search
from darts.recipes.registry import final_for
from darts.retraining.task import RetrainTask
from darts.retraining.weight_averaging import Averaging
from darts.training.evaluate import evaluate
from darts.training.hidden_state import HiddenState
from genotypes import Edge
from genotypes.types.recurrent import RecurrentGenotype
from supernet.errors import SpaceError
from supernet.spaces.recurrent import RecurrentSpace
from tests import stories, tiny

CPU = torch.device("cpu")
NOTHING = DropoutConfig(0.0, 0.0, 0.0, 0.0, 0.0)
SHORT = LanguageConfig(length=7, halved=0.3, streams=3, dropout=NOTHING)
CELL = RecurrentGenotype((Edge("tanh", 0), Edge("relu", 1)), (1, 2))
SGD = WeightsConfig(lr=20.0, schedule="constant", momentum=0.0, weight_decay=0.0, clip=0.25)


def folder_of(tmp_path, language=SHORT, **options):
    stories.write_folder(tmp_path / "text", **options)
    return read_text("ptb", tmp_path / "text", language, CPU)


def search(data, method="darts", **options):
    space = SearchSpaceConfig(name="recurrent", channels=6, nodes=2)
    components = {key: options.pop(key) for key in list(options) if key in MethodConfig.__dataclass_fields__}
    chosen = MethodConfig(method, **components)
    fixed = dict(space=space, method=chosen, weights=SGD, language=SHORT, epochs=2, batch_size=16)
    config = LanguageSearchConfig(**{**fixed, **options})
    return make_search(config, data, CPU)


def test_a_folder_of_parts(tmp_path):
    data = folder_of(tmp_path)
    words = 2 + sum(map(len, stories.KINDS)) + 1  # unknown, the line's end, the full stop
    assert data.shape.words == words
    assert (len(data.train) - data.valid, data.valid, len(data.test)) == (300 * 7, 60 * 7, 60 * 7)
    for pattern in ("wiki.{}.tokens", "{}.txt"):
        stories.write_folder(tmp_path / pattern[:4], pattern)
        other = read_text("text", tmp_path / pattern[:4], SHORT, CPU)
        assert torch.equal(other.train.tokens, data.train.tokens)


def test_one_file_is_divided_in_its_order(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("One two.\nTwo three!\n\n" * 50 + "One rare four")
    data = read_text("text", path, replace(SHORT, held_out=0.25), CPU)
    total = 50 * 7 + 3 + 1
    assert (data.valid, len(data.test)) == (total // 4, total // 4) and len(data.train) + len(data.test) == total
    assert data.shape.words == 7 and (data.test.tokens == 0).sum() == 2, "rare and four are unknown"
    characters = read_text("text", path, replace(SHORT, unit="character"), CPU)
    assert characters.shape.words == 1 + len(set("One two.\nTwo three!\n\n"))


def test_rare_words_and_the_size_of_the_vocabulary(tmp_path):
    path = tmp_path / "train.txt"
    for name in ("train.txt", "valid.txt", "test.txt"):
        (tmp_path / name).write_text("a a a b b c\n" * 3 + "once\n")
    for most, known in ((100, 5), (3, 3)):
        data = read_text("text", tmp_path, replace(SHORT, vocabulary=most), CPU)
        assert data.shape.words == known
        assert (data.train.tokens == 0).any()
    path.write_text(f"a once {UNKNOWN}\n")
    assert read_text("text", tmp_path, SHORT, CPU).shape.words == 4, "a text that knows the unknown keeps rare words"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: None, "no training text in this folder; one of ptb.train.txt, wiki.train.tokens, train.txt"),
        (lambda folder: (folder / "train.txt").write_text("a b c"), "valid.txt: no such file"),
        (lambda folder: (folder / "train.txt").write_bytes(b"\xff\xfe\xff"), "train.txt: not a readable text in UTF-8"),
    ],
)
def test_other_folders(write, message, tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match=message):
        read_text("text", tmp_path, SHORT, CPU)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_token(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes(("one two three four. " * 30).encode(encoding))
    assert not any("\ufeff" in token for token in read_text("text", tmp_path / "a.txt", SHORT, CPU).vocabulary)


@pytest.mark.parametrize("missing", ["valid", "test"])
def test_a_missing_part_is_named(tmp_path, missing):
    stories.write_folder(tmp_path)
    (tmp_path / f"ptb.{missing}.txt").unlink()
    with pytest.raises(UserError, match=f"ptb.{missing}.txt: no such file"):
        read_text("ptb", tmp_path, SHORT, CPU)


def test_too_short_a_text_is_refused_before_it_is_trained_on(tmp_path):
    (tmp_path / "a.txt").write_text("one two three " * 10)
    with pytest.raises(UserError, match="tokens are too few for 16 streams of two tokens: lower `batch_size`"):
        search(read_text("text", tmp_path / "a.txt", SHORT, CPU))


@pytest.mark.parametrize("spread", [0.0, 4.0])
def test_batches_continue_where_the_one_before_ended(spread):
    text = RunningText(torch.arange(1000), replace(SHORT, length=20, spread=spread))
    order = torch.arange(100, 900)
    count, ends, fresh, lengths = 0, None, 0, []
    for pick in text.endless_host_batches(order, 4, seed=3, first=0):
        words, answers, goes_on = text.load(*pick, training=True)
        assert torch.equal(words + 1, answers) and words.shape[0] == 4
        if goes_on[0]:
            assert torch.equal(words[:, 0], ends)
        else:
            assert words[:, 0].tolist() == [100, 300, 500, 700] and (ends is None or (ends == order[199::200]).all())
            fresh += 1
        ends, count = answers[:, -1], count + 1
        lengths.append(words.shape[1])
        if fresh == 30:
            break
    assert count / 29 == pytest.approx(text.steps(800, 4), rel=0.15)
    inner = [length for length in lengths if length >= SHORTEST]
    assert max(lengths) <= 20 + LONGEST and (len(set(inner)) > 15) == bool(spread)
    assert text.lr_scale((torch.zeros(4, 11), None)) == 0.5
    later = text.endless_host_batches(order, 4, seed=3, first=37)
    again = text.endless_host_batches(order, 4, seed=3, first=0)
    for _ in range(37):
        next(again)
    assert all(torch.equal(a, b) for a, b in zip(next(later), next(again)))


def _evaluated(network, objective, text):
    indices, report = torch.arange(420), lambda *_: None
    return evaluate(network, network, objective, split=text, indices=indices, batch_size=9, report=report)


def test_a_carried_state_makes_short_batches_equal_to_long_ones(tmp_path):
    data = folder_of(tmp_path)
    torch.manual_seed(0)
    network = RecurrentSpace(data.shape.words, 8, 2).network(CELL).double()
    losses = []
    for length in (7, 1000):
        text = RunningText(data.test.tokens, replace(SHORT, length=length))
        losses.append(_evaluated(network, data.objective, text))
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], abs=1e-12)
    assert losses[0]["perplexity"] == pytest.approx(math.exp(losses[0]["loss"]))


def test_only_the_last_pass_over_a_batch_is_resumed(tmp_path):
    data = folder_of(tmp_path)
    network = RecurrentSpace(data.shape.words, 8, 2).network(CELL).eval()
    hidden = HiddenState(network)
    picks = data.train.host_batches(torch.arange(400), 4, True)
    batch = hidden.attach("train", data.train.load(*next(picks), training=True))
    assert not batch[3].any()
    for _ in range(2):
        data.objective(network, batch)
    begun = hidden.attach("train", data.train.load(*next(picks), training=True))[3]
    assert torch.equal(begun, network(batch[0].t(), None).hidden)
    assert not hidden.attach("other", data.train.load(*next(picks), training=True))[3].any()
    assert HiddenState(nn.Linear(1, 1)).attach("train", batch) is batch


def test_penalties_are_descended_and_not_shown(tmp_path):
    data = folder_of(tmp_path, replace(SHORT, activation=2.0, slowness=3.0))
    network = RecurrentSpace(data.shape.words, 8, 2).network(CELL).eval()
    batch = data.train.load(*next(data.train.host_batches(torch.arange(400), 4, True)), training=True)
    outcome = data.objective(network, batch)
    h = network(batch[0].t(), None).raw
    expected = 2 * h.square().mean() + 3 * (h[1:] - h[:-1]).square().mean()
    torch.testing.assert_close(outcome.descended - outcome.loss, expected)
    assert data.objective(network, tuple(part[:, :1] if part.ndim > 1 else part for part in batch)).descended.isfinite()


@pytest.mark.parametrize(
    "options", [{}, {"step": "unrolled_clipped"}, {"method": "gdas"}, {"method": "gaea"}, {"method": "idarts"}]
)
def test_a_search_moves_weights_and_logits_and_resumes(options, tmp_path):
    data = folder_of(tmp_path, counts=(60, 30, 30))
    ends = []
    for stop in (None, (1, 1)):
        task = search(data, **options)
        before = {label: logit.detach().clone() for label, logit in task.problem.logits.items()}
        if stop:
            tiny.save(tmp_path / "state.pt", {"task": tiny.run(task, stop=stop).state()})
            task = search(data, **options)
            task.load_state(tiny.load(tmp_path / "state.pt")["task"])
            tiny.run(task, *stop)
        else:
            tiny.run(task)
        assert all(not torch.equal(before[label], logit) for label, logit in task.problem.logits.items())
        assert set(task.hidden.states) == {"train", "valid"} and task.hidden.states["train"].any()
        ends.append(task.state())
    for part in ("supernet", "logits", "hidden_states"):
        for name, value in ends[0][part].items():
            assert torch.equal(value, ends[1][part][name]), (part, name)
    assert ends[0]["evaluated"] == ends[1]["evaluated"] and ends[0]["evaluated"]["valid_perplexity"] > 1


def test_retraining_learns_the_grammar_keeps_the_best_epoch_and_resumes(tmp_path):
    """The perplexity comes near the least that is possible; that of word frequencies alone is 11."""
    data = folder_of(tmp_path, counts=(400, 60, 60))
    config = LanguageRetrainConfig(
        space=SpaceConfig(name="recurrent", channels=12), weights=SGD, language=SHORT, epochs=9, batch_size=16,
        auxiliary=0.0, drop_path=0.0, average_after=1,
    )  # fmt: skip
    whole = tiny.run(RetrainTask(config, CELL, data, CPU), stop=(8, 3))
    tiny.save(tmp_path / "state.pt", {"task": whole.state()})
    tiny.run(whole, 8, 3)
    assert stories.FLOOR < whole.selection.kept["figures"]["test_perplexity"] < 1.25 * stories.FLOOR
    assert whole.selection.kept["figures"]["valid_loss"] == min(whole.averaging.losses)
    resumed = RetrainTask(config, CELL, data, CPU)
    resumed.load_state(tiny.load(tmp_path / "state.pt")["task"])
    tiny.run(resumed, 8, 3)
    assert resumed.tested == whole.tested and resumed.averaging.count == whole.averaging.count > 0
    figures = whole.write(tmp_path)
    assert (
        figures["test_perplexity"] == whole.selection.kept["figures"]["test_perplexity"] and "test_error" not in figures
    )


def test_the_trigger_and_the_mean_of_weights():
    network = nn.Linear(1, 1, bias=False)
    averaging = Averaging(network, patience=2)
    for number, loss in enumerate([3.0, 2.0, 2.5, 2.6, 2.1, 2.4]):
        averaging.note(loss)  # the last but one is above the best of more than two epochs ago: 2.1 > 2.0
        for value in (0.0, 1.0, 5.0):
            network.weight.data.fill_(value + number)
            averaging.step()
    assert averaging.count == 6 and Averaging(network, None).count == 0
    with pytest.raises(KeyError), averaging.applied():
        assert network.weight.item() == pytest.approx(6.5)
        raise KeyError
    assert network.weight.item() == 10.0


def test_what_cannot_be_is_said(tmp_path):
    data = folder_of(tmp_path)
    with pytest.raises(SpaceError, match="reads running text, which the data set does not hold"):
        make_search(SearchConfig(space=SearchSpaceConfig(name="recurrent")), tiny.data(), CPU)
    with pytest.raises(SpaceError, match="reads images, which the data set does not hold"):
        make_search(SearchConfig(data=DataConfig("text")), data, CPU)
    with pytest.raises(SpaceError, match="raise `batch_size`"):
        tiny.run(search(data, batch_size=1))
    with pytest.raises(UserError, match="set `drop_path` 0"):
        search(data, drop_path=0.2)
    assert final_for("recurrent", "text") == "recurrent_text" and final_for("recurrent", "ptb") == "recurrent_ptb"
