"""The static model's tokenizer: byte-pair pieces of romanised text, trained on the same amount of text in every language."""

import re
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from clirbench.training.corpus import Corpus
from clirbench.training.static.romanise import compile_rules, rules

UNKNOWN = "[UNK]"
# Scripts without spaces. In training their text is cut every 12 letters: counting pairs in whole paragraphs would take hours.
_UNSPACED_RUN = re.compile(r"([\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{1,12})")


def train_tokenizer(texts: Sequence[str], vocabulary: int, longest_piece: int) -> Tokenizer:
    """Train a byte-pair tokenizer of ``vocabulary`` pieces, with the unknown one, of at most ``longest_piece`` characters.

    It drops punctuation and spaces, does not mark where a word begins, and cuts where the script changes. The more texts are in a
    language, the more pieces it gets. Its ``tokenizer.json`` holds the normaliser too.
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
    tokenizer.train_from_iterator((_UNSPACED_RUN.sub(r"\1 ", text) for text in texts), trainer)
    return tokenizer


def balanced_texts(corpus: Corpus, budget: int, seed: int) -> list[str]:
    """Draw ``budget`` bytes of UTF-8 in every language, and a tenth of that in lexicon entries."""
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
            # Until the next text would exceed the budget.
            sizes = accumulate(len(corpus.texts[index].encode()) for index in indices)
            chosen += [corpus.texts[index] for index, size in zip(indices, sizes, strict=True) if size <= share]
    return chosen
