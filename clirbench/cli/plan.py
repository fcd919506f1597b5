"""`clirbench plan`."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples, listed


@app.command(
    epilog=examples(
        "clirbench plan --model intfloat/multilingual-e5-small",
        "clirbench plan --model clirbench/hybrid --languages sw,yo --workers 4",
    )
)
def plan(  # noqa: PLR0917
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Hub name, local folder, mteb:ORG/NAME, clirbench/NAME, or MODULE:FACTORY."),
    ],
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", "-t", help="Tasks, comma-separated.", show_default="the first streamed task of the board"
        ),
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="Only these languages, comma-separated.", show_default=False)
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help="Only these settings, comma-separated.", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts per batch.")] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...", show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.", show_default=False)] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest input, in tokens.", show_default=False)] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.", show_default=False)] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that the model brings.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of a streamed task's corpus.", show_default="CLIRBENCH_MIRROR, or the hub"),
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Passages that are counted at a time.")] = 20_000,
    save_top: Annotated[int, typer.Option(help="Passages per query of the TREC runs.", show_default="none")] = 0,
    sample: Annotated[int, typer.Option(help="Texts that are encoded for each language.")] = 256,
    workers: Annotated[int, typer.Option(help="Show up to so many workers.")] = 16,
) -> None:
    """Say what a run would take, from a measured sample: texts, tokens, hours, memory, disk, also on more workers."""
    from clirbench.cli.check_options import check_streaming  # noqa: PLC0415
    from clirbench.cli.display.plan import plan_tables  # noqa: PLC0415
    from clirbench.encoders.base import EncoderOptions  # noqa: PLC0415
    from clirbench.encoders.load import load_encoder  # noqa: PLC0415
    from clirbench.evaluation.streaming.estimate import estimate  # noqa: PLC0415
    from clirbench.evaluation.streaming.options import Streaming  # noqa: PLC0415
    from clirbench.support.progress import reporting  # noqa: PLC0415
    from clirbench.support.terminal import stdout  # noqa: PLC0415
    from clirbench.tasks.collection import choose_languages, choose_settings  # noqa: PLC0415
    from clirbench.tasks.task_file import first_on_board, load_task  # noqa: PLC0415

    chosen = [load_task(name) for name in listed(tasks, "--tasks") or [first_on_board(streamed=True)]]
    streaming = Streaming(data=data, shard=shard_size, top=save_top)
    check_streaming(streaming, model, chosen)
    wanted = [
        (
            choose_languages(task, listed(languages, "--languages")),
            choose_settings(task, listed(settings, "--settings"), listed(languages, "--languages")),
        )
        for task in chosen
    ]
    options = EncoderOptions(
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        max_length=max_length,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    with reporting() as reporter:
        loaded = load_encoder(model, options)
        found = [
            estimate(loaded, task, *which, streaming=streaming, sample=sample, reporter=reporter)
            for task, which in zip(chosen, wanted, strict=True)
        ]
    console = stdout()
    for one in found:
        console.print(plan_tables(one, loaded.info.name, workers, console))
