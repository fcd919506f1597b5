"""mteb's own text tasks: mteb evaluates an encoder that clirbench loaded."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import torch
from mteb.types import PromptType
from sentence_transformers.util import SimilarityFunction

from clirbench.encoders.arrays import as_float32
from clirbench.encoders.base import OF_FINISHED, LoadedEncoder, LoadedModel
from clirbench.encoders.from_mteb import MtebEncoder
from clirbench.encoders.revision import folder_revision
from clirbench.encoders.vectors import Clock, VectorCheck, encode_texts
from clirbench.integrations.mteb import MTEB_LANGUAGES
from clirbench.integrations.mteb_results import model_meta
from clirbench.results.schema import EncoderPart, ModelPart, MtebDocument
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import writing
from clirbench.support.paths import cache_dir, mirror_dir

# Scores of a subset that a result keeps besides the main score. mteb has a hundred more.
_KEPT = (
    "main_score", "ndcg_at_10", "map_at_10", "mrr_at_10", "recall_at_1", "recall_at_10", "recall_at_100", "accuracy", "f1",
)  # fmt: skip


class AsMteb:
    """A loaded encoder as an mteb encoder.

    mteb's queries are encoded as queries. Its documents, and the texts of tasks that have only one side, are encoded as
    candidates.
    """

    def __init__(self, loaded: LoadedEncoder) -> None:
        self._loaded = loaded
        self.mteb_model_meta = model_meta(loaded.info.name, loaded.info.revision, None, loaded.settings.similarity)

    def encode(self, inputs: Any, *, prompt_type: Any = None, **kwargs: Any) -> Any:
        """Encode the texts of mteb's batches: float32 (texts, dimensions).

        Raises:
            ClirbenchError: A vector has NaN or infinity or a wrong shape, or vectors are sparse.
        """
        texts = [text for batch in inputs for text in batch["text"]]
        asked = prompt_type == PromptType.query
        encoder = self._loaded.encoder
        check = VectorCheck(self._loaded, "query" if asked else "candidate", None, refuse_zero=False)
        vectors = encode_texts(encoder.encode_queries if asked else encoder.encode_candidates, texts, check, Clock())
        if not isinstance(vectors, np.ndarray):
            raise ClirbenchError(
                f"{self._loaded.info.name} gives sparse vectors, which mteb's tasks do not take: use a dense encoder"
            )
        return vectors

    def similarity(self, left: Any, right: Any) -> Any:
        """The encoder's similarity of every left vector to every right vector, (left, right)."""
        return self._similar(SimilarityFunction.to_similarity_fn, left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """Similarity of left and right vectors row by row, (rows,)."""
        return self._similar(SimilarityFunction.to_similarity_pairwise_fn, left, right)

    def _similar(self, of_kind: Any, left: Any, right: Any) -> Any:
        return of_kind(self._loaded.settings.similarity)(
            torch.as_tensor(as_float32(left)), torch.as_tensor(as_float32(right))
        )


def run_mteb_task(
    loaded: LoadedModel, name: str, languages: Sequence[str] | None = None, data: Path | None = None
) -> MtebDocument:
    """Let mteb evaluate an encoder on one of its own tasks.

    Args:
        loaded: The encoder.
        name: mteb's name of a text task, such as "MLQARetrieval".
        languages: Evaluate only subsets whose languages are all among these; clirbench's codes or ISO 639-3. None for all
            subsets.
        data: A folder with the task's data set. None: ``mteb/<data set>`` in ``CLIRBENCH_MIRROR``, else the hub.

    Raises:
        ClirbenchError: The model is not a plain encoder, mteb has no such text task, the task lacks these languages, or the data
            cannot be read.
    """
    encoder = _plain_encoder(loaded, name)
    task = _text_task(name, languages)
    hub = task.metadata.dataset["path"]
    folder = data or _mirrored(hub)
    if folder is not None:
        _read_from(folder, task)
    try:
        task.load_data()
    except ClirbenchError:
        raise
    except Exception as error:
        raise ClirbenchError(
            f"mteb:{name}: its data cannot be read from {folder or f'the hub ({hub})'} ({first_line(error)}): "
            "check the network, or pass --data FOLDER in mteb's layout"
        ) from error
    # A model that mteb loaded goes back to mteb unchanged, so that its scores are mteb's own.
    model = encoder.encoder._model if isinstance(encoder.encoder, MtebEncoder) else AsMteb(encoder)
    evaluated = mteb.evaluate(
        model,
        task,
        cache=None,
        co2_tracker=False,
        show_progress_bar=False,
        encode_kwargs={"batch_size": loaded.batch_size or 32, "show_progress_bar": False},
    )
    scored = evaluated.task_results[0]
    return MtebDocument(
        format=1,
        origin="mteb",
        task=name,
        task_type=str(task.metadata.type),
        main_score=task.metadata.main_score,
        source="local copy" if folder is not None else str(hub),
        dataset_revision=str(scored.dataset_revision),
        mteb_version=str(scored.mteb_version),
        model=ModelPart(**asdict(loaded.info), dimensions=None),
        encoder=EncoderPart(**asdict(loaded.settings)),
        scores={
            split: {part["hf_subset"]: _kept(part, task.metadata.main_score) for part in parts}
            for split, parts in scored.scores.items()
        },
    )


def _plain_encoder(loaded: LoadedModel, name: str) -> LoadedEncoder:
    if not isinstance(loaded, LoadedEncoder) or any(getattr(loaded.settings, name) for name in OF_FINISHED):
        raise ClirbenchError(f"mteb's tasks take encoders as they are, not {loaded.info.name}: leave mteb:{name} out")
    if hasattr(loaded.encoder, "prepare"):
        raise ClirbenchError(
            f"{loaded.info.name} needs all candidates at once (it has a 'prepare' method), and mteb's tasks do not give them: "
            f"leave mteb:{name} out"
        )
    if loaded.api:
        raise ClirbenchError(
            f"mteb would call the API of {loaded.info.name} itself, without an estimate and without keeping vectors: "
            f"run mteb:{name} with mteb"
        )
    return loaded


def _text_task(name: str, languages: Sequence[str] | None) -> Any:
    codes = [MTEB_LANGUAGES.get(x, x).split("-")[0] for x in languages] if languages else None
    try:
        task = mteb.get_task(name, languages=codes, exclusive_language_filter=codes is not None)
    except (KeyError, ValueError) as error:
        line = str(error.args[0]).splitlines()[0][:200] if error.args else "unknown"
        raise ClirbenchError(f"mteb has no task '{name}' for that ({line}): correct --tasks or --languages") from error
    if task.metadata.modalities != ["text"]:
        raise ClirbenchError(f"mteb:{name} is not of text alone: choose a text task")
    if codes and not task.hf_subsets:
        raise ClirbenchError(f"mteb:{name} has no subset in {','.join(codes)}: correct --languages")
    return task


def _kept(part: Mapping[str, Any], main_score: str) -> dict[str, float]:
    return {
        key: round(float(value), 6)
        for key, value in part.items()
        if key in (*_KEPT, main_score)
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    }


def _read_from(folder: Path, task: Any) -> None:
    """Let an mteb task read its data from a folder, by a link with the folder's checksum in its name.

    ``datasets`` caches what it reads by the folder's name. Without the checksum, a changed folder would give the old data.
    """
    if not folder.is_dir():
        raise ClirbenchError(f"--data is '{folder}', which is not a folder: correct it")
    revision = folder_revision(folder)[:40]
    link = cache_dir() / "mteb" / f"{folder.resolve().name}-{revision[:16]}"
    with writing(link, "point CLIRBENCH_CACHE at a writable folder"):
        link.parent.mkdir(parents=True, exist_ok=True)
        # Made under another name and renamed: another run may make the same link now.
        new = link.with_name(f".{link.name}.{secrets.token_hex(8)}")
        new.symlink_to(folder.resolve(), target_is_directory=True)
        new.replace(link)
    dataset = {**task.metadata.dataset, "path": str(link), "revision": revision}
    task.metadata = task.metadata.model_copy(update={"dataset": dataset})


def _mirrored(dataset: str) -> Path | None:
    """The folder of a data set in ``CLIRBENCH_MIRROR``, or None."""
    mirror = mirror_dir()
    folder = mirror / "mteb" / dataset.rsplit("/", maxsplit=1)[-1] if mirror else None
    return folder if folder is not None and folder.is_dir() else None
