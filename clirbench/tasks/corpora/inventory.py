"""The inventory of a corpus: sizes, checksums and places of the gold passages. It is taken in one reading, without an encoder."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from clirbench.support.errors import ClirbenchError, quoted
from clirbench.support.files import remove_parts, write_atomically, writing
from clirbench.support.sealed import DamagedError, read_sealed, seal
from clirbench.tasks.corpora.base import Block, Candidates
from clirbench.tasks.corpora.judged import Judged
from clirbench.tasks.ids_and_grades import look, twin

_FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """Some candidates of a language's file, from number ``start`` on, which are encoded and counted at a time.

    ``sha256`` is their :meth:`clirbench.tasks.corpora.base.Block.digest`.
    """

    language: str
    file: int
    start: int
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Name of the shard's counts file, without its ending."""
        return f"{self.language}-{self.file:04d}-{self.start:09d}"


@dataclass(frozen=True)
class Gold:
    """The place of a gold passage: file and row in its language's corpus. ``text`` is None if the corpus is vectors."""

    file: int
    row: int
    text: str | None


@dataclass(frozen=True)
class Inventory:
    """Shards of a run in the order of the corpora, and golds by language and passage identifier."""

    shards: tuple[Shard, ...]
    golds: Mapping[tuple[str, str], Gold]

    def pool_sizes(self, languages: Sequence[str]) -> dict[str, int]:
        """Number of candidates by language."""
        return {x: sum(shard.size for shard in self.shards if shard.language == x) for x in languages}

    def digests(self, languages: Sequence[str]) -> dict[str, str]:
        """By language, SHA-256 over the checksums of its shards."""
        return {
            x: hashlib.sha256("".join(s.sha256 for s in self.shards if s.language == x).encode()).hexdigest()
            for x in languages
        }


@dataclass
class _FileInventory:
    """The inventory of one file: (rows, SHA-256) of its shards, (row, text) of its golds by identifier, number of judged rows."""

    shards: list[tuple[int, str]]
    golds: dict[str, tuple[int, str | None]]
    judged: int

    @property
    def rows(self) -> int:
        return sum(length for length, _ in self.shards)

    def add(self, block: Block, wanted: frozenset[str], judged: frozenset[str], name: str) -> None:
        looks: dict[str, str] = {}
        for row, id_ in enumerate(block.ids):
            if not id_.isascii() and id_ not in judged:
                looks = looks or {look(known): known for known in judged}
                if look(id_) in looks:
                    raise ClirbenchError(f"{name}: passage {twin(id_, [looks[look(id_)]])}: write both alike")
            if id_ in judged:
                self.judged += 1
                if id_ in self.golds:
                    raise ClirbenchError(f"{name}: passage {quoted(id_)} stands twice: remove one of the two")
                if id_ in wanted:
                    self.golds[id_] = self.rows + row, block.texts[row] if block.texts is not None else None
        self.shards.append((len(block.ids), block.digest()))


def take_inventory(
    judged: Judged,
    candidates: Candidates,
    size: int,
    cache: Path | None,
    advance: Callable[[str, int], None],
    note: Callable[[str], None] = lambda _: None,
) -> Inventory:
    """Read every file of the run's languages once. With a cache, unchanged files are not read again.

    A shard has ``size`` candidates, or fewer at the end of a file. ``advance`` is called after each block with the language and
    the number of its candidates, and ``note`` with a line where a cached inventory is damaged: its file is read again.

    Raises:
        ClirbenchError: The number of passages is not the declared one, all passages are judged, or a gold passage is missing.
    """
    shards: list[Shard] = []
    golds: dict[tuple[str, str], Gold] = {}
    for language in judged.languages:
        wanted, known = frozenset(judged.gold_ids[judged.pairs_of(language)]), judged.judged_ids[language]
        rows = judged_rows = 0
        for number, file in enumerate(candidates.files(language)):
            # Everything that an inventory depends on. If any of it changes, the file is read again.
            key = json.dumps([_FORMAT, candidates.layout, language, file.key, size, [sorted(wanted), sorted(known)]])
            path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json" if cache else None
            inventory = _stored(path, key, file.name, note)
            if inventory is None:
                inventory = _FileInventory([], {}, 0)
                for block in candidates.blocks(language, number, size):
                    inventory.add(block, wanted, known, f"{candidates.source}, {language}, {file.name}")
                    advance(language, len(block.ids))
                _store(inventory, path, key)
            else:
                advance(language, inventory.rows)
            start = 0
            for length, digest in inventory.shards:
                shards.append(Shard(language, number, start, length, digest))
                start += length
            for id_, (row, text) in inventory.golds.items():
                if (language, id_) in golds:
                    raise ClirbenchError(
                        f"{candidates.source}: passage {quoted(id_)} stands twice in {language}: "
                        "a rank would be ambiguous"
                    )
                golds[language, id_] = Gold(number, row, text)
            rows += start
            judged_rows += inventory.judged
        _check(judged, candidates, language, rows, judged_rows)
        lost = sorted(id_ for id_ in wanted if (language, id_) not in golds)
        if lost:
            raise ClirbenchError(
                f"{candidates.source}: {len(lost):,} gold passages of {language} are not in its corpus "
                f"(first: {quoted(lost[0])}): the corpus is not whole, download it again"
            )
    return Inventory(tuple(shards), golds)


def _check(judged: Judged, candidates: Candidates, language: str, rows: int, judged_rows: int) -> None:
    task = judged.task
    if rows and rows == judged_rows:
        raise ClirbenchError(
            f"{candidates.source}: the corpus of {language} holds only judged passages; ranking just those is no retrieval "
            "(what a system finds among the unjudged is the test): use the whole corpus"
        )
    expected = task.counts["candidates"][language]
    if rows != expected:
        raise ClirbenchError(
            f"{candidates.source}: {rows:,} passages in {language}, but {task.file.name} declares {expected:,}: "
            "the corpus is not that of the task, download it again"
        )


def _stored(path: Path | None, key: str, file: str, note: Callable[[str], None]) -> _FileInventory | None:
    """The inventory of a file from the cache; None if it is missing or damaged."""
    try:
        content = read_sealed(path, _identity(key)) if path else None
        return None if content is None else TypeAdapter(_FileInventory).validate_json(content)
    except (OSError, ValueError) as error:
        reason = error if isinstance(error, DamagedError) else getattr(error, "strerror", "it holds no inventory")
        note(f"{path}, the inventory of {file}, is damaged ({reason}): {file} is read again")
        return None


def _store(inventory: _FileInventory, path: Path | None, key: str) -> None:
    if path is not None:
        with writing(path, "point CLIRBENCH_CACHE at a writable folder, or pass --no-cache"):
            write_atomically(path, seal(_identity(key), json.dumps(asdict(inventory)).encode()))
        remove_parts(path.parent)


def _identity(key: str) -> bytes:
    """The key of an inventory, in a fixed length."""
    return hashlib.sha256(key.encode()).digest()
