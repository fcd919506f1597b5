"""Mutated submissions, two thousand or a hundred of them: never a traceback, never accepted when a score was changed, bounded."""

import hashlib
import io
import json
import math
import multiprocessing
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clirbench.results.ranks_file import decode_ranks
from clirbench.results.read import parse_submitted
from clirbench.results.schema import Document
from clirbench.submissions.check_many import _limit
from clirbench.submissions.check_one import examine
from clirbench.submissions.findings import Finding
from clirbench.support.errors import ClirbenchError

SOURCE = Path(__file__).resolve().parent.parent / "submissions" / "clirbench__hybrid"
FILES = {name: (SOURCE / name).read_bytes() for name in ("mlqa-r.json", "mlqa-r.ranks.parquet", "model.toml")}
ORIGINAL = json.loads(FILES["mlqa-r.json"])
TRUE = parse_submitted(FILES["mlqa-r.json"], Path("x"))
RANKS = decode_ranks(FILES["mlqa-r.ranks.parquet"], TRUE, Path("x"))
TEXTS = ("topic", "query_language", "gold_language")
# What a reader takes for a score, or for what a score is about.
SCORES = (
    "headline",
    "micro",
    "per_language",
    "per_pair",
    "queue_jump",
    "queue_jump_ratio",
    "counts",
    "task",
    "bootstrap",
)
MEMORY, SECONDS = 500_000_000, 20


class Files(dict):
    """The files of a submission, told by what was done to them."""

    def __init__(self, files, told):
        super().__init__(files)
        self.told = told

    def __repr__(self):
        return f"Files({self.told})"


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield path


LEAVES = list(leaves(ORIGINAL))
NODES = sorted({path[:i] for path in LEAVES for i in range(1, len(path) + 1)}, key=str)

odd = st.one_of(
    st.sampled_from([None, True, False, [], {}, "", "0.5", "NaN", -1, 0, 1, 2**31, 2**63, 10**30, -0.0, 1e308, 1e-300]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.sampled_from(
        ["../../etc/passwd", "<script>alert(1)</script>", "a\u202eb", "\u0000", "clirbеnch/hybrid", "x" * 5000]
    ),
    st.floats(allow_nan=True),
    st.integers(),
    st.text(max_size=20),
)
nudges = st.sampled_from([1e-8, -1e-6, 1e-3, 0.5, 1, -1, 7])


def put(document, path, value):
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def get(document, path):
    for key in path:
        document = document[key]
    return document


@st.composite
def changed_documents(draw):
    """The JSON with one or two values replaced, nudged, removed, added, swapped, or written twice."""
    document = json.loads(FILES["mlqa-r.json"])
    told = []
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(["replace", "nudge", "nudge", "nudge", "remove", "add", "swap", "node"]))
        path = draw(st.sampled_from(NODES if kind in ("remove", "node") else LEAVES))
        told.append((kind, path))
        try:
            if kind in ("replace", "node"):
                put(document, path, draw(odd))
            elif kind == "nudge":
                value = get(document, path)
                put(document, path, value + draw(nudges) if isinstance(value, int | float) else draw(odd))
            elif kind == "remove":
                parent = get(document, path[:-1])
                del parent[path[-1]]
            elif kind == "swap":
                other = draw(st.sampled_from(LEAVES))
                one, two = get(document, path), get(document, other)
                put(document, path, two)
                put(document, other, one)
            else:
                parent = get(document, path[:-1])
                if isinstance(parent, dict):
                    parent[draw(st.text(max_size=10))] = draw(odd)
        except (KeyError, IndexError, TypeError):
            continue
    text = json.dumps(document)
    if draw(st.integers(0, 9)) == 0:
        key = draw(st.sampled_from(['"format"', '"value"', '"mAP"']))
        text = text.replace(key, f"{key}: 1, {key}", 1)
    return Files({**FILES, "mlqa-r.json": text.encode("utf-8", "surrogatepass")}, told)


@st.composite
def changed_bytes(draw):
    """Any file with bytes overwritten, cut, or repeated; the checksum of the ranks made to fit."""
    files = dict(FILES)
    name = draw(st.sampled_from([*files, "mlqa-r.ranks.parquet"]))
    content = bytearray(files[name])
    told = [name]
    for _ in range(draw(st.integers(1, 4))):
        # The footer, at the end of the file, is where most of Parquet's lies would be.
        last = len(content) - 1
        place = draw(st.one_of(st.integers(0, last), st.integers(max(0, last - 1200), last)))
        content[place] = draw(st.integers(0, 255))
        told.append((place, content[place]))
    if draw(st.integers(0, 4)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    if draw(st.integers(0, 9)) == 0:
        content = content * 2
    files[name] = bytes(content)
    if name.endswith("parquet"):
        document = json.loads(files["mlqa-r.json"])
        document["ranks"]["sha256"] = hashlib.sha256(files[name]).hexdigest()
        files["mlqa-r.json"] = json.dumps(document).encode()
    return Files(files, told)


@st.composite
def changed_ranks(draw):
    """A whole and well-formed ranks file that says something else, with its checksum."""
    columns = {
        name: list(values)
        for name, values in pq.read_table(io.BytesIO(FILES["mlqa-r.ranks.parquet"])).to_pydict().items()
    }
    rows = len(columns["topic"])
    told = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(list(columns)))
        row, other = draw(st.integers(0, rows - 1)), draw(st.integers(0, rows - 1))
        told.append((name, row, other))
        if name not in TEXTS and draw(st.booleans()):
            columns[name][row] = draw(st.one_of(st.integers(-2, 30_000), st.sampled_from([2**31 - 1, None])))
        else:
            columns[name][row], columns[name][other] = columns[name][other], columns[name][row]
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, rows))
        columns = {name: values[:cut] for name, values in columns.items()}
    schema = {name: pa.string() if name in TEXTS else pa.int32() for name in columns}
    sink = io.BytesIO()
    # Written as clirbench writes it, so that the values decide.
    pq.write_table(
        pa.table({name: pa.array(values, schema[name]) for name, values in columns.items()}),
        sink,
        compression="zstd",
        use_dictionary=list(TEXTS),
        column_encoding={name: "BYTE_STREAM_SPLIT" for name in columns if name not in TEXTS},
        write_statistics=False,
        store_schema=False,
    )
    document = json.loads(FILES["mlqa-r.json"])
    document["ranks"]["sha256"] = hashlib.sha256(sink.getvalue()).hexdigest()
    files = {"mlqa-r.ranks.parquet": sink.getvalue(), "mlqa-r.json": json.dumps(document).encode()}
    return Files({**FILES, **files}, told)


def same(one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float | int) and isinstance(other, float | int) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def scores_of(document):
    dumped = document.model_dump(mode="json")
    return {part: dumped[part] for part in SCORES}


class Worker:
    """Examines in a process with limits, as clirbench check does: Arrow itself dies of some broken Parquet files."""

    def __init__(self):
        self.pool = None
        self.deaths = 0

    def __call__(self, folder):
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=_limit, initargs=(MEMORY,))
        try:
            return self.pool.submit(examine, folder).result(timeout=SECONDS).findings
        except BrokenProcessPool:
            self.close()
            self.deaths += 1
            return [Finding("error", str(folder), "", "the process died")]

    def close(self):
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None


worker = Worker()


def check_one(files):
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / SOURCE.name
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        findings = worker(folder)
        if any(finding.level == "error" for finding in findings):
            return
        document = parse_submitted((folder / "mlqa-r.json").read_bytes(), folder)
        assert isinstance(document, Document)
        assert same(scores_of(document), scores_of(TRUE))
        ranks = decode_ranks((folder / "mlqa-r.ranks.parquet").read_bytes(), document, folder)
        assert ranks.topics == RANKS.topics
        for name in (*TEXTS, "own_rank", "pool_rank", "query_language_above"):
            assert np.array_equal(getattr(ranks, name), getattr(RANKS, name))


@pytest.mark.parametrize("examples", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_submissions(examples):
    """Each within 500 MB and 20 s, and no process dies: Arrow reads only files whose every byte is accounted for."""
    worker.deaths = 0
    try:
        changed = st.one_of(changed_documents(), changed_documents(), changed_bytes(), changed_ranks())
        patient = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
        settings(max_examples=examples, suppress_health_check=patient)(given(changed)(check_one))()
    finally:
        worker.close()
    assert worker.deaths == 0


def test_the_unchanged_submission_is_accepted():
    with tempfile.TemporaryDirectory() as parent:
        folder = shutil.copytree(SOURCE, Path(parent) / SOURCE.name)
        assert [f for f in examine(folder).findings if f.level == "error"] == []


def test_errors_have_one_line(tmp_path):
    for content in (b'{"a\\nb": 1, "a\\nb": 2}', b"{\n\n", b'{"origin": "a\\nb"}'):
        with pytest.raises(ClirbenchError) as error:
            parse_submitted(content, tmp_path / "x.json")
        assert "\n" not in str(error.value)
