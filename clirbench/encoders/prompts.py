"""The prompts and the similarity that a model of sentence-transformers is run with, and where each of them comes from."""

from dataclasses import dataclass
from typing import Any

from clirbench.encoders.adapters import asked_tasks
from clirbench.encoders.base import SIMILARITIES, EncoderOptions, SettingSources, Source
from clirbench.encoders.registry import Registered, registered
from clirbench.support.errors import ClirbenchError

# Names under which sentence-transformers looks for the prompt of a role; the first one that the model has is used.
_NAMES = {"query": ("query",), "candidate": ("document", "passage", "corpus")}
_NAMED = 6


@dataclass(frozen=True)
class Chosen:
    """What is put before each query and candidate, how vectors are compared, where it comes from, and what to tell the user."""

    query_prompt: str
    candidate_prompt: str
    similarity: str
    sources: SettingSources
    notes: tuple[str, ...]


def look_up(name: str | None, options: EncoderOptions, on_hub: bool) -> Registered | None:
    """Ask mteb's registry for a model; None where it is not asked, or does not know the model.

    The registry is asked for the names of the hub, and for any name if the options say so.

    Raises:
        ClirbenchError: The options ask for the registry's prompts, and it has none for this name.
    """
    if options.prompts != "registry":
        settled = options.prompts is not None and options.similarity is not None
        return registered(name) if name and on_hub and not settled else None
    entry = registered(name) if name else None
    if entry is None:
        label = f"'{name}'" if name else "a model without --name"
        raise ClirbenchError(
            f"--prompts registry: mteb's registry does not know {label}: give its hub name with --name, or leave --prompts out"
        )
    if entry.loader:
        raise ClirbenchError(
            f"--prompts registry: mteb runs {name} through {entry.loader}, so mteb's prompts are not known here: "
            f"pass --model mteb:{name}"
        )
    return entry


def choose(model: Any, options: EncoderOptions, entry: Registered | None) -> Chosen:
    """Choose prompts and similarity: what the user says, else mteb's registry, else the model.

    ``entry`` is what the registry says. A prompt that the user gives as text is put before the texts as it is; "" is no prompt.

    Raises:
        ClirbenchError: A prompt's name is not one that the model has, a name is given as a text, or the similarity is unknown.
    """
    own = {name: str(text) for name, text in (model.prompts or {}).items() if text}
    query, asked = _prompt(model, own, "query", options, entry)
    candidate, offered = _prompt(model, own, "candidate", options, entry)
    similarity, said, notes = _similarity(model, options, entry)
    if entry is not None:
        notes = [*_differences(model, entry, (asked, offered)), *notes]
    unused = [name for name, text in own.items() if text not in (query, candidate)]
    if unused and "none" in (asked, offered):
        more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        notes.append(
            f"the model has prompts that are not used: {', '.join(unused[:_NAMED])}{more} "
            "(--query-prompt-name and --candidate-prompt-name choose one)"
        )
    return Chosen(query, candidate, similarity, SettingSources(asked, offered, said), tuple(notes))


def _prompt(
    model: Any, own: dict[str, str], role: str, options: EncoderOptions, entry: Registered | None
) -> tuple[str, Source]:
    text, name = getattr(options, f"{role}_prompt"), getattr(options, f"{role}_prompt_name")
    if name is not None:
        if text is not None:
            raise ClirbenchError(f"--{role}-prompt and --{role}-prompt-name are both given: give one")
        if name not in own:
            has = f"choose from {', '.join(own)}" if own else f"it has none, so pass --{role}-prompt TEXT"
            raise ClirbenchError(
                f"--{role}-prompt-name is '{name[:60]}', but the model has no prompt of that name: {has}"
            )
        return own[name], "option"
    if text is not None:
        if text in own and options.prompts != "none":
            raise ClirbenchError(
                f"--{role}-prompt '{text}' is the name of a prompt of the model: pass --{role}-prompt-name {text}, "
                "or add --prompts none to put that word itself before the texts"
            )
        return text, "option"
    if options.prompts == "none":
        return "", "option"
    if entry is not None and entry.prompts is not None and options.prompts != "model":
        return entry.prompts[role == "candidate"], "registry"
    prompt = _own_prompt(model, role, asked_tasks(options)[role == "candidate"])
    return prompt, "model" if prompt else "none"


def _own_prompt(model: Any, role: str, task: str | None = None) -> str:
    """The prompt that sentence-transformers itself would use; a task that is asked for brings the prompt of its name."""
    prompts = model.prompts or {}
    names = (task, *_NAMES[role])
    chosen = next((name for name in names if name in prompts), model.default_prompt_name)
    return str(prompts.get(chosen, "") or "") if chosen else ""


def _similarity(model: Any, options: EncoderOptions, entry: Registered | None) -> tuple[str, Source, list[str]]:
    # The public attribute sets the private one where the model's configuration names no similarity.
    declared = getattr(model, "_similarity_fn_name", None)
    own = str(model.similarity_fn_name or "cosine")
    if options.similarity is not None:
        return options.similarity, "option", []
    theirs = entry.similarity if entry and entry.similarity in SIMILARITIES and own in SIMILARITIES else None
    if theirs is None:
        # A multi-vector model has no other.
        other = " (--similarity chooses another)" if own in SIMILARITIES else ""
        missing = f"the model's configuration names no similarity: {own} is used{other}"
        return own, "model" if declared else "none", [] if declared else [missing]
    if theirs == own:
        return theirs, "registry", []
    says = f"has {own}" if declared else "names none"
    note = f"similarity: mteb's registry has {theirs}, which is used; the model {says} (--similarity chooses another)"
    return theirs, "registry", [note]


def _differences(model: Any, entry: Registered, sources: tuple[Source, Source]) -> list[str]:
    """Say where mteb would run the model otherwise, or where the model itself says otherwise."""
    notes = []
    if entry.loader and sources != ("option", "option"):
        notes.append(
            f"mteb runs this model through {entry.loader}, so mteb's prompts are not known here: the model's own are used "
            "(--model mteb:ORG/NAME runs it as mteb does)"
        )
    if entry.more:
        notes.append(
            f"mteb also loads this model with {', '.join(entry.more)}, which clirbench does not use (--model mteb:ORG/NAME does)"
        )
    for role, source, prompt in zip(("query", "candidate"), sources, entry.prompts or ("", ""), strict=True):
        own = _own_prompt(model, role)
        if source == "registry" and own and own != prompt:
            notes.append(
                f"{role} prompt: mteb's registry has {prompt!r}, which is used; the model has {own!r} (--prompts model uses it)"
            )
    return notes
