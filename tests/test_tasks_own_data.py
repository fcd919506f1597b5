"""A task of one's own: what `init-task` writes runs, what is wrong is named by file, line and field."""

import hashlib
import json
import re

import numpy as np
import pytest
from conftest import Table

import clirbench
from clirbench.metrics.bias import BIAS, OVERALL_BIAS
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import assemble, load_collection, with_queries
from clirbench.tasks.new_task import init_task
from clirbench.tasks.own_data import LITERATURE_BIAS, PARALLEL_BIAS
from clirbench.tasks.readers import LanguageTexts

HEAD = 'format = 1\nid = "mine"\nname = "Mine"\ndescription = "x"\nlicence = "private"\nreader = "jsonl"\n'
QUERIES = [
    {"topic": "a", "language": "en", "text": "a?"},
    {"topic": "a", "language": "de", "text": "a (de)?"},
    {"topic": "b", "language": "en", "text": "b?"},
    {"topic": "b", "language": "de", "text": "b (de)?"},
]
CANDIDATES = [
    {"language": "en", "text": "a.", "answers": ["a"]},
    {"language": "en", "text": "b.", "answers": "b"},
    {"language": "en", "text": "neither."},
    {"language": "de", "text": "a (de).", "answers": ["a"]},
    {"language": "de", "text": "b (de).", "answers": ["b"]},
]


def write(folder, queries=QUERIES, candidates=CANDIDATES, languages=("en", "de"), more=""):
    for name, rows in (("q", queries), ("c", candidates)):
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = f'{HEAD}languages = {json.dumps(list(languages))}\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n{more}'
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return str(folder / "mine.toml")


def test_a_parallel_task_has_every_setting(tmp_path):
    task = clirbench.load_task(write(tmp_path))
    assert task.settings == ("monolingual", "cross-lingual", "multilingual")
    assert "rank_distance" in task.bias
    assert task.counts == {
        "topics": 2,
        "gold_pairs": 8,
        "queries": {"en": 2, "de": 2},
        "candidates": {"en": 3, "de": 2},
    }
    collection = load_collection(task)
    pairs = {
        (collection.queries[q], collection.candidates[c])
        for q, c in zip(collection.gold_query, collection.gold_candidate, strict=True)
    }
    assert pairs == {(f"{t}{x}?", f"{t}{y}.") for t in "ab" for x in ("", " (de)") for y in ("", " (de)")}
    vectors = np.eye(3)
    place = {"a": 0, "b": 1, "n": 2}
    encoder = Table(
        {q: vectors[place[q[0]]] for q in collection.queries}, {c: vectors[place[c[0]]] for c in collection.candidates}
    )
    result = clirbench.evaluate(encoder, task)
    assert result.score("multilingual", "mAP") == 1
    assert result.score("bias", "rank_distance") == 1


def test_a_task_without_answers_in_other_languages(tmp_path):
    queries = [QUERIES[0], {"topic": "c", "language": "de", "text": "c?"}]
    candidates = [CANDIDATES[0], CANDIDATES[2], {"language": "de", "text": "c.", "answers": ["c"]}]
    task = clirbench.load_task(write(tmp_path, queries, candidates))
    assert task.settings == ("monolingual", "multilingual")
    assert task.bias == ("own_language_preference",)
    result = clirbench.evaluate("clirbench/hybrid", task)
    assert set(result.document.headline) == {"monolingual", "multilingual", "bias"}
    with pytest.raises(ClirbenchError, match="no cross-lingual setting: no topic has an answer in another language"):
        clirbench.evaluate("clirbench/hybrid", task, settings=["cross-lingual"])


def test_questions_answered_in_another_language_only(tmp_path):
    queries = [*QUERIES[:2], {"topic": "c", "language": "de", "text": "c?"}]
    candidates = [*CANDIDATES[:1], *CANDIDATES[2:4], {"language": "en", "text": "c.", "answers": ["c"]}]
    task = clirbench.load_task(write(tmp_path, queries, candidates))
    result = clirbench.evaluate("clirbench/hybrid", task)
    assert result.document.per_language["de"]["monolingual"]["queries"] == 1
    assert result.document.per_pair["de"]["en"]["queries"] == 2
    alone = clirbench.evaluate("clirbench/hybrid", task, languages=["de"])
    # Its answer is not there: the question is left out.
    assert alone.document.counts.queries == 1
    assert alone.document.counts.topics == 1


def test_grades_from_a_limit_on(tmp_path):
    candidates = [dict(CANDIDATES[0], answers={"a": 2, "b": 1}), *CANDIDATES[1:]]
    low = clirbench.load_task(write(tmp_path, candidates=candidates))
    assert low.counts["gold_pairs"] == 10
    high = clirbench.load_task(write(tmp_path, candidates=candidates, more="relevant_from = 1.5\n"))
    assert high.counts["gold_pairs"] == 8
    assert low.hash != high.hash


def test_grades_are_read_and_the_lower_one_comes_first(tmp_path):
    more = [dict(CANDIDATES[0], text=f"a {grade}.", answers={"a": grade}) for grade in (3, 1, 0, 2)]
    task = clirbench.load_task(write(tmp_path, candidates=[*more, *CANDIDATES[1:]]))
    collection = load_collection(task)
    rows = zip(collection.gold_query.tolist(), collection.gold_candidate, collection.gold_grade.tolist(), strict=True)
    texts = [(collection.queries[q], collection.candidates[c], grade) for q, c, grade in rows]
    golds = [("a 1.", 1), ("a (de).", 1), ("a 2.", 2), ("a 3.", 3)]
    assert [row for row in texts if row[0] == "a?"] == [("a?", *gold) for gold in golds]
    assert collection.gold_pairs.grade is collection.gold_grade
    kept = with_queries(collection, np.array(["de" in query for query in collection.queries]))
    assert kept.gold_grade.tolist() == [grade for query, _, grade in texts if "de" in query]
    # Where a language is left out, so are the grades of its golds.
    assert load_collection(task, ["de"]).gold_grade is None


def test_grades_that_are_all_1_are_none(tmp_path):
    listed = clirbench.load_task(write(tmp_path))
    assert load_collection(listed).gold_grade is None
    rows = [dict(row, answers=dict.fromkeys(row.get("answers", ()), 1)) for row in CANDIDATES]
    assert load_collection(clirbench.load_task(write(tmp_path, candidates=rows))).gold_grade is None


def test_grades_have_a_checksum_of_their_own(tmp_path):
    """That of a task without grades is of its rows and ``relevant_from``, so results that were made before stay valid."""

    def checksum(grade):
        path = write(tmp_path, candidates=[dict(CANDIDATES[0], answers={"a": grade}), *CANDIDATES[1:]])
        texts = [(tmp_path / f"{name}.jsonl").read_text(encoding="utf-8") for name in "qc"]
        rows = f"{texts[0]}\0{texts[1]}1.0".encode()
        return clirbench.load_task(path).sources["en"].sha256 == hashlib.sha256(rows).hexdigest()

    assert checksum(1)
    assert not checksum(2)


def test_two_grades_of_one_gold_are_refused(tmp_path):
    task = clirbench.load_task(write(tmp_path))
    one = LanguageTexts((("a", "a?"),), ("a.",), (("a", 0), ("a", 0)), (1, 2))
    with pytest.raises(ClirbenchError, match="mine: a gold of topic 'a' has two grades in en: correct the source"):
        assemble(task, ("en",), [one])


def test_the_hash_follows_the_texts(tmp_path):
    first = clirbench.load_task(write(tmp_path)).hash
    assert clirbench.load_task(write(tmp_path)).hash == first
    changed = [dict(QUERIES[0], text="A?"), *QUERIES[1:]]
    assert clirbench.load_task(write(tmp_path, changed)).hash != first


def test_the_hash_follows_the_rows_and_not_the_bytes(tmp_path):
    path = write(tmp_path)
    task = clirbench.load_task(path)
    files = [tmp_path / "q.jsonl", tmp_path / "c.jsonl"]
    plain = [file.read_bytes() for file in files]
    # Of rows that each end in LF it is the checksum of the bytes: results of earlier versions stay.
    assert task.sources["en"].sha256 == hashlib.sha256(plain[0] + b"\0" + plain[1] + b"1.0").hexdigest()
    for change in (
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.removesuffix(b"\n"),
        lambda content: content.replace(b"\n", b"\n\n"),
    ):
        for file, content in zip(files, plain, strict=True):
            file.write_bytes(change(content))
        assert clirbench.load_task(path).hash == task.hash


QUERY, CANDIDATE = QUERIES[0], CANDIDATES[0]


@pytest.mark.parametrize(
    ("which", "row", "told"),
    [
        ("q", "{", "line 5: not JSON"),
        ("q", "[1]", "line 5: not an object"),
        ("q", {"topic": "z", "language": "en"}, "line 5: field 'text' is missing"),
        ("q", dict(QUERY, extra=1), "line 5: unknown field 'extra'"),
        ("q", dict(QUERY, topic=3.0), "line 5: field 'topic' must be text, such as \"returns\", or a whole number"),
        ("q", dict(QUERY, topic="z", text=" "), "line 5: field 'text' must be text"),
        ("q", dict(QUERY, language="fr"), "line 5: language 'fr' is not one of en, de"),
        ("q", dict(QUERY), "line 5: topic 'a' is asked twice in en"),
        ("q", dict(QUERY, topic="z"), "line 5: no candidate answers topic 'z'"),
        ("c", dict(CANDIDATE, answers=["z"]), "line 6: 'answers' has topic 'z', which no query asks"),
        ("c", dict(CANDIDATE, answers=7.0), "line 6: field 'answers' must be a list"),
        ("c", dict(CANDIDATE, answers={"a": "high"}), "line 6: the grade of 'a' in 'answers' is no number"),
        ("c", dict(CANDIDATE, answers=[True]), "line 6: field 'answers' must be text"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, which, row, told):
    rows = {"q": QUERIES, "c": CANDIDATES}
    rows[which] = [*rows[which], row]
    with pytest.raises(ClirbenchError, match=re.escape(f"{which}.jsonl, {told}")) as error:
        clirbench.load_task(write(tmp_path, rows["q"], rows["c"]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("queries =", "querys ="), "unknown key 'querys'"),
        (('licence = "private"\n', ""), "missing key 'licence'"),
        (('"q.jsonl"', '"none.jsonl"'), "none.jsonl: cannot be read"),
        (('["en", "de"]', '["en", "de", "th"]'), "no query in th"),
        (('["en", "de"]', "[]"), "'languages' is empty: fill it in"),
        (('["en", "de"]', '["en", "en"]'), "'languages' must list distinct names"),
        (('id = "mine"', 'id = "other"'), "make them equal"),
        (('reader = "jsonl"\n', 'reader = "jsonl"\nmetrics = ["mAPP"]\n'), "mAPP"),
        (('reader = "jsonl"\n', 'reader = "jsonl"\nsettings = ["bilingual"]\n'), "'settings' has 'bilingual'"),
        (
            ('reader = "jsonl"\n', 'reader = "jsonl"\nrelevant_from = "two"\n'),
            "'relevant_from' is wrong (Input should be",
        ),
        (
            ('reader = "jsonl"\n', 'reader = "jsonl"\nrelevant_from = nan\n'),
            "'relevant_from' is wrong (Input should be a finite",
        ),
    ],
)
def test_a_wrong_task_file(tmp_path, change, told):
    path = write(tmp_path)
    content = (tmp_path / "mine.toml").read_text()
    assert change[0] in content
    (tmp_path / "mine.toml").write_text(content.replace(*change))
    with pytest.raises(ClirbenchError, match=re.escape(told)) as error:
        clirbench.evaluate("clirbench/hybrid", path)
    assert "\n" not in str(error.value)


def test_what_init_task_writes_runs(tmp_path):
    files = init_task("my-faq", tmp_path / "my-faq", ["en", "de", "th"])
    assert [path.name for path in files] == ["my-faq.toml", "my-faq.queries.jsonl", "my-faq.candidates.jsonl"]
    result = clirbench.evaluate("clirbench/hybrid", str(files[0]))
    assert result.document.task.languages == ["en", "de", "th"]
    assert result.document.task.complete
    with pytest.raises(ClirbenchError, match="is there already"):
        init_task("my-faq", tmp_path / "my-faq", ["en"])
    with pytest.raises(ClirbenchError, match="has a slash"):
        init_task("a/b", tmp_path, ["en"])


THREE = [
    {"language": "en", "text": "b.", "answers": ["b"]},
    {"language": "de", "text": "b (de).", "answers": ["b"]},
    {"language": "es", "text": "a (es).", "answers": ["a"]},
]


def test_a_question_whose_answers_are_left_out_is_left_out_in_its_own_language(tmp_path):
    queries = [*QUERIES, {"topic": "a", "language": "es", "text": "a (es)?"}]
    task = clirbench.load_task(write(tmp_path, queries, THREE, ("en", "de", "es")))
    collection = load_collection(task, ["en", "de"])
    assert collection.queries == ("b?", "b (de)?")
    assert [collection.languages[i] for i in collection.query_language] == ["en", "de"]
    result = clirbench.evaluate("clirbench/hybrid", task, languages=["en", "de"])
    assert 0 < result.score("monolingual", "mAP") <= 1
    assert result.document.per_language["de"]["monolingual"]["queries"] == 1


def test_a_language_without_a_question_left_is_named(tmp_path):
    queries = [QUERIES[0], {"topic": "b", "language": "de", "text": "b (de)?"}]
    candidates = [{"language": "en", "text": "x."}, *CANDIDATES[3:]]
    task = clirbench.load_task(write(tmp_path, queries, candidates))
    with pytest.raises(ClirbenchError, match="no question in en is answered in en"):
        clirbench.evaluate("clirbench/hybrid", task, languages=["en"])


def test_what_would_break_later_is_refused_at_once(tmp_path):
    broken = json.dumps(QUERIES[0]).replace("a?", "x\\ud83d")
    with pytest.raises(ClirbenchError, match="half of a character"):
        clirbench.load_task(write(tmp_path, [broken, *QUERIES[1:]]))
    huge = json.dumps(dict(CANDIDATES[0], answers={"a": 1})).replace(": 1}", ": 1" + "0" * 400 + "}")
    with pytest.raises(ClirbenchError, match="is no number"):
        clirbench.load_task(write(tmp_path, candidates=[huge, *CANDIDATES[1:]]))
    with pytest.raises(ClirbenchError, match=r"'languages' has 'e/\.\./n'"):
        clirbench.load_task(write(tmp_path, languages=("e/../n", "de")))
    alone = [QUERIES[0], QUERIES[2]]
    with pytest.raises(ClirbenchError, match="'bias' has 'rank_distance'"):
        clirbench.load_task(write(tmp_path, alone, CANDIDATES[:3], ("en",), 'bias = ["rank_distance"]\n'))
    with pytest.raises(ClirbenchError, match="'bias' has 'PEER'"):
        clirbench.load_task(write(tmp_path, alone, CANDIDATES[:3], ("en",), 'bias = ["PEER"]\n'))


def test_a_task_may_ask_for_every_measure_of_bias(tmp_path):
    assert {*PARALLEL_BIAS, *LITERATURE_BIAS} == {*BIAS, *OVERALL_BIAS}
    task = write(tmp_path, more=f"bias = {json.dumps([*BIAS])}\n")
    assert clirbench.load_task(task).bias == tuple(BIAS)


def test_inspect_and_hardest_take_the_task_file(tmp_path):
    from clirbench.results.inspect import inspect_result

    path = write(tmp_path)
    result = clirbench.evaluate("clirbench/hybrid", path)
    assert len(result.hardest(3, task=path)) == 3
    assert inspect_result(result, "en", 2, task=path).differing == 0
    for call in (lambda: result.hardest(3), lambda: inspect_result(result, "en", 2)):
        with pytest.raises(ClirbenchError, match="pass its TOML file as --task"):
            call()
    write(tmp_path, [dict(QUERIES[0], text="changed"), *QUERIES[1:]])
    with pytest.raises(ClirbenchError, match="its data have changed"):
        result.hardest(3, task=path)
