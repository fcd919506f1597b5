"""Task files: read strictly; shipped ones complete; the demo set sound."""

import json
import unicodedata

import pytest

from clirbench.metrics.scores import check_names
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import list_tasks, load_task

SCRIPTS = {"ar": "ARABIC", "el": "GREEK", "hi": "DEVANAGARI", "ru": "CYRILLIC", "th": "THAI", "zh": "CJK"}


def test_the_shipped_tasks():
    assert list_tasks() == [
        "belebele", "demo", "demo-passages", "miracl", "miracl-hard-negatives", "mlqa-r", "mupler", "neuclir", "webfaq", "xquad-r"
    ]  # fmt: skip
    for name in list_tasks():
        task = load_task(name)
        check_names(task)
        assert task.id == name
        assert task.citation.strip().startswith("@")
        if task.corpus is None and task.hub is None:
            assert set(task.sources) == set(task.languages)
        assert set(task.checksums(task.languages)) in (set(task.languages), set())


@pytest.fixture
def edited(tmp_path):
    text = load_task("demo").file.read_text(encoding="utf-8")

    def edit(old, new):
        assert old in text
        path = tmp_path / "demo.toml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return str(path)

    return edit


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence =", "license =", "unknown key 'license'"),
        ('homepage = "', '# homepage = "', "missing key 'homepage'"),
        ("format = 1", "format = 2", "format 2 is not 1"),
        ("format = 1", 'format = "1"', "'format' is wrong \\(Input should be a valid integer\\): correct it"),
        ("format = 1", "format = 1\nformat = 1", "not valid TOML"),
        ('id = "demo"', 'id = "other"', "file is named 'demo'"),
        ('"multilingual"]', '"bilingual"]', "'settings' has 'bilingual'"),
        ('"multilingual"]', '"monolingual"]', "distinct names"),
        ("topics = 48", 'topics = "48"', "'counts.topics' is wrong \\(Input should be a valid integer\\)"),
        ("[counts.queries]\nar = 48\n", "[counts.queries]\n", "missing key 'counts.queries.ar'"),
        ("[counts.queries]\nar = 48\n", "[counts.queries]\nar = 48\nfr = 48\n", "unknown key 'counts.queries.fr'"),
        ('candidate_text = "sentence"', 'candidate_text = "page"', "'candidate_text' has 'page': use 'sentence'"),
        (
            'description = "',
            'description = ""\n# "',
            "'description' is empty: fill it in",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_key(edited, old, new, message):
    with pytest.raises(ClirbenchError, match=message) as error:
        load_task(edited(old, new))
    assert "demo.toml" in str(error.value)


def test_unknown_names_fail_before_any_work(edited):
    with pytest.raises(ClirbenchError, match="'metrics' has 'mAPP'"):
        check_names(load_task(edited('"mAP",', '"mAPP",')))
    with pytest.raises(ClirbenchError, match=f"no task 'xquad': the tasks are {', '.join(list_tasks())}"):
        load_task("xquad")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[counts.queries]\nar = 48", "[counts.queries]\nar = 47", "48 queries in ar, but demo.toml declares 47"),
        ("[counts.candidates]\nar = 144", "[counts.candidates]\nar = 1", "144 candidates in ar"),
        ("topics = 48", "topics = 49", "48 topics"),
        ("gold_pairs = 5808", "gold_pairs = 1", "5808 gold pairs"),
        ('reader = "demo"', 'reader = "csv"', "'reader' is 'csv'"),
    ],
)
def test_every_declared_count_is_checked(edited, tmp_path, old, new, message):
    (tmp_path / "demo").symlink_to(load_task("demo").file.parent / "demo")
    with pytest.raises(ClirbenchError, match=message):
        load_collection(load_task(edited(old, new)))


def test_the_hash_depends_on_the_protocol_not_on_the_prose(edited):
    before = load_task("demo").hash
    assert load_task(edited('name = "Demo"', 'name = "Another"')).hash == before
    assert load_task(edited("topics = 48", "topics = 47")).hash != before
    assert load_task(edited('[source.sha256]\nar = "', '[source.sha256]\nar = "0')).hash != before


def test_a_restricted_collection(tiny):
    collection = load_collection(load_task("demo"), ["zh", "de"])
    assert collection.languages == ("de", "zh")
    assert len(collection.candidates) == 288
    assert len(collection.gold_query) == 48 * 4
    with pytest.raises(ClirbenchError, match="no language 'fr'"):
        load_collection(load_task("demo"), ["fr"])


def test_missing_languages_leave_pairs_out(tiny):
    collection = tiny(topics=3, missing={(1, "de")})
    golds = {}
    for q, c in zip(collection.gold_query, collection.gold_candidate, strict=True):
        golds.setdefault(collection.queries[q], []).append(collection.candidates[c])
    assert golds["en question 1"] == ["en gold 1", "zh gold 1"]
    assert golds["zh question 2"] == ["en gold 2", "de gold 2", "zh gold 2"]


@pytest.mark.parametrize("language", load_task("demo").languages)
def test_the_demo_set_is_sound(language):
    source = load_task("demo").sources[language]
    rows = [json.loads(line) for line in source.path.read_text(encoding="utf-8").splitlines()]
    english = load_task("demo").sources["en"].path.read_text(encoding="utf-8").splitlines()
    assert [row["topic"] for row in rows] == [json.loads(line)["topic"] for line in english]
    assert len(rows) >= 40
    texts = [text for row in rows for text in (row["question"], row["answer"], *row["distractors"])]
    assert len(set(texts)) == len(texts)
    assert sum(len(row["distractors"]) for row in rows) >= 40
    script = SCRIPTS.get(language, "LATIN")
    for text in texts:
        assert unicodedata.normalize("NFC", text) == text
        assert text == text.strip()
        letters = [c for c in text if c.isalpha()]
        assert sum(unicodedata.name(c).startswith(script) for c in letters) / len(letters) > 0.8, text


def test_demo_distractors_are_not_trivial():
    # A word shared with the question is more often in a distractor than in the answer: word overlap must not solve it.
    rows = [json.loads(line) for line in load_task("demo").sources["en"].path.read_text().splitlines()]

    def overlap(row, text):
        return len(set(row["question"].lower().split()) & set(text.lower().split()))

    lured = sum(max(overlap(row, d) for d in row["distractors"]) > overlap(row, row["answer"]) for row in rows)
    assert lured > len(rows) / 2
