"""`clirbench run`."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples, listed


@app.command(
    epilog=examples(
        "clirbench run",
        "clirbench run --model intfloat/multilingual-e5-small",
        "clirbench run --model path/to/folder --languages en,th",
        "clirbench run --model rrf:clirbench/bm25+clirbench/hybrid --tasks demo",
    )
)
def run(  # noqa: PLR0917
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Hub name, local folder, mteb:ORG/NAME, clirbench/NAME, MODULE:FACTORY, rrf:A+B, or sum:0.7*A+0.3*B.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            "-t",
            help="Tasks, comma-separated: names, TOML files of your own, or mteb:NAME for one of mteb's.",
            show_default="the demo; with --model: the standard suite (see clirbench tasks)",
        ),
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option(
            help="Only these languages, comma-separated; the result is marked as restricted.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            help="Only these settings: monolingual, cross-lingual, multilingual; marked as restricted.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts per batch.")] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...", show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.", show_default=False)] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest input, in tokens.", show_default=False)] = None,
    query_prompt: Annotated[
        str | None,
        typer.Option(help='Put before each query, e.g. "query: ".', show_default="the model's"),
    ] = None,
    candidate_prompt: Annotated[
        str | None, typer.Option(help="Put before each candidate.", show_default="the model's")
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="cosine, dot or euclidean.", show_default="the model's")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.", show_default=False)] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that the model brings.")
    ] = False,
    allow_zero_vectors: Annotated[
        bool, typer.Option("--allow-zero-vectors", help="Score all-zero vectors as lost instead of stopping.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name in results, as ORG/NAME, for a local model.", show_default=False)
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(help="Remove language bias from the vectors: center, lir:K or lsar:K.", show_default=False),
    ] = None,
    transform_sample: Annotated[
        Path | None,
        typer.Option(help="JSON Lines of texts to fit the transform on.", show_default="the candidates"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Run again and replace results that are there.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep vectors.")] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also print the table of language pairs.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a streamed task's corpus, or of the data of an mteb: task.",
            show_default="CLIRBENCH_MIRROR, or the hub",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Folder of pre-computed vectors instead of --model.", show_default=False),
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Passages that are counted at a time.")] = 20_000,
    save_top: Annotated[
        int, typer.Option(help="Also write a TREC run with so many passages per query.", show_default="none")
    ] = 0,
    engine: Annotated[str, typer.Option(help="local, or ray: the same shards on a Ray cluster.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help='Of the cluster; "auto" on one of its nodes.', show_default="one on this machine")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ray workers.", show_default="as many as there is room for")
    ] = None,
    gpus_per_worker: Annotated[float, typer.Option(help="GPUs of a Ray worker.")] = 0,
    price_per_million: Annotated[
        float | None,
        typer.Option(help="Dollars that an API takes for a million tokens, to be told the cost.", show_default=False),
    ] = None,
) -> None:
    """Evaluate an encoder; without --model, the bundled one on the embedded demo task."""
    from clirbench.cli.run_tasks import Plan, run_tasks  # noqa: PLC0415
    from clirbench.encoders.base import EncoderOptions  # noqa: PLC0415
    from clirbench.evaluation.streaming.options import Streaming  # noqa: PLC0415

    options = EncoderOptions(
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        max_length=max_length,
        query_prompt=query_prompt,
        candidate_prompt=candidate_prompt,
        similarity=similarity,
        revision=revision,
        trust_remote_code=trust_remote_code,
        name=name,
        transform=transform,
        transform_sample=None if transform_sample is None else str(transform_sample),
    )
    plan = Plan(
        model=model,
        tasks=listed(tasks, "--tasks"),
        languages=listed(languages, "--languages"),
        settings=listed(settings, "--settings"),
        options=options,
        output=output,
        force=force,
        use_cache=not no_cache,
        allow_zero_vectors=allow_zero_vectors,
        streaming=Streaming(
            data=data,
            vectors=vectors,
            shard=shard_size,
            top=save_top,
            engine=engine,
            ray_address=ray_address,
            workers=workers,
            gpus_per_worker=gpus_per_worker,
        ),
        price=price_per_million,
    )
    from clirbench.cli.display.results import mteb_table, pair_table, print_summary  # noqa: PLC0415
    from clirbench.support.terminal import stdout  # noqa: PLC0415

    outcome = run_tasks(plan)
    console = stdout()
    if outcome.results:
        print_summary([document for document, _ in outcome.results], console)
    if outcome.mteb_results:
        console.print(mteb_table([document for document, _ in outcome.mteb_results], console))
    for document, path in outcome.results:
        if pairs:
            console.print(pair_table(document, document.task.metrics[0], console))
        console.print(f"{document.task.id}: {path}", markup=False, soft_wrap=True)
    for theirs, path in outcome.mteb_results:
        console.print(f"mteb:{theirs.task}: {path}", markup=False, soft_wrap=True)
    console.print(outcome.next_step, markup=False, soft_wrap=True)
