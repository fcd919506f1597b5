"""Lexicon entries: how common each entry is, and lists of entries, which are used like sentences."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clirbench.training.corpus import Corpus, SourceTexts

_WORD = re.compile(r"\w+")
_PIVOT = "en"


def with_lists(corpus: Corpus, exponent: float, seed: int) -> Corpus:
    """Replace the single entries of every source with ``view = "entries"`` by lists of entries.

    A list is in two languages: 1 to ``longest`` entries, joined by spaces, in the same order in both. Entries are drawn with a
    chance in proportion to ``commonness ** exponent``. A language pair has at most ``lists`` lists, and at most two lists per
    entry.

    From the entries cat/Katze and dog/Hund come lists such as "dog cat dog" with "Hund Katze Hund". New texts are added after the
    old texts, which keep their indices.
    """
    if not any(source.part.view == "entries" for source in corpus.sources):
        return corpus
    index = {text: i for i, text in enumerate(corpus.texts)}
    counts = english_counts(corpus)
    sources = tuple(
        _listed(source, corpus, index, commonness(source, corpus, counts) ** exponent, seed)
        if source.part.view == "entries"
        else source
        for source in corpus.sources
    )
    return replace(corpus, texts=list(index), sources=sources)


def english_counts(corpus: Corpus) -> Counter[str]:
    """How often each English word, in lower case, occurs in the distinct English texts. Lexicon entries are left out."""
    counts: Counter[str] = Counter()
    if _PIVOT not in corpus.languages:
        return counts
    for text in corpus.running_texts(corpus.languages.index(_PIVOT)):
        counts.update(_WORD.findall(corpus.texts[text].lower()))
    return counts


def commonness(source: SourceTexts, corpus: Corpus, counts: Counter[str]) -> NDArray[np.float64]:
    """One plus the count of the rarest English word of each row; 1 where a row has no English. float64 (rows,)."""
    common = np.ones(len(source.queries))
    if _PIVOT in corpus.languages:
        for row, text in enumerate(source.queries[:, corpus.languages.index(_PIVOT)].tolist()):
            words = _WORD.findall(corpus.texts[text].lower()) if text >= 0 else ()
            if words:
                common[row] += min(counts[word] for word in words)
    return common


def _listed(
    source: SourceTexts, corpus: Corpus, index: dict[str, int], weights: NDArray[np.float64], seed: int
) -> SourceTexts:
    """Turn a source of entries into a source of lists. New texts are added to ``index``."""
    tables = []
    for a, b in combinations(range(len(corpus.languages)), 2):
        rows = np.flatnonzero((source.queries[:, a] >= 0) & (source.queries[:, b] >= 0))
        if len(rows) < 2:
            continue
        rng = np.random.default_rng([seed, a, b])
        number = min(source.part.lists, 2 * len(rows))
        lengths = rng.integers(1, source.part.longest + 1, number)
        drawn = rng.choice(rows, lengths.sum(), p=weights[rows] / weights[rows].sum())
        table = np.full((number, len(corpus.languages)), -1, dtype=np.int32)
        for i, entries in enumerate(np.split(drawn, np.cumsum(lengths)[:-1])):
            for language in (a, b):
                text = " ".join(corpus.texts[source.queries[row, language]] for row in entries)
                table[i, language] = index.setdefault(text, len(index))
        tables.append(table)
    if not tables:
        return source
    table = np.concatenate(tables)
    return replace(source, queries=table, candidates=table)
