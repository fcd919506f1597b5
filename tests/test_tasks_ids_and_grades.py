"""One rule for identifiers and grades: in a user's own task, in corpora of both layouts, in judgements, vectors and runs."""

import gzip
import json
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import call
from miracl_corpus import invented, write_mteb, write_original, write_task

import clirbench
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.base import Passage
from clirbench.tasks.corpora.inventory import take_inventory
from clirbench.tasks.corpora.judged import load_judged, open_candidates, open_judgements
from clirbench.tasks.corpora.mteb_layout import MtebLayout
from clirbench.tasks.corpora.original import OriginalFolder, read_qrels
from clirbench.tasks.corpora.vector_files import VectorFolder
from clirbench.tasks.ids_and_grades import difference, first_twins, gain, grade, grade_of_text, identifier, look, twin
from clirbench.tasks.task import HubCorpus
from clirbench.tasks.task_file import load_task

COMPOSED = "zurück"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
HUB = HubCorpus("org/data", "0" * 40, "dev")

# A value as JSON has it, and the identifier that it is, or None.
IDENTIFIERS = [("7", '"7"'), ("7", "7"), ("7.0", '"7.0"'), ("007", '"007"'), ("-1", "-1"), ("ä b", '"ä b"')]
NO_IDENTIFIERS = ["7.0", "true", "null", '""', '" "', "[7]"]
# A value as JSON has it, and whether it is gold from 1 on.
GRADES = [("1", True), ("2", True), ("1.0", True), ("1.5", True), ("0", False), ("0.5", False), ("-1", False)]
NO_GRADES = ["true", "false", '"1"', "NaN", "Infinity", "1e9"]


@pytest.mark.parametrize(("name", "value"), IDENTIFIERS)
def test_an_identifier_is_text_or_a_whole_number(name, value):
    assert identifier(json.loads(value)) == name


@pytest.mark.parametrize("value", NO_IDENTIFIERS)
def test_no_identifier(value):
    assert identifier(json.loads(value)) is None


@pytest.mark.parametrize(("value", "gold"), GRADES)
def test_a_grade_is_a_number(value, gold):
    assert (grade(json.loads(value)) >= 1) is gold
    assert grade_of_text(value) == grade(json.loads(value))


@pytest.mark.parametrize("value", NO_GRADES)
def test_no_grade(value):
    assert grade(json.loads(value)) is None
    assert grade_of_text(value.strip('"') if value != '"1"' else "one") is None


def own(folder, topic='"a"', answers='["a"]', more=""):
    (folder / "q.jsonl").write_text(f'{{"topic": {topic}, "language": "en", "text": "a?"}}\n', encoding="utf-8")
    lines = f'{{"language": "en", "text": "a.", "answers": {answers}}}\n{{"language": "en", "text": "b.", "answers": {topic}}}\n'
    (folder / "c.jsonl").write_text(lines, encoding="utf-8")
    head = (
        'format = 1\nid = "mine"\nname = "M"\ndescription = "d"\nlicence = "x"\nreader = "jsonl"\nlanguages = ["en"]\n'
    )
    (folder / "mine.toml").write_text(f'{head}queries = "q.jsonl"\ncandidates = "c.jsonl"\n{more}')
    return clirbench.load_task(str(folder / "mine.toml"))


@pytest.mark.parametrize(("name", "value"), IDENTIFIERS)
def test_identifiers_of_ones_own(tmp_path, name, value):
    for answers in (value, f"[{value}]", json.dumps({name: 1})):
        assert own(tmp_path, value, answers).counts["gold_pairs"] == 2
    # The number and its digits are one topic, on whichever side they stand.
    assert own(tmp_path, value, json.dumps([name])).counts["gold_pairs"] == 2


@pytest.mark.parametrize("value", NO_IDENTIFIERS)
def test_no_identifiers_of_ones_own(tmp_path, value):
    with pytest.raises(
        ClirbenchError, match=r"q.jsonl, line 1: field 'topic' must be text, such as .* or a whole number"
    ):
        own(tmp_path, value, '["a"]')


@pytest.mark.parametrize(("value", "gold"), GRADES)
def test_grades_of_ones_own(tmp_path, value, gold):
    told = (
        r"c.jsonl, line 1: the grade of 'a' in 'answers' is .*, and a gold has a whole grade from 1 to 127: correct it"
    )
    whole = value in ("1", "2", "1.0")
    # From another grade on, all are gold. A gold has a gain, so its grade is whole, from 1 on.
    for more, is_gold in (("", gold), ("relevant_from = -1\n", True)):
        if whole or not is_gold:
            assert own(tmp_path, answers=f'{{"a": {value}}}', more=more).counts["gold_pairs"] == 1 + is_gold
            continue
        with pytest.raises(ClirbenchError, match=told):
            own(tmp_path, answers=f'{{"a": {value}}}', more=more)


@pytest.mark.parametrize(
    ("number", "counted"), [(1.0, 1), (127.0, 127), (128.0, None), (1.5, None), (0.0, None), (-3.0, None)]
)
def test_the_gain_of_a_grade(number, counted):
    assert gain(number) == counted


@pytest.mark.parametrize("value", NO_GRADES)
def test_no_grades_of_ones_own(tmp_path, value):
    with pytest.raises(
        ClirbenchError, match=r"c.jsonl, line 1: (the grade of 'a' in 'answers'|not JSON \((NaN|Infinity)) is no number"
    ):
        own(tmp_path, answers=f'{{"a": {value}}}')


def mteb_folder(folder, ids, grades):
    """A corpus in mteb's layout whose identifiers and grades are these columns."""
    for config, columns in (
        ("en-queries", {"_id": ids, "text": ["a?"] * len(ids)}),
        ("en-corpus", {"_id": ids, "title": [""] * len(ids), "text": ["a."] * len(ids)}),
        ("en-qrels", {"query-id": ids, "corpus-id": ids, "score": grades}),
    ):
        (folder / config).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / config / "dev-0.parquet")
    return MtebLayout(HUB, folder)


def test_identifiers_and_grades_of_mtebs_layout(tmp_path):
    layout = mteb_folder(tmp_path / "numbers", [7, 8, 9], [1.5, 0.5, -1.0])
    assert [query for query, _ in layout.topics("en")] == ["7", "8", "9"]
    assert layout.block("en", 0, 0, 9).ids == ["7", "8", "9"]
    assert [(one.query, one.passage, one.relevance) for one in layout.judgements("en")] == [
        ("7", "7", 1.5), ("8", "8", 0.5), ("9", "9", -1)
    ]  # fmt: skip
    layout = mteb_folder(tmp_path / "fractions", [7.0, 8.0], [1, 2])
    for read in (layout.topics, layout.judgements, lambda language: layout.block(language, 0, 0, 9)):
        with pytest.raises(
            ClirbenchError, match=r"parquet, row 1: 7\.0 is no identifier: write text that is not empty"
        ):
            read("en")
    for name, column in (("true", [True, False]), ("text", ["1", "0"]), ("nan", [float("nan"), 1.0])):
        layout = mteb_folder(tmp_path / name, ["a", "b"], column)
        with pytest.raises(ClirbenchError, match=r"en-qrels/dev-0.parquet, row 1: score (True|'1'|nan) is no number"):
            layout.judgements("en")


def test_identifiers_and_grades_of_the_original_layout(tmp_path):
    path = tmp_path / "qrels.tsv"
    path.write_text("".join(f"1\tQ0\tp{i}\t{value}\n" for i, (value, _) in enumerate(GRADES)), encoding="utf-8")
    assert [one.relevance >= 1 for one in read_qrels(path)] == [gold for _, gold in GRADES]
    for value in ("true", "NaN", "Infinity", "1e9", "1_0", "٣"):
        path.write_text(f"1\tQ0\tp\t{value}\n", encoding="utf-8")
        with pytest.raises(ClirbenchError, match=r"qrels.tsv:1: not a query id, Q0, a passage id and a relevance"):
            read_qrels(path)
    docs = tmp_path / "corpus" / "miracl-corpus-v1.0-en" / "docs-0.jsonl.gz"
    docs.parent.mkdir(parents=True)
    for value, name in [(value, name) for name, value in IDENTIFIERS] + [(value, None) for value in NO_IDENTIFIERS]:
        line = f'{{"docid": {value}, "title": "", "text": "a"}}\n'
        docs.write_bytes(gzip.compress(line.encode()))
        corpus = OriginalFolder(tmp_path / "corpus", "dev")
        if name is not None:
            assert list(corpus._passages("en", 0, 0)) == [Passage(name, "a")]
        else:
            with pytest.raises(ClirbenchError, match=r"docs-0.jsonl.gz:1: .+ is no identifier: write text"):
                corpus.block("en", 0, 0, 9)


def test_identifiers_of_vectors(tmp_path):
    folder = tmp_path / "en"
    folder.mkdir()
    vectors = np.eye(2, dtype=np.float32).tolist()
    pq.write_table(pa.table({"id": [7, 8], "vector": vectors}), folder / "passages.parquet")
    assert VectorFolder(tmp_path).block("en", 0, 0, 9).ids == ["7", "8"]
    pq.write_table(pa.table({"id": [7.0, 8.0], "vector": vectors}), folder / "passages.parquet")
    with pytest.raises(ClirbenchError, match=r"passages.parquet, row 1: 7\.0 is no identifier"):
        VectorFolder(tmp_path).block("en", 0, 0, 9)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (COMPOSED, DECOMPOSED, "Unicode normalisation"),
        ("pay\u200b", "pay", "the invisible character U+200B ZERO WIDTH SPACE"),
        ("pay", "\ufeffpay", "the invisible character U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("می\u200cخواهم", "میخواهم", "the invisible character U+200C ZERO WIDTH NON-JOINER"),
        ("pay", "pay\x07", "the invisible character U+0007"),
        ("☎\ufe0f", "☎", "the invisible character U+FE0F VARIATION SELECTOR-16"),
        ("to pay", "to\u00a0pay", "spaces"),
        ("pay ", "pay", "spaces"),
    ],
)
def test_identifiers_of_one_look(one, other, what):
    assert look(one) == look(other)
    assert difference(one, other) == difference(other, one) == what
    assert twin(one, ["x", other]) == f"{one!a}, which differs from {other!a} only in {what}"
    assert first_twins(["x", other, other, one]) == twin(one, [other])


def test_identifiers_of_different_looks():
    names = ["pay", "Pay", "pays", "zuruck", COMPOSED, "7", "07", "x²", "x2", "ي", "ی"]
    assert first_twins(names) == ""
    assert [twin(name, [other for other in names if other != name]) for name in names] == [""] * len(names)
    assert twin("7.0", names) == "'7.0', which is not '7', because an identifier is text"


def parallel(folder, english, german, answer):
    for file, rows in (
        ("q", [(english, "en"), (german, "de")]),
        ("c", [(answer, "en"), (answer, "de")]),
    ):
        lines = [
            {"topic": topic, "language": language, "text": "a?"}
            if file == "q"
            else {"language": language, "text": "a.", "answers": [topic]}
            for topic, language in rows
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{file}.jsonl").write_text(text, encoding="utf-8")
    head = 'format = 1\nid = "mine"\nname = "M"\ndescription = "d"\nlicence = "x"\nreader = "jsonl"\n'
    (folder / "mine.toml").write_text(f'{head}languages = ["en", "de"]\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n')
    return clirbench.load_task(str(folder / "mine.toml"))


def test_topics_of_one_look_are_refused_and_the_difference_is_shown(tmp_path):
    assert parallel(tmp_path, COMPOSED, COMPOSED, COMPOSED).counts["topics"] == 1
    with pytest.raises(ClirbenchError) as error:
        parallel(tmp_path, COMPOSED, DECOMPOSED, COMPOSED)
    assert str(error.value) == (
        f"{tmp_path}/q.jsonl, line 2: topic 'zuru\\u0308ck', which differs from 'zur\\xfcck' only in Unicode normalisation "
        "(line 1): write both alike"
    )
    with pytest.raises(ClirbenchError) as error:
        parallel(tmp_path, "pay", "pay", "pay\u200b")
    assert str(error.value) == (
        f"{tmp_path}/c.jsonl, line 1: 'answers' has topic 'pay\\u200b', which differs from 'pay' only in the invisible character "
        "U+200B ZERO WIDTH SPACE: write it as the query does"
    )
    with pytest.raises(
        ClirbenchError, match=re.escape("'answers' has topic '7.0', which is not '7', because an identifier is text")
    ):
        parallel(tmp_path, "7", 7, "7.0")


def taken(folder, layout, more_topics=(), more_passages=()):
    """The inventory of a small Telugu corpus with these topics and passages added."""
    topics = [*invented("te"), *more_topics]
    judged = [(passage, "", passage) for _, _, grades in topics for passage in grades]
    rows = [*judged, ("9#9", "", "nobody judged it"), *((passage, "", "x") for passage in more_passages)]
    corpus = folder / "corpus"
    (write_mteb if layout == "mteb" else write_original)(corpus, "te", topics, rows)
    task = load_task(str(write_task(folder, {"te": (topics, rows)})))
    loaded = load_judged(task, ["te"], open_judgements(task, corpus))
    return take_inventory(loaded, open_candidates(task, corpus), 10, None, lambda *_: None)


@pytest.mark.parametrize("layout", ["original", "mteb"])
@pytest.mark.parametrize(
    ("topics", "passages", "told"),
    [
        ([], ["3#1\u200b"], r"passage '3#1\\u200b', which differs from '3#1' only in the invisible character U\+200B"),
        (
            [("44\u200b", "x", {"3#4": 1})],
            [],
            r"query '44\\u200b', which differs from '44' only in the invisible .* \(te\)",
        ),
        (
            [("46", "x", {DECOMPOSED: 1}), ("47", "y", {COMPOSED: 1})],
            [],
            r"passage 'zur\\xfcck', which differs from 'zuru\\u0308ck' only in Unicode normalisation",
        ),
    ],
)
def test_identifiers_of_one_look_in_a_corpus(tmp_path, layout, topics, passages, told):
    assert set(taken(tmp_path, layout).golds) == {("te", "3#1"), ("te", "3#2")}
    with pytest.raises(ClirbenchError, match=f"{told}.*: write both alike"):
        taken(tmp_path, layout, topics, passages)


def test_vectors_whose_identifiers_look_like_those_of_the_topics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    topics = invented("te")
    passages = [(name, "", name) for name in ("3#0", "3#1", "3#2", "9#9")]
    write_original(tmp_path / "corpus", "te", topics, passages)
    toml = write_task(tmp_path, {"te": (topics, passages)})
    folder = tmp_path / "vectors" / "te"
    folder.mkdir(parents=True)
    for part, names in (("queries", ["44\u200b", "45"]), ("passages", [name for name, _, _ in passages])):
        np.save(folder / f"{part}.npy", np.eye(len(names), 4, dtype=np.float32))
        (folder / f"{part}.ids.txt").write_text("\n".join(names), encoding="utf-8")
    command = ("run", "--vectors", "vectors", "--name", "me/v", "--tasks", toml, "--data", "corpus")
    error = call(*command).exception
    assert isinstance(error, ClirbenchError)
    assert (
        r"vectors of te lack query '44', which differs from '44\u200b' only in the invisible character U+200B"
        in str(error)
    )
    # With mark and CRLF, as an editor on Windows leaves them.
    (folder / "queries.ids.txt").write_bytes("\ufeff44\r\n45\r\n".encode())
    assert call(*command).exit_code == 0
