"""Models that clirbench does not bring are run again behind the wall, with the ranks that they have without it."""

import json
import shutil
import subprocess
import sys

import model_folders
import numpy as np
import pytest
from small_board import ORG, TASKS, answers, tasks_in, write_tasks

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.submissions.rerun import Loading, Sample, _received, verify
from clirbench.submissions.rerun_in_process import COLUMNS
from clirbench.submissions.submit import submit
from clirbench.submissions.wall import Limits, Wall
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent

MTEB = "sentence-transformers/all-MiniLM-L6-v2"


def has_namespaces():
    known = sys.platform == "linux" and shutil.which("unshare")
    return known and not subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode


pytestmark = pytest.mark.skipif(not has_namespaces(), reason="this system has no namespaces")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    with tasks_in(write_tasks(tmp_path_factory.mktemp("board") / "tasks")):
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the hub, and one of clirbench."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))

    def put(name, commit, source):
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(source, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit, encoding="utf-8")

    return put


def submitted(tmp_path, model, org=ORG, **options):
    for task in TASKS:
        result = clirbench.evaluate(model, task, options=EncoderOptions(**options), allow_zero_vectors=True)
        result.save(tmp_path / "results")
    return submit(next((tmp_path / "results").iterdir()), org, tmp_path / "submissions", answers=answers()).folder


class Listening(Silent):
    def __init__(self):
        self.phases, self.notes = {}, []

    def start(self, phase, total, brief=False, work=None):
        self.phases[phase] = [total, 0]

    def advance(self, phase, done, work=None, skipped=False):
        self.phases[phase][1] += done

    def note(self, line):
        self.notes.append(line)


def test_a_copy_in_a_folder(tasks, cache, tmp_path):
    model = model_folders.with_dense(tmp_path)
    folder, listening = submitted(tmp_path, str(model), name=f"{ORG}/plain"), Listening()
    verification = verify(folder, "me", Sample("trio", 2), Loading(str(model)), listening)
    assert (verification.verdict, verification.equal, verification.differences) == ("agree", 1.0, [])
    assert listening.notes == []
    assert listening.phases
    assert all(total == done for total, done in listening.phases.values())
    # Nothing of it is left.
    assert list((tmp_path / "cache" / "copies").iterdir()) == []


def test_a_packed_transformer(tasks, cache, tmp_path):
    model = model_folders.packed_transformer(tmp_path)
    folder = submitted(tmp_path, str(model), name=f"{ORG}/plain", prompts="none", max_length=30)
    stated = json.loads((folder / "trio.json").read_text(encoding="utf-8"))
    assert (stated["model"]["kind"], stated["encoder"]["query_prompt"]) == ("packed", "")
    assert verify(folder, "me", Sample("trio", 2), Loading(str(model))).equal == 1.0


def test_a_model_of_the_hub(tasks, cache, tmp_path):
    commit = "a" * 40
    cache("acme/tiny", commit, model_folders.configured(prompts={"query": "q: ", "document": "d: "})(tmp_path))
    folder = submitted(tmp_path, "acme/tiny")
    stated = json.loads((folder / "trio.json").read_text(encoding="utf-8"))
    assert (stated["model"]["revision"], stated["encoder"]["query_prompt"]) == (commit, "q: ")
    assert verify(folder, "me", Sample("trio", 2)).equal == 1.0


def test_a_model_of_the_registry_of_mteb(tasks, cache, tmp_path):
    import mteb

    commit = mteb.get_model_meta(MTEB).revision
    cache(MTEB, commit, model_folders.plain(tmp_path))
    folder = submitted(tmp_path, f"mteb:{MTEB}", org=MTEB.partition("/")[0])
    assert json.loads((folder / "trio.json").read_text(encoding="utf-8"))["model"]["kind"] == "mteb"
    assert verify(folder, "me", Sample("trio", 2)).equal == 1.0


def test_code_that_is_trusted_runs_behind_the_wall_too(tasks, cache, tmp_path):
    model = model_folders.own_module(tmp_path)
    folder = submitted(tmp_path, str(model), name=f"{ORG}/plain", trust_remote_code=True)
    with pytest.raises(ClirbenchError, match=r"own.py can run code"):
        verify(folder, "me", Sample("trio", 2), Loading(str(model)))
    trusted = Loading(str(model), f"{ORG}/plain")
    assert verify(folder, "me", Sample("trio", 2), trusted).equal == 1.0
    code = model / "own.py"
    code.write_text(code.read_text(encoding="utf-8") + f"\nopen({str(tmp_path / 'it-ran')!r}, 'w')\n", encoding="utf-8")
    shutil.rmtree(tmp_path / "results")
    shutil.rmtree(tmp_path / "submissions")
    folder = submitted(tmp_path, str(model), name=f"{ORG}/plain", trust_remote_code=True)
    # In this process it could write. There it cannot.
    assert (tmp_path / "it-ran").exists()
    (tmp_path / "it-ran").unlink()
    with pytest.raises(ClirbenchError, match="cannot load model"):
        verify(folder, "me", Sample("trio", 2), trusted)
    assert not (tmp_path / "it-ran").exists()


def test_a_limit_that_is_too_low(tasks, cache, tmp_path):
    model = model_folders.plain(tmp_path)
    folder = submitted(tmp_path, str(model), name=f"{ORG}/plain")
    with pytest.raises(ClirbenchError, match="pass --max-hours"):
        verify(folder, "me", Sample("trio", 2), Loading(str(model), wall=Wall(Limits(seconds=0.01))))
    assert not (folder / "verification.json").exists()


def test_another_revision_is_refused_before_anything_is_loaded(tasks, cache, tmp_path, monkeypatch):
    from clirbench.submissions import rerun

    model = model_folders.plain(tmp_path)
    folder = submitted(tmp_path, str(model), name=f"{ORG}/plain")
    model_folders.edit(model, "config_sentence_transformers.json", default_prompt_name=None)
    monkeypatch.setattr(rerun, "behind_wall", lambda *_: pytest.fail("a process was started"))
    with pytest.raises(ClirbenchError, match=r"but the submission was made with sha256:"):
        verify(folder, "me", Sample("trio", 2), Loading(str(model)))


@pytest.fixture
def answer(tasks):
    result = clirbench.evaluate("clirbench/char-ngram", "trio")
    ranks = result.ranks
    return {
        "document": result.to_dict(),
        "topics": list(ranks.topics),
        "languages": list(ranks.languages),
        "rows": [getattr(ranks, name).tolist() for name in COLUMNS],
    }


def spoilt(answer, key, value):
    rows = [list(row) for row in answer["rows"]]
    if isinstance(key, int):
        rows[key][0] = value
        return {**answer, "rows": rows}
    return {**answer, key: value}


def test_grades_come_with_the_ranks(answer):
    assert _received(answer)[1].grade is None
    grades = [1 + place % 3 for place in range(len(answer["rows"][0]))]
    ranks = _received({**answer, "rows": [*answer["rows"], grades]})[1]
    assert (ranks.grade.dtype, ranks.grade.tolist()) == (np.int8, grades)
    with pytest.raises(ValueError, match="out of bounds"):
        _received({**answer, "rows": [*answer["rows"], [128] * len(grades)]})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("document", {}),
        ("document", None),
        ("rows", []),
        ("rows", [[1, 2], [1]]),
        ("rows", "ranks"),
        ("topics", []),
        (0, 10_000),
        (0, -1),
        (1, 3),
        (3, 1.5),
        (3, 2**40),
        (3, 2**70),
        (3, None),
        (3, "1"),
    ],
)
def test_an_answer_that_is_no_result_is_refused(answer, key, value):
    assert len(_received(answer)[1]) > 0
    with pytest.raises((TypeError, ValueError)):
        _received(spoilt(answer, key, value))
