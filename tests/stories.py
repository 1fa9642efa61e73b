"""A text of a small grammar, so that something can be learnt: the word before decides which four words may follow."""

import random

KINDS = (("the", "a", "every", "some"), ("cat", "dog", "bird", "king"), ("sees", "feeds", "likes", "fears"))
FLOOR = 4.0 ** (5 / 7)
"""The perplexity of lines that cannot be undercut: of each seven words five are one of four, and two are certain."""


def sentences(count, seed=0):
    """Lines of five words and a full stop."""
    rng = random.Random(seed)
    orders = (0, 1, 2, 0, 1)
    return [" ".join([*(rng.choice(KINDS[kind]) for kind in orders), "."]) for _ in range(count)]


def write_file(path, count=400):
    """One text, in paragraphs of five lines."""
    lines = sentences(count)
    path.write_text("\n\n".join("\n".join(lines[k : k + 5]) for k in range(0, count, 5)))


def write_folder(folder, pattern="ptb.{}.txt", counts=(300, 60, 60)):
    """Three texts, a line for each sentence."""
    folder.mkdir(exist_ok=True)
    for seed, (part, count) in enumerate(zip(("train", "valid", "test"), counts)):
        (folder / pattern.format(part)).write_text("\n".join(sentences(count, seed)) + "\n")
