"""`clirbench run`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples, grouped, listed
from clirbench.cli.options import ClusterOptions, CorpusOptions, LoadingOptions, RestrictionOptions, VectorOptions


@dataclass(frozen=True)
class SubjectOptions:
    """Which model on which tasks."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Hub name, local folder, mteb:ORG/NAME, clirbench/NAME, MODULE:FACTORY, rrf:A+B, or sum:0.7*A+0.3*B.",
            show_default=False,
        ),
    ] = None
    vectors: Annotated[
        Path | None,
        typer.Option(help="Folder of pre-computed vectors instead of --model.", show_default=False),
    ] = None
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            "-t",
            help="Tasks, comma-separated: names, TOML files of your own, or mteb:NAME for one of mteb's.",
            show_default="the demo; with --model: the standard suite (see clirbench tasks)",
        ),
    ] = None


@dataclass(frozen=True)
class ResultOptions:
    """What becomes of the results, and what a run may do."""

    allow_zero_vectors: Annotated[
        bool, typer.Option("--allow-zero-vectors", help="Score all-zero vectors as lost instead of stopping.")
    ] = False
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results.")] = Path("results")
    force: Annotated[bool, typer.Option("--force", help="Run again and replace results that are there.")] = False
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep vectors.")] = False
    pairs: Annotated[bool, typer.Option("--pairs", help="Also print the table of language pairs.")] = False
    price_per_million: Annotated[
        float | None,
        typer.Option(help="Dollars that an API takes for a million tokens, to be told the cost.", show_default=False),
    ] = None


@app.command(
    epilog=examples(
        "clirbench run",
        "clirbench run --model intfloat/multilingual-e5-small",
        "clirbench run --model path/to/folder --languages en,th",
        "clirbench run --model rrf:clirbench/bm25+clirbench/hybrid --tasks demo",
    )
)
@grouped
def run(
    subject: SubjectOptions,
    restriction: RestrictionOptions,
    loading: LoadingOptions,
    vectors: VectorOptions,
    result: ResultOptions,
    corpus: CorpusOptions,
    cluster: ClusterOptions,
) -> None:
    """Evaluate an encoder; without --model, the bundled one on the embedded demo task."""
    from clirbench.cli.display.results import mteb_table, pair_table, print_summary
    from clirbench.cli.run_tasks import RunRequest, run_tasks
    from clirbench.encoders.base import EncoderOptions
    from clirbench.evaluation.streaming.options import Streaming
    from clirbench.support.terminal import stdout

    streaming = Streaming(
        data=corpus.data,
        vectors=subject.vectors,
        shard=corpus.shard_size,
        top=corpus.save_top,
        **asdict(cluster),
    )
    request = RunRequest(
        model=subject.model,
        tasks=listed(subject.tasks, "--tasks"),
        languages=restriction.language_list,
        settings=restriction.setting_list,
        options=EncoderOptions(**asdict(loading), **vectors.values),
        output=result.output,
        force=result.force,
        use_cache=not result.no_cache,
        allow_zero_vectors=result.allow_zero_vectors,
        streaming=streaming,
        price=result.price_per_million,
    )
    outcome = run_tasks(request)
    console = stdout()
    if outcome.results:
        print_summary([document for document, _ in outcome.results], console)
    if outcome.mteb_results:
        console.print(mteb_table([document for document, _ in outcome.mteb_results], console))
    for document, path in outcome.results:
        if result.pairs:
            console.print(pair_table(document, document.task.metrics[0], console))
        console.print(f"{document.task.id}: {path}", markup=False, soft_wrap=True)
    for theirs, path in outcome.mteb_results:
        console.print(f"mteb:{theirs.task}: {path}", markup=False, soft_wrap=True)
    console.print(outcome.next_step, markup=False, soft_wrap=True)
