"""The tokenizer's normaliser: NFKC, lower case, and Latin letters for some other scripts, so that names look alike in them."""

import tempfile
import unicodedata
from pathlib import Path

from anyascii import anyascii

from clirbench.support.errors import ClirbenchError

# Scripts whose letters become plain Latin ones, by the first word of a letter's Unicode name. Thai and the scripts of China,
# Japan and Korea stay: romanising them loses more (homophones, word boundaries) than shared names gain.
_ROMANISED = frozenset({"ARABIC", "CYRILLIC", "GREEK", "DEVANAGARI", "LATIN"})
_LAST = 0x1FFFF


def romanise(character: str) -> str:
    """What one character becomes: NFKC, lower case, Latin letters for the romanised scripts; combining accents are dropped."""
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
    targets = {}
    for code in range(0x80, _LAST):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co", "Cs"):
            continue
        target = romanise(character)
        if target != character:
            targets[character] = target
    for code in range(ord("A"), ord("Z") + 1):
        targets[chr(code)] = chr(code).lower()
    return targets


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
        # sentencepiece compiles rules only while it trains a model; the model is thrown away.
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
