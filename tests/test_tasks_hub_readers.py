"""Parallel data sets of the hub: what is read, that languages are parallel, and one line for whatever is wrong with a copy."""

import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from mteb_copies import retrieval_copy, write_config
from parallel_sets import HUB, LETTERS, belebele_rows, parallel_set, write_belebele, write_parallel

import clirbench
from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import data_dir
from clirbench.tasks.collection import load_collection
from clirbench.tasks.corpora.judged import load_judged, open_judgements
from clirbench.tasks.hub_readers import read_belebele
from clirbench.tasks.new_task import init_from_hub
from clirbench.tasks.selection import select, task_with, with_all_languages
from clirbench.tasks.task_file import load_task

SCRIPTS = ("hi_Deva", "hi_Latn", "en_Latn")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(folder))
    return folder


@pytest.fixture
def village(mirror, tmp_path):
    """The task file of a parallel data set; its copy lies in the mirror."""
    write_parallel(mirror / "village-law")
    (path,) = init_from_hub("village-law", tmp_path / "mine", HUB)
    return path


def golds(collection):
    """By topic and language of the query: the texts of the golds."""
    pairs = {}
    for query, candidate in zip(collection.gold_query, collection.gold_candidate, strict=True):
        key = (
            collection.topics[collection.query_topic[query]],
            collection.languages[collection.query_language[query]],
        )
        pairs.setdefault(key, set()).add(collection.candidates[candidate])
    return pairs


def test_each_query_has_the_passage_of_its_judgement_as_gold_in_every_language(village):
    collection, written = load_collection(load_task(str(village))), parallel_set()
    expected = {
        (query, language): {passages[passage] for passages, _, _ in written.values()}
        for language, (_, _, pairs) in written.items()
        for query, passage in pairs
    }
    assert golds(collection) == expected
    asked = [
        (collection.topics[topic], text) for topic, text in zip(collection.query_topic, collection.queries, strict=True)
    ]
    assert sorted(asked) == sorted(pair for _, queries, _ in written.values() for pair in queries.items())
    for i, language in enumerate(collection.languages):
        block = slice(*collection.candidate_starts[i : i + 2])
        assert list(collection.candidates[block]) == list(written[language][0].values())
    assert len(collection.gold_query) == 30 * 5 * 5


def ranks_by_name(ranks):
    """The rows of ranks by topic, language of the query and language of the gold."""
    columns = zip(ranks.topic, ranks.query_language, ranks.gold_language, ranks.own_rank, ranks.pool_rank, strict=True)
    return {
        (ranks.topics[topic], ranks.languages[asked], ranks.languages[answered]): (own, pool)
        for topic, asked, answered, own, pool in columns
    }


class Random:
    """An encoder of random vectors: a text has the same one wherever it stands."""

    similarity = "dot"

    def encode_queries(self, texts):
        return np.stack([np.random.default_rng(list(text.encode())).normal(size=16) for text in texts]).astype(
            np.float32
        )

    encode_candidates = encode_queries


def test_ranks_are_those_of_brute_force_and_the_order_of_languages_changes_nothing(village):
    result = clirbench.evaluate(Random(), str(village))
    ranks, written, encode = result.ranks, parallel_set(), Random().encode_queries
    vectors = {x: encode(list(passages.values())).astype(np.float64) for x, (passages, _, _) in written.items()}
    for row in range(len(ranks)):
        topic = ranks.topics[ranks.topic[row]]
        asked, answered = (ranks.languages[codes[row]] for codes in (ranks.query_language, ranks.gold_language))
        query = encode([written[asked][1][topic]])[0].astype(np.float64)
        scores = {x: vectors[x] @ query for x in written}
        gold = list(written[answered][0]).index(dict(written[answered][2])[topic])
        above = {x: int((scores[x] > scores[answered][gold]).sum()) for x in written}
        assert ranks.own_rank[row] == 1 + above[answered]
        assert ranks.pool_rank[row] == 1 + sum(above.values())
    text = village.read_text(encoding="utf-8")
    assert '["el", "en", "hi", "th", "zh"]' in text
    village.write_text(
        text.replace('["el", "en", "hi", "th", "zh"]', '["zh", "hi", "el", "th", "en"]'), encoding="utf-8"
    )
    assert ranks_by_name(clirbench.evaluate(Random(), str(village)).ranks) == ranks_by_name(ranks)


def test_grades_below_one_are_not_relevant(mirror, tmp_path):
    folder = write_parallel(mirror / "village-law")
    for language in LETTERS:
        path = folder / f"{language}-qrels" / "test.parquet"
        rows = pq.read_table(path).to_pylist()
        other = [dict(rows[0], **{"corpus-id": passage, "score": score}) for passage, score in (("p1", 0), ("p2", -1))]
        pq.write_table(type(pq.read_table(path)).from_pylist([*rows, *other]), path)
    (path,) = init_from_hub("village-law", tmp_path / "mine", HUB)
    assert load_task(str(path)).counts["gold_pairs"] == 30 * 5 * 5


def changed(part, language="el"):
    """A change of one column's cells in a file of the copy."""

    def decorate(change):
        def act(folder):
            path = folder / f"{language}-{part}" / "test.parquet"
            table = pq.read_table(path)
            pq.write_table(type(table).from_pylist(change(table.to_pylist())), path)

        return act

    return decorate


def renamed(column, old, new):
    return lambda rows: [{**row, column: new} if row[column] == old else row for row in rows]


def both(*changes):
    return lambda folder: [change(folder) for change in changes]


GOLD = "p0"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        # Corrupted.
        (
            lambda f: (f / "el-corpus" / "test.parquet").write_bytes(b"PAR1 cut"),
            r"el-corpus/test\.parquet: cannot be read \(.*\): download it again",
        ),
        (changed("corpus")(lambda rows: [{"text": "a"}] * len(rows)), r"el-corpus/test\.parquet, row 1: a row has no _id or id"),
        (
            changed("corpus")(renamed("_id", "p3", "p4")),
            r"passage 'p4' stands twice in el: download it again",
        ),
        (
            changed("qrels")(lambda rows: [*rows, {**rows[0], "score": 0}]),
            r"query 'q\d+' has the grades 1 and 0 for passage 'p\d+' \(el\): keep one of them",
        ),
        (
            changed("qrels")(lambda rows: [{**rows[0], "score": 2.5}, *rows[1:]]),
            r"query 'q\d+' has the grade 2.5 for passage 'p\d+' \(el\), and a gold has a whole grade from 1 to 127",
        ),
        (
            changed("qrels", "zh")(lambda rows: [{**rows[0], "score": 2}, *rows[1:]]),
            r"golds are not parallel in el and zh: 1 only in el \(first: 'q\d+ p\d+'\) and "
            r"1 only in zh \(first: 'q\d+ p\d+ \(grade 2\)'\)",
        ),
        (
            changed("corpus", "zh")(lambda rows: [{**row, "text": row["text"] + "山"} for row in rows]),
            r"village-law: the texts of zh are not those that village-law\.toml pins: download them again",
        ),
        # Partial.
        (lambda f: shutil.rmtree(f / "el-qrels"), r"village-law: has no el-qrels \(Parquet or JSON Lines\): add it"),
        (
            changed("corpus")(lambda rows: [row for row in rows if row["_id"] != GOLD]),
            r"1 gold passages of el are not in its corpus \(first: 'p0'\): the corpus is not whole, download it again",
        ),
        (
            changed("corpus")(lambda rows: [row for row in rows if row["_id"] != "p1"]),
            "49 candidates in el, but village-law.toml declares 50",
        ),
        (changed("queries")(lambda rows: rows[1:]), "29 queries in el, but village-law.toml declares 30"),
        (changed("qrels")(lambda rows: rows[1:]), "29 queries in el, but village-law.toml declares 30"),
        # Not parallel.
        (
            both(changed("queries", "hi")(renamed("_id", "q3", "x")), changed("qrels", "hi")(renamed("query-id", "q3", "x"))),
            r"village-law: queries are not parallel in el and hi: 1 only in el \(first: 'q3'\) and 1 only in hi \(first: 'x'\): "
            "download the data again, or leave one of the two languages out",
        ),
        (
            changed("corpus", "hi")(renamed("_id", "p1", "x")),
            r"passages are not parallel in el and hi: 1 only in el \(first: 'p1'\) and 1 only in hi \(first: 'x'\)",
        ),
        (
            changed("qrels", "hi")(renamed("corpus-id", GOLD, "p1")),
            r"golds are not parallel in el and hi: 1 only in el \(first: 'q0 p0'\) and 1 only in hi \(first: 'q0 p1'\)",
        ),
    ],
)  # fmt: skip
def test_a_corrupted_partial_or_unparallel_copy_is_one_line(village, mirror, change, told):
    change(mirror / "village-law")
    with pytest.raises(ClirbenchError, match=told) as error:
        load_collection(load_task(str(village)))
    assert "\n" not in str(error.value)


def test_a_restricted_run_reads_only_its_languages(village, mirror):
    shutil.rmtree(mirror / "village-law" / "el-corpus")
    assert load_collection(load_task(str(village)), ["th", "en"]).languages == ("en", "th")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (HUB.revision, "main", "'source.revision' is wrong"),
        ('reader = "parallel-mteb"', 'reader = "lareqa"', "'reader' is 'lareqa': use parallel-mteb, belebele"),
        ('"th", "zh"]', '"th", "../zh"]', "'languages' has '../zh': use letters"),
        ("[source.sha256]", '[source.sha256]\nfr = "0"', "unknown key 'source.sha256.fr'"),
        (
            "candidate_text",
            'all_languages = ["en"]\ncandidate_text',
            "'languages' has 'el', which is not in 'all_languages'",
        ),
        (
            "[source]",
            '[board]\norder = 9\nheadline = ["multilingual.mAP"]\nmain = "multilingual.mAP"\n[source]',
            "missing key 'gold_sha256': a parallel task of the board pins its gold pairs",
        ),
        ('candidate_text = "passage"', 'candidate_text = "sentence"', "'candidate_text' has 'sentence': use 'passage'"),
    ],
)
def test_a_wrong_task_file_is_named_with_its_key(village, old, new, told):
    text = village.read_text(encoding="utf-8")
    assert old in text
    village.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ClirbenchError, match=re.escape(told)) as error:
        load_collection(load_task(str(village)))
    assert "village-law.toml" in str(error.value)


def test_the_hash_holds_the_commit_and_the_texts(village):
    task, text = load_task(str(village)), village.read_text(encoding="utf-8")
    assert set(task.checksums(["en", "el"])) == {"en", "el"}
    for old, new in ((HUB.revision, "f" * 40), (task.texts_sha256["en"], "0" * 64)):
        village.write_text(text.replace(old, new), encoding="utf-8")
        assert load_task(str(village)).hash != task.hash


# -------------------------------------------------------------------------------------------------------------- Belebele


def belebele_task(tmp_path, languages=SCRIPTS):
    """The shipped task file with these languages, and the counts of small copies."""
    text = load_task("belebele").file.read_text(encoding="utf-8")
    head, tables = text[: text.index("languages = ")], text[text.index("settings = ") : text.index("[counts]")]
    counts = [f"topics = 12\ngold_pairs = {12 * len(languages) ** 2}"]
    for key, number in (("queries", 12), ("candidates", 4)):
        counts += [f"[counts.{key}]", *(f"{language} = {number}" for language in languages)]
    path = tmp_path / "belebele.toml"
    listed = ", ".join(f'"{x}"' for x in languages)
    path.write_text(f"{head}languages = [{listed}]\n{tables}[counts]\n" + "\n".join(counts) + "\n", encoding="utf-8")
    return path


def test_belebele_is_read_with_a_topic_for_each_question(mirror, tmp_path):
    write_belebele(mirror / "belebele", SCRIPTS)
    collection = load_collection(load_task(str(belebele_task(tmp_path))))
    assert (len(collection.topics), len(collection.candidates), len(collection.gold_query)) == (12, 12, 108)
    assert collection.queries.count("hi_Latn the same") == 2
    expected = {
        (f"{row['link']}#{row['question_number']}", asked): {
            next(other["flores_passage"] for other in belebele_rows(x) if other["link"] == row["link"]) for x in SCRIPTS
        }
        for asked in SCRIPTS
        for row in belebele_rows(asked)
    }
    assert golds(collection) == expected


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [{**rows[0], "link": None}, *rows[1:]], r"data/hi_Deva\.jsonl:1: a row has no link"),
        (lambda rows: [{**rows[0], "question": 7}, *rows[1:]], "field 'question' must be text"),
        (lambda rows: [*rows, rows[0]], r"query 'https://village\.example/\d#\d' stands twice in hi_Deva"),
        (
            lambda rows: [
                {**row, "flores_passage": f"{row['flores_passage']} {row['question_number']}"} for row in rows
            ],
            r"'https://village\.example/\d' has another passage than in a row before: download it again",
        ),
        (lambda rows: rows[:-1], "11 queries in hi_Deva, but belebele.toml declares 12"),
        (lambda rows: [{**rows[0], "question": " "}, *rows[1:]], "has no text"),
        (
            lambda rows: [{**row, "question_number": row["question_number"] + 1} for row in rows],
            "queries are not parallel in hi_Deva and hi_Latn",
        ),
    ],
)
def test_a_wrong_copy_of_belebele_is_one_line(mirror, tmp_path, change, told):
    write_belebele(mirror / "belebele", SCRIPTS, lambda x: (change if x == "hi_Deva" else list)(belebele_rows(x)))
    with pytest.raises(ClirbenchError, match=told) as error:
        load_collection(load_task(str(belebele_task(tmp_path))))
    assert "\n" not in str(error.value)


def of_split(folder, parts, split, declared):
    """Rename the files of some configurations to another split, in the README too or without a README."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    for part in parts:
        for path in list(folder.glob(f"*-{part}/test.parquet")):
            path.rename(path.with_name(f"{split}.parquet"))
            old = f"  - split: test\n    path: {path.parent.name}/test.parquet"
            assert old in text
            text = text.replace(old, old.replace("test", split))
    if declared:
        readme.write_text(text, encoding="utf-8")
    else:
        readme.unlink()


@pytest.mark.parametrize("declared", [True, False])
def test_judgements_of_another_split_are_not_read(village, mirror, declared):
    of_split(mirror / "village-law", ["qrels"], "dev", declared)
    with pytest.raises(ClirbenchError, match=r"el-qrels has no split 'test', only 'dev': correct the split") as error:
        load_collection(load_task(str(village)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("declared", [True, False])
def test_texts_may_be_in_a_split_of_another_name_but_not_in_two(village, mirror, declared):
    expected = golds(load_collection(load_task(str(village))))
    of_split(mirror / "village-law", ["corpus", "queries"], "train", declared)
    assert golds(load_collection(load_task(str(village)))) == expected
    for path in list((mirror / "village-law").glob("*-corpus/train.parquet")):
        shutil.copy(path, path.with_name("dev.parquet"))
    if not declared:
        with pytest.raises(
            ClirbenchError, match=r"el-corpus has no split 'test', only 'dev', 'train': correct the split"
        ):
            load_collection(load_task(str(village)))


def test_files_of_parquet_are_read_alike(tmp_path):
    lines = write_belebele(tmp_path / "lines", ["hi_Deva"])
    rows = belebele_rows("hi_Deva")
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    parquet = write_config(tmp_path / "parquet", {"hi_Deva": {"test": columns}})
    assert read_belebele(HUB, parquet, "hi_Deva") == read_belebele(HUB, lines, "hi_Deva")


def test_all_languages_of_belebele():
    board = load_task("belebele")
    assert len(board.languages) == 14
    assert len({x.partition("_")[2] for x in board.languages}) == 10
    whole = with_all_languages(board)
    assert len(whole.languages) == 122
    assert set(board.languages) < set(whole.languages)
    assert sum(whole.counts["candidates"].values()) == 122 * 488
    assert whole.counts["gold_pairs"] == 900 * 122**2
    assert whole.hash != board.hash
    with pytest.raises(ClirbenchError, match="demo has no other languages than ar,"):
        with_all_languages(load_task("demo"))


def test_a_result_knows_all_languages_from_the_declared_ones():
    board = load_task("belebele")
    whole = with_all_languages(board)
    assert (whole.whole_data, board.whole_data) == (True, False)
    assert task_with(board, whole.hash) == whole
    assert task_with(board, board.hash) == task_with(board, "0" * 64) == board
    assert select(board, ["all"]).languages == whole.languages
    assert select(load_task("demo"), ["all"]).languages == load_task("demo").languages
    with pytest.raises(ClirbenchError, match="belebele has no language 'all': choose from "):
        select(board, ["all", "eng_Latn"])
    with pytest.raises(
        ClirbenchError, match=r"no language 'acm_Arab': choose from .*, write 'all' alone for all 122, or leave"
    ):
        select(board, ["acm_Arab"])
    with pytest.raises(ClirbenchError, match="belebele has no other languages than acm_Arab,"):
        with_all_languages(whole)


def test_all_languages_are_run_and_named(mirror, tmp_path):
    write_belebele(mirror / "belebele", SCRIPTS)
    path = belebele_task(tmp_path, SCRIPTS[:2])
    text = path.read_text(encoding="utf-8")
    listed = ", ".join(f'"{x}"' for x in SCRIPTS)
    path.write_text(text.replace("settings = ", f"all_languages = [{listed}]\nsettings = ", 1), encoding="utf-8")

    def parts(languages):
        found = clirbench.evaluate("clirbench/char-ngram", str(path), languages=languages).document
        return found.task.languages, found.task.complete, found.ranks.file

    assert parts(None) == (list(SCRIPTS[:2]), True, "belebele.ranks.parquet")
    assert parts(["all"]) == (list(SCRIPTS), True, "belebele+all.ranks.parquet")
    one = clirbench.evaluate("clirbench/char-ngram", str(path), languages=["all"], settings=["monolingual"]).document
    assert (one.task.complete, one.ranks.file) == (False, "belebele+all+monolingual.ranks.parquet")


# ------------------------------------------------------------------------------------------------------ the shipped tasks


def test_a_first_download_of_other_sizes_fails_by_name(mirror):
    write_parallel(mirror / "mupler", parallel_set(("el",)))
    with pytest.raises(ClirbenchError, match=r"mupler: 30 queries in el, but mupler\.toml declares 200"):
        load_collection(load_task("mupler"), ["el"])
    write_belebele(mirror / "belebele", ["hin_Latn"])
    with pytest.raises(ClirbenchError, match=r"belebele: 12 queries in hin_Latn, but belebele\.toml declares 900"):
        load_collection(load_task("belebele"), ["hin_Latn"])
    for name, language, declared in (("neuclir", "zho", 75), ("webfaq", "uzb", 127)):
        passages, queries, pairs = parallel_set(("zh",))["zh"]
        retrieval_copy(mirror / name, {language: (passages, queries, pairs)})
        task = load_task(name)
        with pytest.raises(
            ClirbenchError, match=f"{name}: 30 judged queries in {language}, but {name}.toml declares {declared}"
        ):
            load_judged(task, [language], open_judgements(task, None))


def test_a_parallel_task_is_its_file_alone(mirror, tmp_path, monkeypatch):
    """A folder of task files with mupler, its languages and counts those of a small copy: no code knows it by its name."""
    languages = ("el", "en")
    write_parallel(mirror / "mupler", parallel_set(languages))
    text = load_task("mupler").file.read_text(encoding="utf-8")
    text = re.sub(r"languages = .*", 'languages = ["el", "en"]', text)
    text = text[: text.index("[counts]")] + "[counts]\ntopics = 30\ngold_pairs = 120\n"
    text += "[counts.queries]\nel = 30\nen = 30\n[counts.candidates]\nel = 50\nen = 50\n"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mupler.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("CLIRBENCH_TASKS", str(tmp_path / "tasks"))
    assert clirbench.list_tasks() == ["mupler"]
    result = clirbench.evaluate("clirbench/char-ngram", "mupler")
    assert result.document.task.complete
    assert result.score("bias", "rank_distance") is not None
    names = [f'"{name}"' for name in ("mupler", "neuclir", "webfaq")]
    package = data_dir("tasks").parent / "clirbench"
    assert [path.name for path in package.rglob("*.py") if any(name in path.read_text("utf-8") for name in names)] == []
