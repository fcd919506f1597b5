"""What mteb's registry says of a model of the hub, without loading the model and without the network."""

import warnings
from dataclasses import dataclass
from typing import Any

# Loaders of mteb that put a prompt before each text, and do nothing else to it.
_PLAIN = (
    "SentenceTransformerEncoderWrapper",
    "SparseEncoderWrapper",
    "MultiVectorWrapper",
    "sentence_transformers_loader",
)
_INSTRUCT = "InstructSentenceTransformerModel"
# Arguments of those loaders that do not change a text's vector, or that clirbench uses.
_HANDLED = (
    "apply_instruction_to_passages",
    "config_kwargs",
    "device",
    "instruction_template",
    "max_samples",
    "model_prompts",
    "num_frames",
    "prompt_priority",
    "prompts_dict",
    "trust_remote_code",
)


@dataclass(frozen=True)
class Registered:
    """An entry of mteb's registry.

    ``prompts`` are those of a query and of a candidate; None where mteb leaves them to the model. ``similarity`` is None where
    mteb names none. ``loader`` names the code of its own that mteb runs the model through; then the prompts are not known.
    ``more`` are other arguments that mteb loads the model with.
    """

    prompts: tuple[str, str] | None = None
    similarity: str | None = None
    loader: str | None = None
    more: tuple[str, ...] = ()


def registered(name: str) -> Registered | None:
    """Look a hub name up in mteb's registry; None where mteb does not know it."""
    import mteb

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            meta = mteb.get_model_meta(name)
    except KeyError:
        return None
    similarity = getattr(meta.similarity_fn_name, "value", None)
    given: dict[str, Any] = dict(meta.loader_kwargs or {})
    loader = getattr(meta.loader, "__name__", None)
    if loader is None:
        return Registered(similarity=similarity)
    if loader not in (*_PLAIN, _INSTRUCT):
        return Registered(similarity=similarity, loader=loader)
    more = tuple(f"{key}={_shown(value)}" for key, value in given.items() if key not in _HANDLED)
    if loader != _INSTRUCT and not given.get("model_prompts"):
        return Registered(similarity=similarity, more=more)
    stand_in = _stand_in(given)
    prompts = prompt_of(stand_in, "query"), prompt_of(stand_in, "document")
    return Registered(prompts, similarity, more=more)


def prompt_of(model: Any, prompt_type: str) -> str:
    """Find the prompt or instruction that an mteb encoder puts before a "query" or "document"; "" where it does not say."""
    from mteb.types import PromptType

    kind, task = PromptType(prompt_type), task_metadata()
    if getattr(model, "instruction_template", None) and hasattr(model, "get_task_instruction"):
        if kind == PromptType.document and not getattr(model, "apply_instruction_to_passages", True):
            return ""
        return str(model.get_task_instruction(task, kind))
    if not hasattr(model, "get_prompt_name"):
        return ""
    name = model.get_prompt_name(task, kind)
    return str((getattr(model, "model_prompts", None) or {}).get(name, "") or "")


def task_metadata() -> Any:
    """Describe a retrieval task to mteb's encoders, so that they choose their prompts for retrieval."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name="CLIRBench",
        # mteb gives an instruction model this text for a retrieval task that has no instruction of its own.
        prompt=AbsTaskRetrieval.abstask_prompt,
        description="Question to answer sentence retrieval in one language, across languages and in a multilingual pool.",
        reference=None,
        dataset={"path": "clirbench/clirbench", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="map_at_1000",
        bibtex_citation="",
    )


def _stand_in(given: dict[str, Any]) -> Any:
    """An encoder of mteb's that has the prompts of these arguments and no model: mteb itself then chooses the prompt."""
    from mteb.models.abs_encoder import AbsEncoder

    # The abstract class asks for this method, and nothing calls it.
    encoder: Any = type("StandIn", (AbsEncoder,), {"encode": None})()
    for key in ("model_prompts", "instruction_template", "prompts_dict"):
        setattr(encoder, key, given.get(key))
    encoder.apply_instruction_to_passages = given.get("apply_instruction_to_passages", True)
    if given.get("prompt_priority"):
        # Older releases of mteb have no order of sources, and no model that asks for one.
        from mteb.models.abs_encoder import PromptSource

        encoder.prompt_priority = [PromptSource.from_str(source) for source in given["prompt_priority"]]
    return encoder


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_shown(one)}" for key, one in value.items())
    return str(getattr(value, "value", value))
