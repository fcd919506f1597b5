"""`clirbench run`, and `clirbench plan`, which forecasts the time, memory and disk of a run."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from clirbench.cli.app import app, examples, grouped, listed, optional
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import reporting
from clirbench.support.terminal import stdout


@dataclass(frozen=True)
class RestrictionOptions:
    """Options that choose languages and settings."""

    languages: Annotated[
        str | None,
        optional(
            "Only these languages, comma-separated; a result says that it is restricted. 'all' is all languages of the data."
        ),
    ] = None
    settings: Annotated[
        str | None, optional("Only these settings: monolingual, cross-lingual, multilingual; a result says so.")
    ] = None

    @property
    def language_list(self) -> list[str] | None:
        """The languages; None for all."""
        return listed(self.languages, "--languages")

    @property
    def setting_list(self) -> list[str] | None:
        """The settings; None for all."""
        return listed(self.settings, "--settings")


@dataclass(frozen=True)
class LoadingOptions:
    """Options for loading and calling the model."""

    batch_size: Annotated[int, typer.Option(help="Texts per batch.")] = 32
    device: Annotated[
        str | None, optional("cpu, cuda, cuda:1, mps ...; several, as cuda:0,cuda:1 or cpu,cpu, encode together.")
    ] = None
    dtype: Annotated[str | None, optional("float32, float16 or bfloat16.")] = None
    backend: Annotated[str | None, optional("onnx or openvino, in the place of torch.")] = None
    max_length: Annotated[int | None, optional("Longest query and candidate, in tokens.")] = None
    revision: Annotated[
        str | None, optional("Branch, tag or commit on the hub; for a server's model, a text of your own.")
    ] = None
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that the model brings.")] = (
        False
    )
    safe: Annotated[
        bool | None,
        optional(
            "Load only files, keys and classes that are known to run nothing.",
            "safe for hub names, unless an option asks for more",
            "--safe/--no-safe",
        ),
    ] = None
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Unpickle weights in .bin files, which can run code.")
    ] = False


@dataclass(frozen=True)
class VectorOptions:
    """Options for prompts before the texts, and for the use of their vectors."""

    prompts: Annotated[
        str | None,
        optional(
            "Whose prompts: registry (mteb's), model or none.", "registry for hub names that it knows, else model"
        ),
    ] = None
    query_prompt: Annotated[
        str | None, optional('Put before each query, e.g. "query: "; "" for nothing.', "see --prompts")
    ] = None
    candidate_prompt: Annotated[str | None, optional("Put before each candidate.", "see --prompts")] = None
    query_prompt_name: Annotated[str | None, optional("Name of a prompt of the model, for queries.", "none")] = None
    candidate_prompt_name: Annotated[str | None, optional("Name of a prompt of the model, for candidates.", "none")] = (
        None
    )
    encode_task: Annotated[
        str | None, optional("Adapter of a model that has several: NAME, or QUERY,CANDIDATE.", "the model's")
    ] = None
    similarity: Annotated[
        str | None, optional("cosine, dot or euclidean.", "mteb's for hub names that it knows, else the model's")
    ] = None
    name: Annotated[str | None, optional("Name in results, as ORG/NAME, for a local model.")] = None
    transform: Annotated[str | None, optional("Remove language bias from the vectors: center, lir:K or lsar:K.")] = None
    transform_sample: Annotated[
        Path | None, optional("JSON Lines of texts to fit the transform on.", "the candidates")
    ] = None
    truncate_dim: Annotated[int | None, optional("Number of first dimensions that are kept.", "all")] = None
    quantise: Annotated[
        str | None, optional("Round the vectors: int8, or binary, compared by Hamming distance.", "no")
    ] = None
    quantise_sample: Annotated[
        Path | None, optional("JSON Lines of texts to fit the ranges of int8 on.", "the candidates")
    ] = None
    depth: Annotated[int | None, optional("Candidates that the second stage of rerank:A+B orders again.")] = None

    @property
    def values(self) -> dict[str, Any]:
        """The options as :class:`clirbench.EncoderOptions` takes them."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class CorpusOptions:
    """Options for reading the corpus of a streamed task."""

    data: Annotated[
        Path | None,
        optional(
            "Folder of a streamed task's corpus, or of the data of an mteb: task.", "CLIRBENCH_MIRROR, or the hub"
        ),
    ] = None
    shard_size: Annotated[int, typer.Option(help="Passages that are counted at a time.")] = 20_000
    save_top: Annotated[int, optional("Also write a TREC run with so many passages per query.", "none")] = 0

    @property
    def values(self) -> dict[str, Any]:
        """The options as :class:`~clirbench.evaluation.streaming.options.Streaming` takes them."""
        return {"data": self.data, "shard": self.shard_size, "top": self.save_top}


@dataclass(frozen=True)
class ClusterOptions:
    """Options for the place where shards are counted."""

    engine: Annotated[str, typer.Option(help="local, or ray: the same shards on a Ray cluster.")] = "local"
    ray_address: Annotated[
        str | None, optional('Of the cluster; "auto" on one of its nodes.', "one on this machine")
    ] = None
    workers: Annotated[int | None, optional("Ray workers.", "as many as there is room for")] = None
    gpus_per_worker: Annotated[float, typer.Option(help="GPUs of a Ray worker.")] = 0


@dataclass(frozen=True)
class SubjectOptions:
    """Options that choose the model and the tasks."""

    model: Annotated[
        str | None,
        optional(
            "Hub name, local folder, mteb:ORG/NAME, clirbench/NAME, MODULE:FACTORY, a server's http://HOST:PORT/v1#MODEL, "
            "rrf:A+B, sum:0.7*A+0.3*B, or rerank:A+B.",
            False,
            "--model",
            "-m",
        ),
    ] = None
    vectors: Annotated[Path | None, optional("Folder of pre-computed vectors instead of --model.")] = None
    tasks: Annotated[
        str | None,
        optional(
            "Tasks, comma-separated: names, TOML files of your own, or mteb:NAME for one of mteb's.",
            "the demo; with --model: the standard suite (see clirbench tasks)",
            "--tasks",
            "-t",
        ),
    ] = None


@dataclass(frozen=True)
class ResultOptions:
    """Options for the results, and for what a run may do."""

    allow_zero_vectors: Annotated[
        bool, typer.Option("--allow-zero-vectors", help="Score all-zero vectors as lost instead of stopping.")
    ] = False
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results.")] = Path("results")
    force: Annotated[bool, typer.Option("--force", help="Run again and replace results that are there.")] = False
    count_on: Annotated[
        str,
        typer.Option(
            help="Where ranks are counted: auto (the encoder's GPU, else the processor), cpu, or device (a GPU)."
        ),
    ] = "auto"
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep vectors.")] = False
    pairs: Annotated[bool, typer.Option("--pairs", help="Also print the table of language pairs.")] = False
    price_per_million: Annotated[
        float | None, optional("Dollars that an API takes for a million tokens, to be told the cost.")
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
        count_on=result.count_on,
        streaming=Streaming(vectors=subject.vectors, **corpus.values, **asdict(cluster)),
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
            console.print(pair_table(document, document.main_metric, console))
        console.print(f"{document.task.id}: {path}", markup=False, soft_wrap=True)
    for theirs, path in outcome.mteb_results:
        console.print(f"mteb:{theirs.task}: {path}", markup=False, soft_wrap=True)
    console.print(outcome.next_step, markup=False, soft_wrap=True)


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
        str | None, optional("Tasks, comma-separated.", "the first streamed task of the board", "--tasks", "-t")
    ] = None,
    sample: Annotated[int, typer.Option(help="Texts of each language that are encoded at most.")] = 256,
    workers: Annotated[int, typer.Option(help="Show up to so many workers.")] = 16,
) -> None:
    """Say what a run would take, from a measured sample: texts, tokens, hours, memory, disk, also on more workers."""
    from clirbench.cli.check_options import check_streaming
    from clirbench.cli.display.plan import plan_tables
    from clirbench.encoders.base import EncoderOptions, require_encoder
    from clirbench.encoders.load import load_encoder
    from clirbench.evaluation.streaming.first_pass import refuse_api
    from clirbench.evaluation.streaming.forecast import forecast
    from clirbench.evaluation.streaming.options import Streaming
    from clirbench.tasks.selection import select
    from clirbench.tasks.task_file import first_on_board, load_task

    if model.startswith("rerank:"):
        raise ClirbenchError("plan measures models of one stage: pass FIRST of rerank:FIRST+RERANKER as --model")
    chosen = [load_task(name) for name in listed(tasks, "--tasks") or [first_on_board(streamed=True)]]
    streaming = Streaming(**corpus.values)
    check_streaming(streaming, model, chosen)
    selections = [select(task, restriction.language_list, restriction.setting_list) for task in chosen]
    with reporting() as reporter:
        encoder = require_encoder(load_encoder(model, EncoderOptions(**asdict(loading))))
        refuse_api(encoder, chosen[0].id)
        forecasts = [forecast(encoder, selection, streaming, sample, reporter) for selection in selections]
    console = stdout()
    for one in forecasts:
        console.print(plan_tables(one, encoder.info.name, workers, console))
