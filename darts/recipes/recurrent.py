"""Searches and retrainings of recurrent cells for language modelling (Liu et al. 2019, appendices A.1.2 and A.2.2).

Perplexities are those of Penn Treebank as Mikolov et al. 2010 prepared it, with 10,000 words.

A number is *published* where the paper or its code's README states it, and *quoted* where another paper's table does;
a number that could be verified in neither is not given.
"""

from dataclasses import replace

from darts.config import (
    DataConfig,
    DropoutConfig,
    LanguageConfig,
    LanguageRetrainConfig,
    LanguageSearchConfig,
    LogitsConfig,
    MethodConfig,
    RunConfig,
    SearchSpaceConfig,
    SpaceConfig,
    WeightsConfig,
)
from darts.recipes.recipe import recipe

SGD = WeightsConfig(lr=20.0, schedule="constant", momentum=0.0, weight_decay=5e-7, clip=0.25)
LOGITS = LogitsConfig(lr=3e-3, betas=(0.9, 0.999))
WORDS = 10_000
ROLL_BACK = RunConfig(on_nan="rollback")
LIGHT = DropoutConfig(input=0.1, output=0.2, x=0.2, hidden=0.1)
"""For small networks, which overfit less."""


@recipe
def darts_recurrent_ptb() -> LanguageSearchConfig:
    """First-order DARTS of a recurrent cell on Penn Treebank: a folder with ptb.train.txt, ptb.valid.txt, ptb.test.txt.
    The logits train on the validation part. Published: 57.6 test perplexity after retraining, 60.2 on the validation
    part, the best of 4 searches, 0.5 GPU-days for the 4 (Liu et al. 2019, table 2)."""
    return LanguageSearchConfig(
        data=DataConfig("ptb"),
        space=SearchSpaceConfig(name="recurrent", channels=300),
        weights=SGD,
        language=LanguageConfig(vocabulary=WORDS),
        logits=LOGITS,
        batch_size=256,
        seed=3,
    )


@recipe
def darts_v2_recurrent_ptb() -> LanguageSearchConfig:
    """Second-order DARTS of a recurrent cell on Penn Treebank, with clipped virtual steps. Published: 55.7 test
    perplexity after retraining, 58.1 on the validation part, the best of 4 searches, 1 GPU-day for the 4 (Liu et al.
    2019, table 2)."""
    return replace(darts_recurrent_ptb(), method=MethodConfig(step="unrolled_clipped"))


@recipe
def darts_recurrent_text() -> LanguageSearchConfig:
    """First-order DARTS of a small recurrent cell on any text: a file, or a folder with train.txt, valid.txt, test.txt.
    The logits learn faster than in the paper, since there are few steps. No number is published."""
    return LanguageSearchConfig(
        data=DataConfig("text"),
        space=SearchSpaceConfig(name="recurrent", channels=100, nodes=4),
        weights=SGD,
        language=LanguageConfig(vocabulary=WORDS, length=20, dropout=LIGHT),
        logits=replace(LOGITS, lr=0.01),
        epochs=10,
        batch_size=32,
    )


@recipe
def recurrent_ptb() -> LanguageRetrainConfig:
    """The DARTS evaluation protocol on Penn Treebank: 850 units, until averaged weights improve no more, at most 8000
    epochs. Published for the cell of second order: 55.7 test perplexity, 58.1 on the validation part, 23 M parameters,
    3 days on a GTX 1080 Ti (Liu et al. 2019, table 2)."""
    return LanguageRetrainConfig(
        data=DataConfig("ptb"),
        space=SpaceConfig(name="recurrent", channels=850),
        weights=replace(SGD, weight_decay=8e-7),
        language=LanguageConfig(vocabulary=WORDS, spread=5.0, dropout=DropoutConfig(embedding=0.1)),
        epochs=8000,
        batch_size=64,
        auxiliary=0.0,
        drop_path=0.0,
        average_after=5,
        seed=1267,
        run=ROLL_BACK,
    )


@recipe
def recurrent_wikitext2() -> LanguageRetrainConfig:
    """The DARTS protocol on WikiText-2: a folder with wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens; 700
    units. No number that we could verify is published."""
    config = recurrent_ptb()
    dropout = DropoutConfig(embedding=0.1, hidden=0.15)
    return replace(
        config,
        data=DataConfig("wikitext2"),
        space=SpaceConfig(name="recurrent", channels=700),
        weights=SGD,
        language=replace(config.language, vocabulary=LanguageConfig.vocabulary, dropout=dropout),
    )


@recipe
def recurrent_text() -> LanguageRetrainConfig:
    """A small network of a recurrent cell on any text, from scratch. No number is published."""
    return LanguageRetrainConfig(
        data=DataConfig("text"),
        space=SpaceConfig(name="recurrent", channels=200),
        weights=SGD,
        language=LanguageConfig(vocabulary=WORDS, spread=5.0, dropout=replace(LIGHT, output=0.4)),
        epochs=20,
        batch_size=32,
        auxiliary=0.0,
        drop_path=0.0,
        average_after=3,
        run=ROLL_BACK,
    )
