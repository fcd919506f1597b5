"""Both of MIRACL's layouts: what is read, what is checked, and what a wrong folder says."""

import gzip
import json
import os
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REAL_DATA
from miracl_corpus import build, invented, passages, write_mteb, write_original, write_task

from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.inventory import take_inventory
from clirbench.tasks.corpora.judged import load_judged, open_candidates, open_judgements
from clirbench.tasks.corpora.mteb_layout import MtebLayout
from clirbench.tasks.corpora.original import OriginalFolder, read_qrels, read_topics
from clirbench.tasks.corpora.vector_files import VectorFolder
from clirbench.tasks.task_file import load_task

SHARD = 10


def inventory(folder, task, tmp_path, languages=None, cache=True):
    task = load_task(str(task))
    judged = load_judged(task, languages or task.languages, open_judgements(task, folder))
    read = []
    found = take_inventory(
        judged,
        open_candidates(task, folder),
        SHARD,
        tmp_path / "inventories" if cache else None,
        lambda language, done: read.append((language, done)),
    )
    return judged, found, read


@pytest.mark.parametrize("layout", ["original", "mteb"])
def test_reads_what_was_written(tmp_path, layout):
    folder, task, data = build(tmp_path, invented, ["sw", "yo"], distractors=25, per_file=11, layout=layout)
    judged, found, _ = inventory(folder, task, tmp_path)
    # In the order of their characters, whatever numbers they look like.
    assert judged.ids == ("1#0", "2", "1#0", "12#0")
    assert judged.topics == ("sw:1#0", "sw:2", "yo:1#0", "yo:12#0")
    assert judged.gold_query.tolist() == [0, 0, 1, 2, 3, 3, 3]
    assert judged.gold_ids == ("10#0", "11#3", "7#0", "10#0", "6#1", "6#2", "6#3")
    assert judged.judged_ids["sw"] == {"10#0", "10#1", "11#3", "7#0"}
    assert found.pool_sizes(["sw", "yo"]) == {x: len(data[x][1]) for x in ("sw", "yo")}
    assert [(s.language, s.file, s.start, s.size) for s in found.shards if s.language == "sw"] == [
        ("sw", 0, 0, 10), ("sw", 0, 10, 1), ("sw", 1, 0, 10), ("sw", 1, 10, 1), ("sw", 2, 0, 7)
    ]  # fmt: skip
    rows = data["yo"][1]
    gold = found.golds["yo", "6#2"]
    id_, title, text = rows[gold.file * 11 + gold.row]
    assert (id_, f"{title} {text}".strip()) == ("6#2", gold.text)


@pytest.mark.parametrize("layout", ["original", "mteb"])
def test_a_block_is_the_same_wherever_reading_begins(tmp_path, layout):
    folder, task, data = build(tmp_path, invented, ["sw"], distractors=30, per_file=20, layout=layout)
    reader = open_candidates(load_task(str(task)), folder)
    texts = [f"{title} {text}".strip() for _, title, text in data["sw"][1]]
    for file, start, size in ((0, 0, 5), (0, 5, 5), (0, 3, 9), (1, 0, 4), (1, 12, 50), (0, 19, 3)):
        block = reader.block("sw", file, start, size)
        stop = min(start + size, 20 if file == 0 else len(texts) - 20)
        assert block.texts == texts[file * 20 + start : file * 20 + stop]
    assert [text for block in reader.blocks("sw", 0, 7) for text in block.texts] == texts[:20]


def test_a_folder_of_mteb_needs_no_readme(tmp_path):
    topics = invented("te")
    found = passages("te", topics, 12)
    write_mteb(tmp_path / "corpus", "te", topics, found, per_file=4, readme=False)
    task = write_task(tmp_path, {"te": (topics, found)})
    judged, there, _ = inventory(tmp_path / "corpus", task, tmp_path)
    assert judged.ids == ("44", "45")
    assert there.pool_sizes(["te"]) == {"te": len(found)}


def test_json_lines_of_mteb(tmp_path):
    topics = invented("te")
    found = passages("te", topics, 5)
    folder = tmp_path / "corpus"
    write_mteb(folder, "te", topics, found, readme=False)
    for path in folder.rglob("*.parquet"):
        rows = pq.read_table(path).to_pylist()
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if "corpus" in path.parent.name:
            path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(lines.encode()))
        else:
            path.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
        path.unlink()
    task = write_task(tmp_path, {"te": (topics, found)})
    assert inventory(folder, task, tmp_path)[1].pool_sizes(["te"]) == {"te": len(found)}
    (queries,) = folder.glob("te-queries/*.jsonl")
    lines = queries.read_text(encoding="utf-8")
    queries.write_bytes(("\ufeff" + lines).replace("\n", "\r\n").encode())
    assert inventory(folder, task, tmp_path)[0].queries == tuple(text for _, text, _ in topics)
    queries.write_bytes(lines.encode("utf-16"))
    with pytest.raises(ClirbenchError, match=r"jsonl: is not UTF-8 but UTF-16: save it as UTF-8"):
        inventory(folder, task, tmp_path)


def test_the_names_of_the_two_data_sets_on_the_hub(tmp_path):
    """miracl/miracl-corpus and miracl/miracl side by side, as they are downloaded."""
    folder, task, data = build(tmp_path, invented, ["sw"], distractors=9)
    (folder / "miracl-corpus").mkdir()
    (folder / "miracl").mkdir()
    (folder / "miracl-corpus-v1.0-sw").rename(folder / "miracl-corpus" / "miracl-corpus-v1.0-sw")
    (folder / "miracl-v1.0-sw").rename(folder / "miracl" / "miracl-v1.0-sw")
    assert inventory(folder, task, tmp_path)[1].pool_sizes(["sw"]) == {"sw": len(data["sw"][1])}


def test_the_mirror_holds_a_folder_under_the_tasks_name(tmp_path, monkeypatch):
    folder, task, data = build(tmp_path, invented, ["sw"], distractors=9)
    shutil.copytree(folder, tmp_path / "mirror" / "tiny-miracl")
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "mirror"))
    assert inventory(None, task, tmp_path)[1].pool_sizes(["sw"]) == {"sw": len(data["sw"][1])}
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(folder))
    with pytest.raises(ClirbenchError, match="judgements alone rank nothing"):
        open_candidates(load_task(str(task)), None)


def test_an_inventory_is_taken_once_and_again_where_a_file_changed(tmp_path):
    folder, task, data = build(tmp_path, invented, ["sw"], distractors=25, per_file=11)
    first = inventory(folder, task, tmp_path)
    reads = []
    original = OriginalFolder._passages

    def counting(self, language, file, start):
        reads.append(file)
        return original(self, language, file, start)

    OriginalFolder._passages = counting
    try:
        assert inventory(folder, task, tmp_path)[1] == first[1]
        assert reads == []
        path = folder / "miracl-corpus-v1.0-sw" / "docs-1.jsonl.gz"
        rows = [(f"77{i}#0", "new", "new") if i in (12, 13) else row for i, row in enumerate(data["sw"][1])]
        if {rows[12][0], rows[13][0]} & {id_ for id_, _ in first[1].golds}:
            rows[12], rows[13] = data["sw"][1][12:14]
        write_original(folder, "sw", data["sw"][0], rows, per_file=11)
        assert path.is_file()
        with_change = inventory(folder, task, tmp_path)[1]
        assert reads
        assert with_change != first[1]
    finally:
        OriginalFolder._passages = original


def damage(tmp_path, change, match, languages=("sw",), **options):
    folder, task, data = build(tmp_path, invented, languages, distractors=25, per_file=11, **options)
    change(folder, data)
    with pytest.raises(ClirbenchError, match=match) as error:
        inventory(folder, task, tmp_path)
    assert "\n" not in str(error.value)
    return str(error.value)


def docs(folder, number=0):
    return folder / "miracl-corpus-v1.0-sw" / f"docs-{number}.jsonl.gz"


def tsv(folder, part):
    return folder / "miracl-v1.0-sw" / part / f"{part}.miracl-v1.0-sw-dev.tsv"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f, d: docs(f, 1).unlink(), r"docs-1\.jsonl\.gz is missing"),
        (lambda f, d: docs(f, 2).unlink(), r"22 passages in sw, but .*declares 29"),
        (lambda f, d: docs(f).write_bytes(docs(f).read_bytes()[:-20]), "docs-0.*cannot be read"),
        (lambda f, d: docs(f).write_bytes(b"not gzip"), "docs-0.*cannot be read"),
        (lambda f, d: docs(f).write_bytes(gzip.compress(b'{"docid": 1}\n')), "docs-0.jsonl.gz:1: not a passage"),
        (lambda f, d: docs(f).write_bytes(gzip.compress(b"{}\n[]\n")), "docs-0.jsonl.gz:1: not a passage"),
        (lambda f, d: shutil.rmtree(docs(f).parent), "has no corpus for sw"),
        (lambda f, d: tsv(f, "topics").write_text("one field\n"), "topics.*:1: not a query id, a tab and a query"),
        (lambda f, d: tsv(f, "topics").write_bytes(b"1\t\xff\n"), "topics.*is not UTF-8"),
        (lambda f, d: tsv(f, "topics").write_text("2\ta\n2\tb\n"), "query '2' stands twice"),
        (lambda f, d: tsv(f, "topics").write_text("2\ta\n"), "1 judged queries in sw, but .*declares 2"),
        (lambda f, d: tsv(f, "qrels").write_text("1#0\tQ0\t10#0\tyes\n"), "qrels.*:1: not a query id"),
        (lambda f, d: tsv(f, "qrels").write_text("1#0\tQ0\t10#1\t1\n2\tQ0\t7#0\t1\n"), "not those that .* pins"),
    ],
)
def test_a_damaged_original_folder_is_one_line(tmp_path, change, match):
    damage(tmp_path, change, match)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("topics = 2", "topics = 99", "2 topics, but tiny-miracl.toml declares 99: the source is not the whole task"),
        ('reader = "miracl"', 'reader = "other"', "'reader' has 'other': use 'miracl'"),
    ],
)
def test_what_a_streamed_task_declares_is_checked(tmp_path, old, new, told):
    folder, task, _ = build(tmp_path, invented, ["sw"], distractors=25)
    text = task.read_text(encoding="utf-8")
    assert old in text
    task.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ClirbenchError, match=re.escape(told)):
        inventory(folder, task, tmp_path)


def first_parquet(folder, part):
    return sorted((folder / f"sw-{part}").glob("*.parquet"))[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda f, d: first_parquet(f, "corpus").write_bytes(b"x"),
            r"sw-corpus/dev-00000-of-00003\.parquet: cannot be read",
        ),
        (lambda f, d: shutil.rmtree(f / "sw-qrels"), "has no sw-qrels"),
        (lambda f, d: shutil.rmtree(f / "sw-corpus"), "has no corpus for sw"),
        (lambda f, d: pq.write_table(pa.table({"x": [1]}), first_parquet(f, "queries")), "a row has no _id or id"),
        (lambda f, d: (f / "README.md").write_text("---\nconfigs: [\n---\n"), "README.md: its metadata cannot be read"),
    ],
)
def test_a_damaged_mteb_folder_is_one_line(tmp_path, change, match):
    damage(tmp_path, change, match, layout="mteb")


def test_a_missing_gold_passage_is_named(tmp_path):
    def change(folder, data):
        rows = [("6666#0", "", "instead") if id_ == "7#0" else (id_, *rest) for id_, *rest in data["sw"][1]]
        write_original(folder, "sw", data["sw"][0], rows, per_file=11)

    assert "1 gold passages of sw are not in its corpus (first: '7#0')" in damage(tmp_path, change, "not in its corpus")


def test_a_gold_passage_twice_is_refused(tmp_path):
    def change(folder, data):
        rows = [(id_, *rest) for id_, *rest in data["sw"][1]]
        other = next(i for i, (id_, *_) in enumerate(rows) if id_.startswith("9"))
        rows[other] = ("7#0", "", "again")
        write_original(folder, "sw", data["sw"][0], rows, per_file=11)

    damage(tmp_path, change, "'7#0' stands twice")


def test_ranking_only_what_was_judged_is_refused_with_the_reason(tmp_path):
    topics = invented("sw")
    found = passages("sw", topics, 0)
    write_original(tmp_path / "corpus", "sw", topics, found)
    task = write_task(tmp_path, {"sw": (topics, found)})
    with pytest.raises(ClirbenchError, match="holds only judged passages; ranking just those is no retrieval"):
        inventory(tmp_path / "corpus", task, tmp_path)


def test_a_folder_in_neither_layout(tmp_path):
    task = load_task("miracl")
    with pytest.raises(ClirbenchError, match="which is not a folder"):
        open_candidates(task, tmp_path / "nowhere")
    with pytest.raises(ClirbenchError, match=r"holds neither miracl-corpus-v1\.0-LANGUAGE"):
        open_candidates(task, tmp_path)
    with pytest.raises(ClirbenchError, match="not read shard by shard"):
        open_candidates(load_task("xquad-r"), tmp_path)


def test_without_a_folder_the_hub_is_asked_at_the_pinned_commit(monkeypatch):
    import datasets

    asked = []

    def load(path, name, **options):
        asked.append((path, name, options))
        raise datasets.exceptions.DatasetNotFoundError("offline\nas told")

    monkeypatch.setattr(datasets, "load_dataset", load)
    for name in ("miracl", "miracl-hard-negatives"):
        task = load_task(name)
        reader = open_candidates(task, None)
        assert isinstance(reader, MtebLayout)
        with pytest.raises(ClirbenchError, match=r"cannot read sw-corpus of mteb/.*\(offline\): check the network"):
            reader.files("sw")
        assert asked[-1] == (
            task.corpus.hub, "sw-corpus", {"split": "dev", "revision": task.corpus.revision, "streaming": True}
        )  # fmt: skip


def test_the_hub_is_streamed_file_by_file(tmp_path, monkeypatch):
    """datasets' own streaming, with a local snapshot in the place of the hub."""
    import datasets

    folder, task, data = build(tmp_path, invented, ["sw"], distractors=25, per_file=11, layout="mteb")
    real_load = datasets.load_dataset

    def load(path, *name, **options):
        if options.pop("revision", None) is None:
            return real_load(path, *name, **options)
        assert path == "mteb/MIRACLRetrieval"
        return real_load(str(folder), *name, **options)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    judged, found, _ = inventory(None, task, tmp_path, cache=False)
    assert judged.ids == ("1#0", "2")
    assert found.pool_sizes(["sw"]) == {"sw": len(data["sw"][1])}
    reader = open_candidates(load_task(str(task)), None)
    assert len(reader.files("sw")) == 3
    texts = [f"{title} {text}".strip() for _, title, text in data["sw"][1]]
    assert reader.block("sw", 2, 3, 100).texts == texts[25:]
    local, there, _ = inventory(folder, task, tmp_path, cache=False)
    assert there.digests(["sw"]) == found.digests(["sw"])
    assert local.topics == judged.topics


def test_the_recorded_checksum_is_of_what_was_read_now(tmp_path):
    """A corpus changes, and its file keeps its size and its time: the cached inventory is not of that file."""
    folder, task, _ = build(tmp_path, invented, ["sw"], distractors=25)
    path = folder / "miracl-corpus-v1.0-sw" / "docs-0.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines), 0, mtime=0))
    before, state = inventory(folder, task, tmp_path)[1], path.stat()
    assert inventory(folder, task, tmp_path)[1] == before
    path.write_bytes(gzip.compress(b"".join(reversed(lines)), 0, mtime=0))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    now = inventory(folder, task, tmp_path)[1]
    assert now.digests(["sw"]) != before.digests(["sw"])
    assert now == inventory(folder, task, tmp_path, cache=False)[1]


@pytest.mark.real
def test_real_topics_and_judgements_are_those_that_the_task_pins(mirror):
    task = load_task("miracl")
    judged = load_judged(task, task.languages, open_judgements(task, None))
    assert len(judged.queries) == task.counts["topics"] == 13495
    assert len(judged.gold_ids) == task.counts["gold_pairs"] == 31119
    assert "yo:10020#0" in judged.topics
    from clirbench.ranking.gold_ranks import GoldRanks, gold_digest

    language = judged.query_language[judged.gold_query]
    rank = np.ones(len(language), dtype=np.int32)
    ranks = GoldRanks(judged.topics, task.languages, judged.gold_query, language, language, rank, rank)
    assert gold_digest(ranks) == task.gold_sha256


@pytest.mark.real
def test_the_27_real_passages(tmp_path):
    """As the original layout holds them; two are main pages and look odd."""
    lines = (REAL_DATA / "miracl" / "sample" / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    by_language = {}
    for row in rows:
        by_language.setdefault(row["lang"], []).append((row["docid"], row["title"], row["text"]))
    read = 0
    for language, found in by_language.items():
        write_original(tmp_path, language, [], found)
        block = OriginalFolder(tmp_path, "dev").block(language, 0, 0, 100)
        assert block.ids == [id_ for id_, _, _ in found]
        assert block.texts == [f"{title} {text}" for _, title, text in found]
        read += len(block.ids)
    assert (read, len(by_language)) == (27, 15)
    thai = OriginalFolder(tmp_path, "dev").block("th", 0, 0, 1)
    assert thai.ids == ["1#0"]


@pytest.mark.real
def test_real_files_keep_query_ids_as_text():
    topics = read_topics(REAL_DATA / "miracl" / "topics" / "yo.tsv")
    assert topics[0][0] == "10020#0"
    assert all(isinstance(row.query, str) for row in read_qrels(REAL_DATA / "miracl" / "qrels" / "ar.tsv"))


def vector_folder(tmp_path, ids, dtype=np.float16, kind="npy"):
    folder = tmp_path / "vectors" / "sw"
    folder.mkdir(parents=True, exist_ok=True)
    vectors = np.arange(len(ids) * 4).reshape(len(ids), 4).astype(dtype)
    if kind == "npy":
        np.save(folder / "passages-0.npy", vectors)
        (folder / "passages-0.ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.table({"id": ids, "vector": list(vectors)}), folder / "passages-0.parquet")
    return tmp_path / "vectors", vectors


@pytest.mark.parametrize("kind", ["npy", "parquet"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vector_files(tmp_path, kind, dtype):
    folder, vectors = vector_folder(tmp_path, ["1#0", "2", "3"], dtype, kind)
    reader = VectorFolder(folder)
    block = reader.block("sw", 0, 1, 9)
    assert block.ids == ["2", "3"]
    assert (block.vectors == vectors[1:]).all()
    assert block.vectors.dtype == dtype
    assert [b.ids for b in reader.blocks("sw", 0, 2)] == [["1#0", "2"], ["3"]]


def read_vectors(folder):
    reader = VectorFolder(folder)
    assert reader.files("sw")
    return reader.block("sw", 0, 0, 3)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: (f / "passages-0.ids.txt").unlink(), "has no passages-0.ids.txt beside it"),
        (lambda f: (f / "passages-0.ids.txt").write_text("1\n"), "for 1 identifiers"),
        (lambda f: np.save(f / "passages-0.npy", np.ones((3, 4), dtype=int)), "holds int64"),
        (lambda f: np.save(f / "passages-0.npy", np.ones(3)), "of shape 3"),
        (lambda f: (f / "passages-0.npy").write_bytes(b"x"), "cannot be read as vectors"),
        (lambda f: (f / "passages-0.npy").unlink(), "has no corpus for sw"),
    ],
)
def test_wrong_vector_files_are_one_line(tmp_path, change, match):
    folder, _ = vector_folder(tmp_path, ["1#0", "2", "3"])
    change(folder / "sw")
    with pytest.raises(ClirbenchError, match=match) as error:
        read_vectors(folder)
    assert "\n" not in str(error.value)
    with pytest.raises(ClirbenchError, match="which is not a folder"):
        VectorFolder(tmp_path / "nowhere")


def test_parquet_without_the_columns(tmp_path):
    folder, _ = vector_folder(tmp_path, ["1"])
    pq.write_table(pa.table({"name": ["1"]}), folder / "sw" / "passages-1.parquet")
    with pytest.raises(ClirbenchError, match="has columns name, but needs id and vector"):
        VectorFolder(folder).block("sw", 1, 0, 1)
