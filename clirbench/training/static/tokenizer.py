"""The tokenizer of the static model: byte-pair pieces over romanised text, balanced over languages."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from clirbench.training.corpus import Corpus
from clirbench.training.static.romanise import compile_rules, rules

UNKNOWN = "[UNK]"
# Scripts written without spaces: training cuts their runs, or counting pairs in whole paragraphs would take hours.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{1,12})")


def train_tokenizer(texts: Sequence[str], vocabulary: int, longest_piece: int) -> Tokenizer:
    """A byte-pair tokenizer without word-start mark: punctuation and spaces are dropped, scripts are split.

    Args:
        texts: Training texts; each language's share of them is its share of the vocabulary.
        vocabulary: Number of pieces, the unknown one among them.
        longest_piece: Characters in a piece at most.

    Returns:
        A tokenizer that normalises by itself, so that it works wherever ``tokenizer.json`` is read.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Precompiled(compile_rules(rules()))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\p{P}\p{S}\p{Z}\p{C}]+"), "removed"),
            pre_tokenizers.UnicodeScripts(),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[UNKNOWN],
        max_token_length=longest_piece,
        limit_alphabet=8_000,
        show_progress=False,
    )
    tokenizer.train_from_iterator((_UNSPACED.sub(r"\1 ", text) for text in texts), trainer)
    return tokenizer


def balanced_texts(corpus: Corpus, budget: int, seed: int) -> list[str]:
    """Texts of each language in random order until ``budget`` bytes, and as many lexicon entries as a tenth of that.

    Args:
        corpus: What was read.
        budget: Bytes of UTF-8 per language.
        seed: Fixes the order.
    """
    chosen: list[str] = []
    for number in range(len(corpus.languages)):
        for entries, share in ((False, budget), (True, budget // 10)):
            columns = [
                side[:, number]
                for source in corpus.sources
                if (source.part.view == "entries") == entries
                for side in (source.queries, source.candidates)
            ]
            indices = np.unique(np.concatenate(columns)) if columns else np.zeros(0, dtype=np.int32)
            indices = indices[indices >= 0]
            np.random.default_rng([seed, number]).shuffle(indices)
            chosen.extend(_within(corpus.texts, indices.tolist(), share))
    return chosen


def _within(texts: Sequence[str], indices: Sequence[int], budget: int) -> Iterator[str]:
    left = budget
    for index in indices:
        left -= len(texts[index].encode())
        if left < 0:
            return
        yield texts[index]
