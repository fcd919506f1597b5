"""`clirbench plan`."""

from dataclasses import asdict
from typing import Annotated

import typer

from clirbench.cli.app import app, examples, grouped, listed
from clirbench.cli.options import CorpusOptions, LoadingOptions, RestrictionOptions


@app.command(
    epilog=examples(
        "clirbench plan --model intfloat/multilingual-e5-small",
        "clirbench plan --model clirbench/hybrid --languages sw,yo --workers 4",
    )
)
@grouped
def plan(
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Hub name, local folder, mteb:ORG/NAME, clirbench/NAME, or MODULE:FACTORY."),
    ],
    restriction: RestrictionOptions,
    loading: LoadingOptions,
    corpus: CorpusOptions,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", "-t", help="Tasks, comma-separated.", show_default="the first streamed task of the board"
        ),
    ] = None,
    sample: Annotated[int, typer.Option(help="Texts that are encoded for each language.")] = 256,
    workers: Annotated[int, typer.Option(help="Show up to so many workers.")] = 16,
) -> None:
    """Say what a run would take, from a measured sample: texts, tokens, hours, memory, disk, also on more workers."""
    from clirbench.cli.check_options import check_streaming
    from clirbench.cli.display.plan import plan_tables
    from clirbench.encoders.base import EncoderOptions, require_encoder
    from clirbench.encoders.load import load_encoder
    from clirbench.evaluation.streaming.forecast import forecast
    from clirbench.evaluation.streaming.options import Streaming
    from clirbench.support.progress import reporting
    from clirbench.support.terminal import stdout
    from clirbench.tasks.selection import select
    from clirbench.tasks.task_file import first_on_board, load_task

    chosen = [load_task(name) for name in listed(tasks, "--tasks") or [first_on_board(streamed=True)]]
    streaming = Streaming(data=corpus.data, shard=corpus.shard_size, top=corpus.save_top)
    check_streaming(streaming, model, chosen)
    selections = [select(task, restriction.language_list, restriction.setting_list) for task in chosen]
    with reporting() as reporter:
        encoder = require_encoder(load_encoder(model, EncoderOptions(**asdict(loading))))
        forecasts = [forecast(encoder, selection, streaming, sample, reporter) for selection in selections]
    console = stdout()
    for one in forecasts:
        console.print(plan_tables(one, encoder.info.name, workers, console))
