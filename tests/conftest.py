import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import clirbench
from clirbench.tasks.collection import assemble
from clirbench.tasks.readers import LanguageTexts
from clirbench.tasks.task_file import load_task

ROOT = Path(__file__).resolve().parent.parent

# No test asks the hub: huggingface_hub reads this when it is imported. Tests of what happens online name a server of their own.
os.environ["HF_HUB_OFFLINE"] = "1"
# The same examples every time, none of them from an earlier run.
settings.register_profile("seeded", derandomize=True, deadline=None, database=None)
settings.load_profile("seeded")


def _find_real_data():
    for place in (os.environ.get("CLIRBENCH_MIRROR"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "lareqa" / "xquad-r" / "en.json").is_file():
            return Path(place)
    return None


# Found before the tests take the variable away.
REAL_DATA = _find_real_data()


def pytest_collection_modifyitems(items):
    if REAL_DATA is None:
        reason = "REAL DATA NOT FOUND: set CLIRBENCH_MIRROR to a folder with lareqa/xquad-r and lareqa/mlqa-r"
        for item in items:
            if "real" in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    if REAL_DATA is None:
        terminalreporter.write_line(
            "!! the real-data tests were SKIPPED: CLIRBENCH_MIRROR does not name the data", red=True
        )


@pytest.fixture(scope="session", autouse=True)
def _isolated_session(tmp_path_factory):
    """What fixtures of a module or of the session do must not depend on the user's cache either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIRBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("CLIRBENCH_MIRROR", raising=False)
        yield


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLIRBENCH_MIRROR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    # The width at which tests read help pages and tables, whatever the terminal.
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(REAL_DATA))
    return REAL_DATA


@pytest.fixture(scope="session")
def _checked_shipped(_isolated_session):
    from clirbench.submissions.accepted import records_dir
    from clirbench.submissions.check_many import check_submissions, inside

    check_submissions(inside(ROOT / "submissions"))
    return records_dir()


@pytest.fixture
def checked_shipped(_checked_shipped, _isolated):
    """The shipped submissions and copies of them are on record as accepted: a test of the board need not wait."""
    from clirbench.submissions.accepted import records_dir

    shutil.copytree(_checked_shipped, records_dir())


@pytest.fixture
def nothing_refused(monkeypatch):
    """As if the check had missed what is wrong with a submission: pages and tables must be safe without it."""
    from clirbench.submissions.findings import Examined

    monkeypatch.setattr(
        "clirbench.board.folders.check_submissions", lambda paths, **options: list(map(Examined, paths))
    )


class Table:
    """An encoder that looks its vectors up."""

    def __init__(self, queries, candidates, similarity="dot"):
        self.queries, self.candidates, self.similarity = queries, candidates, similarity

    def encode_queries(self, texts):
        return np.array([self.queries[text] for text in texts], dtype=np.float32)

    def encode_candidates(self, texts):
        return np.array([self.candidates[text] for text in texts], dtype=np.float32)


@pytest.fixture
def table_encoder():
    return Table


def tiny_collection(languages=("en", "de", "zh"), topics=4, distractors=3, missing=()):
    """A parallel collection with texts that name what they are; ``missing`` holds (topic, language) pairs."""
    parts = []
    for language in languages:
        queries, candidates, golds = [], [], []
        for topic in range(topics):
            candidates += [f"{language} wrong {topic} {number}" for number in range(distractors)]
            if (topic, language) not in missing:
                golds.append((f"t{topic}", len(candidates)))
                candidates.append(f"{language} gold {topic}")
                queries.append((f"t{topic}", f"{language} question {topic}"))
        parts.append(LanguageTexts(tuple(queries), tuple(candidates), tuple(golds)))
    return assemble(load_task("demo"), tuple(languages), parts)


@pytest.fixture
def tiny():
    return tiny_collection


@pytest.fixture(scope="session")
def hybrid():
    """The bundled hybrid model on three languages of the demo set."""
    return clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de", "th"])


@pytest.fixture(scope="session")
def lexical():
    """A model that is worse across languages, on the same."""
    return clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en", "de", "th"])


@pytest.fixture(scope="session")
def saved_pair(hybrid, lexical, tmp_path_factory):
    """The files of both results."""
    folder = tmp_path_factory.mktemp("results")
    return hybrid.save(folder), lexical.save(folder)
