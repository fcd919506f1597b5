"""Verification: the same ranks agree, other ones differ, and a stranger's code is not run."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer.testing

import clirbench
from clirbench.cli import app
from clirbench.encoders.base import EncoderOptions
from clirbench.submissions.rerun import Loading, Sample, _data, compare_ranks, draw_languages, verify
from clirbench.submissions.submit import submit
from clirbench.submissions.verification import verdict
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
HYBRID = ROOT / "clirbench" / "encoders" / "models" / "hybrid"


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "clirbench__hybrid"
    shutil.copytree(SUBMISSIONS / target.name, target)
    (target / "verification.json").unlink(missing_ok=True)
    return target


@pytest.mark.real
def test_a_true_submission_agrees(folder, mirror):
    found = verify(folder, "somebody", Sample(languages=2, seed=3))
    assert (found.verdict, found.equal, found.pairs) == ("agree", 1.0, 2 * 11 * 1190)
    written = json.loads((folder / "verification.json").read_text(encoding="utf-8"))
    assert written == json.loads(found.model_dump_json())
    assert written["by"] == "somebody"


def test_a_set_of_the_hub_is_found_before_the_model_runs(tmp_path, monkeypatch):
    (tmp_path / "mupler").mkdir()
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))
    files, places = _data("mupler", Silent())
    assert files == [tmp_path / "mupler"]
    assert places["CLIRBENCH_MIRROR"] == str(tmp_path)


@pytest.mark.real
def test_a_model_fitted_on_all_candidates_is_run_on_all(tmp_path, mirror):
    target = tmp_path / "clirbench__hybrid+lsar-5"
    shutil.copytree(SUBMISSIONS / target.name, target)
    assert verify(target, "somebody", Sample("mlqa-r", 2)).verdict == "agree"


@pytest.mark.real
def test_another_model_under_the_name_differs(tmp_path, mirror):
    """The ranks of the bigger model, submitted as those of a smaller one: the revision is right, the ranks are not."""
    results = tmp_path / "results"
    small = tmp_path / "small"
    shutil.copytree(HYBRID, small)
    options = EncoderOptions(name="acme/small")
    revision = clirbench.load_encoder(str(small), options).info.revision
    shutil.copytree(SUBMISSIONS / "clirbench__cross", results)
    for task in ("xquad-r", "mlqa-r"):
        path = results / f"{task}.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        document["model"] |= {"name": "acme/small", "revision": revision, "kind": "packed"}
        path.write_text(json.dumps(document), encoding="utf-8")
    (results / "model.toml").unlink()
    made = submit(results, "acme", tmp_path / "submissions").folder
    found = verify(made, "somebody", Sample("mlqa-r", 2), Loading(str(small)))
    assert found.verdict == "differ"
    assert found.equal < 0.9
    outcome = typer.testing.CliRunner().invoke(
        app, ["verify", str(made), "--by", "me", "--model", str(small), "--task", "mlqa-r", "--languages", "2"]
    )
    assert outcome.exit_code == 1
    assert "differ: " in outcome.output


def test_a_verification_must_say_what_its_numbers_say(folder):
    from clirbench.submissions.check_one import examine

    true = json.loads((SUBMISSIONS / folder.name / "verification.json").read_text(encoding="utf-8"))
    for change, key in (
        ({"equal": 0.0, "close": 0.0}, "verdict"),
        ({"languages": ["tlh", "en"]}, "languages"),
        ({"revision": "other"}, "revision"),
        ({"by": ""}, "by"),
        ({"format": True}, "format"),
    ):
        (folder / "verification.json").write_text(json.dumps(true | change))
        assert [f.key for f in examine(folder).findings if f.level == "error"] == [key]


def test_verdicts():
    assert verdict(1.0, 1.0, 0.0) == "agree"
    assert verdict(0.999, 0.999, 0.0) == "agree"
    assert verdict(0.97, 0.99, 0.004) == "agree within noise"
    assert verdict(0.97, 0.99, 0.006) == "differ"
    assert verdict(0.9, 0.94, 0.0) == "differ"


def test_close_ranks():
    ranks = clirbench.read_result(SUBMISSIONS / "clirbench__hybrid" / "mlqa-r.json").ranks
    languages = ["en", "es"]
    assert compare_ranks(ranks, ranks, languages)[:2] == (1.0, 1.0)
    for column in ("own_rank", "pool_rank"):
        truth = getattr(ranks, column)
        off = replace(ranks, **{column: truth + 1})
        assert compare_ranks(ranks, off, languages)[:2] == (0.0, 1.0)
        far = replace(ranks, **{column: (truth + np.maximum(2, 0.03 * truth)).astype(np.int32)})
        assert compare_ranks(ranks, far, languages)[1] < 0.5


def test_the_counted_column_is_compared_where_both_files_have_it():
    old = clirbench.read_result(SUBMISSIONS / "clirbench__hybrid" / "mlqa-r.json").ranks
    old = replace(old, query_language_above=None)
    new, moved, far = (replace(old, query_language_above=old.own_rank + more) for more in (0, 1, 1000))
    assert compare_ranks(old, far, ["en", "es"])[:2] == (1.0, 1.0)
    assert compare_ranks(far, old, ["en", "es"])[:2] == (1.0, 1.0)
    assert compare_ranks(new, new, ["en", "es"])[:2] == (1.0, 1.0)
    assert compare_ranks(new, moved, ["en", "es"])[:2] == (0.0, 1.0)
    assert compare_ranks(new, far, ["en", "es"])[:2] == (0.0, 0.0)


def test_another_grade_is_another_gold_pair():
    ranks = clirbench.read_result(SUBMISSIONS / "clirbench__hybrid" / "mlqa-r.json").ranks
    graded = replace(ranks, grade=np.resize(np.array([1, 2], dtype=np.int8), len(ranks)))
    assert compare_ranks(graded, graded, ["en", "es"])[:2] == (1.0, 1.0)
    for other in (ranks, replace(graded, grade=graded.grade + np.int8(1))):
        with pytest.raises(ClirbenchError, match="does not hold the task's gold pairs"):
            compare_ranks(graded, other, ["en", "es"])


def test_the_sample_is_seeded():
    document = clirbench.read_result(SUBMISSIONS / "clirbench__hybrid" / "xquad-r.json").document
    assert draw_languages(document, 3, 1) == draw_languages(document, 3, 1)
    assert len({tuple(draw_languages(document, 3, seed)) for seed in range(20)}) > 10
    for number in (1, 12):
        with pytest.raises(ClirbenchError, match=f"--languages is {number}: use 2 to 11"):
            draw_languages(document, number, 1)


def restated(folder, **changes):
    for task in ("xquad-r", "mlqa-r"):
        path = folder / f"{task}.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        of_encoder = {key: value for key, value in changes.items() if key in document["encoder"]}
        document["encoder"] |= of_encoder
        document["model"] |= {key: value for key, value in changes.items() if key not in of_encoder}
        path.write_text(json.dumps(document), encoding="utf-8")
    if "revision" in changes:
        toml = folder / "model.toml"
        text = re.sub(r'revision = ".*"', f'revision = "{changes["revision"]}"', toml.read_text(encoding="utf-8"))
        toml.write_text(text, encoding="utf-8")


def test_only_safe_weights_are_loaded(folder, tmp_path):
    restated(folder, kind="packed")
    model = tmp_path / "model"
    shutil.copytree(HYBRID, model)
    (model / "extra.bin").write_bytes(b"")
    with pytest.raises(ClirbenchError, match=r"extra.bin can run code when it is loaded"):
        verify(folder, "me", loading=Loading(str(model)))
    (model / "extra.bin").unlink()
    (model / "model.safetensors").unlink()
    with pytest.raises(ClirbenchError, match="no safetensors weights"):
        verify(folder, "me", loading=Loading(str(model)))


def test_a_model_that_is_only_said_to_be_bundled_is_not_looked_up(tmp_path, monkeypatch):
    from clirbench.encoders import load

    target = tmp_path / "acme__hybrid"
    shutil.copytree(SUBMISSIONS / "clirbench__hybrid", target)
    (target / "verification.json").unlink()
    restated(target, name="acme/hybrid")
    toml = target / "model.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace('name = "clirbench/hybrid"', 'name = "acme/hybrid"'), encoding="utf-8")
    monkeypatch.setattr(load, "_load", lambda name, options: pytest.fail(f"{name} was loaded"))
    with pytest.raises(ClirbenchError, match="acme/hybrid is said to be bundled, and is not"):
        verify(target, "me")


def test_what_is_downloaded_holds_no_code(folder, tmp_path, monkeypatch):
    import huggingface_hub

    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    restated(folder, kind="sentence-transformers", revision="a" * 40, revision_kind="hub-commit")
    with pytest.raises(ClirbenchError, match=r"cannot download clirbench/hybrid at a+ \(no network\)"):
        verify(folder, "me")
    assert asked["name"] == "clirbench/hybrid"
    assert asked["revision"] == "a" * 40
    # Names, no patterns: weights are fetched once modules.json has said where they are.
    assert {"modules.json", "config.json", "tokenizer.json", "adapter_config.json"} <= set(asked["allow_patterns"])
    assert not any(
        name.endswith((".bin", ".py", ".pt", ".safetensors")) or "*" in name for name in asked["allow_patterns"]
    )


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"kind": "own"}, {}, "code of its submitters' own"),
        (
            {"kind": "fusion", "similarity": "fusion"},
            {},
            "is a fusion, and its result does not name its parts apart: it cannot be verified",
        ),
        ({"kind": "endpoint"}, {}, "is behind a server: it cannot be verified"),
        ({"revision": f"sha256:{64 * '0'}"}, {}, "but the submission was made with sha256:0000"),
        ({}, {"loading": Loading(trust_remote_code="yes")}, "spell out the model's name, clirbench/hybrid"),
        ({}, {"by": " "}, "--by is empty"),
        ({"kind": "packed"}, {"loading": Loading("nowhere")}, "--model is 'nowhere'"),
        ({}, {"sample": Sample("demo")}, "holds no result on 'demo': pass --task, one of mlqa-r, xquad-r"),
        ({}, {"by": "x" * 201}, "--by is empty or longer"),
        ({}, {"sample": Sample(seed=-1)}, "--seed is -1"),
        ({"parameters": 1}, {}, "has errors: see clirbench check"),
    ],
)
def test_mistakes(folder, changes, options, message):
    restated(folder, **changes)
    with pytest.raises(ClirbenchError, match=message):
        verify(folder, **{"by": "me", **options})
    assert not (folder / "verification.json").exists()


def test_a_verification_of_other_ranks_does_not_count(folder):
    from clirbench.board.entries import read_entry
    from clirbench.submissions.check_one import examine

    shutil.copy(SUBMISSIONS / folder.name / "verification.json", folder)
    assert read_entry(folder).verification.verdict == "agree"
    path = folder / "verification.json"
    stale = json.loads(path.read_text())
    stale["ranks_sha256"] = "0" * 64
    path.write_text(json.dumps(stale))
    assert read_entry(folder).verification is None
    assert any(f.key == "ranks_sha256" for f in examine(folder).findings)
    for spoilt in (
        '{"format": 1, "format": 1}',
        "[]",
        json.dumps(stale | {"equal": 2.0}),
        json.dumps(stale | {"date": "x"}),
    ):
        path.write_text(spoilt)
        assert any(f.level == "error" and f.file == str(path) for f in examine(folder).findings)


def test_settings_that_differ_are_named_before_the_run_and_with_the_verdict(tmp_path, monkeypatch):
    """A model that is loaded in another dtype, with other libraries than the submission's."""
    from model_folders import in_half
    from own_task import write_task

    from clirbench.submissions import rerun
    from clirbench.support.progress import Silent

    model, task = str(in_half(tmp_path)), str(write_task(tmp_path))
    result = clirbench.evaluate(model, task, options=EncoderOptions(dtype="float32", name="me/model"))
    environment = result.document.environment
    older = environment.model_copy(update={"packages": environment.packages | {"torch": "1.0"}})
    result = clirbench.Result(
        result.document.model_copy(update={"environment": older}), result.ranks, result.ranks_file
    )
    loaded = clirbench.load_encoder(model, EncoderOptions(dtype="float16", max_length=8, name="me/model"))
    again = clirbench.evaluate(loaded, task)
    notes = []

    class Listening(Silent):
        def note(self, text):
            notes.append(text)

    def run(document, languages, loading, compare_settings, reporter):
        compare_settings(loaded)
        assert notes == [
            "me/model has dtype 'float16' here, but 'float32' in the result",
            "me/model has query max length 8 here, but 64 in the result",
            "me/model has candidate max length 8 here, but 64 in the result",
        ]
        return again.document, again.ranks

    monkeypatch.setattr(rerun, "_submitted", lambda *_: result)
    monkeypatch.setattr(rerun, "_run_again", run)
    outcome = verify(tmp_path, "somebody", Sample(languages=2), reporter=Listening())
    assert outcome.equal < 1
    assert outcome.differences[:3] == [note.removeprefix("me/model has ") for note in notes]
    assert any(line.startswith("torch ") and "but 1.0 in the result" in line for line in outcome.differences)
    monkeypatch.setattr(rerun, "_run_again", lambda *_: (result.document, result.ranks))
    assert verify(tmp_path, "somebody", Sample(languages=2)).differences == []
