"""Pull requests through the very steps of the workflow, read from its YAML: what is accepted, and what is said of the others."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from attacks.pull_requests import ATTACKS, NEW, ROW, Drop, Put, base_repository, commit, files, git

from clirbench.submissions.check_many import submissions_in
from clirbench.submissions.check_one import examine

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
pytestmark = pytest.mark.skipif(shutil.which("git") is None or os.name != "posix", reason="git and bash are not there")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """The base repository: a board with a verified row, one branch before its last row, and one after another."""
    return base_repository(tmp_path_factory.mktemp("origin"))


@pytest.fixture
def pull_request(origin, tmp_path):
    """A function that makes the pull request of an attack, in the folder that the workflow would check it out to."""

    def make(attack):
        head = tmp_path / "head"
        shutil.copytree(origin, head)
        commit(head, "head", attack.start and f"refs/heads/{attack.start}", attack.changes(), time=9)
        git(head, "symbolic-ref", "HEAD", "refs/heads/head")
        if attack.prepare:
            attack.prepare(head)
        (tmp_path / "base").mkdir()
        return head

    return make


def steps(workflow):
    """The steps of a workflow's only job that run a command, by name."""
    document = yaml.safe_load((WORKFLOWS / workflow).read_text(encoding="utf-8"))
    assert document["defaults"]["run"]["shell"] == "bash"
    (job,) = document["jobs"].values()
    return {step["name"]: step for step in job["steps"] if "name" in step}


def run_step(step, event, folder, programs="programs"):
    """Run a step as GitHub does: expressions become their values, and bash runs the text."""
    program = folder / "programs" / "clirbench"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m clirbench "$@"\n', encoding="utf-8")
    program.chmod(0o755)

    def value(text):
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: event[match[1]], text)

    assert "${{" not in step["run"]
    own = {name: value(text) for name, text in step.get("env", {}).items()}
    kept = {name: os.environ[name] for name in ("HOME", "PYTHONPATH", "CLIRBENCH_CACHE") if name in os.environ}
    path = f"{folder / programs}{os.pathsep}{os.environ['PATH']}"
    script = folder / "step.sh"
    script.write_text(step["run"], encoding="utf-8")
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=folder / step.get("working-directory", "."),
        env={"LC_ALL": "C", "PATH": path, "GITHUB_OUTPUT": str(folder / "output"), **kept, **own},
        capture_output=True,
        check=False,
        timeout=300,
    )


def event_of(attack, head):
    action, label = attack.event
    return {
        "github.event.pull_request.base.sha": git(head, "rev-parse", f"refs/heads/{attack.target}"),
        "github.event.pull_request.head.sha": git(head, "rev-parse", "refs/heads/head"),
        "github.event.action": action,
        "github.event.label.name": label,
        "github.event.sender.login": "maintainer",
    }


def outcome(attack, head):
    """Run the steps; whether the board changes, the exit code of the check, and the lines that it prints."""
    named, event, folder = steps("submission.yml"), event_of(attack, head), head.parent
    asked = run_step(named["ask whether submissions/ changes"], event, folder)
    changed = (folder / "output").read_text(encoding="ascii") if asked.returncode == 0 else ""
    step = named["check what is changed, against the board"]
    assert step["if"] == "steps.board.outputs.changed != 'no'"
    done = run_step(step, event, folder)
    return changed.strip(), done.returncode, (done.stdout + done.stderr).decode("utf-8").splitlines()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_pull_request(name, pull_request):
    attack = ATTACKS[name]
    head = pull_request(attack)
    changed, code, lines = outcome(attack, head)
    text = "\n".join(lines)
    assert "Traceback" not in text
    # Only clirbench's own annotations are commands to GitHub, and no name ends a line or begins one.
    said = [line for line in lines if not line.startswith(("check (submissions): ", "clirbench: "))]
    assert all(re.fullmatch(r"::(error|warning) file=[^:,]*::.*|\d+ of \d+ submissions accepted", one) for one in said)
    assert all(line.isprintable() and "##[" not in line for line in lines)
    assert list(head.parent.rglob("executed")) == []
    if attack.says is None:
        assert (changed, code) == ("changed=no", 1), text
        assert "submissions::has no change in this pull request" in text
    elif attack.says == "":
        assert (changed, code) == ("changed=yes", 0), text
    else:
        assert changed in ("changed=yes", ""), "the workflow would not have looked"
        assert code in (1, 2), text
        assert attack.says in text


def test_the_board_is_sound_after_what_is_accepted(origin, tmp_path):
    accepted = [attack for attack in ATTACKS.values() if attack.says == ""]
    assert len(accepted) > 5
    for number, attack in enumerate(accepted):
        merged = tmp_path / str(number)
        shutil.copytree(origin, merged)
        changes = attack.changes()
        commit(merged, "head", f"refs/heads/{attack.start}", changes, time=9)
        git(merged, "checkout", "--quiet", "--force", attack.target)
        git(merged, "merge", "--quiet", "--no-edit", "head")
        checked = [examine(folder) for folder in submissions_in([merged / "submissions"])]
        assert [finding for one in checked for finding in one.findings if finding.level == "error"] == []
        there = {f"submissions/{one.folder.name}" for one in checked}
        assert there >= {one.path.removesuffix("/model.toml") for one in changes if one.path.endswith("/model.toml")}
        assert (f"submissions/{ROW}" in there) is (Drop(f"submissions/{ROW}") not in changes)


def test_the_workflow_verify_runs_the_commit_that_was_labelled(pull_request):
    head = pull_request(ATTACKS["a clean submission"])
    event, folder = event_of(ATTACKS["a clean submission"], head), head.parent
    document = yaml.safe_load((WORKFLOWS / "verify.yml").read_text(encoding="utf-8"))
    # YAML reads the key "on" as true.
    assert document[True] == {"pull_request": {"types": ["labeled"]}}
    job = document["jobs"]["verify"]
    assert job["if"] == "github.event.label.name == 'verify'"
    assert [step["with"]["ref"] for step in job["steps"] if "checkout" in step.get("uses", "")] == [
        "${{ github.event.pull_request.base.sha }}",
        "${{ github.event.pull_request.head.sha }}",
    ]
    assert "secrets" not in str(document)
    named = steps("verify.yml")
    kept = run_step(named["check the submission, and keep its files"], event, folder)
    assert kept.returncode == 0, kept.stderr
    assert {path.name: path.read_bytes() for path in (folder / "checked" / NEW).iterdir()} == files(NEW)
    # What verify does is tested where it stands; here, what it is called with.
    (folder / "fakes").mkdir()
    for program, text in (("sudo", "true"), ("clirbench", 'printf "%s\\n" "$@" > ../called')):
        (folder / "fakes" / program).write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (folder / "fakes" / program).chmod(0o755)
    done = run_step(named["run a sample of it again"], event, folder, programs="fakes")
    assert done.returncode == 0, done.stderr
    commit_id = event["github.event.pull_request.head.sha"]
    assert (folder / "called").read_text(encoding="ascii").splitlines() == [
        "verify",
        f"../checked/{NEW}",
        "--by",
        f"maintainer, with the workflow verify, at {commit_id}",
        "--max-memory",
        "12",
        "--max-hours",
        "1.5",
    ]


def test_what_came_after_the_label_is_not_verified(pull_request):
    # GitHub checks out the labelled commit; HEAD is that commit, whatever the branch has become.
    head = pull_request(ATTACKS["a clean submission"])
    labelled = git(head, "rev-parse", "HEAD")
    commit(head, "head", labelled, [Put(f"submissions/{NEW}/model.toml")], time=10)
    (head / ".git" / "HEAD").write_text(f"{labelled}\n", encoding="ascii")
    event = {**event_of(ATTACKS["a clean submission"], head), "github.event.pull_request.head.sha": labelled}
    kept = run_step(steps("verify.yml")["check the submission, and keep its files"], event, head.parent)
    assert kept.returncode == 0, kept.stdout
    assert (head.parent / "checked" / NEW / "model.toml").read_bytes() == files(NEW)["model.toml"]
