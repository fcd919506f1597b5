"""Commands on result files: `score`, `export`, `show`, and their `schema`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clirbench.cli.app import ResultArgument, app, examples, grouped, listed, optional
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing
from clirbench.support.terminal import stdout

if TYPE_CHECKING:
    from clirbench.results.result import Result


@dataclass(frozen=True)
class TrecRunOptions:
    """Options for a TREC run that another tool made, and for the place of its scores."""

    run: Annotated[Path | None, optional("Instead: a TREC run made elsewhere, of one language.")] = None
    task: Annotated[str | None, optional("Whose queries were run.", "the first streamed task of the board")] = None
    language: Annotated[str | None, optional("In which language.")] = None
    data: Annotated[Path | None, optional("Folder of topics and judgements.", "CLIRBENCH_MIRROR, or their host")] = None
    name: Annotated[str | None, optional("Name of the system, as ORG/NAME.", "trec/TAG")] = None
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the scores of a run.")] = Path("results")


@app.command(
    epilog=examples(
        "clirbench score results/clirbench__hybrid/demo.json",
        "clirbench score results/clirbench__hybrid/demo.json --update",
        "clirbench score --run bm25.trec --language sw",
    )
)
@grouped
def score(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RESULT.json...]", help="Result files of `clirbench run`.", show_default=False),
    ] = None,
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Add the measures of bias that results lack and their ranks give.")
    ] = False,
    trec: TrecRunOptions,
) -> None:
    """Recompute every number of results from their ranks files, and say whether they agree (exit code 1 if not).

    With --update: write the measures of bias that a result lacks into its JSON file, where its ranks give them.

    With --run: score a TREC run (BM25, late interaction, a re-ranker) with pytrec_eval.
    """
    if trec.run is not None:
        if results:
            raise ClirbenchError("--run scores a run, and result files are scored without it: give one of them")
        if update:
            raise ClirbenchError("--update adds to result files, and --run scores a run: give one of them")
        _score_run(trec.run, trec)
        return
    if not results:
        raise ClirbenchError("nothing to score: give result files, or --run RUN.trec --language LANGUAGE")
    from clirbench.results.evidence import not_recomputable
    from clirbench.results.rescore import rescore
    from clirbench.results.result import read_result

    disagree = False
    for path in results:
        result = read_result(path)
        outcome = rescore(result)
        for difference in outcome.differences[:20]:
            typer.echo(f"{difference.key}: the file says {difference.stated}, but it should be {difference.expected}")
        if len(outcome.differences) > 20:
            typer.echo(f"... and {len(outcome.differences) - 20} more")
        counted = (
            f"{outcome.compared + outcome.exact:,} numbers recomputed, {outcome.checked:,} totals checked against sums"
        )
        typer.echo(f"{path}: {counted}: {'DISAGREE' if outcome.differences else 'agree'}")
        for key, reason in not_recomputable(result.document, result.ranks).items():
            # The line above counts the totals, and what describes the model and the machine is no score.
            if key.startswith("headline"):
                typer.echo(f"{key} {reason}")
        disagree = disagree or bool(outcome.differences)
        if update:
            typer.echo(f"{path}: {_updated(result, path, bool(outcome.differences))}")
    raise typer.Exit(1 if disagree else 0)


def _updated(result: "Result", path: Path, disagrees: bool) -> str:
    """Add the measures of bias that a result lacks to the file at ``path``, and say which, or why there are none."""
    from clirbench.results.rescore import missing_bias, with_more_bias

    names, why_none = ([], "its numbers disagree with its ranks") if disagrees else missing_bias(result)
    if not names:
        return f"nothing added: {why_none}"
    with_more_bias(result, names).save_document(path)
    return f"added {', '.join(names)}"


def _score_run(run: Path, options: TrecRunOptions) -> None:
    from clirbench.cli.display.results import trec_run_table
    from clirbench.evaluation.trec_runs import read_run, score_run
    from clirbench.results.file_names import RUN_ENDING, model_folder
    from clirbench.tasks.task_file import first_on_board, load_task

    if options.language is None:
        raise ClirbenchError("--run needs --language: a run is of one language's queries")
    task = load_task(options.task or first_on_board(streamed=True))
    document = score_run(read_run(run), task, options.language, options.data, options.name, _noted)
    target = options.output / model_folder(document.model) / f"{document.task.id}+{options.language}{RUN_ENDING}"
    if target.is_file() and document.run.sha256 not in target.read_text(encoding="utf-8", errors="replace"):
        raise ClirbenchError(f"{target} holds the scores of another run: give this one a --name, or another --output")
    with writing(target, "choose another --output"):
        write_atomically(target, (document.model_dump_json(indent=1) + "\n").encode())
    console = stdout()
    console.print(trec_run_table(document, console))
    console.print(f"{document.task.id}: {target}", markup=False, soft_wrap=True)


def _noted(line: str) -> None:
    typer.echo(line, err=True)


@app.command(
    epilog=examples(
        "clirbench export results/clirbench__hybrid/demo.json --settings monolingual --metrics nDCG@10",
        "clirbench export results/clirbench__hybrid/demo.json --format mteb --output mteb-results",
    )
)
def export(
    result: ResultArgument,
    format: Annotated[  # noqa: A002
        str, typer.Option(help="trec: per-query metrics, as `trec_eval -q` prints them. mteb: its results layout.")
    ] = "trec",
    output: Annotated[Path | None, optional("File, or for mteb a folder.", "standard output", "--output", "-o")] = None,
    settings: Annotated[str | None, optional("Only these settings, comma-separated.")] = None,
    metrics: Annotated[str | None, optional("Only these metrics, comma-separated.")] = None,
) -> None:
    """Write a result in the format of another tool."""
    from clirbench.results.result import read_result
    from clirbench.results.trec_export import trec_lines

    if format == "mteb":
        _export_mteb(result, output, settings, metrics)
        return
    if format != "trec":
        raise ClirbenchError(f"--format is '{format}': use trec or mteb")
    lines = trec_lines(read_result(result), listed(settings, "--settings"), listed(metrics, "--metrics"))
    if output is None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    if not output.name or output.is_dir():
        raise ClirbenchError(f"--output is '{output}', a folder: name a file")
    content = "".join(f"{line}\n" for line in lines)
    with writing(output, "choose another --output"):
        write_atomically(output, content.encode())
    typer.echo(f"{output}: {content.count(chr(10)):,} lines")


def _export_mteb(result: Path, output: Path | None, settings: str | None, metrics: str | None) -> None:
    from clirbench.integrations.mteb_results import export as export_mteb
    from clirbench.results.result import read_result

    if settings is not None or metrics is not None:
        raise ClirbenchError("--settings and --metrics serve --format trec: mteb's layout has all that mteb knows")
    if output is None:
        raise ClirbenchError("--format mteb writes several files: name a folder with --output")
    for path in export_mteb(read_result(result), output, result):
        typer.echo(path)


@app.command(
    epilog=examples(
        "clirbench show results/clirbench__hybrid/demo.json",
        "clirbench show results/clirbench__hybrid/demo.json --metric nDCG@10",
        "clirbench show results/clirbench__hybrid/demo.json --page _page",
    )
)
def show(
    result: ResultArgument,
    metric: Annotated[str | None, optional("Metric of the table of language pairs.", "the task's first")] = None,
    page: Annotated[Path | None, typer.Option(help="Write a page of it into this folder, replaced as a whole.")] = None,
) -> None:
    """Print a result again: every headline number, languages and language pairs, and how its texts were encoded."""
    from clirbench.cli.display.results import (
        headline_tables,
        pair_table,
        print_summary,
        script_tables,
        settings_table,
    )
    from clirbench.results.result import read_result

    read = read_result(result)
    document = read.document
    metric = metric or document.main_metric
    if metric not in document.task.metrics:
        raise ClirbenchError(f"{result} holds no metric '{metric}': choose from {', '.join(document.task.metrics)}")
    console = stdout()
    if page is not None:
        from clirbench.board.site.build import build_result_page

        console.print(f"open {build_result_page(read, page)}", soft_wrap=True, markup=False, highlight=False)
        return
    print_summary([document], console)
    console.print(headline_tables(document, console))
    console.print(pair_table(document, metric, console))
    console.print(script_tables(document, metric, console))
    console.print(settings_table(document, console))


@app.command(epilog=examples("clirbench schema > result.schema.json"))
def schema() -> None:
    """Print the JSON Schema of a result file."""
    from clirbench.results.schema import Submitted

    typer.echo(json.dumps(Submitted.json_schema(), indent=1))
