"""Commands on submissions: `submit` makes a submission, `check` reads submissions, `verify` runs a sample again."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clirbench.cli.app import app, examples, grouped, optional
from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import reporting

if TYPE_CHECKING:
    from clirbench.submissions.findings import Examined


@app.command(epilog=examples("clirbench submit results/me__model --org me --set licence=MIT"))
def submit(
    results: Annotated[Path, typer.Argument(metavar="RESULTS_DIR", help="Folder of one model's results.")],
    org: Annotated[str, typer.Option(help="Whose submission it is: the first part of the model's name.")],
    card: Annotated[Path | None, optional("Model card to read from.", "the hub's, where it is cached")] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Value for model.toml; repeat as needed.", show_default=False),
    ] = None,
    submissions: Annotated[Path, typer.Option(help="Folder of submissions.")] = Path("submissions"),
    force: Annotated[bool, typer.Option("--force", help="Replace results of another run that are there.")] = False,
) -> None:
    """Assemble a submission from results, ask for what is missing, and print the pull request's commands."""
    from clirbench.submissions.submit import submit as assemble

    given: dict[str, str] = {}
    for answer in answers or []:
        key, equals, value = answer.partition("=")
        if not equals:
            raise ClirbenchError(f"--set is '{answer[:60]}': write KEY=VALUE")
        given[key.strip()] = value

    def ask(key: str, suggestion: str) -> str:
        return str(typer.prompt(f"{key} (empty if not known)", default=suggestion, show_default=bool(suggestion)))

    questions = ask if sys.stdin.isatty() else None
    made = assemble(results, org, submissions, card=card, answers=given, ask=questions, force=force)
    typer.echo(f"{made.folder}: {', '.join(made.tasks)}, model.toml")
    if made.missing:
        typer.echo(f"not known: {', '.join(made.missing)} (edit {made.folder}/model.toml, or pass --set)")
    typer.echo(f"next: {command('check', made.folder)}\nthen:")
    for line in made.commands:
        typer.echo(f"  {line}")


@dataclass(frozen=True)
class PullRequestOptions:
    """Options that check a pull request in place of folders."""

    pull_request: Annotated[
        str | None,
        typer.Option(
            "--pull-request",
            metavar="BASE",
            help="Check the pull request that is checked out, against this commit of its base branch.",
            show_default=False,
        ),
    ] = None
    repository: Annotated[Path, typer.Option(help="With --pull-request: its checkout.")] = Path()
    allow_replace: Annotated[
        bool, typer.Option("--allow-replace", help="With --pull-request: it may change or remove one submission.")
    ] = False
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="With --pull-request: it is a maintainer's, who may change anything.")
    ] = False
    keep: Annotated[Path | None, optional("With --pull-request: a folder to make for the checked submission.")] = None


@app.command(
    epilog=examples(
        "clirbench check submissions",
        "clirbench check submissions/me__model --format json",
        "clirbench check --pull-request origin/main",
    )
)
@grouped
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="Submissions, or folders of them.", show_default="submissions"),
    ] = None,
    format: Annotated[str, typer.Option(help="text, json, or github (annotations).")] = "text",  # noqa: A002
    against: Annotated[Path | None, optional("Board to compare with.", "submissions, where it is there")] = None,
    untrusted: Annotated[
        bool,
        typer.Option(
            "--untrusted",
            help="Refuse what only maintainers may add: verifications, reported figures. Each PATH is one submission.",
        ),
    ] = False,
    *,
    pull_request: PullRequestOptions,
) -> None:
    """Check submissions: every file, every number, every rank (exit code 1 if there are errors)."""
    from clirbench.submissions.check_many import FORMATS, report

    if format not in FORMATS:
        raise ClirbenchError(f"--format is '{format}': use {', '.join(FORMATS)}")
    if pull_request.pull_request is None:
        if pull_request != PullRequestOptions():
            raise ClirbenchError("--repository, --allow-replace, --maintenance and --keep need --pull-request: add it")
        checked = _checked_folders(paths, against, untrusted)
    elif paths or against is not None or untrusted:
        raise ClirbenchError(
            "--pull-request takes no PATH, --against or --untrusted, for git says what it changes: leave them out"
        )
    else:
        checked = _checked_pull_request(pull_request.pull_request, pull_request)
    text = report(checked, format)
    if text:
        typer.echo(text)
    failed = sum(examined.errors > 0 for examined in checked)
    if format != "json":
        typer.echo(f"{len(checked) - failed} of {len(checked)} submissions accepted")
    raise typer.Exit(1 if failed else 0)


def _checked_folders(paths: list[Path] | None, against: Path | None, untrusted: bool) -> "list[Examined]":
    from clirbench.submissions.check_many import check_submissions, inside, submissions_in

    board = Path("submissions") if against is None else against
    if against is not None and not against.is_dir():
        raise ClirbenchError(f"--against is '{against}', which is not a folder: correct it")
    folders = submissions_in(paths or [Path("submissions")], untrusted)
    others = submissions_in([board]) if board.is_dir() and inside(board) else []
    with reporting() as reporter:
        return check_submissions(folders, untrusted, others, reporter)


def _checked_pull_request(base: str, options: PullRequestOptions) -> "list[Examined]":
    from clirbench.submissions.pull_request import Allowed, check_pull_request

    allowed = Allowed(options.allow_replace, options.maintenance)
    with reporting() as reporter:
        return check_pull_request(base, options.repository, allowed, options.keep, reporter)


@dataclass(frozen=True)
class SampleOptions:
    """Options that choose the part of a submission to run again."""

    task: Annotated[str | None, optional("Which of its results.", "the first of the board that is not streamed")] = None
    languages: Annotated[int, typer.Option(help="How many languages to draw.")] = 3
    seed: Annotated[int, typer.Option(help="Draws them.")] = 1


@dataclass(frozen=True)
class WallOptions:
    """Options for the process in which a stranger's model runs."""

    max_memory: Annotated[
        float | None, optional("Gigabytes that the model's process may use.", "nine tenths of the machine's")
    ] = None
    max_hours: Annotated[float, typer.Option(help="Hours that it may run.")] = 24
    without_network_wall: Annotated[
        bool,
        typer.Option(
            "--without-network-wall",
            help="Go on where the system cannot take away the network and your files (it has no namespaces).",
        ),
    ] = False


@app.command(epilog=examples('clirbench verify submissions/me__model --by "who"'))
@grouped
def verify(
    submission: Annotated[Path, typer.Argument(metavar="SUBMISSION", help="Folder of a submission.")],
    by: Annotated[str, typer.Option(help="Who verifies: signed into verification.json.")],
    model: Annotated[Path | None, optional("A copy of the model in a folder.", "downloaded at its revision")] = None,
    *,
    sample: SampleOptions,
    wall: WallOptions,
    device: Annotated[str | None, optional("cpu, cuda, mps ...")] = None,
    trust_remote_code: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The model's name, to let it run its own code.", show_default=False),
    ] = None,
) -> None:
    """Run a sample of a submission again and write verification.json (exit code 1 if the ranks differ)."""
    from clirbench.submissions.rerun import Loading, Sample
    from clirbench.submissions.rerun import verify as run_again
    from clirbench.submissions.wall import Limits, Wall, default_memory

    for name, value in (("memory", wall.max_memory), ("hours", wall.max_hours)):
        if value is not None and not 0 < value < 1e6:
            raise ClirbenchError(f"--max-{name} is {value}: use a number above 0")
    memory = default_memory() if wall.max_memory is None else int(wall.max_memory * 1e9)
    loading = Loading(
        model=None if model is None else str(model),
        trust_remote_code=trust_remote_code,
        device=device,
        wall=Wall(Limits(memory=memory, seconds=wall.max_hours * 3600), namespaces=not wall.without_network_wall),
    )
    with reporting() as reporter:
        verification = run_again(submission, by, Sample(**asdict(sample)), loading, reporter)
    typer.echo(
        f"{submission}: {verification.verdict}: {100 * verification.equal:.2f} % of {verification.pairs:,} ranks equal, "
        f"{100 * verification.close:.2f} % close, largest difference of mAP {verification.largest_difference:.4f} "
        f"({', '.join(verification.languages)})"
    )
    for difference in verification.differences:
        typer.echo(f"  differs: {difference}")
    raise typer.Exit(1 if verification.verdict == "differ" else 0)
