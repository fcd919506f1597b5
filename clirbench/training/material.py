"""What a training needs before its first step: data checked against the tasks, the dev task, tokenizer and first vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from tokenizers import Tokenizer

from clirbench.encoders.base import folder_revision
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import sha256_of, write_atomically
from clirbench.support.progress import Reporter
from clirbench.tasks.collection import Collection, load_collection
from clirbench.tasks.task_file import list_tasks, load_task
from clirbench.training.corpus import Corpus, pair_dataset, pair_table, read_corpus
from clirbench.training.dev import dev_collections, protect
from clirbench.training.fit import Data
from clirbench.training.overlap import Overlap
from clirbench.training.recipe import Recipe, StaticPart
from clirbench.training.rows import resolve
from clirbench.training.static.bag import BagCollator, TokenStore
from clirbench.training.static.lexicon import with_lists
from clirbench.training.static.tokenizer import balanced_texts, train_tokenizer
from clirbench.training.static.vectors import Matrix, initial_vectors

READ, TOKENISE, SMOOTH = "read (files)", "tokenise (texts)", "smooth (rounds)"


@dataclass(frozen=True)
class Material:
    """Data and dev task of a recipe.

    Attributes:
        recipe: The recipe.
        entries: What was read, lexicon entries single.
        corpus: The same with lists of entries in their place.
        dev: The dev task.
        checked: Evaluation tasks that the data were checked against.
        unchecked: Tasks that could not be loaded for that, with the reason.
    """

    recipe: Recipe
    entries: Corpus
    corpus: Corpus
    dev: dict[str, Collection]
    checked: tuple[str, ...]
    unchecked: dict[str, str]

    @property
    def overlaps(self) -> list[Overlap]:
        """Training texts that share text with evaluation collections."""
        return self.entries.overlaps


@dataclass(frozen=True)
class StaticMaterial:
    """What the static model needs besides: its tokenizer and all texts as tokens."""

    tokenizer: Tokenizer
    store: TokenStore
    part: StaticPart


def prepare(recipe: Recipe, folders: Sequence[Path], reporter: Reporter) -> Material:
    """Read and check the data of a recipe.

    Args:
        recipe: The recipe.
        folders: Where its files may lie, first match wins.
        reporter: Told of progress and of whatever is missing.

    Returns:
        The material. Overlaps with evaluation collections are listed in it; the caller decides.

    Raises:
        ClirbenchError: A file is missing or wrong.
    """
    dev = dev_collections(recipe, folders)
    evaluation, checked, unchecked = [], [], {}
    for name in list_tasks():
        task = load_task(name)
        if task.corpus is not None:
            # Its passages are all of Wikipedia: what is trained on is there, and says nothing.
            continue
        try:
            evaluation.append(load_collection(task))
            checked.append(name)
        except ClirbenchError as error:
            unchecked[name] = str(error)
            reporter.note(f"{name} cannot be loaded, so the training data are not checked against it ({error})")
    reporter.start(READ, sum(len(source.files) for source in recipe.source))
    entries = read_corpus(
        recipe,
        folders,
        protect(list(dev.values())) if dev else None,
        protect(evaluation) if evaluation else None,
        lambda done: reporter.advance(READ, done),
    )
    _say_what_is_missing(recipe, entries, reporter)
    exponent = recipe.static.graph_exponent if recipe.static else 0.0
    corpus = with_lists(entries, exponent, recipe.seed)
    return Material(recipe, entries, corpus, dev, tuple(checked), unchecked)


def prepare_static(material: Material, folder: Path, reporter: Reporter) -> StaticMaterial:
    """Train the tokenizer, or take the one that ``folder`` keeps from before, and tokenise everything."""
    part = material.recipe.static
    if part is None:
        raise ClirbenchError("the recipe has no [static]")
    path = folder / "tokenizer.json"
    if path.is_file():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        reporter.note(f"training a tokenizer of {part.vocabulary:,} pieces")
        texts = balanced_texts(material.entries, part.corpus_bytes, material.recipe.seed)
        tokenizer = train_tokenizer(texts, part.vocabulary, part.longest_piece)
        write_atomically(path, tokenizer.to_str().encode())
    reporter.start(TOKENISE, len(material.corpus.texts))
    store = TokenStore.encode(
        tokenizer, material.corpus.texts, part.max_length, lambda done: reporter.advance(TOKENISE, done)
    )
    return StaticMaterial(tokenizer, store, part)


def first_vectors(material: Material, static: StaticMaterial, seed: int, reporter: Reporter) -> Matrix:
    """The vectors that training starts from, float32 (vocabulary, dimensions)."""
    reporter.start(SMOOTH, static.part.graph_rounds, brief=True)
    size = static.tokenizer.get_vocab_size()
    return initial_vectors(
        material.entries, static.store, static.part, size, seed, lambda done: reporter.advance(SMOOTH, done)
    )


def training_data(material: Material, static: StaticMaterial | None, alpha: float) -> Data:
    """The pairs that batches are drawn from; with ``alpha`` of 0 or 1 only those of one kind."""
    table = pair_table(material.corpus, monolingual=alpha > 0, cross_lingual=alpha < 1)
    weights = {i: (s.part.monolingual, s.part.cross_lingual) for i, s in enumerate(material.corpus.sources)}
    texts = material.corpus.texts
    side: Callable[[Any], list[Any]]
    if static:
        side = _numbers
        collator = BagCollator(static.store, static.part)
    else:
        side, collator = (lambda numbers: [texts[i] for i in numbers]), None
    pairs: Dataset = pair_dataset(table, side)
    return Data(pairs, collator, weights)


def _numbers(numbers: Any) -> list[int]:
    return numbers.tolist()  # type: ignore[no-any-return]


def _say_what_is_missing(recipe: Recipe, corpus: Corpus, reporter: Reporter) -> None:
    for language, rows in corpus.covered().items():
        if rows == 0:
            reporter.note(f"no source has any text in {language}: the model will not be trained on it")
    for language, number in sorted(corpus.other_languages.items()):
        reporter.note(f"{number:,} texts in {language} are left out: the recipe's 'languages' does not name it")
    for number, source in enumerate(corpus.sources):
        absent = [x for i, x in enumerate(recipe.languages) if not (source.candidates[:, i] >= 0).any()]
        if absent:
            reporter.note(f"source '{recipe.source[number].name}' has nothing in {', '.join(absent)}")
    for part, source in zip(recipe.source, corpus.sources, strict=True):
        both = (source.queries >= 0).any(axis=1) & (source.candidates >= 0).any(axis=1)
        if (
            part.cross_lingual
            and not ((source.queries >= 0).sum(axis=1) * (source.candidates >= 0).sum(axis=1) > 1).any()
        ):
            reporter.note(
                f"source '{part.name}' has a weight 'cross_lingual' but no row in two languages: it is not used there"
            )
        if both.sum() < recipe.batches.size:
            reporter.note(
                f"source '{part.name}' has {both.sum():,} rows: its batches are shorter than {recipe.batches.size:,}"
            )
    if corpus.dropped:
        reporter.note(f"{sum(corpus.dropped.values()):,} rows are left out because the dev task has their text")


def checksums(recipe: Recipe, folders: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of every file that a recipe names, of all files together for a folder; hub names have none."""
    names = [name for source in recipe.source for name in source.files]
    names += [source.file for source in recipe.dev.source] if recipe.dev else []
    found = {}
    for name in dict.fromkeys(names):
        place = resolve(name, folders)
        if isinstance(place, Path):
            found[name] = folder_revision(place) if place.is_dir() else sha256_of(place)
    return found
