"""Load the model of a result again, with the settings that the result states."""

from dataclasses import dataclass
from typing import Any

from clirbench.encoders.base import DTYPES, SIMILARITIES, EncoderOptions, LoadedModel, takes_options
from clirbench.encoders.load import load_encoder
from clirbench.encoders.samples import POOL
from clirbench.results.schema import Document
from clirbench.support.errors import ClirbenchError


@dataclass(frozen=True)
class ModelAt:
    """Where the model of a result is now, and how to load it.

    Attributes:
        name: A name or folder, as ``--model`` of ``clirbench run`` takes it; None for the name in the result.
        device: Where to encode; None for the model's own choice.
        trust_remote_code: Run code that the model brings.
        safe: As in :class:`~clirbench.EncoderOptions`.
        allow_pickle: Unpickle weights.
    """

    name: str | None = None
    device: str | None = None
    trust_remote_code: bool = False
    safe: bool | None = None
    allow_pickle: bool = False


def reload_model(document: Document, at: ModelAt) -> LoadedModel:
    """Load the model of a result with the prompts, length, dtype, similarity and transform that the result states.

    The loaded model may differ from the result's model: the caller compares revisions, or calls :func:`refuse_another_model`.

    Raises:
        ClirbenchError: The model cannot be loaded, or its transform was fitted on a file.
    """
    refuse_unknown_sample(document)
    stated, settings = document.model, document.encoder
    if stated.kind == "endpoint" and at.name is None:
        # A stranger's file must not choose the server that gets the user's key.
        raise ClirbenchError(
            f"{stated.name} ran behind a server: pass --model http://HOST:PORT/v1#MODEL with its address"
        )
    name = at.name or (f"mteb:{stated.name}" if stated.kind == "mteb" else stated.name)
    options: dict[str, Any] = {"device": at.device, "trust_remote_code": at.trust_remote_code}
    options |= settings.model_dump(include={"truncate_dim", "transform", "quantise"})
    # Other bundled and packed models take none of the options below, because their settings are fixed.
    loading = {"safe": at.safe, "allow_pickle": at.allow_pickle}
    if name.startswith("mteb:"):
        options |= {"similarity": settings.similarity, "revision": stated.revision, **loading}
    elif stated.kind == "mteb" or takes_options(stated.kind, settings.query_max_length):
        # A model of mteb's registry whose copy lies in a folder is loaded by sentence-transformers.
        # Two different lengths are the model's own: one option could not set both.
        alike = settings.query_max_length == settings.candidate_max_length
        # Older results of mteb's models state what the registry says, not what was in effect.
        known = document.provenance is not None or stated.kind != "mteb"
        options |= {
            # With "none", neither the registry nor the model adds a prompt, and a text is never taken for a name.
            "prompts": "none",
            **settings.model_dump(include={"query_prompt", "candidate_prompt"}),
            "similarity": settings.similarity if settings.similarity in SIMILARITIES else None,
            "max_length": settings.query_max_length if alike and known else None,
            "dtype": settings.dtype if settings.dtype in DTYPES and known else None,
            "backend": settings.backend,
            "encode_task": settings.query_task and f"{settings.query_task},{settings.candidate_task}",
        }
        if stated.kind in ("sentence-transformers", "mteb"):
            options |= {"name": stated.name, "revision": stated.revision if at.name is None else None, **loading}
    elif stated.kind in ("own", "endpoint"):
        prompts = {"query_prompt": settings.query_prompt or None, "candidate_prompt": settings.candidate_prompt or None}
        options |= {"name": stated.name, "similarity": settings.similarity, **prompts}
        # Only the user of a server knows its revision, so the one that was declared is taken for granted.
        options |= {"revision": stated.revision} if stated.kind == "endpoint" else {}
    if stated.kind == "packed" and at.name is not None:
        options |= {"name": stated.name}
    return load_encoder(name, EncoderOptions(**options))


def refuse_unknown_sample(document: Document) -> None:
    """Fail if a transform or int8 was fitted on a file of texts: the result holds the file's checksum, not its texts."""
    samples = {"transform": document.encoder.transform_sample, "quantise": document.encoder.quantise_sample}
    for option, sample in samples.items():
        if sample not in (None, POOL):
            raise ClirbenchError(
                f"--{option} of {document.model.name} was fitted on a file of texts that the result does not hold: "
                f"give a result that was made without --{option}-sample"
            )


def refuse_another_model(loaded: LoadedModel, document: Document) -> None:
    """Fail if the revision or a setting of a loaded model differs from the result's."""
    name = loaded.info.name
    if loaded.info.revision != document.model.revision:
        raise ClirbenchError(
            f"{name} is revision {loaded.info.revision}, but the result was made with {document.model.revision}: pass --model"
        )
    for difference in other_settings(loaded, document):
        raise ClirbenchError(f"{name} has {difference}: pass the model of the result with --model")


def other_settings(loaded: LoadedModel, document: Document) -> list[str]:
    """Name each setting in which a loaded model differs from what a result states, with both values."""
    stated = document.encoder.model_dump()
    here = {key: getattr(loaded.settings, key) for key in stated}
    return [
        f"{key.replace('_', ' ')} {here[key]!r} here, but {value!r} in the result"
        for key, value in stated.items()
        if here[key] != value
    ]
