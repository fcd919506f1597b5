"""clirbench inside the real mteb, and mteb's tasks inside clirbench."""

import json
import time
import warnings

import pytest
from mteb_copies import retrieval_copy, xnli_copy
from tiny_models import static_model
from typer.testing import CliRunner

import clirbench
from clirbench.cli import app
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import list_tasks, load_task

pytestmark = [
    # Of mteb and what it loads, not of ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
LANGUAGES = ["en", "de", "th"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return static_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def ours(folder):
    return clirbench.evaluate(str(folder), "demo", languages=LANGUAGES, options=EncoderOptions(name="me/static"))


def evaluate(model, tasks):
    import mteb

    return mteb.evaluate(model, tasks, cache=None, co2_tracker=False, show_progress_bar=False)


def stated(ours):
    """Task of mteb -> subset -> our numbers."""
    document = ours.document
    by_language = {
        name: {x: document.per_language[x][setting] for x in LANGUAGES}
        for name, setting in (
            ("ClirbenchDemoMonolingual", "monolingual"),
            ("ClirbenchDemoMultilingual", "multilingual"),
        )
    }
    pairs = {f"{q}-{c}": values for q, row in document.per_pair.items() for c, values in row.items()}
    return {**by_language, "ClirbenchDemoCrossLingual": pairs}


def test_mteb_finds_the_same_numbers(model, ours):
    from clirbench.integrations.mteb import OneEncoding, tasks

    found = evaluate(model, tasks(["demo"], languages=LANGUAGES))
    expected = stated(ours)
    assert {result.task_name for result in found.task_results} == set(expected)
    compared = 0
    for result in found.task_results:
        scores = {part["hf_subset"]: part for part in result.scores["test"]}
        assert set(scores) == set(expected[result.task_name])
        for subset, values in expected[result.task_name].items():
            for ours_, theirs in (("nDCG@10", "ndcg_at_10"), ("R@10", "recall_at_10"), ("R@100", "recall_at_100")):
                assert scores[subset][theirs] == pytest.approx(values[ours_], abs=1e-5), (subset, ours_)
                compared += 1
    assert compared == 3 * (3 + 6 + 3)
    import mteb

    one = OneEncoding(mteb.models.SentenceTransformerEncoderWrapper(model))
    again = evaluate(one, tasks(["demo"], languages=LANGUAGES))
    for first, second in zip(found.task_results, again.task_results, strict=True):
        scores = {part["hf_subset"]: part["ndcg_at_10"] for part in first.scores["test"]}
        for part in second.scores["test"]:
            assert part["ndcg_at_10"] == pytest.approx(scores[part["hf_subset"]], abs=1e-5)
    collection = load_collection(clirbench.load_task("demo"), LANGUAGES)
    assert one.encoded == len(set(collection.queries)) + len(set(collection.candidates))


def test_streamed_tasks_are_read_by_the_metric_that_mteb_reads_them_by():
    import mteb

    names = {task.mteb: task.metrics[0] for task in map(load_task, list_tasks()) if task.mteb and task.corpus}
    assert "NeuCLIR2023RetrievalHardNegatives" in names
    scores = {name: mteb.get_task(name).metadata.main_score for name in names}
    assert {name: metric.lower().replace("@", "_at_") for name, metric in names.items()} == scores


def test_the_benchmark_groups_by_setting():
    from clirbench.integrations.mteb import benchmark

    found = benchmark(["en", "de"])
    names = [task.metadata.name for task in found.tasks]
    assert names == [
        "XQuADRMonolingual", "XQuADRCrossLingual", "XQuADRMultilingual",
        "MLQARMonolingual", "MLQARCrossLingual", "MLQARMultilingual",
    ]  # fmt: skip
    assert found.tasks[1].metadata.eval_langs == {"en-de": ["eng-Latn", "deu-Latn"], "de-en": ["deu-Latn", "eng-Latn"]}
    assert benchmark(["en"], miracl=True).tasks[-1].metadata.name == "MIRACLRetrieval"
    with pytest.raises(ClirbenchError, match="demo has no streamed counterpart in mteb"):
        benchmark(["en"], demo=True)


def test_tasks_that_are_not_there():
    from clirbench.integrations.mteb import tasks

    for arguments, told in (
        ({"names": ["none"]}, "no task 'none'"),
        ({"names": ["miracl"]}, "mteb's own"),
        ({"names": ["demo"], "settings": ["bilingual"]}, "no setting 'bilingual'"),
        ({"names": ["demo"], "languages": ["xx"]}, "no language 'xx'"),
    ):
        with pytest.raises(ClirbenchError, match=told):
            tasks(**arguments)


def test_export_is_read_back_by_mteb(ours, tmp_path):
    import mteb

    whole = ours.document.model_copy(update={"task": ours.document.task.model_copy(update={"complete": True})})
    saved = clirbench.Result(whole, ours.ranks, ours.ranks_file).save(tmp_path)
    restricted = CliRunner().invoke(app, ["export", str(ours.save(tmp_path / "other")), "--format", "mteb", "-o", "x"])
    assert "of a restricted run" in str(restricted.exception)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ran = CliRunner().invoke(app, ["export", str(saved), "--format", "mteb", "-o", str(tmp_path / "repository")])
    assert ran.exit_code == 0, ran.exception
    assert [str(one.message) for one in warned if "erializ" in str(one.message)] == []
    files = sorted((tmp_path / "repository" / "results").rglob("*.json"))
    assert {path.name for path in files} == {
        "ClirbenchDemoMonolingual.json", "ClirbenchDemoCrossLingual.json", "ClirbenchDemoMultilingual.json",
        "model_meta.json",
    }  # fmt: skip
    assert files[0].parent.parent.name == "me__static"
    cache = mteb.ResultCache(tmp_path / "repository")
    loaded = cache.load_results(tasks=sorted(stated(ours)), include_remote=False)
    (result,) = loaded.model_results
    assert result.model_name == "me/static"
    assert len(result.task_results) == 3
    for task in result.task_results:
        for part in task.scores["test"]:
            values = stated(ours)[task.task_name][part["hf_subset"]]
            assert part["main_score"] == pytest.approx(values["nDCG@10"], abs=1e-6)
            assert part["recall_at_1"] == pytest.approx(values["R@1"], abs=1e-6)
    for arguments, told in (
        (["--format", "mteb"], "name a folder with --output"),
        (["--format", "mteb", "-o", "x", "--metrics", "mAP"], "serve --format trec"),
        (["--format", "xml"], "use trec or mteb"),
    ):
        assert told in str(CliRunner().invoke(app, ["export", str(saved), *arguments]).exception)


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """A mirror with MLQARetrieval in two languages and XNLI in one, made of what the tests write."""
    mirror = tmp_path / "mirror"
    words = ["sun", "moon", "star", "rain"]
    corpus = {f"d{i}": f"the {word} is here" for i, word in enumerate(words)}
    queries = {f"q{i}": f"where is the {word}" for i, word in enumerate(words)}
    subset = corpus, queries, [(f"q{i}", f"d{i}") for i in range(4)]
    retrieval_copy(mirror / "mteb" / "MLQARetrieval", {"eng-eng": subset, "eng-deu": subset}, ("test", "validation"))
    rows = [("it rains", "it rains now", 0), ("it rains", "a star", 1), ("it rains", "the sun shines", 2)] * 8
    xnli_copy(mirror / "mteb" / "xnli", {"en": rows})
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(mirror))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return mirror


def run(*arguments):
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def test_mtebs_own_tasks_run_and_stay_apart(copies, tmp_path):
    output = tmp_path / "results"
    arguments = ["-m", "clirbench/hybrid", "-o", output, "--languages", "en", "--tasks"]
    ran = run(*arguments, "demo,mteb:MLQARetrieval,mteb:XNLI")
    assert ran.exit_code == 0, ran.exception
    assert "mteb's own tasks" in ran.stdout
    folder = output / "clirbench__hybrid"
    assert sorted(path.name for path in folder.glob("*.json")) == [
        "demo+en.json", "mteb.MLQARetrieval+en.json", "mteb.XNLI+en.json",
    ]  # fmt: skip
    document = json.loads((folder / "mteb.MLQARetrieval+en.json").read_text())
    # The answers share a word with their questions.
    assert document["scores"]["test"]["eng-eng"]["ndcg_at_10"] > 0.9
    assert document["scores"]["test"]["eng-eng"]["main_score"] == document["scores"]["test"]["eng-eng"]["ndcg_at_10"]
    assert document["model"]["revision"] == load_encoder("clirbench/hybrid").info.revision
    again = run(*arguments, "mteb:MLQARetrieval")
    assert again.exit_code == 0
    assert "kept" in again.stderr
    other = run(*arguments, "mteb:XNLI", "--transform", "center")
    assert "encoders as they are" in str(other.exception)


def test_mtebs_scores_are_those_of_the_encoder(copies, folder):
    """The same static model through clirbench's loading and through mteb alone."""
    import mteb
    from sentence_transformers import SentenceTransformer

    from clirbench.integrations.mteb_tasks import run_mteb_task

    found = run_mteb_task(load_encoder(str(folder), EncoderOptions(device="cpu")), "XNLI", ["en"])
    task = mteb.get_task("XNLI", languages=["eng"])
    # datasets caches a folder by its name.
    path = (copies / "mteb" / "xnli").rename(copies / "mteb" / f"xnli-{time.time_ns()}")
    dataset = {**task.metadata.dataset, "path": str(path)}
    task.metadata = task.metadata.model_copy(update={"dataset": dataset})
    # Both classes are there; mteb loses one without a word where the copy has no neutral rows.
    task.load_data()
    assert sorted(task.dataset["en"]["test"][0]["labels"]) == [0] * 8 + [1] * 8
    theirs = evaluate(SentenceTransformer(str(folder), device="cpu"), task).task_results[0]
    expected = {part["hf_subset"]: part["main_score"] for part in theirs.scores["test"]}
    assert {name: scores["main_score"] for name, scores in found.scores["test"].items()} == pytest.approx(
        expected, abs=1e-5
    )


def test_a_changed_copy_is_read_again(copies):
    from clirbench.integrations.mteb_tasks import run_mteb_task

    loaded = load_encoder("clirbench/hybrid")
    first = run_mteb_task(loaded, "XNLI", ["en"])
    rows = [("it rains", "it rains now", 2), ("it rains", "a star", 1), ("it rains", "the sun shines", 0)] * 8
    xnli_copy(copies / "mteb" / "xnli", {"en": rows})
    second = run_mteb_task(loaded, "XNLI", ["en"])
    assert first.dataset_revision != second.dataset_revision
    assert first.mean > second.mean


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tasks", "mteb:NoSuchTask"], "mteb has no task 'NoSuchTask'"),
        (["--tasks", "mteb:XNLI", "-m", "clirbench/char-ngram"], "needs all candidates at once"),
        (["--tasks", "mteb:"], "give mteb's name of a task"),
        (["--tasks", "mteb:../x"], "give mteb's name of a task"),
        (["--tasks", "mteb:BelebeleRetrieval"], "its data cannot be read from the hub"),
        (["--tasks", "mteb:XNLI", "--data", "nowhere"], "not a folder"),
        (["--tasks", "mteb:XNLI", "--save-top", "5"], "is not: leave one out"),
        (["--tasks", "mteb:XNLI", "--languages", "ja"], "correct --tasks or --languages"),
    ],
)
def test_what_cannot_be_run_is_one_line(copies, tmp_path, arguments, told):
    ran = run("-m", "clirbench/hybrid", "-o", tmp_path / "results", *arguments)
    assert isinstance(ran.exception, ClirbenchError), ran.exception
    assert told in str(ran.exception)
    assert "\n" not in str(ran.exception)


def test_scorers_are_refused(copies, tmp_path):
    ran = run("-m", "clirbench/bm25", "-o", tmp_path, "--tasks", "mteb:XNLI")
    assert "mteb's tasks take encoders as they are" in str(ran.exception)


@pytest.fixture
def api(monkeypatch):
    """A server on this machine that answers as an embeddings API does; mteb's registered client talks to it."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    import numpy as np

    served, failures = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if failures:
                failures.pop()
                self.send_response(400)
                self.end_headers()
                return
            served.extend((body.get("prompt_type"), text) for text in body["input"])
            rows = [
                {"embedding": np.random.default_rng(sum(text.encode())).standard_normal(8).tolist()}
                for text in body["input"]
            ]
            content = json.dumps({"data": rows}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MTEB_API_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("MTEB_API_KEY", "secret")
    monkeypatch.setattr("clirbench.encoders.api_calls.PAUSE", 0.01)
    yield served, failures
    server.shutdown()
    server.server_close()


API = "mteb:jcorners/ingot-8b-r3"


def test_an_api_is_estimated_retried_and_paid_for_once(api, tmp_path):
    served, failures = api
    failures.extend([1, 1])
    arguments = ["-m", API, "--tasks", "demo", "--languages", "en", "--price-per-million", "2", "-o"]
    ran = run(*arguments, tmp_path / "first")
    assert ran.exit_code == 0, ran.exception
    collection = load_collection(clirbench.load_task("demo"), ["en"])
    texts = {("query", text) for text in collection.queries} | {("document", text) for text in collection.candidates}
    assert sorted(served) == sorted(texts)
    tokens = sum(-(-len(text.encode()) // 4) for _, text in texts)
    told = f"{len(texts)} texts will be sent, about {tokens:,} tokens, about ${tokens * 2 / 1e6:,.2f} at $2 a million"
    assert told in ran.stderr
    served.clear()
    again = run(*arguments, tmp_path / "second")
    assert again.exit_code == 0
    assert served == []
    assert "0 texts will be sent" in again.stderr


def test_an_api_that_stays_down_is_one_line(api, tmp_path):
    _, failures = api
    failures.extend([1] * 100)
    ran = run("-m", API, "--tasks", "demo", "--languages", "en", "-o", tmp_path)
    assert isinstance(ran.exception, ClirbenchError)
    assert "the API failed 5 times" in str(ran.exception)
    assert "\n" not in str(ran.exception)
    assert "give dollars" in str(run("-m", API, "--tasks", "demo", "--price-per-million", "-1").exception)
