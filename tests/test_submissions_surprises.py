"""Results that are too good to be believed at once: who is warned of them, and which result is the measure."""

import json
import shutil

import pytest
from small_board import CHEAT, ORG, tasks_in, write_board, write_cheat, write_tasks

from clirbench.results.read import read_document
from clirbench.submissions.check_many import check_submissions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The board, and the submission of an encoder that has read the answers, with 7 billion parameters."""
    folder = tmp_path_factory.mktemp("surprises")
    with tasks_in(write_tasks(folder / "tasks")):
        write_board(folder / "board")
        write_cheat(folder / "cheat", folder / "cheat" / "submissions")
        yield folder


def verify(folder, **changes):
    document = read_document(folder / "trio.json")
    facts = {"format": 1, "by": "us", "date": "2026-01-31", "task": "trio", "languages": ["de", "en"], "seed": 1}
    facts |= {
        "ranks_sha256": document.ranks.sha256,
        "revision": document.model.revision,
        "pairs": 5,
        "equal": 1.0,
        "close": 1.0,
    }
    facts |= {"largest_difference": 0.0, "verdict": "agree", "packages": {}}
    (folder / "verification.json").write_text(json.dumps(facts | changes), encoding="utf-8")


@pytest.fixture
def board(made, tmp_path):
    return shutil.copytree(made / "board" / "submissions", tmp_path / "board")


@pytest.fixture
def cheat(made, tmp_path):
    return shutil.copytree(made / "cheat" / "submissions" / f"{ORG}__{CHEAT}", tmp_path / f"{ORG}__{CHEAT}")


def surprises(folder, others, untrusted=True):
    (examined,) = check_submissions([folder], untrusted, others=others)
    return [(finding.key, finding.message) for finding in examined.findings if "far above" in finding.message]


def test_a_model_of_any_size_that_reads_the_answers_is_a_surprise(cheat, board):
    assert read_document(cheat / "trio.json").model.parameters == 7_000_000_000
    verify(board / f"{ORG}__char-ngram")
    found = surprises(cheat, sorted(board.iterdir()))
    assert [key for key, _ in found] == ["headline.multilingual.mAP"] * 2
    for _, message in found:
        assert "far above the best verified result so far (0." in message
        assert "and that it has not seen the answers, as model.toml says" in message


def test_another_forged_row_is_no_excuse_for_the_next(cheat, board):
    verify(board / f"{ORG}__char-ngram")
    twin = shutil.copytree(cheat, board / f"{ORG}__{CHEAT}-2")
    assert len(surprises(cheat, sorted(board.iterdir()))) == 2
    # A verification that a stranger adds is refused, and counts for nobody.
    verify(twin)
    checked = check_submissions([cheat, twin], untrusted=True, others=[board / f"{ORG}__char-ngram"])
    assert all(any("far above" in finding.message for finding in one.findings) for one in checked)
    assert any(finding.message == "only maintainers verify: remove it" for finding in checked[1].findings)


def test_without_a_verified_row_all_others_are_the_measure(cheat, board):
    found = surprises(cheat, sorted(board.iterdir()))
    assert found
    assert all("far above the best result so far (0." in message for _, message in found)
    # A verification that found other ranks is none.
    verify(board / f"{ORG}__char-ngram", equal=0.1, close=0.1, largest_difference=0.9, verdict="differ")
    assert surprises(cheat, sorted(board.iterdir())) == found
    assert surprises(cheat, []) == []


def test_who_does_not_say_that_the_answers_are_unseen_is_not_asked_about_them(cheat, board):
    toml = cheat / "model.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('"no"', '"unknown"'), encoding="utf-8")
    found = surprises(cheat, sorted(board.iterdir()))
    assert found
    assert not any("has not seen" in message for _, message in found)


def test_honest_rows_surprise_nobody(made, board):
    for folder in board.iterdir():
        verify(folder)
    for examined in check_submissions(sorted(board.iterdir())):
        assert [finding for finding in examined.findings if finding.level == "error"] == []
        assert (examined.folder.name == f"{ORG}__hybrid") or not any(
            "far above" in f.message for f in examined.findings
        )
