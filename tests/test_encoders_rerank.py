"""Two stages: names, options, identities, and ranks against brute force with the library's own re-ranking."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import typer.testing
from conftest import tiny_collection
from model_folders import cross_encoder, edit, plain

import clirbench
from clirbench.cli.app import app
from clirbench.encoders.base import EncoderOptions, require_encoder
from clirbench.encoders.load import load_encoder
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.results.rescore import rescore
from clirbench.submissions.impossible_ranks import impossible
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    return cross_encoder(tmp_path_factory.mktemp("cross"))


def varied_collection():
    """Texts of random letters, which a tiny model tells apart better than numbered ones; no two scores of a query are close."""
    collection, rng = tiny_collection(topics=3, missing={(2, "de")}), np.random.default_rng(0)

    def texts(number):
        return tuple(
            " ".join("".join(chr(97 + letter) for letter in rng.integers(0, 26, 4)) for _ in range(rng.integers(1, 6)))
            for _ in range(number)
        )

    return replace(collection, queries=texts(len(collection.queries)), candidates=texts(len(collection.candidates)))


def two_stages(reranker, first="clirbench/char-ngram", depth=3, **options):
    return load_encoder(f"rerank:{first}+{reranker}", EncoderOptions(depth=depth, **options))


def test_a_name_that_is_not_two_stages_is_refused(reranker, tmp_path):
    for name, options, told in (
        ("rerank:clirbench/char-ngram", {"depth": 5}, "write rerank:FIRST.RERANKER"),
        (f"rerank:+{reranker}", {"depth": 5}, "write rerank:FIRST.RERANKER"),
        (f"rerank:clirbench/char-ngram+{reranker}", {}, "pass --depth"),
        (
            f"rerank:clirbench/char-ngram+{reranker}",
            {"depth": 5, "revision": "main"},
            "--revision does not apply to two",
        ),
        (f"rerank:rerank:clirbench/char-ngram+{reranker}+{reranker}", {"depth": 5}, "pass --depth|two stages itself"),
        (f"rerank:clirbench/char-ngram+{plain(tmp_path)}", {"depth": 5}, "is no cross-encoder"),
        ("clirbench/char-ngram", {"depth": 5}, "--depth does not apply to a model of one stage"),
        (str(reranker), {}, "rerank:FIRST"),
    ):
        with pytest.raises(ClirbenchError, match=told) as error:
            load_encoder(name, EncoderOptions(**options))
        assert "\n" not in str(error.value)


def test_a_cross_encoder_with_several_scores_for_a_pair_is_refused(reranker, tmp_path):
    from sentence_transformers import CrossEncoder

    three = tmp_path / "three"
    model = CrossEncoder(str(plain(tmp_path)), num_labels=3, device="cpu")
    model.save_pretrained(str(three))
    with pytest.raises(ClirbenchError, match="gives 3 scores for a pair"):
        two_stages(three)


def test_both_stages_are_in_the_identity(reranker, tmp_path):
    one = two_stages(reranker)
    assert one.info.kind == "rerank"
    assert one.info.revision_kind == "parts-sha256"
    assert one.settings.depth == 3
    assert one.settings.variant == "depth 3"
    other = edit(cross_encoder(tmp_path), "config.json", layer_norm_eps=1e-6)
    changed = (
        two_stages(other),
        two_stages(reranker, first="clirbench/hybrid"),
        two_stages(reranker, max_length=16),
        two_stages(reranker, dtype="float16"),
    )
    revisions = [model.info.revision for model in (one, *changed)]
    assert len(set(revisions)) == len(revisions)
    assert any("second stage: local/cross" in note and "at most 16 tokens" in note for note in changed[2].notes)
    with pytest.raises(ClirbenchError, match="has no vectors"):
        require_encoder(one)


def test_options_of_vectors_and_prompts_are_the_first_stages(reranker, tmp_path):
    first = plain(tmp_path)
    model = two_stages(reranker, first, query_prompt="q: ", transform="center", similarity="cosine")
    assert (model.settings.query_prompt, model.settings.transform) == ("q: ", "center")
    assert model.settings.variant == "center, depth 3"
    assert model.info.revision != two_stages(reranker, first).info.revision


def test_a_prompt_of_the_cross_encoder_is_stated(reranker, tmp_path):
    folder = shutil.copytree(reranker, tmp_path / "prompted")
    edit(folder, "config_sentence_transformers.json", prompts={"judge": "Judge: "}, default_prompt_name="judge")
    model, bare = two_stages(folder), two_stages(reranker)
    assert model.notes[-1].endswith("prompt 'Judge: ' (model)")
    assert "prompt" not in bare.notes[-1]
    assert model.second.settings.query_prompt == "Judge: "
    pair = [("a river", "the sea")]
    assert model.second.scorer.score_pairs(pair) != bare.second.scorer.score_pairs(pair)


@pytest.mark.parametrize("settings", [SETTINGS, ("monolingual",), ("cross-lingual", "multilingual")])
@pytest.mark.parametrize("depth", [1, 4, 1000])
def test_ranks_are_those_of_brute_force(reranker, settings, depth):
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    collection = varied_collection()
    first = require_encoder(load_encoder("clirbench/hybrid")).encoder
    vectors = [first.encode_queries(list(collection.queries)), first.encode_candidates(list(collection.candidates))]
    queries, candidates = (np.asarray(v) / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    scores = queries @ candidates.T
    library = CrossEncoder(str(reranker), device="cpu")

    def ranking(query, pool, golds):
        """Both stages as a user would write them; equal scores are lost by golds."""
        order = sorted(pool, key=lambda c: (-scores[query, c], c in golds, c))
        best, rest = order[:depth], order[depth:]
        # Without the sigmoid, in which high scores become equal.
        told = library.rank(
            collection.queries[query], [collection.candidates[c] for c in best], activation_fn=Identity()
        )
        told.sort(key=lambda row: (-row["score"], best[row["corpus_id"]] in golds, best[row["corpus_id"]]))
        return [best[row["corpus_id"]] for row in told] + rest

    expected = []
    for query, language in enumerate(collection.query_language):
        golds = collection.gold_candidate[collection.gold_query == query].tolist()
        whole = ranking(query, range(len(collection.candidates)), golds)
        for gold in golds:
            own = np.flatnonzero(collection.candidate_language == collection.candidate_language[gold]).tolist()
            of_pool = ranking(query, own, golds).index(gold) + 1
            monolingual = collection.candidate_language[gold] == language
            if (("monolingual" if monolingual else "cross-lingual") in settings) or "multilingual" in settings:
                named = collection.topics[collection.query_topic[query]], int(language)
                pooled = (whole.index(gold) + 1) if "multilingual" in settings else None
                # A rank that no setting reads is the first stage's.
                read = ("monolingual" if monolingual else "cross-lingual") in settings
                expected.append((*named, int(collection.candidate_language[gold]), of_pool if read else None, pooled))

    result = evaluate_loaded(
        two_stages(reranker, "clirbench/hybrid", depth), InMemoryTask(collection, settings), RunContext()
    )
    ranks = result.ranks
    pooled = [None] * len(ranks) if ranks.pool_rank is None else ranks.pool_rank.tolist()
    rows = zip(ranks.topic, ranks.query_language, ranks.gold_language, ranks.own_rank.tolist(), pooled, strict=True)
    told = []
    for topic, query, gold, own, pool in rows:
        read = ("monolingual" if query == gold else "cross-lingual") in settings
        told.append((ranks.topics[topic], int(query), int(gold), own if read else None, pool))
    assert sorted(told, key=str) == sorted(expected, key=str)
    # The second stage changes something.
    assert depth == 1 or result.document.cost.pairs == result.document.cost.pairs_scored > 0


def test_numbers_that_read_below_the_depth_are_null_and_the_result_recomputes(reranker, tmp_path):
    model = two_stages(reranker, depth=10)
    result = clirbench.evaluate(model, "demo", languages=["en", "de"])
    document = result.document
    for setting in SETTINGS:
        of_setting = document.headline[setting]
        assert of_setting["R@10"].value is not None
        assert of_setting["mAP"].value is None
        assert document.micro[setting]["mAP"] is None
    assert document.per_language["de"]["monolingual"]["mAP"] is None
    assert document.per_language["de"]["monolingual"]["queries"] > 0
    assert document.per_pair["de"]["en"]["mAP"] is None
    assert document.per_pair["de"]["en"]["R@10"] is not None
    assert document.headline["bias"]["rank_distance"].value is None
    assert document.headline["bias"]["own_language_preference"].value is None
    assert all(ratio is None for row in document.queue_jump_ratio.values() for ratio in row.values())
    assert document.cost.seconds["rerank"] > 0
    read = clirbench.read_result(result.save(tmp_path))
    assert rescore(read).differences == []
    assert impossible(read.ranks, document.counts.candidates, by_pool=True) == []
    # Deep enough for every pool: nothing is null.
    task = InMemoryTask(tiny_collection(("de", "en")), SETTINGS)
    whole = evaluate_loaded(two_stages(reranker, depth=48), task, RunContext())
    assert None not in {number.value for numbers in whole.document.headline.values() for number in numbers.values()}
    numbers = [d.key for d in rescore(whole).differences if not d.key.startswith(("task.", "counts."))]
    assert numbers == []


def test_a_killed_run_goes_on_with_the_scores_that_it_has(reranker, tmp_path, monkeypatch):
    monkeypatch.setattr("clirbench.ranking.second_stage._PAIRS", 10)
    collection = tiny_collection()
    cache, model = tmp_path / "vectors", two_stages(reranker)
    calls = []
    score = model.second.scorer.score_pairs

    def counted(pairs):
        calls.append(len(pairs))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(pairs)

    monkeypatch.setattr(model.second.scorer, "score_pairs", counted)
    task = InMemoryTask(collection, SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        evaluate_loaded(model, task, RunContext(cache))
    again = evaluate_loaded(model, task, RunContext(cache))
    whole = evaluate_loaded(two_stages(reranker), task, RunContext())
    assert again.ranks_file == whole.ranks_file
    cost = again.document.cost
    assert cost.pairs - cost.pairs_scored == 20
    assert evaluate_loaded(model, task, RunContext(cache)).document.cost.pairs_scored == 0


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (lambda pairs: np.zeros((len(pairs), 2)), "one score a pair"),
        (lambda pairs: np.full(len(pairs), np.nan), "not finite"),
        (lambda pairs: np.zeros((10**7, 10**7)), "out of memory .*: lower --batch-size or --max-length"),
        (lambda pairs: pairs.clear() or pairs[0], "raised IndexError .* when it was given .* texts"),
    ],
)
def test_wrong_scores_of_a_second_stage_are_refused(reranker, monkeypatch, scores, told):
    model = two_stages(reranker)
    monkeypatch.setattr(model.second.scorer, "score_pairs", scores)
    with pytest.raises(ClirbenchError, match=told) as error:
        clirbench.evaluate(model, "demo", languages=["en"])
    assert "\n" not in str(error.value)


def test_highest_scores_do_not_become_equal(reranker):
    """A sigmoid in float32 makes all scores above 17 equal to 1."""
    import torch

    model = two_stages(reranker)
    library = model.second.scorer._model
    head = library[0].model.classifier
    with torch.no_grad():
        head.weight.mul_(1e3)
        head.bias.fill_(60)
    pairs = [("a b", text) for text in ("a", "b", "c d", "e f g", "h", "i j")]
    assert len(set(library.predict(pairs).tolist())) < len(set(model.second.scorer.score_pairs(pairs).tolist()))


def test_the_command_line_says_what_the_second_stage_does(reranker, tmp_path):
    arguments = ["run", "--model", f"rerank:clirbench/char-ngram+{reranker}", "--depth", "5", "--languages", "en,de"]
    outcome = typer.testing.CliRunner().invoke(app, [*arguments, "--tasks", "demo", "-o", str(tmp_path / "results")])
    assert outcome.exit_code == 0, outcome.output
    (path,) = (tmp_path / "results").rglob("*.json")
    assert "depth-5" in path.parent.name
    document = json.loads(path.read_text())
    pairs = document["cost"]["pairs"]
    # In one of the pools of two languages at least 5, in both at most 10.
    told = re.search(
        r"second stage: ([\d,]+) pairs to score, (\d+) queries x (\d+)(?: to (\d+))? candidates", outcome.stderr
    )
    assert told[1] == f"{pairs:,}"
    assert 5 <= int(told[3]) <= int(told[4] or told[3]) <= 15
    assert "R@1 x100" in outcome.stdout
    assert "mAP" not in outcome.stdout
    assert "-: reads ranks below the 5 candidates that the second stage orders" in outcome.stdout
    assert f"second stage (pairs): {pairs:,} of {pairs:,}" in outcome.stderr
    assert document["encoder"]["depth"] == 5


def test_streamed_tasks_and_inspect_refuse_two_stages(reranker, tmp_path):
    from clirbench.evaluation.streaming.first_pass import require_streamable
    from clirbench.results.inspect import inspect_result

    model = two_stages(reranker)
    with pytest.raises(ClirbenchError, match="has no vectors"):
        require_streamable(model)
    result = clirbench.evaluate(model, "demo", languages=["en", "de"])
    for language in ("en", None):
        with pytest.raises(ClirbenchError, match="gives scores in the place of vectors"):
            inspect_result(result, language)


def test_plan_says_that_it_measures_one_stage(reranker):
    arguments = ["plan", "--model", f"rerank:clirbench/char-ngram+{reranker}", "--tasks", "demo"]
    told = str(typer.testing.CliRunner().invoke(app, arguments).exception)
    assert "pass FIRST of rerank:FIRST+RERANKER as --model" in told


def test_two_results_are_compared_in_what_both_have(reranker, lexical):
    from clirbench.results.compare import compare

    result = clirbench.evaluate(two_stages(reranker, depth=10), "demo", languages=["en", "de", "th"])
    with pytest.raises(
        ClirbenchError, match=r"mAP reads ranks below the depth of a second stage, 10: pass --metric, one of .*R@10"
    ):
        compare(result, lexical, ("a", "b"))
    contrasts = compare(result, lexical, ("a", "b"), "R@10").contrasts
    assert {c.setting for c in contrasts} == set(SETTINGS)
    assert all(np.isfinite(c.p) for c in contrasts)
