"""The models that clirbench brings: two trained ones, and three lexical ones to compare with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from clirbench.encoders import base
from clirbench.encoders.packed import REFUSED, load_packed
from clirbench.encoders.packed_transformer import is_packed_transformer
from clirbench.support.errors import ClirbenchError

_MODELS = Path(__file__).resolve().parent / "models"


@dataclass(frozen=True)
class Bundled:
    """A model that clirbench brings.

    ``source`` makes it, or is the folder of a packed model. ``revision`` is raised by hand whenever the vectors change; a packed
    model is identified by the checksum of its folder instead.
    """

    name: str
    description: str
    revision: str | None
    source: Callable[[], base.Encoder | base.Scorer] | Path

    @property
    def folder(self) -> Path | None:
        """The folder of a packed model; None for any other."""
        return self.source if isinstance(self.source, Path) else None


def _char_ngram(romanised: bool) -> base.Encoder:
    from clirbench.encoders.char_ngram import CharNgramEncoder

    return CharNgramEncoder(romanised=romanised)


def _bm25() -> base.Scorer:
    from clirbench.encoders.bm25 import Bm25Scorer

    return Bm25Scorer()


def packed(name: str, description: str) -> Bundled:
    """A packed model in a folder of its own among the bundled ones."""
    return Bundled(f"clirbench/{name}", description, None, _MODELS / name)


BUNDLED: dict[str, Bundled] = {
    model.name: model
    for model in (
        packed(
            "hybrid",
            "for speed: bag of subwords over romanised text, 11 languages, trained on hybrid batches "
            "(clirbench train static-e5.toml)",
        ),
        packed(
            "hybrid-e5",
            "for quality: multilingual-e5-small with the pieces of 11 languages, trained on hybrid batches "
            "(clirbench train e5-small.toml)",
        ),
        Bundled(
            "clirbench/char-ngram",
            "hashed character 3- to 5-grams within words, weighted by idf over the candidates; no weights, no training",
            "1",
            lambda: _char_ngram(romanised=False),
        ),
        Bundled(
            "clirbench/char-ngram-romanised",
            "the same over text romanised by anyascii, so that names match across scripts",
            "1",
            lambda: _char_ngram(romanised=True),
        ),
        Bundled(
            "clirbench/bm25",
            "BM25 (bm25s; k1 = 0.9, b = 0.4) over stemmed words, or pairs of characters where words are not spaced",
            "1",
            _bm25,
        ),
    )
}
DEFAULT = "clirbench/hybrid"


def has_fixed_settings(name: str) -> bool:
    """Whether a name is that of a bundled model without a device, a length, a dtype and prompts that could be chosen."""
    model = BUNDLED.get(name)
    return name.startswith("clirbench/") and not (model and model.folder and is_packed_transformer(model.folder))


def load_bundled(name: str, options: base.EncoderOptions) -> base.LoadedModel:
    """Load a bundled model by its full name.

    Raises:
        ClirbenchError: No bundled model has that name, or an option does not apply.
    """
    if name not in BUNDLED:
        raise ClirbenchError(f"no bundled model '{name}': the bundled ones are {', '.join(BUNDLED)}")
    base.refuse(options, (*(REFUSED if has_fixed_settings(name) else ()), "name"), f"the bundled model {name}")
    model = BUNDLED[name]
    if isinstance(model.source, Path):
        loaded = load_packed(model.source, replace(options, name=name))
        return replace(loaded, info=replace(loaded.info, kind="bundled"))
    encoder = model.source()
    info = base.ModelInfo(name, "bundled", model.revision, "bundled", parameters=getattr(encoder, "parameters", 0))
    if not isinstance(encoder, base.Encoder):
        base.refuse(options, base.OF_VECTORS, f"{name}, which has no vectors")
        return base.LoadedScorer(scorer=encoder, info=info, settings=base.EncoderSettings(similarity="bm25"))
    return base.LoadedEncoder(encoder=encoder, info=info, settings=base.EncoderSettings())
