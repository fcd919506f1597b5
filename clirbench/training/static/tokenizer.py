"""The static model's tokenizer: byte-pair pieces of romanised text, trained on the same amount of text in every language."""

import re
import tempfile
import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from anyascii import anyascii
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from clirbench.support.errors import ClirbenchError
from clirbench.training.corpus import Corpus

UNKNOWN = "[UNK]"
# Scripts without spaces. Training cuts their text every 12 letters, because counting pairs in whole paragraphs takes hours.
_UNSPACED_RUN = re.compile(r"([\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{1,12})")
# Scripts whose letters become plain Latin ones, by the first word of a letter's Unicode name. Thai and the scripts of China,
# Japan and Korea stay: romanising them loses more (homophones, word boundaries) than shared names gain.
_ROMANISED = frozenset({"ARABIC", "CYRILLIC", "GREEK", "DEVANAGARI", "LATIN"})
_LAST = 0x1FFFF


def train_tokenizer(texts: Sequence[str], vocabulary: int, longest_piece: int) -> Tokenizer:
    """Train a byte-pair tokenizer of ``vocabulary`` pieces, the unknown piece included, of up to ``longest_piece`` characters.

    The tokenizer drops punctuation and spaces, does not mark where a word begins, and cuts where the script changes. A language
    with more text gets more pieces. Its ``tokenizer.json`` holds the normaliser too.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Precompiled(compile_rules(rules()))
    without_gaps = pre_tokenizers.Split(Regex(r"[\p{P}\p{S}\p{Z}\p{C}]+"), "removed")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([without_gaps, pre_tokenizers.UnicodeScripts()])
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
            # Texts are taken until the next one would exceed the budget.
            sizes = accumulate(len(corpus.texts[index].encode()) for index in indices)
            chosen += [corpus.texts[index] for index, size in zip(indices, sizes, strict=True) if size <= share]
    return chosen


def romanise(character: str) -> str:
    """Romanise one character: NFKC, lower case, Latin letters for the romanised scripts; combining accents are dropped."""
    letters = []
    for part in unicodedata.normalize("NFKC", character).lower():
        script = unicodedata.name(part, "").split(" ", 1)[0]
        if script in _ROMANISED:
            letters.append(anyascii(part).lower())
        elif not (script == "COMBINING" and unicodedata.category(part) == "Mn"):
            letters.append(part)
    return "".join(letters)


def rules() -> dict[str, str]:
    """Every character of the first two Unicode planes that :func:`romanise` changes, with what it becomes."""
    beyond_ascii = (c for c in map(chr, range(0x80, _LAST)) if unicodedata.category(c) not in ("Cn", "Co", "Cs"))
    return {c: target for c in (*ascii_uppercase, *beyond_ascii) if (target := romanise(c)) != c}


def compile_rules(table: dict[str, str]) -> bytes:
    """Compile :func:`rules` to sentencepiece's character map, the bytes that ``tokenizers.normalizers.Precompiled`` reads.

    Raises:
        ClirbenchError: sentencepiece is not installed.
    """
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise ClirbenchError("building a tokenizer needs sentencepiece: pip install 'clirbench[train]'") from error
    with tempfile.TemporaryDirectory() as folder:
        path, prefix = Path(folder) / "rules.tsv", Path(folder) / "model"
        lines = ("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) for rule in sorted(table.items()))
        path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="\n")
        # sentencepiece compiles rules only while it trains a model. The model is not used.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d e f g"] * 10),
            model_prefix=str(prefix),
            vocab_size=8,
            model_type="char",
            hard_vocab_limit=False,
            normalization_rule_tsv=str(path),
            minloglevel=2,
        )
        proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
        proto.ParseFromString(prefix.with_suffix(".model").read_bytes())
        return bytes(proto.normalizer_spec.precompiled_charsmap)
