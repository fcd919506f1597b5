"""gate, card, inspect, doctor: verdicts and texts against what the results say."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import clirbench
from clirbench.cli import app
from clirbench.results.gate import gate
from clirbench.results.inspect import inspect_result
from clirbench.results.model_card import card_yaml, update_card
from clirbench.support.errors import ClirbenchError

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ["en", "de", "th"]


@pytest.fixture(scope="module")
def hybrid():
    return clirbench.evaluate("clirbench/hybrid", "demo", languages=LANGUAGES)


@pytest.fixture(scope="module")
def lexical():
    return clirbench.evaluate("clirbench/char-ngram", "demo", languages=LANGUAGES)


@pytest.fixture(scope="module")
def saved(hybrid, lexical, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return hybrid.save(folder), lexical.save(folder)


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_gate_fails_a_shown_loss_beyond_its_limit(hybrid, lexical):
    checks = {(c.setting, c.metric): c for c in gate(lexical, hybrid, 0.5, "5%")}
    assert set(checks) == {
        ("monolingual", "mAP"), ("cross-lingual", "mAP"), ("multilingual", "mAP"), ("bias", "rank_distance")
    }  # fmt: skip
    across = checks["cross-lingual", "mAP"]
    assert across.verdict == "fail"
    assert across.lost == pytest.approx(
        100 * (hybrid.score("cross-lingual", "mAP") - lexical.score("cross-lingual", "mAP"))
    )
    distance = checks["bias", "rank_distance"]
    before, after = (r.score("bias", "rank_distance") for r in (hybrid, lexical))
    assert distance.lost == pytest.approx(100 * (after - before) / before)
    assert distance.verdict == "fail"


def test_gate_passes_the_better_model_and_the_same(hybrid, lexical):
    assert {c.verdict for c in gate(hybrid, hybrid, 0, "0%")} == {"pass"}
    assert {c.verdict for c in gate(hybrid, lexical, 0.5, "5%") if c.setting != "monolingual"} == {"pass"}
    # So wide a limit that no loss passes it.
    assert {c.verdict for c in gate(lexical, hybrid, 100)} == {"pass"}
    assert len(gate(lexical, hybrid, 100)) == 3


def test_gate_calls_a_loss_that_may_be_chance_unclear(hybrid):
    ranks = hybrid.ranks
    worse = ranks.own_rank.copy()
    # One gold of one topic falls to the end: a loss, and nothing that a test could tell from chance.
    row = int(np.flatnonzero((ranks.own_rank == 1) & (ranks.query_language == ranks.gold_language))[0])
    worse[row] = 100
    from dataclasses import replace

    changed = clirbench.Result(hybrid.document, replace(ranks, own_rank=worse), b"")
    found = {c.setting: c for c in gate(changed, hybrid, 0.1)}
    assert found["monolingual"].lost > 0.1
    assert found["monolingual"].verdict == "unclear"


def test_hardest_needs_a_setting_that_it_can_read():
    result = clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de"], settings=["cross-lingual"])
    with pytest.raises(ClirbenchError, match="run one of them"):
        result.hardest(3)


def test_gate_on_the_command_line(saved):
    hybrid, lexical = saved
    ran = call("gate", lexical, "--baseline", hybrid)
    assert ran.exit_code == 1
    assert "FAIL" in ran.stdout
    assert call("gate", hybrid, "--baseline", hybrid, "--max-distance-increase", "5%").exit_code == 0
    assert isinstance(call("gate", hybrid, "--baseline", hybrid, "--max-drop", "-1").exception, ClirbenchError)
    wrong = call("gate", hybrid, "--baseline", hybrid, "--max-distance-increase", "5").exception
    assert "give per cent of the baseline, such as 5%" in str(wrong)


def whole(result):
    """As if it were of a whole task; cards take no others."""
    task = result.document.task.model_copy(update={"complete": True})
    return clirbench.Result(result.document.model_copy(update={"task": task}), result.ranks, result.ranks_file)


def test_card_is_a_model_index_that_the_hub_reads(hybrid):
    import yaml
    from huggingface_hub.repocard_data import model_index_to_eval_results

    name, scores = model_index_to_eval_results(yaml.safe_load(card_yaml([whole(hybrid)]))["model-index"])
    assert name == "clirbench/hybrid"
    by = {(score.dataset_config, score.metric_name): score for score in scores}
    assert by["multilingual", "mAP"].metric_value == round(hybrid.score("multilingual", "mAP"), 6)
    assert by["bias", "rank_distance"].metric_value == round(hybrid.score("bias", "rank_distance"), 6)
    assert by["multilingual", "mAP"].dataset_type == "clirbench/demo"
    with pytest.raises(ClirbenchError, match="of a restricted run"):
        card_yaml([hybrid])


def test_card_updates_a_readme_and_leaves_the_rest(hybrid, lexical, tmp_path):
    from huggingface_hub import ModelCard

    path = tmp_path / "README.md"
    path.write_text(
        "---\nlicense: mit\ntags:\n- mine\nmodel-index:\n- name: me/model\n  results:\n  - task:\n      type: sts\n"
        "    dataset:\n      type: other/sts\n      name: Other\n    metrics:\n    - type: pearson\n      value: 0.5\n---\n"
        "# My model\n\nText --- stays.\n",
        encoding="utf-8",
    )
    number = update_card([whole(hybrid)], path)
    card = ModelCard.load(path)
    assert card.data.license == "mit"
    assert card.data.tags == ["mine"]
    assert card.data.model_name == "me/model"
    assert "# My model\n\nText --- stays." in card.text
    assert sum(score.dataset_type == "other/sts" for score in card.data.eval_results) == 1
    assert sum(score.dataset_type == "clirbench/demo" for score in card.data.eval_results) == number
    first = path.read_text(encoding="utf-8")
    assert update_card([whole(hybrid)], path) == number
    assert path.read_text(encoding="utf-8") == first
    with pytest.raises(ClirbenchError, match="of different models"):
        update_card([whole(hybrid), whole(lexical)], path)
    path.write_text("---\n[\n---\n")
    with pytest.raises(ClirbenchError, match="cannot be read as a model card") as error:
        update_card([whole(hybrid)], path)
    assert "\n" not in str(error.value)
    fresh = tmp_path / "new.md"
    assert update_card([whole(hybrid)], fresh) == number
    assert ModelCard.load(fresh).data.model_name == "clirbench/hybrid"


def test_inspect_shows_what_outranked_the_worst(hybrid):
    found = inspect_result(hybrid, "th", 4)
    assert found.differing == 0
    ranks = hybrid.ranks
    mine = ranks.query_language == ranks.languages.index("th")
    best = {topic: ranks.pool_rank[mine & (ranks.topic == i)].min() for i, topic in enumerate(ranks.topics)}
    assert [topic.best_rank for topic in found.topics] == sorted(best.values(), reverse=True)[:4]
    for topic in found.topics:
        assert best[topic.topic] == topic.best_rank
        assert {gold.language for gold in topic.golds} == set(LANGUAGES)
        assert all(gold.gold for gold in topic.golds)
        assert not any(text.gold for text in topic.before)
        # What stands before has a score at least as high as the last gold's, and nothing is left out of the first ranks.
        assert all(text.score >= topic.golds[-1].score for text in topic.before)
        assert topic.best_rank == 1 or topic.before[0].rank == 1
    jumps = hybrid.document.queue_jump["th"]
    totals = {x: sum(jumps[gold][x] for gold in LANGUAGES) for x in LANGUAGES}
    assert {x: share for x, (share, _) in found.confusion.items()} == pytest.approx(
        {x: total / sum(totals.values()) for x, total in totals.items()}
    )


def test_inspect_of_a_monolingual_run():
    result = clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de"], settings=["monolingual"])
    found = inspect_result(result, "de", 2)
    assert found.pool == "monolingual"
    assert found.differing == 0
    assert {text.language for topic in found.topics for text in (*topic.golds, *topic.before)} == {"de"}
    assert not found.confusion


def test_inspect_fits_on_what_the_run_was_fitted_on():
    # Its idf is over all candidates of the run, also where only one language is ranked.
    result = clirbench.evaluate("clirbench/char-ngram", "demo", languages=LANGUAGES, settings=["monolingual"])
    assert inspect_result(result, "de", 48).differing == 0


def test_inspect_on_the_command_line(saved):
    ran = call("inspect", saved[0], "--query-language", "th", "--worst", "2", "--no-cache")
    assert ran.exit_code == 0, ran.exception
    assert "which languages outrank the answers" in ran.stdout
    assert "gold" in ran.stdout
    assert "no language 'xx'" in str(call("inspect", saved[0], "--query-language", "xx").exception)
    assert "use 1 or more" in str(call("inspect", saved[0], "--query-language", "th", "--worst", "0").exception)


def test_inspect_refuses_another_model(saved):
    wrong = call("inspect", saved[0], "--query-language", "th", "--model", "clirbench/char-ngram").exception
    assert "but the result was made with" in str(wrong)


def test_doctor_says_what_is_missing(monkeypatch, tmp_path):
    import importlib.util

    from clirbench.cli.doctor import findings

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = {finding.what: finding for finding in findings()}
    assert found["clirbench"].found.startswith(clirbench.__version__)
    assert found["counting on a Ray cluster"].state == "missing"
    assert "pip install 'clirbench[ray]'" in found["counting on a Ray cluster"].found
    assert found["hub"].state == "note"
    assert str(tmp_path / "cache") in found["cache"].found
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "none"))
    assert {f.what: f for f in findings(online=False)}["CLIRBENCH_MIRROR"].state == "missing"


def test_doctor_knows_a_hub_that_does_not_answer(monkeypatch):
    from clirbench.cli.doctor import findings

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub = next(finding for finding in findings() if finding.what == "hub")
    assert hub.state == "missing"
    assert "cannot be reached" in hub.found


def test_doctor_on_the_command_line():
    ran = call("doctor", "--offline")
    assert ran.exit_code == 0
    assert "torch" in ran.stdout


def commands():
    import typer.main

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        yield from ((f"{name} {other}", one) for other, one in inner.items()) if inner else ((name, command),)


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_has_examples_that_parse(name, command):
    lines = [line.strip() for line in (command.epilog or "").split("\n\n")]
    assert lines[0] == "Examples:"
    assert len(lines) > 1
    import shlex

    known = dict(commands())
    typed = []
    for line in lines[1:]:
        words = shlex.split(line.split(" > ")[0])
        assert words[0] == "clirbench"
        called = next(n for n in known if words[1 : 1 + len(n.split())] == n.split())
        typed.append(called)
        # Parsed as typed, not run.
        known[called].make_context(called, words[1 + len(called.split()) :], resilient_parsing=False)
    assert name in typed


def test_importing_clirbench_is_light():
    code = (
        "import sys, time; begin = time.perf_counter(); import clirbench; took = time.perf_counter() - begin\n"
        "heavy = sorted({'torch', 'mteb', 'sentence_transformers', 'pandas', 'numpy'} & set(sys.modules))\n"
        "import json; print(json.dumps([took, heavy]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    took, heavy = json.loads(ran.stdout)
    assert heavy == []
    # It takes milliseconds; the limit that users are promised is far above any noise.
    assert took < 0.2
