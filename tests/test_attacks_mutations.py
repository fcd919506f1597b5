"""Mutated submissions: never a traceback, never accepted with another score, in bounded time and memory."""

import json
import math
import multiprocessing
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from attacks import forging
from attacks.mutations import DEFAULT, MEMORY, NIGHTLY, PART, SECONDS, TASKS, leaves, mutant, within
from attacks.submissions import mteb
from small_board import tasks_in, write_board, write_tasks

from clirbench.results.read import parse_submitted
from clirbench.results.result import read_result
from clirbench.submissions.check_many import check_submissions
from clirbench.submissions.check_processes import Limits, examine_safely, limit, prepare
from clirbench.submissions.model_toml import parse_model_file
from clirbench.support.errors import ClirbenchError
from clirbench.support.memory import peak_memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems lack some of these names and kinds of files"
)
# What nobody recomputes, and the check bounds: facts about the run and the model, and all of an mteb result.
FREE = (
    "environment", "cost", "lengths", "provenance", "indistinguishable",
    "model.kind", "model.revision", "model.revision_kind", "model.parameters", "model.dimensions", "encoder",
)  # fmt: skip
# Of model.toml, only the name is that of the folder.
KEPT = ("format", "name")
PAIRS = ("topic", "query_language", "gold_language")
LONGEST, LARGEST = 5_000, 10**15
MAY_BREAK_LINES = ("query_prompt", "candidate_prompt", "query_prefix", "candidate_prefix", "citation")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    with tasks_in(write_tasks(folder / "tasks")):
        board = write_board(folder, ("hybrid", "char-ngram"))
        mteb()(board / "acme__hybrid")
        yield board


def looked_at(folder):
    """The findings on a folder, the seconds that they took, and the peak memory of the process so far."""
    begin = time.perf_counter()
    limit(Limits(MEMORY, SECONDS))
    examined = examine_safely(folder, False)
    return examined.findings, time.perf_counter() - begin, peak_memory() or 0


class Checker:
    """Examines in a process with limits, as clirbench check does, and counts what ends the process."""

    def __init__(self):
        self.pool, self.deaths, self.slowest, self.peaks = None, 0, 0.0, []

    def __call__(self, folder):
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=prepare)
        try:
            findings, seconds, peak = self.pool.submit(looked_at, folder).result(timeout=SECONDS)
        except BrokenProcessPool:
            self.close()
            self.deaths += 1
            # The command itself names the folder, and goes on.
            return check_submissions([folder])[0].findings
        self.slowest = max(self.slowest, seconds)
        self.peaks.append(peak)
        return findings

    def close(self):
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None


def free(path):
    dotted = ".".join(map(str, path))
    return any(dotted == key or dotted.startswith(f"{key}.") for key in FREE)


def scores(document):
    """Every value of a result but the free ones, by path."""
    return {path: within(document, path) for path in leaves(document) if not free(path)}


def same(one, other):
    if one.keys() != other.keys():
        return False
    for key, value in one.items():
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (value, other[key]))
        if not (math.isclose(value, other[key], rel_tol=1e-9, abs_tol=1e-9) if numbers else value == other[key]):
            return False
    return True


def read(content):
    """The values of a result, as clirbench reads them, without the checksum of the ranks file."""
    document = parse_submitted(content, "").model_dump(mode="json")
    document["ranks"].pop("sha256")
    return document


def within_bounds(document):
    """Whether each text is visible and short, and each number finite and not beyond all."""
    for path in leaves(document):
        value, key = within(document, path), str(path[-1]) if path else ""
        if isinstance(value, str):
            text = value.replace("\n", "").replace("\t", "") if key in MAY_BREAK_LINES else value
            assert text.isprintable(), (path, value)
            assert len(value) <= LONGEST, path
            assert "<" not in value or key in MAY_BREAK_LINES, (path, value)
        elif isinstance(value, int | float):
            assert math.isfinite(value), path
            assert abs(value) <= LARGEST, path


def hold(one, honest):
    """What must be true of a mutant that was accepted: the honest scores, or those of other ranks that are possible."""
    for task in TASKS:
        if not (one.folder / f"{task}.json").exists():
            continue
        document = read((one.folder / f"{task}.json").read_bytes())
        ranks, true = (read_result(folder / f"{task}.json").ranks for folder in (one.folder, honest))
        # Other ranks may stand that give the very same numbers, and that are possible: two golds of a query swapped, say.
        sizes = np.array([document["counts"]["candidates"][x] for x in ranks.languages])
        assert forging.jumps(ranks, sizes)[2], "no ranking has these ranks"
        assert ranks.topics == true.topics
        assert all(np.array_equal(getattr(ranks, name), getattr(true, name)) for name in PAIRS)
        reference = read(one.forged[task] if one.forged else (honest / f"{task}.json").read_bytes())
        assert same(scores(document), scores(reference))
        within_bounds(document)
    toml, true = (
        parse_model_file((folder / "model.toml").read_bytes(), folder).model_dump() for folder in (one.folder, honest)
    )
    assert all(toml[key] == true[key] for key in KEPT)
    within_bounds(toml)
    foreign = one.folder / "mteb.XNLI.json"
    if foreign.exists():
        within_bounds(json.loads(foreign.read_bytes()))


def attack(numbers, board, parent):
    """Try mutants, and say how many were accepted by kind of mutation."""
    honest, other = board / "acme__hybrid", board / "acme__char-ngram"
    checker, accepted = Checker(), {}
    assert checker(honest) == []
    try:
        for number in numbers:
            one = mutant(number, honest, other, parent / str(number))
            findings = checker(one.folder)
            lines = [f"{finding.file}: '{finding.key}' {finding.message}" for finding in findings]
            try:
                assert not any("please report this" in line for line in lines), lines
                assert all(line.isprintable() for line in lines), lines
                if not any(finding.level == "error" for finding in findings):
                    accepted[one.kind] = accepted.get(one.kind, 0) + 1
                    hold(one, honest)
            except (AssertionError, ClirbenchError) as error:
                raise AssertionError(f"mutant {number}, {one.kind} {one.told}: {error}") from error
            shutil.rmtree(parent / str(number))
    finally:
        checker.close()
    return checker, accepted


def parts(count, start=0):
    return [range(first, min(first + PART, count)) for first in range(start, count, PART)]


@pytest.mark.parametrize(
    "numbers",
    [*parts(DEFAULT), *(pytest.param(part, marks=pytest.mark.nightly) for part in parts(NIGHTLY, DEFAULT))],
    ids=lambda part: f"{part.start}-{part.stop - 1}",
)
def test_mutants_are_refused_or_as_honest(board, tmp_path, numbers):
    checker, accepted = attack(numbers, board, tmp_path)
    grown = (checker.peaks[-1] - checker.peaks[0]) / 1e6
    became = f"{accepted} accepted, {checker.deaths} ended the process"
    print(f"{len(numbers)} mutants: {became}, {grown:.0f} MB, {checker.slowest:.2f} s")
    # Arrow reads only files whose every byte is accounted for.
    assert checker.deaths == 0
    assert checker.slowest < SECONDS
    assert checker.peaks[-1] - checker.peaks[0] < MEMORY
    # Some are accepted, or nothing was tested beyond a refusal.
    assert sum(accepted.values()) > len(numbers) / 50
