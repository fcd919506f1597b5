"""The frozen teacher: every training text is encoded once, and its vector, centred by language, is what the model learns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically
from clirbench.support.progress import Reporter
from clirbench.training.base_model import base_model
from clirbench.training.corpus import Corpus, SourceTexts
from clirbench.training.recipe import Recipe, TeacherPart, TransformerPart

ENCODE = "teacher (texts)"
# Texts of a file of vectors. A training that is killed loses at most one.
_SHARD = 1_024
# The mean of a language is that of so many texts, and never of fewer than a hundred, which would be noise.
_CENTRING, _FEWEST = 500, 100
SIDES = ("query", "candidate")
Vectors = NDArray[np.float16]


@dataclass(frozen=True)
class Targets:
    """What each side of a pair learns.

    Attributes:
        vectors: By side, float16 (rows of the corpus, or texts, dimensions); a zero vector where the teacher has none.
        by_row: Whether the numbers are those of rows (topics), or those of texts.
    """

    vectors: dict[str, Vectors]
    by_row: bool

    def of(self, side: str, texts: NDArray[np.integer[Any]], topics: NDArray[np.integer[Any]]) -> torch.Tensor:
        """The targets of one side of a batch, float32 (pairs, dimensions)."""
        return torch.from_numpy(self.vectors[side][topics if self.by_row else texts].astype(np.float32))


def make_targets(corpus: Corpus, recipe: Recipe, folder: Path, precision: str, reporter: Reporter) -> Targets:
    """Encode the training texts with the teacher of a recipe, and make what the model learns.

    The teacher computes in ``precision``. Vectors are kept in ``folder``, so that a stopped training goes on. Lists of lexicon
    entries have no target: they are no text that a teacher knows. A text that is both query and candidate is encoded once, as a
    candidate.

    Raises:
        ClirbenchError: The teacher cannot be loaded, or too few rows have all languages, so that it cannot be centred.
    """
    part = recipe.teacher
    assert part is not None  # noqa: S101
    teacher, prompts = _load(part, recipe.model)
    sources = [_known(source, part) for source in corpus.sources]
    known = replace(corpus, sources=tuple(sources))
    centring = _complete_rows(sources) if part.centred else np.zeros((0, len(corpus.languages)), dtype=np.int32)
    if part.centred and len(centring) < _FEWEST:
        raise ClirbenchError(
            f"{len(centring)} rows have a text in each of {', '.join(corpus.languages)}, too few to centre the teacher by "
            f"language (at least {_FEWEST}): add parallel texts, or set centred = false in [teacher]"
        )
    wanted = {
        "query": [source.queries for source in sources if not _one_text(source)],
        "candidate": [source.candidates for source in sources],
    }
    numbers = {side: np.unique(np.concatenate([x.ravel() for x in [*wanted[side], centring]])) for side in SIDES}
    numbers = {side: texts[texts >= 0] for side, texts in numbers.items()}
    reporter.start(ENCODE, sum(map(len, numbers.values())))
    vectors: dict[str, Vectors] = {}
    # Candidates come first: where a text is both, the query has the candidate's target.
    for side in ("candidate", "query"):
        if not len(numbers[side]):
            vectors[side] = vectors["candidate"]
            continue
        texts = [corpus.texts[i] for i in numbers[side].tolist()]
        encode = partial(_encode, teacher, prompts[side], precision)
        encoded = _kept(encode, texts, folder / side, partial(reporter.advance, ENCODE))
        places = np.full(len(corpus.texts), -1, dtype=np.int64)
        places[numbers[side]] = np.arange(len(texts))
        means = np.zeros((len(corpus.languages), encoded.shape[1]), dtype=np.float32)
        if len(centring):
            means = np.stack([encoded[places[column]].mean(axis=0, dtype=np.float32) for column in centring.T])
        vectors[side] = _targets(encoded, places, means, known, side, vectors.get("candidate"), part.target)
    return Targets(vectors, part.target == "row")


def _known(source: SourceTexts, part: TeacherPart) -> SourceTexts:
    """The source with the rows alone that the teacher encodes; other rows have no text."""
    size = len(source.queries)
    number = size if part.rows is None else min(part.rows, size)
    if source.part.view == "entries" or (part.sources and source.part.name not in part.sources):
        number = 0
    left_out = np.ones(size, dtype=np.bool_)
    left_out[np.linspace(0, size - 1, number).astype(np.int64)] = False
    queries, candidates = source.queries.copy(), source.candidates.copy()
    queries[left_out] = candidates[left_out] = -1
    return SourceTexts(source.part, queries, candidates)


def _one_text(source: SourceTexts) -> bool:
    """Whether the texts of a row are both its queries and its candidates."""
    return np.array_equal(source.queries, source.candidates)


def _complete_rows(sources: Sequence[SourceTexts]) -> NDArray[np.int32]:
    """Some rows that have a candidate in every language, evenly spaced: indices of texts, int32 (rows, languages)."""
    columns = np.concatenate([source.candidates for source in sources])
    complete = columns[(columns >= 0).all(axis=1)]
    return complete[np.linspace(0, len(complete) - 1, min(_CENTRING, len(complete))).astype(np.int64)]


def _load(part: TeacherPart, student: TransformerPart | None) -> tuple[Any, dict[str, str]]:
    """The teacher, and the prompt of either side."""
    known = student or TransformerPart(base=str(part.model), pooling="model")
    same = part.model is None
    whole = TransformerPart(
        base=known.base if part.model is None else part.model,
        revision=known.revision if same else part.revision,
        pooling=known.pooling if same else "model",
        max_length=part.max_length or known.trained_length or known.max_length,
    )
    prompts = {
        "query": known.query_prompt if part.query_prompt is None else part.query_prompt,
        "candidate": known.candidate_prompt if part.candidate_prompt is None else part.candidate_prompt,
    }
    return base_model(whole).eval(), prompts


def _columns(source: SourceTexts, side: str) -> NDArray[np.int32]:
    return source.queries if side == "query" else source.candidates


def _kept(
    encode: Callable[[list[str]], Vectors], texts: Sequence[str], path: Path, advance: Callable[[int], None]
) -> Vectors:
    """Vectors of texts, float16 (texts, dimensions), through files beside ``path``; those that are there are read."""
    # Texts of like length stand together, so that little is padded. The longest come first, so that the remaining time shrinks.
    order = np.argsort([-len(text) for text in texts], kind="stable")
    shards = []
    for number, begin in enumerate(range(0, len(texts), _SHARD)):
        some = [texts[i] for i in order[begin : begin + _SHARD]]
        file = path.with_name(f"{path.name}-{number:04d}.npy")
        if file.is_file():
            shards.append(np.load(file))
        else:
            shards.append(encode(some))
            file.parent.mkdir(parents=True, exist_ok=True)
            sink = BytesIO()
            np.save(sink, shards[-1])
            write_atomically(file, sink.getvalue())
        advance(len(some))
    vectors = np.concatenate(shards)
    return np.asarray(vectors[np.argsort(order)], dtype=np.float16)


def _encode(teacher: Any, prompt: str, precision: str, texts: list[str]) -> Vectors:
    """Unit vectors of texts, float16 (texts, dimensions)."""
    device = teacher.device.type
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        size = 512 if device == "cuda" else 32
        vectors = teacher.encode(texts, prompt=prompt, batch_size=size, convert_to_tensor=True)
    return _unit(vectors.float().cpu().numpy()).astype(np.float16)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _targets(
    vectors: Vectors,
    places: NDArray[np.int64],
    means: NDArray[np.float32],
    corpus: Corpus,
    side: str,
    candidates: Vectors | None,
    target: str,
) -> Vectors:
    """What the texts or rows of a side learn, as ``target`` of the recipe says; ``candidates`` has it where a text is both."""
    rows = sum(len(source.queries) for source in corpus.sources)
    by_row = target == "row"
    targets = np.zeros((rows if by_row else len(corpus.texts), vectors.shape[1]), dtype=np.float16)
    first = 0
    for source in corpus.sources:
        columns = _columns(source, side)
        last = first + len(columns)
        if candidates is not None and _one_text(source):
            same = np.arange(first, last) if by_row else np.unique(columns[columns >= 0])
            targets[same] = candidates[same]
        else:
            for begin in range(0, len(columns), _SHARD):
                some = columns[begin : begin + _SHARD]
                total = np.zeros((len(some), vectors.shape[1]), dtype=np.float32)
                centred = []
                for language, column in enumerate(some.T):
                    there = np.flatnonzero(column >= 0)
                    own = _unit(vectors[places[column[there]]].astype(np.float32) - means[language])
                    total[there] += own
                    centred.append((there, column[there], own))
                whole = _unit(total)
                if by_row:
                    targets[first + begin : first + begin + len(some)] = whole.astype(np.float16)
                    continue
                for there, texts, own in centred:
                    learnt = _unit(own + whole[there]) if target == "middle" else own
                    targets[texts] = learnt.astype(np.float16)
        first = last
    return targets
