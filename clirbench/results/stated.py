"""What a result states about how its texts were encoded, in words: for the screen, the site and a model card."""

from clirbench.encoders.describe import SHOWN
from clirbench.results.schema import Document


def stated_settings(document: Document) -> dict[str, str]:
    """The prompts and the similarity with their sources, the lengths, the precision, the tasks and the variant of a result."""
    encoder, provenance = document.encoder, document.provenance
    sources = provenance.model_dump() if provenance else {}
    saved, output = sources.get("saved_dtype"), sources.get("output_dtype")
    lengths = encoder.query_max_length, encoder.candidate_max_length
    stated = {
        "query prompt": _prompt(encoder.query_prompt, sources.get("query_prompt")),
        "candidate prompt": _prompt(encoder.candidate_prompt, sources.get("candidate_prompt")),
        "similarity": encoder.similarity + _source(sources.get("similarity")),
        "longest query": _length(lengths[0]),
        "longest candidate": _length(lengths[1]),
        "weights": encoder.dtype + (f", saved in {saved}" if saved not in (None, encoder.dtype) else ""),
    }
    tasks = {"query task": encoder.query_task, "candidate task": encoder.candidate_task}
    stated |= {role: task for role, task in tasks.items() if task is not None}
    if output is not None:
        stated["vectors"] = output
    if encoder.variant:
        stated["variant"] = encoder.variant
    sample = encoder.transform_sample or encoder.quantise_sample
    if sample is not None:
        stated["fitted on"] = "the candidates of the run" if sample == "pool" else f"a file of texts, {sample}"
    return stated


def _prompt(prompt: str, source: str | None) -> str:
    return (repr(prompt) if prompt else "none") + _source(source)


def _source(source: str | None) -> str:
    return f" ({SHOWN[source]})" if source in SHOWN and source != "none" else ""


def _length(tokens: int | None) -> str:
    return "no stated limit" if tokens is None else f"{tokens:,} tokens"
