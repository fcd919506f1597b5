"""mteb's own text tasks, evaluated by mteb with an encoder that clirbench loaded."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from mteb.types import PromptType

from clirbench.encoders.base import LoadedEncoder, folder_revision
from clirbench.encoders.checks import Check, as_float32
from clirbench.encoders.from_mteb import MtebEncoder
from clirbench.integrations.mteb import LANGUAGES
from clirbench.integrations.mteb_results import model_meta
from clirbench.results.schema import EncoderPart, ModelPart, MtebDocument
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import writing
from clirbench.support.paths import cache_dir, mirror_dir

_KEPT = (
    "main_score",
    "ndcg_at_10",
    "map_at_10",
    "mrr_at_10",
    "recall_at_1",
    "recall_at_10",
    "recall_at_100",
    "accuracy",
    "f1",
)


class AsMteb:
    """A loaded encoder as mteb calls one: queries as queries; documents, and the texts of symmetric tasks, as candidates."""

    def __init__(self, loaded: LoadedEncoder) -> None:
        self._loaded = loaded
        self.mteb_model_meta = model_meta(loaded.info.name, loaded.info.revision, None, loaded.settings.similarity)

    def encode(self, inputs: Any, *, prompt_type: Any = None, **kwargs: Any) -> Any:
        """float32 (texts, dimensions), checked as clirbench checks every vector."""
        texts = [text for batch in inputs for text in batch["text"]]
        asked = prompt_type == PromptType.query
        encoder = self._loaded.encoder
        raw = (encoder.encode_queries if asked else encoder.encode_candidates)(texts)
        check = Check(self._loaded.info.name, "query" if asked else "candidate", None, refuse_zero=False)
        vectors = check(raw, texts)
        if not isinstance(vectors, np.ndarray):
            raise ClirbenchError(
                f"{self._loaded.info.name} gives sparse vectors, which mteb's tasks do not take: use a dense one"
            )
        return vectors

    def similarity(self, left: Any, right: Any) -> Any:
        """All pairs, by the encoder's similarity."""
        return self._similar(left, right, pairwise=False)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """Row by row."""
        return self._similar(left, right, pairwise=True)

    def _similar(self, left: Any, right: Any, *, pairwise: bool) -> Any:
        import torch  # noqa: PLC0415
        from sentence_transformers.util import SimilarityFunction  # noqa: PLC0415

        kind = self._loaded.settings.similarity
        function = (
            SimilarityFunction.to_similarity_pairwise_fn(kind)
            if pairwise
            else SimilarityFunction.to_similarity_fn(kind)
        )
        return function(torch.as_tensor(as_float32(left)), torch.as_tensor(as_float32(right)))


def run_mteb_task(
    loaded: LoadedEncoder, name: str, languages: Sequence[str] | None = None, data: Path | None = None
) -> MtebDocument:
    """Evaluate one of mteb's tasks, by mteb.

    Args:
        loaded: The encoder.
        name: mteb's name of a text task, such as "MLQARetrieval".
        languages: Only the subsets in these languages (both languages, of a pair); clirbench's codes or ISO 639-3. None for all.
        data: A copy of the task's data set in a folder; None for ``mteb/<data set>`` in ``CLIRBENCH_MIRROR``, or the hub.

    Returns:
        mteb's result, with the encoder's identity.

    Raises:
        ClirbenchError: mteb has no such text task, it has not these languages, or its data cannot be had.
    """
    if loaded.scorer is not None or loaded.fusion is not None or loaded.transform is not None:
        raise ClirbenchError(f"mteb's tasks take encoders as they are, not {loaded.info.name}: leave mteb:{name} out")
    if hasattr(loaded.encoder, "prepare"):
        raise ClirbenchError(
            f"{loaded.info.name} needs all candidates at once (it has a 'prepare' method), which mteb's tasks do not tell: "
            f"leave mteb:{name} out"
        )
    if loaded.api:
        raise ClirbenchError(
            f"mteb would call the API of {loaded.info.name} itself, without an estimate and without keeping vectors: "
            f"run mteb:{name} with mteb"
        )
    codes = [LANGUAGES.get(x, x).split("-")[0] for x in languages] if languages else None
    try:
        task = mteb.get_task(name, languages=codes, exclusive_language_filter=codes is not None)
    except (KeyError, ValueError) as error:
        line = str(error.args[0]).splitlines()[0][:200] if error.args else "unknown"
        raise ClirbenchError(f"mteb has no task '{name}' for that ({line}): correct --tasks or --languages") from error
    if task.metadata.modalities != ["text"]:
        raise ClirbenchError(f"mteb:{name} is not of text alone: choose a text task")
    if codes and not task.hf_subsets:
        raise ClirbenchError(f"mteb:{name} has no subset in {','.join(codes)}: correct --languages")
    folder = data or _mirrored(task.metadata.dataset["path"])
    if folder is not None:
        if not folder.is_dir():
            raise ClirbenchError(f"--data is '{folder}', which is not a folder: correct it")
        revision = folder_revision(folder)[:40]
        dataset = {**task.metadata.dataset, "path": str(_named_by_content(folder, revision)), "revision": revision}
        task.metadata = task.metadata.model_copy(update={"dataset": dataset})
    model = loaded.encoder._model if isinstance(loaded.encoder, MtebEncoder) else AsMteb(loaded)
    try:
        task.load_data()
    except ClirbenchError:
        raise
    except Exception as error:
        where = folder or f"the hub ({task.metadata.dataset['path']})"
        raise ClirbenchError(
            f"mteb:{name}: its data cannot be read from {where} ({first_line(error)}): "
            "check the network, or pass --data FOLDER in mteb's layout"
        ) from error
    found = mteb.evaluate(
        model,
        task,
        cache=None,
        co2_tracker=False,
        show_progress_bar=False,
        encode_kwargs={"batch_size": loaded.batch_size or 32, "show_progress_bar": False},
    )
    scored = found.task_results[0]
    return MtebDocument(
        format=1,
        origin="mteb",
        task=name,
        task_type=str(task.metadata.type),
        main_score=task.metadata.main_score,
        source="local copy" if folder is not None else str(task.metadata.dataset["path"]),
        dataset_revision=str(scored.dataset_revision),
        mteb_version=str(scored.mteb_version),
        model=ModelPart(**asdict(loaded.info), dimensions=None),
        encoder=EncoderPart(**asdict(loaded.settings)),
        scores={
            split: {
                part["hf_subset"]: {
                    key: round(float(value), 6)
                    for key, value in part.items()
                    # mteb has a hundred more of each subset, which nobody reads here.
                    if key in (*_KEPT, task.metadata.main_score)
                    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
                }
                for part in parts
            }
            for split, parts in scored.scores.items()
        },
    )


def _named_by_content(folder: Path, revision: str) -> Path:
    """A link to the folder with its checksum in its name.

    datasets caches what it read from a folder by the folder's name: a changed copy would be taken for the one before.
    """
    link = cache_dir() / "mteb" / f"{folder.resolve().name}-{revision[:16]}"
    with writing(link, "point CLIRBENCH_CACHE at a writable folder"):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve(), target_is_directory=True)
    return link


def _mirrored(dataset: str) -> Path | None:
    mirror = mirror_dir()
    folder = mirror / "mteb" / dataset.rsplit("/", maxsplit=1)[-1] if mirror else None
    return folder if folder is not None and folder.is_dir() else None
