"""The model that a result came from, loaded again."""

from dataclasses import replace

from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.encoders.load import load_encoder
from clirbench.results.schema import Document
from clirbench.support.errors import ClirbenchError


def load_for(
    document: Document, model: str | None, device: str | None, trust_remote_code: bool = False
) -> LoadedEncoder:
    """The encoder that a result came from, with the settings that it states.

    Raises:
        ClirbenchError: It cannot be loaded, gives no vectors, or is another revision, or has other settings, than the result's.
    """
    stated, settings = document.model, document.encoder
    if settings.transform_sample not in (None, "pool"):
        raise ClirbenchError("the result's transform was fitted on a file that is not here: inspect a run without it")
    name = model or (f"mteb:{stated.name}" if stated.kind == "mteb" else stated.name)
    options = EncoderOptions(device=device, transform=settings.transform, trust_remote_code=trust_remote_code)
    if stated.kind == "sentence-transformers":
        options = replace(
            options,
            name=stated.name,
            similarity=settings.similarity,
            max_length=settings.max_length,
            dtype=settings.dtype if settings.dtype != "float32" else None,
            query_prompt=settings.query_prompt,
            candidate_prompt=settings.candidate_prompt,
            revision=stated.revision if model is None else None,
        )
    elif stated.kind in ("mteb", "own"):
        options = replace(
            options, similarity=settings.similarity, revision=stated.revision if stated.kind == "mteb" else None
        )
        if stated.kind == "own":
            prompts = settings.query_prompt or None, settings.candidate_prompt or None
            options = replace(options, name=stated.name, query_prompt=prompts[0], candidate_prompt=prompts[1])
    elif stated.kind == "packed" and model:
        options = replace(options, name=stated.name)
    loaded = load_encoder(name, options)
    if loaded.scorer is not None or loaded.fusion is not None:
        raise ClirbenchError(f"{stated.name} gives scores in the place of vectors: inspect takes encoders only")
    if loaded.info.revision != stated.revision:
        raise ClirbenchError(
            f"{name} is revision {loaded.info.revision}, but the result was made with {stated.revision}: pass --model"
        )
    for key, value in settings.model_dump().items():
        if getattr(loaded.settings, key) != value:
            raise ClirbenchError(
                f"{name} has {key.replace('_', ' ')} {getattr(loaded.settings, key)!r} here, but {value!r} in the result: "
                "pass --model for the one that it was made with"
            )
    return loaded
