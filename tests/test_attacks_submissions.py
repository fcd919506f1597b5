"""Each hostile submission meets the outcome that is right, in one line; each honest one is accepted."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attacks.forging import columns, moved_jumps, renamed
from attacks.submissions import ACCEPTED, ATTACKS, BESIDE, ERROR, WARNING, verification
from small_board import ORG, tasks_in, write_board, write_cheat, write_tasks

import clirbench
from clirbench.board.folders import accept
from clirbench.board.kept_entries import kept_entries
from clirbench.board.site.build import build_site
from clirbench.results.evidence import not_recomputable
from clirbench.results.result import read_result
from clirbench.submissions.check_many import _compare
from clirbench.submissions.check_one import examine

NAME = f"{ORG}__hybrid"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems lack some of these names and kinds of files"
)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Three honest submissions on a board of two small tasks, which the tests of this file take for the board."""
    folder = tmp_path_factory.mktemp("board")
    with tasks_in(write_tasks(folder / "tasks")):
        yield write_board(folder)


def attacked(board, tmp_path, attack):
    """The folder of a submission that was sound before the attack; the board lies beside it."""
    (tmp_path / "board").symlink_to(board)
    folder = tmp_path / "submissions" / NAME
    shutil.copytree(board / NAME, folder)
    changed = attack.change(folder)
    return changed if isinstance(changed, Path) else folder


def matching(findings, attack):
    return [
        finding
        for finding in findings
        if finding.key.startswith(attack.key) and attack.says in f"'{finding.key}' {finding.message}"
    ]


@pytest.mark.parametrize("name", ATTACKS)
def test_each_meets_what_is_right(board, tmp_path, name):
    attack = ATTACKS[name]
    findings = examine(attacked(board, tmp_path, attack), attack.untrusted).findings
    levels = {finding.level for finding in findings}
    told = [f"{finding.level}: {finding.file} '{finding.key}' {finding.message}" for finding in findings]
    assert {ACCEPTED: set(), ERROR: {"error"}, WARNING: {"warning"}}.get(attack.outcome, levels) == levels - (
        {"warning"} if attack.outcome == ERROR else set()
    ), told
    if attack.outcome != ACCEPTED:
        assert matching(findings, attack), told
    for line in told:
        assert line.isprintable()
        assert len(line) < 1000
        assert "please report this" not in line


@pytest.fixture(scope="module")
def verified(board, tmp_path_factory):
    """The board, with a verification of its best row, and what the check finds on it."""
    folder = shutil.copytree(board, tmp_path_factory.mktemp("verified") / "submissions")
    verification()(folder / NAME)
    examined = [examine(path) for path in sorted(folder.iterdir())]
    assert not any(one.errors for one in examined)
    return folder, examined


@pytest.mark.parametrize("name", BESIDE)
def test_each_meets_what_is_right_beside_other_rows(board, verified, tmp_path, name):
    attack = BESIDE[name]
    examined = examine(attacked(board, tmp_path, attack), attack.untrusted)
    _compare([examined], [one for one in verified[1] if one.folder.name != examined.folder.name])
    levels = {finding.level for finding in examined.findings}
    expected = {ACCEPTED: set(), WARNING: {"warning"}, ERROR: {"error"}}[attack.outcome]
    assert expected <= levels <= expected | {"warning"}, examined.findings
    assert attack.outcome == ACCEPTED or matching(examined.findings, attack), examined.findings


def test_a_model_that_has_read_the_answers_is_a_surprise_and_not_verified(verified, tmp_path):
    """Its ranks are real, so no check refuses them: whoever merges is warned, and its row says that nobody ran it again."""
    submissions = shutil.copytree(verified[0], tmp_path / "submissions")
    cheat = write_cheat(tmp_path, submissions)
    examined = examine(cheat, True)
    assert examined.findings == []
    _compare([examined], verified[1])
    assert any("far above" in finding.message for finding in examined.findings)
    frame = clirbench.leaderboard(submissions)
    evidence = frame.set_index("model")["evidence"]
    assert evidence["acme/answer-key"] == "measured"
    assert evidence["acme/hybrid"] == "verified"
    by_number = frame.sort_values("trio multilingual mAP", ascending=False)
    assert by_number["model"].iloc[0] == "acme/answer-key"


def test_queue_jumps_without_their_counts_are_said_to_be_believed(board, tmp_path):
    """A file of an older version has no counts of the query's language, so totals may be moved. The number is marked."""
    folder = shutil.copytree(board / NAME, tmp_path / NAME)
    moved_jumps()(folder)
    columns(lambda true: {k: v for k, v in true.items() if k != "query_language_above"})(folder)
    assert [finding for finding in examine(folder).findings if finding.level == "error"] == []
    result = read_result(folder / "trio.json")
    assert result.document.headline != read_result(board / NAME / "trio.json").document.headline
    assert "headline.bias.own_language_preference" in not_recomputable(result.document, result.ranks)


# What only a stranger's pull request may not bring: on a maintainer's branch it is sound.
OF_MAINTAINERS = ("verification: a badge that a stranger gave himself", "reported: figures that a stranger sends")
# Letters of which none looks like another.
LETTERS = "abcdefghkpqt"


def spelt(number):
    """A number in letters."""
    return LETTERS[number // 144] + LETTERS[number // 12 % 12] + LETTERS[number % 12]


def together(board, folder, names):
    """The honest submissions, and those of some attacks beside them under names of their own; the folders by attack."""
    (folder / "board").symlink_to(board)
    shutil.copytree(board, folder / "submissions")
    attacked = {}
    for number, name in enumerate(names):
        away = folder / "away" / spelt(number) / f"{ORG}__attacked-{spelt(number)}"
        shutil.copytree(board / NAME, away)
        # Renamed before the attack, it is sound: the attack alone is what is refused.
        renamed(f"{ORG}/attacked-{spelt(number)}")(away)
        (folder / "away" / "board").exists() or (folder / "away" / "board").symlink_to(board)
        ATTACKS[name].change(away)
        # An attack on the name of the folder has no name of its own.
        if away.is_dir() and not away.is_symlink():
            attacked[name] = away.rename(folder / "submissions" / away.name)
    return attacked


def refused():
    """The attacks that are an error, whoever sends them."""
    return [name for name, one in ATTACKS.items() if one.outcome == ERROR and name not in OF_MAINTAINERS]


def test_the_board_and_the_site_show_none_of_the_refused(board, tmp_path):
    attacked, submissions = together(board, tmp_path, refused()), tmp_path / "submissions"
    accepted = accept([submissions])
    honest = {path.name for path in board.iterdir()}
    assert {entry.folder.name for entry in kept_entries(accepted)} == honest, accepted.left_out.get(submissions / NAME)
    assert {path.name for path in accepted.left_out} == {path.name for path in attacked.values()}
    assert len(attacked) > 300
    labels = [name.replace("__", "/", 1) for name in honest]
    assert sorted(clirbench.leaderboard(submissions)["model"]) == sorted(labels)
    build_site(submissions, tmp_path / "site")
    assert {path.stem for path in (tmp_path / "site" / "models").iterdir()} == honest
    for path in (tmp_path / "site").rglob("*"):
        assert path.suffix == ".parquet" or path.is_dir() or b"attacked-" not in path.read_bytes(), path


def test_the_command_refuses_each_in_a_process_of_its_own(board, tmp_path):
    attacked = together(board, tmp_path, refused()[::20])
    # With a folder inside, a path is no submission: the command ends with code 2 before it checks any.
    inside = [name for name, folder in attacked.items() if any(path.is_dir() for path in folder.iterdir())]
    attacked = {name: folder for name, folder in attacked.items() if name not in inside}
    ran = subprocess.run(
        [sys.executable, "-m", "clirbench", "check", "--untrusted", "--format", "json", *attacked.values()],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    told = json.loads(ran.stdout)
    assert told["submissions"] == len(attacked) >= 20
    for name, folder in attacked.items():
        of_this = [finding for finding in told["findings"] if finding["file"].startswith(str(folder))]
        assert any(finding["level"] == "error" for finding in of_this), name
