"""clirbench.evaluate and `clirbench run` as a caller meets them: keywords, caches, order of tasks."""

import pytest
from command_line import clir

import clirbench
from clirbench.results.inspect import inspect_result
from clirbench.support.errors import ClirbenchError

LANGUAGES = ["en", "de"]


class Counting:
    """Vectors from the letters of a text; counts the texts that it was given."""

    name, revision = "test/counting", "1"

    def __init__(self):
        self.queries, self.candidates = [], []

    def encode_queries(self, texts):
        self.queries += texts
        return [[text.count(letter) + 0.5 for letter in "aeiourstln"] for text in texts]

    def encode_candidates(self, texts):
        vectors = self.encode_queries(texts)
        self.candidates += texts
        return vectors


@pytest.mark.parametrize("wrong", ["language", "allow_zero_vector", "cach", "force", "allow_zero"])
def test_a_misspelt_keyword_is_refused(wrong):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{wrong}'"):
        clirbench.evaluate(Counting(), "demo", **{wrong: ["en"]})


def test_an_empty_name_is_no_task():
    with pytest.raises(ClirbenchError, match="no task ''"):
        clirbench.evaluate(Counting(), "")


def test_the_cache_is_the_folder_that_was_named(tmp_path):
    clirbench.evaluate(Counting(), "demo", languages=LANGUAGES, cache=tmp_path)
    again = Counting()
    clirbench.evaluate(again, "demo", languages=LANGUAGES, cache=tmp_path)
    # Only the text that tells whether the cached vectors are this encoder's.
    assert len(again.candidates) == 1
    # One folder per role, directly in it.
    assert len({path.parent for path in tmp_path.glob("*/*.npy")}) == 2


def test_inspect_takes_the_vectors_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    result = clirbench.evaluate("clirbench/hybrid", "demo", languages=LANGUAGES, cache=tmp_path / "cache" / "vectors")
    kept = set((tmp_path / "cache").rglob("*.npy"))
    inspect_result(result, "de", 2, cache=tmp_path / "cache" / "vectors")
    new = set((tmp_path / "cache").rglob("*.npy")) - kept
    # The few queries are encoded again, the candidates are not.
    assert len({path.parent for path in new}) == 1


def test_phases_are_told_in_the_order_in_which_they_happen():
    result = clirbench.evaluate(Counting(), "demo", languages=LANGUAGES)
    assert list(result.document.cost.seconds) == ["load", "encode", "rank", "score"]


def test_a_missing_corpus_is_told_before_anything_is_evaluated(tmp_path):
    ran = clir(tmp_path, "run", "--tasks", "demo,miracl", "--model", "clirbench/hybrid", CLIRBENCH_MIRROR=str(tmp_path))
    assert ran.returncode == 2
    assert "CLIRBENCH_MIRROR" in ran.stderr
    assert not (tmp_path / "results" / "clirbench__hybrid" / "demo.json").exists()


def test_submitting_is_offered_for_tasks_of_the_board_only(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Letters:\n"
        "    revision = '1'\n"
        "    def encode_queries(self, texts):\n"
        "        return [[text.count(x) + 0.5 for x in 'aeiourstln'] for text in texts]\n"
        "    encode_candidates = encode_queries\n"
        "def make():\n"
        "    return Letters()\n"
    )
    ran = clir(tmp_path, "run", "--model", "mine:make", "--tasks", "demo", "--name", "me/model")
    assert ran.returncode == 0, ran.stderr
    assert "next: check that the numbers follow" in ran.stdout
    assert "clirbench submit" not in ran.stdout
