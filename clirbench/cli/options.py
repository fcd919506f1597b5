"""Groups of options that several commands take, each declared once (see :func:`clirbench.cli.app.grouped`)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from clirbench.cli.app import listed


@dataclass(frozen=True)
class RestrictionOptions:
    """Which languages and settings."""

    languages: Annotated[
        str | None,
        typer.Option(
            help="Only these languages, comma-separated; a result says that it is restricted.", show_default=False
        ),
    ] = None
    settings: Annotated[
        str | None,
        typer.Option(
            help="Only these settings: monolingual, cross-lingual, multilingual; a result says so.", show_default=False
        ),
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
    """How the model is loaded and called."""

    batch_size: Annotated[int, typer.Option(help="Texts per batch.")] = 32
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...", show_default=False)] = None
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.", show_default=False)] = None
    max_length: Annotated[int | None, typer.Option(help="Longest input, in tokens.", show_default=False)] = None
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.", show_default=False)] = None
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that the model brings.")] = (
        False
    )


@dataclass(frozen=True)
class VectorOptions:
    """What is put before the texts, and what is done with their vectors."""

    query_prompt: Annotated[
        str | None,
        typer.Option(help='Put before each query, e.g. "query: ".', show_default="the model's"),
    ] = None
    candidate_prompt: Annotated[
        str | None, typer.Option(help="Put before each candidate.", show_default="the model's")
    ] = None
    similarity: Annotated[str | None, typer.Option(help="cosine, dot or euclidean.", show_default="the model's")] = None
    name: Annotated[
        str | None, typer.Option(help="Name in results, as ORG/NAME, for a local model.", show_default=False)
    ] = None
    transform: Annotated[
        str | None,
        typer.Option(help="Remove language bias from the vectors: center, lir:K or lsar:K.", show_default=False),
    ] = None
    transform_sample: Annotated[
        Path | None,
        typer.Option(help="JSON Lines of texts to fit the transform on.", show_default="the candidates"),
    ] = None

    @property
    def values(self) -> dict[str, Any]:
        """The options as :class:`clirbench.EncoderOptions` takes them."""
        sample = None if self.transform_sample is None else str(self.transform_sample)
        return {**asdict(self), "transform_sample": sample}


@dataclass(frozen=True)
class CorpusOptions:
    """How the corpus of a streamed task is read."""

    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a streamed task's corpus, or of the data of an mteb: task.",
            show_default="CLIRBENCH_MIRROR, or the hub",
        ),
    ] = None
    shard_size: Annotated[int, typer.Option(help="Passages that are counted at a time.")] = 20_000
    save_top: Annotated[
        int, typer.Option(help="Also write a TREC run with so many passages per query.", show_default="none")
    ] = 0


@dataclass(frozen=True)
class ClusterOptions:
    """Where the shards are counted."""

    engine: Annotated[str, typer.Option(help="local, or ray: the same shards on a Ray cluster.")] = "local"
    ray_address: Annotated[
        str | None, typer.Option(help='Of the cluster; "auto" on one of its nodes.', show_default="one on this machine")
    ] = None
    workers: Annotated[int | None, typer.Option(help="Ray workers.", show_default="as many as there is room for")] = (
        None
    )
    gpus_per_worker: Annotated[float, typer.Option(help="GPUs of a Ray worker.")] = 0
