"""A folder of pre-computed vectors, used instead of a model."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clirbench.encoders import base
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.vector_files import VectorFolder

_REFUSED = (*base.OF_LOADING, *base.OF_PROMPTS, "transform", "transform_sample", "quantise_sample", "depth")


class _NoEncoder:
    """The encoder of a model whose vectors are read from files: it is never called."""

    def encode_queries(self, texts: list[str]) -> Any:
        raise AssertionError(f"{len(texts)} texts to encode, though their vectors are read from files")

    encode_candidates = encode_queries


def load_vectors(folder: Path, languages: Sequence[str], options: base.EncoderOptions) -> base.LoadedEncoder:
    """Open a folder of vectors as a model. Its revision is a SHA-256 over the files of these languages.

    Raises:
        ClirbenchError: ``options.name`` is missing, an option does not apply to finished vectors, or a language has no files.
    """
    base.check_options(options)
    base.refuse(options, _REFUSED, "vectors that are there already")
    if options.quantise == "int8":
        raise ClirbenchError(
            "--quantise int8 is fitted on texts, which --vectors does not have: round the vectors yourself, or use binary"
        )
    if options.name is None:
        raise ClirbenchError("--vectors needs --name ORG/NAME: the files do not say whose vectors they are")
    opened = VectorFolder(folder)
    for language in languages:
        opened.files(language)
    digest = hashlib.sha256()
    for name, content in opened.checksums(languages):
        digest.update(f"{name}\0{content}\n".encode())
    info = base.ModelInfo(options.name, "vectors", f"sha256:{digest.hexdigest()}", "vectors-sha256")
    settings = base.EncoderSettings(similarity=options.similarity or "cosine")
    loaded = base.LoadedEncoder(encoder=_NoEncoder(), info=info, settings=settings)
    return base.require_encoder(base.with_vector_options(loaded, options))
