"""The models that clirbench brings: a trained baseline, and three lexical ones to compare with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clirbench.encoders import base
from clirbench.encoders.bm25 import Bm25Scorer
from clirbench.encoders.char_ngram import CharNgramEncoder
from clirbench.encoders.packed import REFUSED, PackedEncoder
from clirbench.encoders.revision import folder_revision
from clirbench.support.errors import ClirbenchError

_MODELS = Path(__file__).resolve().parent / "models"


@dataclass(frozen=True)
class Bundled:
    """A model that clirbench brings.

    ``revision`` is raised by hand whenever the vectors change; a model with a ``folder`` is identified by its checksum instead.
    """

    name: str
    description: str
    revision: str | None
    make: Callable[[], base.Encoder | base.Scorer]
    folder: Path | None = None

    def identity(self) -> tuple[str, str]:
        """Return the revision and its kind, as :class:`~clirbench.encoders.base.ModelInfo` has them."""
        if self.revision is not None or self.folder is None:
            return str(self.revision), "bundled"
        return f"sha256:{folder_revision(self.folder)}", "folder-sha256"


def _packed(name: str, description: str) -> Bundled:
    folder = _MODELS / name
    return Bundled(f"clirbench/{name}", description, None, lambda: PackedEncoder(folder), folder)


BUNDLED: dict[str, Bundled] = {
    model.name: model
    for model in (
        _packed(
            "hybrid",
            "bag of subwords over romanised text, 11 languages, trained on hybrid batches (clirbench train static.toml)",
        ),
        Bundled(
            "clirbench/char-ngram",
            "hashed character 3- to 5-grams within words, weighted by idf over the candidates; no weights, no training",
            "1",
            CharNgramEncoder,
        ),
        Bundled(
            "clirbench/char-ngram-romanised",
            "the same over text romanised by anyascii, so that names match across scripts",
            "1",
            lambda: CharNgramEncoder(romanised=True),
        ),
        Bundled(
            "clirbench/bm25",
            "BM25 (bm25s; k1 = 0.9, b = 0.4) over stemmed words, or pairs of characters where words are not spaced",
            "1",
            Bm25Scorer,
        ),
    )
}
DEFAULT = "clirbench/hybrid"


def load_bundled(name: str, options: base.EncoderOptions) -> base.LoadedModel:
    """Load a bundled model by its full name.

    Raises:
        ClirbenchError: No bundled model has that name, or an option does not apply.
    """
    if name not in BUNDLED:
        raise ClirbenchError(f"no bundled model '{name}': the bundled ones are {', '.join(BUNDLED)}")
    base.refuse(options, (*REFUSED, "name"), f"the bundled model {name}")
    model = BUNDLED[name]
    revision, kind = model.identity()
    encoder = model.make()
    info = base.ModelInfo(name, "bundled", revision, kind, parameters=getattr(encoder, "parameters", 0))
    if not isinstance(encoder, base.Encoder):
        base.refuse(options, base.OF_VECTORS, f"{name}, which has no vectors")
        return base.LoadedScorer(scorer=encoder, info=info, settings=base.EncoderSettings(similarity="bm25"))
    return base.LoadedEncoder(encoder=encoder, info=info, settings=base.EncoderSettings())
