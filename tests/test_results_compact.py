"""The compact form of a result with many languages: rounded ranks, bounded files, the same numbers from what is kept."""

import hashlib
import json
import random
import shutil

import numpy as np
import pandas
import pytest
from command_line import call

import clirbench
from clirbench.metrics.scores import headline_tables
from clirbench.ranking.rounding import EXACT, Rounding
from clirbench.results import ranks_file
from clirbench.results.evidence import not_recomputable
from clirbench.results.inspect import inspect_result
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.rescore import missing_bias, rescore, with_measures, with_more_bias
from clirbench.results.result import Result
from clirbench.results.scripts import by_script, in_two_scripts, own_script_preference
from clirbench.results.trec_export import trec_lines
from clirbench.submissions.check_one import examine
from clirbench.support.errors import ClirbenchError

LANGUAGES = ("ben_Beng", "ben_Latn", "ell_Grek", "eng_Latn", "hin_Deva")
TOPICS, OTHERS = 30, 200
# No rank beyond the cut-off of these changes them.
EXACT_METRICS = ("mAP@20", "R@1", "R@10", "R@100", "MRR@10", "nDCG@10")


class Noisy:
    """Vectors of one's own: the topic, the script and noise, all by seeds."""

    name, revision = "tests/noisy", "1"

    def _encode(self, texts):
        rows = []
        for text in texts:
            topic, script = text.split()[:2]
            seeds = (f"topic {topic}", f"script {script}", text)
            parts = [
                np.random.default_rng(int(hashlib.sha256(s.encode()).hexdigest()[:8], 16)).normal(size=24)
                for s in seeds
            ]
            rows.append(0.7 * parts[0] + 0.6 * parts[1] + parts[2])
        return np.array(rows, dtype=np.float32)

    encode_queries = encode_candidates = _encode


def village(folder, languages=LANGUAGES):
    """A task of one's own: each topic is asked in each language, and answered in each."""
    folder.mkdir()
    queries = [
        {"topic": f"t{i}", "language": x, "text": f"t{i} {x[-4:]} asks {x}"} for x in languages for i in range(TOPICS)
    ]
    candidates = [
        {"language": x, "text": f"t{i} {x[-4:]} says {x}", "answers": [f"t{i}"] if i < TOPICS else []}
        for x in languages
        for i in range(TOPICS + OTHERS)
    ]
    for name, rows in (("q", queries), ("c", candidates)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    path = folder / "village.toml"
    path.write_text(
        'format = 1\nid = "village"\nname = "Village"\ndescription = "d"\nlicence = "private"\nreader = "jsonl"\n'
        f'languages = {json.dumps(list(languages))}\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return str(village(tmp_path_factory.mktemp("village") / "task"))


@pytest.fixture(scope="module")
def exact(task):
    return clirbench.evaluate(Noisy(), task)


@pytest.fixture(scope="module")
def compact(task):
    return clirbench.evaluate(Noisy(), task, exact_languages=4)


@pytest.fixture
def saved(compact, tmp_path):
    return compact.save(tmp_path)


# ------------------------------------------------------------------------------------------------------------- the grid


def test_a_rank_becomes_the_nearest_value_of_the_grid():
    rounding, size = Rounding.of(11), 59_536
    ranks = np.arange(1, size + 1)
    grid = rounding.grid(size)
    nearest = [min(grid, key=lambda value, rank=rank: (abs(value - rank), value)) for rank in ranks[::97]]
    rounded = rounding.rounded(ranks, size)
    assert rounded[::97].tolist() == [min(value, size) for value in nearest]
    assert (rounded[:EXACT] == ranks[:EXACT]).all()
    assert (np.diff(rounded) >= 0).all()
    assert np.array_equal(rounding.rounded(rounded, size), rounded)
    assert np.max(np.abs(rounded - ranks) / ranks) == pytest.approx(rounding.largest_error)
    assert rounding.largest_error < 0.045
    assert len(grid) < 512


def test_a_query_with_more_golds_has_more_exact_ranks():
    # So no gold is given a rank before its place among the golds.
    assert (Rounding.of(122).exact, Rounding.of(500).exact) == (128, 500)
    assert (Rounding.of(500).rounded(np.arange(1, 501), 9000) == np.arange(1, 501)).all()


# ------------------------------------------------------------------------------------------------------------- the result


def test_kept_ranks_are_rounded_exact_ones(exact, compact):
    ranks, kept = exact.ranks, compact.ranks
    assert (ranks.rounding, kept.rounding) == (None, Rounding(EXACT))
    assert kept.query_language_above is None
    for name, size in (("own_rank", TOPICS + OTHERS), ("pool_rank", len(LANGUAGES) * (TOPICS + OTHERS))):
        before, after = getattr(ranks, name), getattr(kept, name)
        assert (before > EXACT).any()
        assert np.array_equal(after, Rounding(EXACT).rounded(before, size))


def test_metrics_with_a_cutoff_are_exact_and_others_move_little(exact, compact):
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        for metric in EXACT_METRICS:
            assert compact.score(setting, metric) == pytest.approx(exact.score(setting, metric), abs=1e-12)
        assert compact.score(setting, "mAP") == pytest.approx(exact.score(setting, "mAP"), rel=0.005)
    assert compact.score("bias", "rank_distance") == pytest.approx(exact.score("bias", "rank_distance"), rel=0.01)
    for name in ("own_language_preference", "Comp@100"):
        assert compact.score("bias", name) == exact.score("bias", name)


def test_every_number_is_that_of_the_kept_ranks(compact):
    """The metrics by hand from the rounded ranks, one query at a time."""
    ranks, document = compact.ranks, compact.document
    for q, query in enumerate(LANGUAGES):
        for c, candidate in enumerate(LANGUAGES):
            rows = (ranks.query_language == q) & (ranks.gold_language == c)
            assert document.pair_value(query, candidate, "mAP") == pytest.approx(
                (1 / ranks.own_rank[rows]).mean(), abs=1e-6
            )
        precisions, distances = [], []
        for topic in range(TOPICS):
            golds = np.sort(ranks.pool_rank[(ranks.query_language == q) & (ranks.topic == topic)])
            precisions.append((np.arange(1, 6) / golds).mean())
            distances.append(golds[-1] - golds[0])
        numbers = document.per_language[query]
        assert numbers["multilingual"]["mAP"] == pytest.approx(np.mean(precisions))
        assert numbers["bias"]["rank_distance"] == pytest.approx(np.mean(distances))


def test_the_compact_part(exact, compact):
    document, before = compact.document, exact.document
    assert (document.format, before.format, before.compact) == (3, 1, None)
    assert "compact" not in exact.to_dict()
    assert document.per_pair == document.queue_jump == document.queue_jump_ratio == {}
    part = document.compact
    assert (part.exact, part.metric, part.graded, document.graded) == (128, "mAP", False, False)
    assert part.largest_error == Rounding(128).largest_error
    for q, query in enumerate(LANGUAGES):
        assert part.pairs[q][q] == round(document.per_language[query]["monolingual"]["mAP"], 6)
        # Queue jumps were counted before ranks were rounded.
        of_gold = [list(before.queue_jump[query][gold].values()) for gold in LANGUAGES]
        assert part.queue_jump[q] == np.sum(of_gold, axis=0).tolist()
        assert document.jumps_of(query) == before.jumps_of(query)
    assert document.pair_value("ben_Beng", "ell_Grek", "R@1") is None


def test_it_is_saved_and_read_and_scored_again(compact, saved):
    result = clirbench.read_result(saved)
    assert result.document == compact.document
    for name in ("topic", "query_language", "gold_language", "own_rank", "pool_rank"):
        assert np.array_equal(getattr(result.ranks, name), getattr(compact.ranks, name)), name
    outcome = rescore(result)
    assert (outcome.differences, outcome.exact, outcome.checked) == ([], 0, 25)
    told = call("score", saved)
    assert told.exit_code == 0, told.output
    assert "25 totals checked against sums: agree" in told.stdout
    assert "headline.bias.own_language_preference is computed from stated totals" in told.stdout
    # Rows of numbers are lines, so that a matrix can be read.
    assert json.loads(saved.read_text(encoding="utf-8")) == compact.to_dict()
    assert f"   {json.dumps(compact.document.compact.queue_jump[0])}" in saved.read_text(encoding="utf-8")


def test_any_reader_opens_the_compact_ranks(compact, saved):
    frame = pandas.read_parquet(saved.with_name(compact.document.ranks.file))
    assert list(frame.columns) == ["topic", "query_language", "gold_language", "own_code", "pool_code"]
    grid = Rounding(EXACT).grid(TOPICS + OTHERS)
    own = np.minimum(grid[frame.own_code], TOPICS + OTHERS)
    assert np.array_equal(own, compact.ranks.own_rank)


def test_the_order_of_languages_changes_nothing(tmp_path, compact):
    order = list(LANGUAGES)
    random.Random(3).shuffle(order)
    other = clirbench.evaluate(Noisy(), str(village(tmp_path / "other", order)), exact_languages=4).document
    document = compact.document
    for setting, numbers in document.headline.items():
        for name, estimate in numbers.items():
            again = other.headline[setting][name]
            assert [again.value, again.low, again.high] == pytest.approx(
                [estimate.value, estimate.low, estimate.high]
            ), name
    for query in LANGUAGES:
        assert other.jumps_of(query) == document.jumps_of(query)
        for candidate in LANGUAGES:
            value = document.pair_value(query, candidate, "mAP")
            assert other.pair_value(query, candidate, "mAP") == pytest.approx(value, abs=2e-6)


def test_a_run_on_few_languages_or_one_setting_stays_exact(task):
    few = clirbench.evaluate(Noisy(), task, languages=LANGUAGES[:4], exact_languages=4)
    alone = clirbench.evaluate(Noisy(), task, settings=["monolingual"], exact_languages=4)
    assert (few.document.format, few.ranks.rounding) == (1, None)
    # Golds in other languages than the query's are not ranked here, so there are no pairs to keep.
    assert (alone.document.format, alone.ranks.rounding) == (1, None)


def test_a_part_of_the_settings_has_a_part_of_the_numbers(task, tmp_path):
    result = clirbench.evaluate(Noisy(), task, settings=["cross-lingual"], exact_languages=4)
    assert result.document.compact.queue_jump == []
    assert result.document.compact.pairs[0][0] is None
    again = clirbench.read_result(result.save(tmp_path))
    assert rescore(again).differences == []


def test_metrics_are_the_same_when_topics_are_computed_in_parts(compact, monkeypatch):
    sizes = compact.document.counts.candidates
    names = compact.document.task.metrics, compact.document.task.bias
    whole = headline_tables(compact.ranks, sizes, *names)
    monkeypatch.setattr("clirbench.metrics.scores._PAIRS", 60)
    parts = headline_tables(compact.ranks, sizes, *names)
    assert whole.keys() == parts.keys()
    for key, table in whole.items():
        assert np.allclose(parts[key].sums, table.sums, rtol=0, atol=1e-12, equal_nan=True)
        assert np.array_equal(parts[key].counts, table.counts)


def test_what_is_computed_from_ranks_is_computed_from_rounded_ones(compact):
    names, _ = missing_bias(compact)
    more = with_more_bias(compact, names)
    assert rescore(more).differences == []
    fewer = with_measures(compact, ["nDCG@10"], ["rank_distance"])
    assert fewer.document.compact.metric == "nDCG@10"
    assert rescore(fewer).differences == []
    assert sum(1 for line in trec_lines(compact, ["multilingual"], ["R@10"])) == 5 * TOPICS + 1
    assert "compact.queue_jump" in not_recomputable(compact.document, compact.ranks)


# ------------------------------------------------------------------------------------------------------ damaged and false


def changed(compact, folder, change):
    document = compact.to_dict()
    change(document)
    path = folder / "village.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    (folder / compact.document.ranks.file).write_bytes(compact.ranks_file)
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(format=1), "'compact' belongs to format 3, and the format is 1"),
        (lambda d: d.pop("compact"), "'compact' belongs to format 3, and the format is 3"),
        (lambda d: d["compact"]["pairs"].pop(), "'compact.pairs' has not 5 rows of 5 numbers"),
        (lambda d: d["compact"]["queue_jump"][0].append(1), "'compact.queue_jump' has not 5 rows of 5 numbers"),
        (lambda d: d.update(per_pair={"a": {"b": {"mAP": 1.0}}}), "are empty beside 'compact'"),
        (lambda d: d["compact"].update(exact=10**9), "'compact.exact' is wrong"),
        (lambda d: d["compact"].update(exact=129), "'compact.exact' is not that of these gold pairs"),
        (lambda d: d["counts"]["candidates"].update(ben_Beng=10), "a value of pool_code is no place in the grid"),
        (lambda d: d["counts"]["candidates"].update(ben_Beng=10**12), "'counts.candidates' is no pool that has ranks"),
        (lambda d: d["ranks"].update(rows=749), "750 rows, but 'ranks.rows' is 749"),
    ],
)
def test_a_false_document_is_one_line(compact, tmp_path, change, told):
    with pytest.raises(ClirbenchError, match=told) as raised:
        clirbench.read_result(changed(compact, tmp_path, change))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda d: d["compact"]["pairs"][1].__setitem__(2, 0.999), "compact.pairs.1.2"),
        (lambda d: d["compact"].update(metric="R@1"), "compact.metric"),
        (lambda d: d["compact"].update(largest_error=0.01), "compact.largest_error"),
        (lambda d: d["compact"]["queue_jump"][0].__setitem__(0, 10**6), "compact.queue_jump.ben_Beng"),
        (lambda d: d["compact"].update(queue_jump=[]), "compact.queue_jump"),
        (
            lambda d: d["per_language"]["ell_Grek"]["multilingual"].update(mAP=0.5),
            "per_language.ell_Grek.multilingual.mAP",
        ),
    ],
)
def test_a_false_number_is_found(compact, tmp_path, change, key):
    path = changed(compact, tmp_path, change)
    assert key in [difference.key for difference in rescore(clirbench.read_result(path)).differences]


def with_column(result, name, change, monkeypatch):
    """The bytes of the ranks file after a column of codes was changed."""
    ranks = result.ranks
    codes = ranks_file._codes_of(ranks.rounding, ranks.own_rank, ranks.pool_rank, len(LANGUAGES))
    columns = dict(zip(("own_code", "pool_code"), codes, strict=True))
    columns[name] = change(columns[name].copy())
    monkeypatch.setattr(ranks_file, "_codes_of", lambda *_: tuple(columns.values()))
    content = encode_ranks(ranks)
    monkeypatch.undo()
    return content


def set_first(value):
    def change(codes):
        codes[0] = value
        return codes

    return change


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("own_code", set_first(10**6), "a value of own_code is no place in the grid of ranks"),
        ("own_code", set_first(-1), "a value of own_code is no place in the grid of ranks"),
        ("own_code", set_first(150), "a rank is beyond its pool"),
        ("pool_code", set_first(10**6), "a value of pool_code is no place in the grid of ranks"),
        ("pool_code", set_first(-3), "a value of pool_code is no place in the grid of ranks"),
    ],
)
def test_a_damaged_ranks_file_is_one_line(compact, tmp_path, monkeypatch, name, change, told):
    content = with_column(compact, name, change, monkeypatch)

    def agree(document):
        document["ranks"]["sha256"] = hashlib.sha256(content).hexdigest()

    path = changed(compact, tmp_path, agree)
    path.with_name(compact.document.ranks.file).write_bytes(content)
    with pytest.raises(ClirbenchError, match=told) as raised:
        clirbench.read_result(path)
    assert "\n" not in str(raised.value)


def test_each_form_of_ranks_belongs_to_its_form_of_result(exact, compact, tmp_path):
    for result, other in ((exact, compact), (compact, exact)):
        digest = hashlib.sha256(other.ranks_file).hexdigest()
        document = result.document.model_copy(
            update={"ranks": result.document.ranks.model_copy(update={"sha256": digest})}
        )
        path = Result(document, result.ranks, other.ranks_file).save(
            tmp_path / document.task.hash[:4] / str(document.format)
        )
        with pytest.raises(ClirbenchError, match="not a ranks file \\(columns are not topic, "):
            clirbench.read_result(path)
        shutil.rmtree(path.parent)


def test_a_submission_with_rounded_ranks_is_refused_in_one_line(compact, tmp_path):
    folder = tmp_path / "tests__noisy"
    folder.mkdir()
    document = compact.to_dict()
    document["task"]["id"], document["ranks"]["file"] = "xquad-r", "xquad-r.ranks.parquet"
    (folder / "xquad-r.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "xquad-r.ranks.parquet").write_bytes(compact.ranks_file)
    told = [str(finding) for finding in examine(folder).findings if "compact" in str(finding)]
    assert len(told) == 1
    assert "says that ranks are rounded, and the board compares exact ones" in told[0]


def refusal(*arguments):
    """The one line that a command of clirbench stops with."""
    error = call(*arguments).exception
    assert isinstance(error, ClirbenchError), error
    assert "\n" not in str(error)
    return str(error)


def test_submit_refuses_rounded_ranks_in_one_line(compact, tmp_path):
    folder = tmp_path / "tests__noisy"
    folder.mkdir()
    document = compact.to_dict()
    document["task"] |= {"id": "xquad-r", "hash": clirbench.load_task("xquad-r").hash}
    (folder / "village.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / compact.document.ranks.file).write_bytes(compact.ranks_file)
    told = refusal("submit", folder, "--org", "me", "--submissions", tmp_path / "submissions")
    assert told.startswith(
        f"{folder / 'village.json'}: has rounded ranks, and the board compares exact ones: remove it"
    )
    assert not (tmp_path / "submissions").exists()


# ------------------------------------------------------------------------------------------------------- other commands


def test_rounded_ranks_are_not_compared_with_exact_ones(exact, compact, tmp_path):
    paths = exact.save(tmp_path / "exact"), compact.save(tmp_path / "compact")
    for arguments in (("compare", *paths), ("gate", paths[0], "--baseline", paths[1])):
        told = refusal(*arguments)
        assert "differ in 'format' (1, 3): format 3 has rounded ranks, so a difference may be rounding" in told
        assert "run tests/noisy again with clirbench run --force" in told
    same = call("compare", paths[1], paths[1])
    assert same.exit_code == 0, same.output


def test_inspect_finds_the_ranks_of_the_result(task):
    result = clirbench.evaluate("clirbench/char-ngram", task, exact_languages=4)
    inspection = inspect_result(result, "ell_Grek", worst=TOPICS, task=task)
    ranks = np.array([gold.rank for topic in inspection.topics for gold in topic.golds])
    # Exact ranks are shown, and many of them are not in the grid.
    assert (result.ranks.rounding.rounded(ranks, len(LANGUAGES) * (TOPICS + OTHERS)) != ranks).sum() > 10
    assert inspection.differing == 0


def test_mtebs_layout_needs_more_than_one_metric_by_pair(tmp_path):
    path = clirbench.evaluate("clirbench/char-ngram", "demo", exact_languages=4).save(tmp_path)
    told = refusal("export", path, "--format", "mteb", "--output", tmp_path / "mteb")
    assert told.startswith(f"{path} has only mAP by pair of languages, and mteb's layout needs more")
    assert "evaluate the model in Python with exact_languages=1000" in told
    assert not (tmp_path / "mteb").exists()


# --------------------------------------------------------------------------------------------------------------- scripts


def test_numbers_by_script(exact, compact):
    for result in (exact, compact):
        document = result.document
        rows = {row.script: row for row in by_script(document, "mAP")}
        assert list(rows) == ["Latn", "Beng", "Deva", "Grek"]
        latin = rows["Latn"]
        assert latin.languages == ("ben_Latn", "eng_Latn")
        means = [document.per_language[x]["monolingual"]["mAP"] for x in latin.languages]
        assert latin.monolingual == pytest.approx(np.mean(means))
        pairs = [document.pair_value("ben_Latn", "eng_Latn", "mAP"), document.pair_value("eng_Latn", "ben_Latn", "mAP")]
        assert latin.same_script == pytest.approx(np.mean(pairs))
        others = [
            document.pair_value(x, y, "mAP") for x in latin.languages for y in LANGUAGES if y not in latin.languages
        ]
        assert latin.other_scripts == pytest.approx(np.mean(others))
        assert (rows["Grek"].same_script, rows["Grek"].preference) == (None, None)
        # The vectors of this encoder say which script a text has.
        assert latin.preference > 1.5


def test_own_script_preference_by_hand(exact):
    jumps = exact.document.jumps_of("eng_Latn")
    others = {x: count for x, count in jumps.items() if x != "eng_Latn"}
    # Four other languages of equal size, one of them in Latin script: chance is a quarter.
    expected = others["ben_Latn"] / sum(others.values()) / 0.25
    assert own_script_preference(exact.document, "eng_Latn") == pytest.approx(expected)


def test_a_language_in_two_scripts(compact):
    document = compact.document
    (pair,) = in_two_scripts(document, "mAP")
    assert (pair.first, pair.second) == ("ben_Beng", "ben_Latn")
    assert pair.across == (
        document.pair_value("ben_Beng", "ben_Latn", "mAP"),
        document.pair_value("ben_Latn", "ben_Beng", "mAP"),
    )
    assert pair.monolingual[1] == document.per_language["ben_Latn"]["monolingual"]["mAP"]
    assert pair.multilingual[0] == document.per_language["ben_Beng"]["multilingual"]["mAP"]


def with_languages(document, names):
    """A document with other names for some of its languages, in what numbers by script are made of."""

    def named(values):
        return {names.get(x, x): value for x, value in values.items()}

    return document.model_copy(
        update={
            "task": document.task.model_copy(update={"languages": [names.get(x, x) for x in document.task.languages]}),
            "per_language": named(document.per_language),
            "per_pair": {names.get(x, x): named(values) for x, values in document.per_pair.items()},
            "queue_jump": {names.get(x, x): named(values) for x, values in document.queue_jump.items()},
            "counts": document.counts.model_copy(update={"candidates": named(document.counts.candidates)}),
        }
    )


def test_a_code_without_a_script_has_the_usual_one_of_its_language():
    document = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["de", "en", "ru", "zh"]).document
    rows = by_script(document, "mAP")
    assert [(row.script, row.languages) for row in rows] == [
        ("Latn", ("de", "en")),
        ("Cyrl", ("ru",)),
        ("Hani", ("zh",)),
    ]
    pairs = [document.pair_value(x, y, "mAP") for x, y in (("de", "en"), ("en", "de"))]
    assert rows[0].same_script == pytest.approx(np.mean(pairs))
    # Texts without letters in common: what stands before a gold is in the script of the question.
    assert rows[0].preference > 1
    assert in_two_scripts(document, "mAP") == []


def test_one_script_an_unknown_one_or_all_different_have_no_numbers_by_script():
    document = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["de", "en", "ru"]).document
    assert by_script(with_languages(document, {"ru": "xx"}), "mAP") == []
    assert len(by_script(with_languages(document, {"ru": "xx_Cyrl"}), "mAP")) == 2
    for languages in (["de", "en"], ["de", "ru", "zh"]):
        other = clirbench.evaluate("clirbench/char-ngram", "demo", languages=languages).document
        assert by_script(other, "mAP") == in_two_scripts(other, "mAP") == []


def test_show_prints_scripts_and_says_that_ranks_are_rounded(saved):
    told = call("show", saved).stdout
    assert "ranks above 128 are rounded by at most 4.5 %" in told
    assert "mAP of 5 x 5 language pairs: 'compact.pairs' in the result file" in told
    assert "by script of the query: mAP x100" in told
    assert "one language in two scripts, mAP x100" in told
    other = call("show", saved, "--metric", "R@10").stdout
    assert "R@10 has no numbers by language pair: only mAP has" in other
