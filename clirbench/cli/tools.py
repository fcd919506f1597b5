"""Commands for model authors: `gate`, `card`, `inspect`, `doctor`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import ResultArgument, app, examples, grouped, optional
from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import cache_dir
from clirbench.support.progress import reporting
from clirbench.support.terminal import plain_table, stdout


@app.command(
    epilog=examples(
        "clirbench gate new/TASK.json --baseline old/TASK.json",
        "clirbench gate new/TASK.json --baseline old/TASK.json --max-drop 1 --max-distance-increase 5%",
    )
)
def gate(
    result: ResultArgument,
    baseline: Annotated[Path, typer.Option(help="Result to compare with: same task, languages and settings.")],
    max_drop: Annotated[float, typer.Option(help="Points of 100 that a setting may lose.")] = 0.5,
    max_distance_increase: Annotated[
        str | None, optional("How much rank distance may grow, such as 5%.", "not looked at")
    ] = None,
    metric: Annotated[str | None, optional("Metric of the settings.", "the task's first")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also fail where a loss may be chance.")] = False,
) -> None:
    """Fail (exit code 1) where a model lost more than it may, and the loss is not chance.

    A loss beyond the limit that the paired test over topics cannot tell from chance is "unclear": it fails only with --strict.
    """
    from clirbench.cli.display.board import gate_table
    from clirbench.results.gate import gate as judge
    from clirbench.results.result import read_result

    checks = judge(read_result(result), read_result(baseline), max_drop, max_distance_increase, metric)
    console = stdout()
    console.print(gate_table(checks, console))
    verdicts = {check.verdict for check in checks}
    failed = "fail" in verdicts or (strict and "unclear" in verdicts)
    typer.echo("FAIL" if failed else "pass" if verdicts == {"pass"} else "pass (unclear: see above)")
    raise typer.Exit(1 if failed else 0)


@app.command(
    epilog=examples(
        "clirbench card results/me__model/demo.json",
        "clirbench card results/me__model/*.json --update path/to/model/README.md",
        "clirbench card results/me__model/*.json --eval-results path/to/model",
    )
)
def card(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT.json...", help="Results of one model.")],
    update: Annotated[Path | None, optional("Model card to put the scores into, such as README.md.")] = None,
    eval_results: Annotated[Path | None, optional("Model's folder, for the .eval_results that the hub shows.")] = None,
) -> None:
    """Print the scores as the `model-index` of a model card, or put them into one, or into `.eval_results`."""
    from clirbench.results.model_card import card_yaml, update_card, write_eval_results
    from clirbench.results.result import read_result

    scored = [read_result(path) for path in results]
    if eval_results is not None:
        for path in write_eval_results(scored, eval_results):
            typer.echo(str(path))
    if update is None:
        if eval_results is None:
            typer.echo(card_yaml(scored))
        return
    if update.is_dir():
        raise ClirbenchError(f"--update is '{update}', a folder: name its README.md")
    number = update_card(scored, update)
    typer.echo(f"{update}: {number} scores of {', '.join(result.document.task.id for result in scored)}")


@dataclass(frozen=True)
class RunAgain:
    """Options that say where the model and the data of a result are, to encode a few queries again."""

    model: Annotated[str | None, optional("Where the model is now, as of `run`.", "the result's name")] = None
    task: Annotated[str | None, optional("TOML file of a task of your own.")] = None
    device: Annotated[str | None, optional("cpu, cuda, mps ...")] = None
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that the model brings.")] = (
        False
    )
    safe: Annotated[bool | None, optional("As of `run`.", "as of `run`", "--safe/--no-safe")] = None
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help="Unpickle weights in .bin files.")] = False
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Encode again instead of reading the cache.")] = False


@app.command(
    epilog=examples(
        "clirbench inspect results/clirbench__hybrid/demo.json --query-language th",
        "clirbench inspect results/me__model/demo.json --query-language hi --worst 5 --model path/to/model",
    )
)
@grouped
def inspect(
    result: ResultArgument,
    query_language: Annotated[str | None, optional("Whose queries to look at.", "you are told which there are")] = None,
    worst: Annotated[int, typer.Option(help="How many topics, worst first.")] = 10,
    *,
    again: RunAgain,
) -> None:
    """Show what outranked the answers: per topic the question, its golds, and what stands before them."""
    from clirbench.cli.display.inspection import inspection_tables
    from clirbench.results.inspect import inspect_result
    from clirbench.results.reload_model import ModelAt
    from clirbench.results.result import read_result

    with reporting() as reporter:
        inspection = inspect_result(
            read_result(result),
            query_language,
            worst,
            task=again.task,
            model=ModelAt(again.model, again.device, again.trust_remote_code, again.safe, again.allow_pickle),
            cache=None if again.no_cache else cache_dir() / "vectors",
            reporter=reporter,
        )
    console = stdout()
    console.print(inspection_tables(inspection, console))


@app.command(epilog=examples("clirbench doctor", "clirbench doctor --offline"))
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask whether the hub can be reached.")] = False,
) -> None:
    """Say what is here and what is missing: versions, device, cache, mirror, hub, and what each feature needs."""
    from clirbench.cli.doctor import diagnose

    console = stdout()
    headings = ("what", "state", "found")
    table = plain_table(console, headings, left=headings)
    for diagnosis in diagnose(not offline):
        table.add_row(diagnosis.what, diagnosis.state, diagnosis.detail)
    console.print(table)
