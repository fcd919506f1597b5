"""Run a sample of a submission again, in whichever process: the part that loads the model and reads the texts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from clirbench.encoders.base import LoadedModel
from clirbench.encoders.safe_copy import already_checked
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.loaded_task import InMemoryTask, announce
from clirbench.results.reload_model import ModelAt, reload_model
from clirbench.results.result import Result
from clirbench.results.schema import Document
from clirbench.support.context import RunContext
from clirbench.support.progress import Reporter, follow_download
from clirbench.tasks.collection import load_collection, with_queries
from clirbench.tasks.task_file import load_task

# The columns of ranks that a process sends, in this order.
COLUMNS = ("topic", "query_language", "gold_language", "own_rank", "pool_rank", "query_language_above")
GRADED_COLUMNS = (*COLUMNS, "grade")


def run_sample(model: LoadedModel, task: str, languages: Sequence[str], reporter: Reporter) -> Result:
    """Run the queries of some languages again, against all candidates."""
    shipped, context = load_task(task), RunContext(reporter=reporter, allow_zero=True)
    whole = load_collection(shipped, None, follow_download(reporter))
    drawn = [whole.languages.index(language) for language in languages]
    sample = InMemoryTask(with_queries(whole, np.isin(whole.query_language, drawn)), shipped.settings)
    announce([sample], model, context)
    return evaluate_loaded(model, sample, context)


def rerun(argument: dict[str, Any], reporter: Reporter, tell: Callable[[Any], None]) -> dict[str, Any]:
    """Load a model and run a sample of its submission, behind a wall; return the result and its ranks as plain data.

    ``tell`` is given the settings in effect, before the run.
    """
    document, folder, trust = Document.model_validate(argument["document"]), argument["folder"], argument["trust"]
    # The model of mteb's registry is loaded by mteb, from files that were checked before the wall was built.
    safe = folder is not None and not trust
    if safe:
        already_checked(Path(folder))
    model = reload_model(document, ModelAt(folder, argument["device"], trust, safe, allow_pickle=trust))
    tell(asdict(model.settings))
    result = run_sample(model, document.task.id, argument["languages"], reporter)
    ranks = result.ranks
    return {
        "document": result.to_dict(),
        "topics": list(ranks.topics),
        "languages": list(ranks.languages),
        "rows": [getattr(ranks, name).tolist() for name in (COLUMNS if ranks.grade is None else GRADED_COLUMNS)],
    }
