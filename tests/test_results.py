"""Results: schema, round trip, restricted runs, re-scoring, exports."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import pytrec_eval

import clirbench
from clirbench.encoders.encode import encode_collection
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.results.ranks_file import decode_ranks, encode_ranks
from clirbench.results.rescore import rescore
from clirbench.results.result import Result
from clirbench.results.schema import Document
from clirbench.results.trec_export import TREC_NAMES, trec_lines
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection

LANGUAGES = ["de", "en", "th"]
COLUMNS = ("topic", "query_language", "gold_language", "own_rank", "pool_rank", "query_language_above")


class Noisy:
    """Dense vectors without ties: hashed words plus seeded noise."""

    revision = "7"
    name = "tests/noisy"

    def _encode(self, texts):
        rows = []
        for text in texts:
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            row = np.random.default_rng(seed).standard_normal(64)
            for word in text.lower().split():
                row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % 64] += 2
            rows.append(row)
        return np.array(rows)

    encode_queries = encode_candidates = _encode


@pytest.fixture(scope="module")
def result():
    return clirbench.evaluate(Noisy(), "demo", languages=LANGUAGES)


@pytest.fixture
def saved(result, tmp_path):
    return result.save(tmp_path)


def test_round_trip(result, saved):
    assert saved.parent.name == "tests__noisy"
    back = clirbench.read_result(saved)
    assert back.document == result.document
    for name in COLUMNS:
        assert (getattr(back.ranks, name) == getattr(result.ranks, name)).all()
    assert sorted(path.name for path in saved.parent.iterdir()) == [saved.name, result.document.ranks.file]


def test_pandas_opens_the_ranks(result, saved):
    frame = pandas.read_parquet(saved.with_name(result.document.ranks.file))
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 48 * 9
    mean = (1 / frame[frame.query_language == frame.gold_language].own_rank).groupby(frame.query_language).mean()
    for language in LANGUAGES:
        stated = result.document.per_language[language]["monolingual"]["mAP"]
        assert mean[language] == pytest.approx(stated, abs=1e-12)


def test_equals_pytrec_eval_on_full_runs(result):
    """Every setting and query of the demo set, ranked by pytrec_eval from the bare scores."""
    task = clirbench.load_task("demo")
    collection = load_collection(task, LANGUAGES)
    encoded = encode_collection(as_loaded(Noisy()), collection)
    scores = encoded.queries.astype(np.float64) @ encoded.candidates.astype(np.float64).T
    assert len(np.unique(scores.astype(np.float32))) > 0.99 * scores.size
    language = collection.candidate_language
    names = {"mAP": "map", "R@1": "recall_1", "R@10": "recall_10", "R@100": "recall_100", "nDCG@10": "ndcg_cut_10"}
    for i, query_language in enumerate(LANGUAGES):
        for j in (*range(3), None):
            pool = np.arange(len(language)) if j is None else np.flatnonzero(language == j)
            qrels, runs = {}, {}
            for q in np.flatnonzero(collection.query_language == i):
                golds = set(collection.gold_candidate[collection.gold_query == q]) & set(pool)
                qrels[str(q)] = {str(g): 1 for g in golds}
                runs[str(q)] = {str(c): float(scores[q, c]) for c in pool}
            measures = {"map", "recip_rank", "ndcg_cut.10", "recall.1,10,100"}
            values = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(runs).values()
            per_language = result.document.per_language[query_language]
            if j is None:
                stated = per_language["multilingual"]
            elif j == i:
                stated = per_language["monolingual"]
            else:
                stated = result.document.per_pair[query_language][LANGUAGES[j]]
            for ours, theirs in names.items():
                assert stated[ours] == pytest.approx(np.mean([v[theirs] for v in values]), abs=1e-9)
            first = [v["recip_rank"] if v["recip_rank"] >= 0.0999 else 0 for v in values]
            assert stated["MRR@10"] == pytest.approx(np.mean(first), abs=1e-9)


def test_a_restricted_result_says_so(result, saved):
    assert result.document.task.complete is False
    assert saved.name == "demo+de-en-th.json"
    one = clirbench.evaluate(Noisy(), "demo", settings=["monolingual"])
    assert one.document.task.complete is False
    assert set(one.document.headline) == {"monolingual"}
    assert one.ranks.pool_rank is None
    assert one.ranks.query_language_above is None
    assert (one.ranks.query_language == one.ranks.gold_language).all()


def test_a_full_result_is_complete(tmp_path):
    full = clirbench.evaluate(Noisy(), "demo")
    assert full.document.task.complete is True
    assert full.save(tmp_path).name == "demo.json"


@pytest.mark.parametrize(
    "settings",
    [["monolingual"], ["cross-lingual"], ["multilingual"], ["monolingual", "cross-lingual"]],
)
def test_settings_are_masks_not_runs(result, settings, tmp_path):
    part = clirbench.evaluate(Noisy(), "demo", languages=LANGUAGES, settings=settings)
    for setting in settings:
        assert part.document.headline[setting] == result.document.headline[setting]
        assert part.document.micro[setting] == result.document.micro[setting]
    assert rescore(clirbench.read_result(part.save(tmp_path))).differences == []


def test_rescoring_agrees(saved):
    outcome = rescore(clirbench.read_result(saved))
    assert outcome.differences == []
    # Headline 3 x 7 x 3 + 11 x 3, micro 21, per language 3 x (3 x 7 + 2 + 11), per pair 6 x 8, queue-jump ratios 9.
    assert outcome.compared == 96 + 21 + 102 + 48 + 9
    # Of 27 totals the ranks give those of the query's language (9) and of the gold's (9), which are the same three times.
    assert (outcome.exact, outcome.checked) == (15, 12)


def tampered(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return clirbench.read_result(path)


def bump(*keys, by=1e-6):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] += by

    return change


@pytest.mark.parametrize(
    "keys",
    [
        ("headline", "multilingual", "mAP", "value"),
        ("headline", "monolingual", "nDCG@10", "low"),
        ("headline", "bias", "rank_distance", "high"),
        ("headline", "bias", "own_language_preference", "value"),
        ("micro", "cross-lingual", "R@10"),
        ("per_language", "th", "bias", "Max@R"),
        ("per_language", "en", "bias", "transfer_ratio"),
        ("per_language", "de", "cross-lingual", "mAP"),
        ("per_pair", "en", "th", "mAP@20"),
    ],
)
def test_rescoring_finds_a_changed_number(saved, keys):
    found = rescore(tampered(saved, bump(*keys))).differences
    assert [difference.key for difference in found] == [".".join(keys)]


@pytest.mark.parametrize(
    ("keys", "by"),
    [
        (("queue_jump", "en", "th", "de"), 1),
        (("queue_jump", "en", "th", "th"), 1),
        (("counts", "topics"), 1),
        (("counts", "queries"), 1),
        (("bootstrap", "seed"), 1),
        (("per_pair", "en", "de", "queries"), 1),
        (("counts", "candidates", "en"), -100),
    ],
)
def test_rescoring_finds_changed_totals(saved, keys, by):
    assert rescore(tampered(saved, bump(*keys, by=by))).differences


def test_rescoring_finds_an_invented_interval(saved):
    def invent(document):
        document["headline"]["bias"]["own_language_preference"]["low"] = 1.0

    found = rescore(tampered(saved, invent)).differences
    assert [difference.key for difference in found] == ["headline.bias.own_language_preference.low"]


def test_jumps_moved_between_languages_are_bound_by_the_sums(saved):
    """Moving a jump to another language keeps the sum, but the ranks give the query's language and the gold's."""

    def move(document):
        document["queue_jump"]["en"]["th"]["de"] -= 1
        document["queue_jump"]["en"]["th"]["en"] += 1

    found = [difference.key for difference in rescore(tampered(saved, move)).differences]
    assert "queue_jump.en.th.en" in found
    assert "headline.bias.own_language_preference.value" in found


def without_the_column(result):
    """The result as an older clirbench wrote it: its ranks file lacks query_language_above."""
    ranks = replace(result.ranks, query_language_above=None)
    file = encode_ranks(ranks)
    part = result.document.ranks.model_copy(update={"sha256": hashlib.sha256(file).hexdigest()})
    return Result(result.document.model_copy(update={"ranks": part}), ranks, file)


def test_ranks_files_without_the_last_column_are_read(result, tmp_path):
    old = without_the_column(result)
    back = clirbench.read_result(old.save(tmp_path))
    assert back.ranks.query_language_above is None
    outcome = rescore(back)
    assert outcome.differences == []
    assert (outcome.exact, outcome.checked) == (9, 18)
    assert not (back.ranks.pool_rank != result.ranks.pool_rank).any()


def test_own_language_preference_follows_from_the_ranks_file_alone(result):
    """The diagonal of the queue-jump ratios, from two columns of the ranks file and the sizes of the pools."""
    ranks, sizes = result.ranks, result.document.counts.candidates
    for q, language in enumerate(LANGUAGES):
        mine = ranks.query_language == q
        frame = pandas.DataFrame({"topic": ranks.topic[mine], "pool": ranks.pool_rank[mine]})
        golds_above = frame.groupby("topic").pool.rank() - 1
        above = ranks.query_language_above[mine].sum() / (frame.pool - 1 - golds_above).sum()
        # Each of the 48 queries has one gold in each language.
        share = (sizes[language] - 1) / (sum(sizes.values()) - 3)
        stated = result.document.per_language[language]["bias"]["own_language_preference"]
        assert above / share == pytest.approx(stated, abs=1e-12)


def test_the_column_counts_wrong_candidates_of_the_query_language(result):
    """Against a plain count from the scores, for queries in Thai."""
    collection = load_collection(clirbench.load_task("demo"), LANGUAGES)
    encoded = encode_collection(as_loaded(Noisy()), collection)
    scores = encoded.queries @ encoded.candidates.T
    ranks, thai = result.ranks, LANGUAGES.index("th")
    for q in np.flatnonzero(collection.query_language == thai)[:10]:
        golds = collection.gold_candidate[collection.gold_query == q]
        wrong = np.setdiff1d(np.flatnonzero(collection.candidate_language == thai), golds)
        topic = ranks.topics.index(collection.topics[collection.query_topic[q]])
        rows = (ranks.topic == topic) & (ranks.query_language == thai)
        expected = {int(collection.candidate_language[g]): int((scores[q, wrong] >= scores[q, g]).sum()) for g in golds}
        given = zip(ranks.gold_language[rows].tolist(), ranks.query_language_above[rows].tolist(), strict=True)
        assert dict(given) == expected


def test_a_column_that_cannot_be_is_refused(result):
    alone = clirbench.evaluate(Noisy(), "demo", languages=LANGUAGES, settings=["monolingual"])
    for one, column in ((result, result.ranks.query_language_above - 10**6), (alone, alone.ranks.own_rank)):
        ranks = replace(one.ranks, query_language_above=column)
        with pytest.raises(ClirbenchError, match="'query_language_above' is below 0, or stands without 'pool_rank'"):
            decode_ranks(encode_ranks(ranks), one.document, Path("x"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(extra=1), "'extra'"),
        (lambda d: d.pop("model"), "'model'"),
        (lambda d: d.update(format=2), "'format'"),
        (lambda d: d["headline"]["multilingual"]["mAP"].update(value="0.9"), "headline.multilingual.mAP.value"),
        (lambda d: d["ranks"].update(sha256="0" * 64), "one of the two was changed"),
        (lambda d: d["ranks"].update(file="../x.parquet"), "plain file name"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(saved, change, message):
    with pytest.raises(ClirbenchError, match=message):
        tampered(saved, change)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "NaN", '{"format": 1, "format": 1}', "[" * 100_000, '{"format": 1, "a": NaN}', "\x00"]
)
def test_hostile_json_is_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ClirbenchError) as error:
        clirbench.read_result(tmp_path / "x.json")
    assert "\n" not in str(error.value)
    assert "x.json" in str(error.value)


def test_a_spoilt_ranks_file(saved, result):
    ranks = saved.with_name(result.document.ranks.file)
    ranks.write_bytes(b"PAR1")
    with pytest.raises(ClirbenchError, match="one of the two was changed"):
        clirbench.read_result(saved)
    digest = hashlib.sha256(b"PAR1").hexdigest()
    with pytest.raises(ClirbenchError, match="not a ranks file"):
        tampered(saved, lambda d: d["ranks"].update(sha256=digest))
    ranks.unlink()
    with pytest.raises(ClirbenchError, match="put the ranks file back"):
        clirbench.read_result(saved)


def test_the_schema_takes_what_is_written(result):
    schema = Document.model_json_schema()
    assert schema["additionalProperties"] is False
    # Older results lack the parts that later versions added.
    assert set(schema["properties"]) - set(schema["required"]) == {
        "corpus",
        "provenance",
        "lengths",
        "indistinguishable",
        "compact",
    }
    assert set(result.to_dict()) == set(schema["properties"]) - {"corpus", "compact"}
    Document.model_validate_json(json.dumps(result.to_dict()))


def test_an_older_result_has_one_length_for_both_roles(result):
    older = result.to_dict()
    older["encoder"] = {
        "similarity": "dot",
        "dtype": "float32",
        "max_length": 96,
        "query_prompt": "",
        "candidate_prompt": "",
    }
    older = {key: value for key, value in older.items() if key not in ("provenance", "lengths")}
    encoder = Document.model_validate_json(json.dumps(older)).encoder
    assert (encoder.query_max_length, encoder.candidate_max_length, encoder.variant) == (96, 96, "")
    older["encoder"]["query_max_length"] = 32
    with pytest.raises(ValueError, match="max_length"):
        Document.model_validate_json(json.dumps(older))


def test_trec_export_gives_back_the_averages(result):
    lines = [line.split("\t") for line in trec_lines(result)]
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        for metric in result.document.task.metrics:
            name = TREC_NAMES[metric]
            values = [float(v) for m, q, v in lines if m == name and q.startswith(setting) and not q.endswith("/all")]
            assert np.mean(values) == pytest.approx(result.document.micro[setting][metric], abs=1e-6)
            assert [float(v) for m, q, v in lines if (m, q) == (name, f"{setting}/all")] == [
                pytest.approx(np.mean(values), abs=2e-6)
            ]
    assert len({(m, q) for m, q, _ in lines}) == len(lines)
    few = list(trec_lines(result, ["multilingual"], ["mAP"]))
    assert len(few) == 48 * 3 + 1
    with pytest.raises(ClirbenchError, match="no metric 'map'"):
        list(trec_lines(result, metrics=["map"]))


def test_intervals_contain_the_values(result):
    for numbers in result.document.headline.values():
        for name, estimate in numbers.items():
            # The preference follows from totals, which cannot be resampled.
            if estimate.value is not None and name != "own_language_preference":
                assert estimate.low <= estimate.value <= estimate.high, name


def test_the_same_run_gives_the_same_numbers():
    first = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en", "ar"])
    second = clirbench.evaluate(load_encoder("clirbench/char-ngram"), "demo", languages=["ar", "en"])
    for part in ("headline", "micro", "per_language", "per_pair", "queue_jump", "ranks"):
        assert getattr(first.document, part) == getattr(second.document, part)


def test_another_run_is_not_overwritten_unasked(result, tmp_path):
    path = result.save(tmp_path)
    content = path.read_bytes()
    result.save(tmp_path)
    assert path.read_bytes() == content

    class Unknown(Noisy):
        revision = None

    other = clirbench.evaluate(Unknown(), "demo", languages=LANGUAGES)
    with pytest.raises(ClirbenchError, match="pass force=True"):
        other.save(tmp_path)
    assert path.read_bytes() == content
    other.save(tmp_path, force=True)
    assert clirbench.read_result(path).document.model.revision is None


def test_a_task_with_other_settings_finds_its_files_again(tmp_path):
    text = clirbench.load_task("demo").file.read_text(encoding="utf-8")
    (tmp_path / "demo.toml").write_text(text.replace('"monolingual", "cross-lingual", ', '"monolingual", ', 1))
    (tmp_path / "demo").symlink_to(clirbench.load_task("demo").file.parent / "demo")
    part = clirbench.evaluate(Noisy(), str(tmp_path / "demo.toml"), languages=["en", "de"])
    path = part.save(tmp_path)
    assert (path.name, part.document.ranks.file) == ("demo+de-en.json", "demo+de-en.ranks.parquet")


def test_saving_what_was_read_gives_it_back(saved, tmp_path):
    read = clirbench.read_result(saved)
    assert clirbench.read_result(read.save(tmp_path / "again")).document == read.document


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["counts"]["candidates"].update(en=10**30),
        lambda d: d["per_pair"]["en"]["de"].update(queries=10**400),
        lambda d: d["task"].update(metrics=["foo"]),
        lambda d: d["ranks"].update(file="a\0b"),
        lambda d: d["ranks"].update(file=""),
        lambda d: d["task"].update(settings=["monolingual"]),
    ],
)
def test_hostile_values_are_one_line(saved, change):
    with pytest.raises(ClirbenchError) as error:
        tampered(saved, change)
    assert "\n" not in str(error.value)


def test_a_tab_in_a_topic_is_no_field_of_a_trec_export(result):
    topics = (f"a\tb{result.ranks.topics[0]}", *result.ranks.topics[1:])
    odd = clirbench.Result(result.document, replace(result.ranks, topics=topics), result.ranks_file)
    assert {line.count("\t") for line in trec_lines(odd)} == {2}
    assert any("/a%09b" in line for line in trec_lines(odd))


def test_names_with_markup_are_shown_as_they_are(result, capsys):
    from clirbench.cli.display.results import headline_tables, pair_table, print_summary
    from clirbench.support.terminal import stdout

    task = result.document.task.model_copy(update={"id": "[/x]"})
    document = result.document.model_copy(update={"task": task})
    console = stdout()
    print_summary([document], console)
    console.print(headline_tables(document, console))
    console.print(pair_table(document, "mAP", console))
    assert "[/x]*" in capsys.readouterr().out


def test_asking_for_what_is_not_there(result):
    with pytest.raises(ClirbenchError, match="holds no multi mAP: choose from monolingual"):
        result.score("multi", "mAP")
    with pytest.raises(ClirbenchError, match="give one identifier or Task"):
        clirbench.evaluate(Noisy(), ["demo"])
    with pytest.raises(ClirbenchError, match="are lists"):
        clirbench.evaluate(Noisy(), "demo", languages="en,de")
    assert len(repr(result)) < 300


def test_a_result_that_cannot_be_written(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClirbenchError, match="--output"):
        result.save(tmp_path / "file")
