"""Everything before the first training step: read and check the data, draw the dev task, tokenise the texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from tokenizers import Tokenizer

from clirbench.encoders.revision import folder_revision
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import sha256_of, write_atomically
from clirbench.support.progress import Reporter
from clirbench.tasks.collection import Collection, load_collection
from clirbench.tasks.task_file import list_tasks, load_task
from clirbench.training.base_model import tokenise_with
from clirbench.training.batches import Weights
from clirbench.training.corpus import Corpus, pair_dataset, pair_table, read_corpus
from clirbench.training.dev import dev_collections, protect
from clirbench.training.pairs import PairCollator
from clirbench.training.recipe import Recipe, StaticPart
from clirbench.training.rows import resolve
from clirbench.training.static.bag import BagCollator
from clirbench.training.static.lexicon import with_lists
from clirbench.training.static.tokenizer import balanced_texts, train_tokenizer
from clirbench.training.static.vectors import Matrix, initial_vectors
from clirbench.training.teacher import Targets
from clirbench.training.tokens import TokenStore, without_special_tokens

READ, TOKENISE, SMOOTH = "read (files)", "tokenise (texts)", "smooth (rounds)"


@dataclass(frozen=True)
class Prepared:
    """The data of a recipe, read and checked, and its dev task.

    Attributes:
        recipe: The recipe.
        as_read: The training data as they were read; each lexicon entry is a row.
        corpus: The data that batches are drawn from; lists of lexicon entries replace single entries.
        dev: The dev task, by kind; see :func:`clirbench.training.dev.dev_collections`.
        checked: Identifiers of the tasks whose texts the data were searched for.
        unchecked: By identifier, why a task could not be loaded, so that the data were not searched for its texts.
    """

    recipe: Recipe
    as_read: Corpus
    corpus: Corpus
    dev: dict[str, Collection]
    checked: tuple[str, ...]
    unchecked: dict[str, str]


@dataclass(frozen=True)
class Tokenised:
    """What a static model needs besides :class:`Prepared`: its tokenizer, all texts as tokens, ``[static]`` of the recipe."""

    tokenizer: Tokenizer
    store: TokenStore
    part: StaticPart


@dataclass(frozen=True)
class TrainingData:
    """What a trainer reads.

    Attributes:
        pairs: Pairs of a query and a candidate, with the columns that decide batches.
        collator: Turns a batch into the model's input; None for the library's own, which tokenises texts in each batch.
        weights: By number of the source, its weight in monolingual and its weight in cross-lingual batches.
    """

    pairs: Dataset
    collator: BagCollator | PairCollator | None
    weights: Weights


def prepare(recipe: Recipe, folders: Sequence[Path], reporter: Reporter) -> Prepared:
    """Read the data of a recipe, draw its dev task, and look for evaluation text.

    A file comes from the first folder that has it. The reporter is told of everything that is missing or left out. Overlaps with
    evaluation tasks are only listed; the caller decides what to do.

    Raises:
        ClirbenchError: A file is missing or wrong.
    """
    dev = dev_collections(recipe, folders)
    evaluation, unchecked = {}, {}
    for name in list_tasks():
        task = load_task(name)
        if task.streamed:
            # The passages of a streamed task are all of Wikipedia. That training data hold some of them gives no answer away.
            continue
        try:
            evaluation[name] = load_collection(task)
        except ClirbenchError as error:
            unchecked[name] = str(error)
            reporter.note(f"{name} cannot be loaded, so the training data are not checked against it ({error})")
    reporter.start(READ, sum(len(source.files) for source in recipe.source))
    as_read = read_corpus(
        recipe,
        folders,
        protect(list(dev.values())) if dev else None,
        protect(list(evaluation.values())) if evaluation else None,
        partial(reporter.advance, READ),
    )
    _say_what_is_missing(recipe, as_read, reporter)
    exponent = recipe.static.graph_exponent if recipe.static else 0.0
    return Prepared(recipe, as_read, with_lists(as_read, exponent, recipe.seed), dev, tuple(evaluation), unchecked)


def tokenise(prepared: Prepared, folder: Path, reporter: Reporter) -> Tokenised:
    """Tokenise all texts for a static model.

    If ``folder`` has a ``tokenizer.json``, it is used; otherwise a tokenizer is trained and written there.

    Raises:
        ClirbenchError: The recipe is not of a static model.
    """
    part = prepared.recipe.static
    if part is None:
        raise ClirbenchError("the recipe has no [static]")
    path = folder / "tokenizer.json"
    if path.is_file():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        reporter.note(f"training a tokenizer of {part.vocabulary:,} pieces")
        texts = balanced_texts(prepared.as_read, part.corpus_bytes, prepared.recipe.seed)
        tokenizer = train_tokenizer(texts, part.vocabulary, part.longest_piece)
        write_atomically(path, tokenizer.to_str().encode())
    texts = prepared.corpus.texts
    reporter.start(TOKENISE, len(texts))
    tokens = without_special_tokens(tokenizer)
    store = TokenStore.encode(tokens, texts, part.max_length, partial(reporter.advance, TOKENISE))
    return Tokenised(tokenizer, store, part)


def first_vectors(
    prepared: Prepared, tokenised: Tokenised, targets: Targets | None, seed: int, reporter: Reporter
) -> Matrix:
    """The vectors of a static model before training, float32 (vocabulary, dimensions). ``targets`` are the teacher's."""
    part = tokenised.part
    reporter.start(SMOOTH, part.graph_rounds, brief=True)
    size = tokenised.tokenizer.get_vocab_size()
    advance = partial(reporter.advance, SMOOTH)
    return initial_vectors(prepared.as_read, tokenised.store, part, size, seed, targets, advance)


def static_data(prepared: Prepared, tokenised: Tokenised, targets: Targets | None = None) -> TrainingData:
    """What the trainer of a static model reads: pairs as tokens."""
    pairs, weights = _pairs(prepared)
    return TrainingData(pair_dataset(pairs), BagCollator(tokenised.store, tokenised.part, targets), weights)


def transformer_data(prepared: Prepared, model: Any, targets: Targets | None, reporter: Reporter) -> TrainingData:
    """What the trainer of a transformer reads: pairs as tokens, each text tokenised once.

    A model that reads texts in a way of its own gets them as texts.

    Raises:
        ClirbenchError: Such a model cannot learn of a teacher.
    """
    part = prepared.recipe.model
    if part is None:
        raise ClirbenchError("the recipe has no [model]")
    table, weights = _pairs(prepared)
    texts, length = prepared.corpus.texts, part.trained_length or part.max_length
    stores: dict[str, TokenStore] = {}
    for side, prompt in (("query", part.query_prompt), ("candidate", part.candidate_prompt)):
        tokenise = tokenise_with(model, prompt, length)
        if tokenise is None or prepared.recipe.loss.cached_mini_batch:
            if targets:
                raise ClirbenchError("[teacher] needs a transformer with a fast tokenizer: choose another base model")
            return TrainingData(pair_dataset(table, lambda numbers: [texts[i] for i in numbers]), None, weights)
        # A text that no pair has on this side has no tokens.
        used = np.unique(table.column(side).to_numpy())
        reporter.start(TOKENISE, len(used))
        some = TokenStore.encode(
            tokenise, [texts[i] for i in used.tolist()], length, partial(reporter.advance, TOKENISE)
        )
        lengths = np.zeros(len(texts), dtype=np.int64)
        lengths[used] = np.diff(some.starts)
        stores[side] = TokenStore(some.ids, np.concatenate([[0], lengths]).cumsum().astype(np.int64))
    return TrainingData(pair_dataset(table), PairCollator(stores, model.tokenizer.pad_token_id, targets), weights)


def _pairs(prepared: Prepared) -> tuple[pa.Table, Weights]:
    """The pairs that batches of the recipe's ``alpha`` need, and the weights of the sources.

    If ``alpha`` is 1, only pairs in one language are listed; if 0, only pairs in two languages.
    """
    alpha = prepared.recipe.batches.alpha
    table = pair_table(prepared.corpus, monolingual=alpha > 0, cross_lingual=alpha < 1)
    weights = {i: (s.part.monolingual, s.part.cross_lingual) for i, s in enumerate(prepared.corpus.sources)}
    return table, weights


def _say_what_is_missing(recipe: Recipe, corpus: Corpus, reporter: Reporter) -> None:
    for language, rows in corpus.covered().items():
        if rows == 0:
            reporter.note(f"no source has any text in {language}: the model will not be trained on it")
    for language, number in sorted(corpus.other_languages.items()):
        reporter.note(f"{number:,} texts in {language} are left out: the recipe's 'languages' does not name it")
    for source in corpus.sources:
        absent = [x for i, x in enumerate(recipe.languages) if not (source.candidates[:, i] >= 0).any()]
        if absent:
            reporter.note(f"source '{source.part.name}' has nothing in {', '.join(absent)}")
    for source in corpus.sources:
        name = source.part.name
        queries, candidates = (source.queries >= 0).sum(axis=1), (source.candidates >= 0).sum(axis=1)
        if source.part.cross_lingual and not (queries * candidates > 1).any():
            reporter.note(
                f"source '{name}' has a weight 'cross_lingual' but no row in two languages: it is not used there"
            )
        rows = ((queries > 0) & (candidates > 0)).sum()
        if rows < recipe.batches.size:
            reporter.note(f"source '{name}' has {rows:,} rows: its batches are shorter than {recipe.batches.size:,}")
    if corpus.dropped:
        reporter.note(f"{sum(corpus.dropped.values()):,} rows are left out because the dev task has their text")


def checksums(recipe: Recipe, folders: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of every file that a recipe names, by name; for a folder, over all its files. Data on the hub are left out."""
    names = [name for source in recipe.source for name in source.files]
    names += [source.file for source in recipe.dev.source] if recipe.dev else []
    places = {name: resolve(name, folders) for name in names}
    return {
        name: folder_revision(place) if place.is_dir() else sha256_of(place)
        for name, place in places.items()
        if isinstance(place, Path)
    }
