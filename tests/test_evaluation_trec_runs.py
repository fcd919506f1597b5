"""TREC runs: ordered by their scores as they stand, ties lost, and lines about what may not be meant."""

import math
import unicodedata

import pytest
from command_line import call
from miracl_corpus import write_mteb, write_original, write_task

from clirbench.evaluation.streaming.best_passages import trec_run
from clirbench.evaluation.trec_runs import read_run, score_run
from clirbench.results.result import read_result
from clirbench.results.trec_export import trec_field
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task_file import load_task

WRONG = [f"w{number}" for number in range(20)]
# Golds of both ends of the alphabet: whichever way identifiers decide, one of them would win.
GOLDS = ["a", "z"]


@pytest.fixture(scope="module", params=["original", "mteb"])
def data(request, tmp_path_factory):
    """A corpus of one query with two golds among 21 others: its folder, and its task."""
    folder = tmp_path_factory.mktemp("corpus")
    topics = [("1", "ask", dict.fromkeys(GOLDS, 1))]
    passages = [(name, "", name) for name in [*GOLDS, *WRONG, "of nobody"]]
    write = write_original if request.param == "original" else write_mteb
    write(folder / "corpus", "te", topics, passages)
    return folder / "corpus", load_task(str(write_task(folder, {"te": (topics, passages)})))


def scored(data, folder, lines):
    """The metrics of a run with these (passage, rank, score), and what was said about it."""
    path = folder / "run.trec"
    path.write_text("".join(f"1 Q0 {p} {rank} {score} t\n" for p, rank, score in lines), encoding="utf-8")
    said = []
    document = score_run(read_run(path), data[1], "te", data[0], note=said.append)
    return {name: one.value for name, one in document.headline["monolingual"].items()}, said


def ndcg(places):
    """nDCG@10 of golds at two places, from 1, by its definition."""
    gain = sum(1 / math.log2(place + 1) for place in places if place <= 10)
    return gain / (1 + 1 / math.log2(3))


@pytest.mark.parametrize(
    ("wrong", "gold"),
    [
        ("1.0", "1.0"),
        # Different from the ninth digit on, and whole numbers beyond 2^24: equal in float32.
        ("0.500000011", "0.500000010"),
        ("16777217", "16777216"),
        ("-16777216", "-16777217"),
        ("1e-300", "1e-301"),
    ],
)
def test_golds_come_last_where_scores_say_so_or_are_equal(data, tmp_path, wrong, gold):
    lines = [
        (p, place, wrong if p in WRONG else gold) for place, p in enumerate([*GOLDS[:1], *WRONG[:4], *GOLDS[1:]], 1)
    ]
    values, _ = scored(data, tmp_path, lines)
    assert values["R@10"] is None
    full = [*lines, *((p, 0, "-1e9") for p in [*WRONG[4:], "of%20nobody"])]
    values, said = scored(data, tmp_path, full)
    assert values["nDCG@10"] == pytest.approx(ndcg([5, 6]))
    assert values["mAP"] == pytest.approx((1 / 5 + 2 / 6) / 2)
    assert "1 of 1 queries have passages with equal scores: gold passages come last among these" in said[0]


@pytest.mark.parametrize(("wrong", "gold"), [("0.500000010", "0.500000011"), ("16777216", "16777217")])
def test_golds_come_first_where_scores_say_so(data, tmp_path, wrong, gold):
    lines = [(p, 1, wrong if p in WRONG else gold) for p in [*WRONG[:9], *GOLDS]]
    values, _ = scored(data, tmp_path, lines)
    assert (values["nDCG@10"], values["R@10"]) == (1, 1)


@pytest.mark.parametrize(
    ("ranks", "scores", "told"),
    [
        ((1, 2, 3), (3, 2, 1), []),
        ((3, 1, 2), (1, 3, 2), []),
        ((0, 0, 0), (1, 3, 2), []),
        (("Q", "-", "?"), (1, 3, 2), []),
        ((1, 2, 2), (3, 1, 2), []),
        (
            (2, 1, 3),
            (3, 2, 1),
            ["1 of 1 queries have ranks of another order than their scores (first: '1'): the scores count"],
        ),
        (
            (1, 1, 2),
            (3, 1, 2),
            ["1 of 1 queries have ranks of another order than their scores (first: '1'): the scores count"],
        ),
    ],
)
def test_ranks_that_contradict_the_scores_are_told(data, tmp_path, ranks, scores, told):
    _, said = scored(data, tmp_path, list(zip(["a", "w1", "w2"], ranks, scores, strict=True)))
    assert said == told


def test_equal_scores_are_told(data, tmp_path):
    assert scored(data, tmp_path, [("a", 1, "2.50"), ("w1", 2, "2.5"), ("w2", 3, 1)])[1] == [
        "1 of 1 queries have passages with equal scores: gold passages come last among these "
        "(trec_eval orders them by identifier)"
    ]


def test_a_run_of_another_corpus_is_told(data, tmp_path):
    values, said = scored(data, tmp_path, [(f"doc{place}", place, -place) for place in range(1, 12)])
    assert values["nDCG@10"] == 0
    assert said == [
        "no passage of the run is a judged one (it ranks 'doc1', and 'a' is judged): are its identifiers those of the corpus?"
    ]


def test_identifiers_of_one_look_are_refused(tmp_path):
    composed = "zurück"
    decomposed = unicodedata.normalize("NFD", composed)
    topics = [("7", "ask", {composed: 1})]
    passages = [(composed, "", "x"), ("w", "", "y")]
    write_original(tmp_path / "corpus", "te", topics, passages)
    task = load_task(str(write_task(tmp_path, {"te": (topics, passages)})))
    run = tmp_path / "run.trec"
    for line, told in (
        (
            f"7 Q0 {decomposed} 1 2 t\n",
            r"the run has passage 'zuru\u0308ck', which differs from 'zur\xfcck' only in Unicode",
        ),
        (
            "7\u200b Q0 w 1 2 t\n",
            r"the run has query '7\u200b', which differs from '7' only in the invisible character U+200B",
        ),
        ("7.0 Q0 w 1 2 t\n", "the run has query '7.0', which is not '7', because an identifier is text"),
    ):
        run.write_text(line, encoding="utf-8")
        with pytest.raises(ClirbenchError) as error:
            score_run(read_run(run), task, "te", tmp_path / "corpus")
        assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("1#0", "1#0"),
        ("a b", "a%20b"),
        ("a\tb\n", "a%09b%0A"),
        ("a\u00a0b", "a%C2%A0b"),
        ("zurück", "zurück"),
        ("50%", "50%"),
    ],
)
def test_an_identifier_is_one_field(name, field):
    assert trec_field(name) == field
    assert len(field.split()) == 1


def test_runs_that_are_written_are_read_with_any_identifier(tmp_path):
    names = ["1#0", "a b", "a\tb\n", "a\u00a0b", "\u2028", "zurück"]
    path = tmp_path / "run.trec"
    path.write_bytes(b"".join(trec_run([("q 1", [(name, -place) for place, name in enumerate(names)])], "a tag")))
    run = read_run(path)
    assert {query: list(ranking) for query, ranking in run.rankings.items()} == {
        "q%201": [trec_field(name) for name in names]
    }
    # Other tools write a no-break space as it is.
    path.write_text("1 Q0 a\u00a0b 1 2 t\n", encoding="utf-8")
    assert list(read_run(path).rankings["1"]) == ["a\u00a0b"]


def test_a_run_with_spaces_in_its_identifiers_scores_as_its_result(tmp_path, monkeypatch):
    """--save-top writes what --run reads, whatever the identifiers of the corpus are."""
    monkeypatch.chdir(tmp_path)
    topics = [("q 1", "red apples", {"a b\t": 1, "c": 0}), ("q\u00a02", "blue sky", {"d e": 1})]
    texts = [
        ("a b\t", "red apples"),
        ("c", "red"),
        ("d e", "blue skies"),
        ("w 1", "sky"),
        ("w 2", "apples"),
        ("w 3", "blue"),
    ]
    passages = [(name, "", text) for name, text in texts]
    write_mteb(tmp_path / "corpus", "te", topics, passages)
    toml = write_task(tmp_path, {"te": (topics, passages)})
    ran = call("run", "--model", "clirbench/hybrid", "--tasks", toml, "--data", "corpus", "--save-top", "6")
    assert ran.exit_code == 0, ran.output
    result = read_result("results/clirbench__hybrid/tiny-miracl.json")
    run = read_run(tmp_path / "results" / "clirbench__hybrid" / "tiny-miracl.te.trec")
    assert set(run.rankings) == {"q%201", "q%C2%A02"}
    document = score_run(run, load_task(str(toml)), "te", tmp_path / "corpus")
    for name, estimate in document.headline["monolingual"].items():
        assert estimate.value == pytest.approx(result.score("monolingual", name)), name


def test_identifiers_that_are_written_alike_are_told(tmp_path):
    notes = []
    best = [("1", [("a b", 2.0), ("a%20b", 1.0)]), ("2", [("c", 2.0), ("d", 1.0)]), ("3", [("c", 2.0), ("c", 1.0)])]
    lines = b"".join(trec_run(best, "tag", notes.append)).decode().splitlines()
    assert [line.split()[2] for line in lines] == ["a%20b", "a%20b", "c", "d", "c", "c"]
    assert notes == [
        "2 queries have a passage twice in the run (first: 'a%20b'): two passages of the corpus have this identifier, or are "
        "written alike, and other tools refuse such a run"
    ]
    topics = [("1", "ask", {"a b": 1, "a%20b": 1})]
    passages = [(name, "", name) for name in ("a b", "a%20b", "of nobody")]
    write_original(tmp_path / "corpus", "te", topics, passages)
    task = load_task(str(write_task(tmp_path, {"te": (topics, passages)})))
    path = tmp_path / "run.trec"
    path.write_text("1 Q0 a%20b 1 2 t\n", encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"has 'a b' and 'a%20b', which a run writes alike: rename one of the two"):
        score_run(read_run(path), task, "te", tmp_path / "corpus")
