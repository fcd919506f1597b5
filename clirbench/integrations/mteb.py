"""clirbench's tasks as tasks of mteb.

mteb scores the first 1,000 candidates of each query. So nDCG@10, R@k and MRR@10 of a language pair are the same in mteb and
clirbench. mAP over the full pool and rank distance need every rank, so mteb's results do not have them.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import mteb
import numpy as np
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.benchmarks.benchmark import Benchmark
from mteb.types import PromptType
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from clirbench.encoders.arrays import as_float32
from clirbench.encoders.vectors import scaled
from clirbench.ranking.in_memory import Layout, Products
from clirbench.ranking.kernel import QUERIES_PER_PRODUCT
from clirbench.support.blas import one_blas_thread
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import Collection, load_collection
from clirbench.tasks.selection import choose_languages
from clirbench.tasks.task import SETTINGS, Task
from clirbench.tasks.task_file import load_task, standard_suite

# mteb's name of each language of the shipped tasks: ISO 639-3 and script.
MTEB_LANGUAGES = {
    "ar": "ara-Arab", "bn": "ben-Beng", "de": "deu-Latn", "el": "ell-Grek", "en": "eng-Latn", "es": "spa-Latn",
    "fa": "fas-Arab", "fi": "fin-Latn", "fr": "fra-Latn", "hi": "hin-Deva", "id": "ind-Latn", "ja": "jpn-Jpan",
    "ko": "kor-Hang", "ru": "rus-Cyrl", "sw": "swa-Latn", "te": "tel-Telu", "th": "tha-Thai", "tr": "tur-Latn",
    "vi": "vie-Latn", "yo": "yor-Latn", "zh": "zho-Hans",
}  # fmt: skip
SPLIT = "test"
_PARTS = {"monolingual": "Monolingual", "cross-lingual": "CrossLingual", "multilingual": "Multilingual"}


class ClirbenchRetrieval(AbsTaskRetrieval):  # type: ignore[misc]
    """One setting of a clirbench task as a retrieval task of mteb.

    Its subsets are query languages ("en") or language pairs ("en-de": English queries, German candidates). All subsets name
    the same text by the same identifier.
    """

    def __init__(self, task: Task, setting: str, languages: Sequence[str] | None = None, **kwargs: Any) -> None:
        self._task, self._setting, self._languages = task, setting, choose_languages(task, languages)
        super().__init__(**kwargs)

    @classmethod
    def of(cls, task: Task, setting: str, languages: Sequence[str] | None = None) -> "ClirbenchRetrieval":
        """The mteb task of a setting. mteb reads ``metadata`` from the class, so each setting gets its own class."""
        metadata = metadata_of(task, setting, choose_languages(task, languages))
        retrieval: ClirbenchRetrieval = type(metadata.name, (cls,), {"metadata": metadata})(task, setting, languages)
        return retrieval

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the task's files, and check them against their checksums."""
        if self.data_loaded:
            return
        collection = load_collection(self._task, self._languages)
        wanted = set(self.hf_subsets)
        self.dataset = {
            name: {SPLIT: split} for name, split in _subsets(collection, self._setting).items() if name in wanted
        }
        self.data_loaded: bool = True


def tasks(
    names: Sequence[str] | None = None,
    settings: Sequence[str] = SETTINGS,
    languages: Sequence[str] | None = None,
) -> list[Any]:
    """Clirbench's parallel tasks for ``mteb.evaluate``: one for each task and setting.

    For a streamed task, use mteb's own task, such as ``mteb.get_task("MIRACLRetrieval")``.

    Args:
        names: Identifiers of parallel tasks; None for the standard suite.
        settings: The settings to make tasks of.
        languages: Restrict to these; None for all.

    Returns:
        Tasks of mteb. Their data are read when they are first evaluated.

    Raises:
        ClirbenchError: There is no such task, setting or language, or a task is streamed.
    """
    retrievals = []
    for name in standard_suite() if names is None else names:
        task = load_task(name)
        if task.streamed:
            raise ClirbenchError(f"{name} is mteb's own: use mteb.get_task('{task.mteb}')")
        for setting in settings:
            if setting not in task.settings:
                raise ClirbenchError(f"{name} has no setting '{setting}': choose from {','.join(task.settings)}")
            retrievals.append(ClirbenchRetrieval.of(task, setting, languages))
    return retrievals


def benchmark(languages: Sequence[str] | None = None, **streamed: bool) -> Any:
    """All settings of the standard suite as an mteb ``Benchmark``.

    Args:
        languages: Restrict to these; None for all.
        **streamed: Streamed tasks to add: identifier, with "_" for "-", and True. The benchmark gets mteb's own task, unchanged.

    Returns:
        A benchmark of the tasks that :func:`tasks` gives.

    Raises:
        ClirbenchError: There is no such language, or no such streamed task that mteb has too.
    """
    chosen = tasks(languages=languages)
    for name in (key.replace("_", "-") for key, wanted in streamed.items() if wanted):
        task = load_task(name)
        if not task.streamed or not task.mteb:
            raise ClirbenchError(f"{name} has no streamed counterpart in mteb: leave it out")
        codes = [MTEB_LANGUAGES[language].split("-")[0] for language in languages] if languages else None
        chosen.append(mteb.get_task(task.mteb, languages=codes))
    return Benchmark(
        name="clirbench",
        tasks=chosen,
        description="Question to answer sentence retrieval in one language, across languages, and in a pool of all languages.",
        citation=load_task(standard_suite()[0]).citation,
    )


class OneEncoding:
    """A model for mteb that encodes each distinct text once, even if many subsets hold the text.

    It follows mteb's ``SearchProtocol``: ``mteb.evaluate(OneEncoding(model), tasks())``. Scores are exact inner products.
    ``encoded`` counts the texts: 26,021 in XQuAD-R's 132 subsets, where mteb encodes 313,248.

    Args:
        model: What ``mteb.get_model`` returns, or another mteb encoder.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._texts: dict[str, dict[str, int]] = {"query": {}, "document": {}}
        self._vectors: dict[str, list[NDArray[np.float32]]] = {"query": [], "document": []}
        self._corpus: Any = None
        self.encoded = 0

    @property
    def mteb_model_meta(self) -> Any:
        """Mteb's description of the model."""
        return self._model.mteb_model_meta

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Remember the candidates of the subset that is searched next."""
        self._corpus = corpus

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Any,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Find the best candidates of each query in a subset; mteb calls it with these arguments.

        Returns:
            By query id and candidate id, the score; ``top_k`` candidates of each query.

        Raises:
            ClirbenchError: The subset asks for re-ranking, or the model gives sparse vectors.
        """
        if kwargs.get("top_ranked") is not None:
            raise ClirbenchError("OneEncoding ranks whole corpora: evaluate re-ranking tasks with the model itself")
        told = {"task_metadata": task_metadata, "hf_split": hf_split, "hf_subset": hf_subset, **encode_kwargs}
        left = self._encode(list(queries["text"]), "query", told)
        right = self._encode(list(self._corpus["text"]), "document", told)
        similarity = getattr(self.mteb_model_meta.similarity_fn_name, "value", None) or "cosine"
        left, right = scaled(left, right, similarity)
        ids = np.array(self._corpus["id"], dtype=object)
        layout = Layout.of(np.array([0, len(ids)]))
        products = Products(left, right, layout)
        buffer = np.empty((QUERIES_PER_PRODUCT, layout.width), dtype=np.float32)
        best = min(top_k, len(ids))
        scores_of = {}
        with one_blas_thread():
            for start in range(0, len(left), QUERIES_PER_PRODUCT):
                stop = min(start + QUERIES_PER_PRODUCT, len(left))
                scores = products.rows(start, stop, buffer)[:, layout.position]
                columns = np.argpartition(-scores, best - 1, axis=1)[:, :best]
                for row, chosen in enumerate(columns):
                    scores_of[queries["id"][start + row]] = dict(
                        zip(ids[chosen].tolist(), scores[row, chosen].tolist(), strict=True)
                    )
        return scores_of

    def _encode(self, texts: list[str], role: str, told: Mapping[str, Any]) -> NDArray[np.float32]:
        """Vectors of texts, float32 (texts, dimensions). Only texts that are new in this role are encoded."""
        known = self._texts[role]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            size = int(told.get("batch_size", 32))
            inputs = DataLoader(Dataset.from_dict({"text": new}), batch_size=size)
            vectors = as_float32(self._model.encode(inputs, prompt_type=PromptType(role), **told))
            if not isinstance(vectors, np.ndarray):
                raise ClirbenchError("OneEncoding needs dense vectors: evaluate the model itself")
            known.update({text: len(known) + i for i, text in enumerate(new)})
            self._vectors[role].append(vectors)
            self.encoded += len(new)
        if len(self._vectors[role]) > 1:
            self._vectors[role] = [np.concatenate(self._vectors[role])]
        return self._vectors[role][0][[known[text] for text in texts]]


def metadata_of(task: Task, setting: str, languages: Sequence[str]) -> Any:
    """One setting of a task as mteb's ``TaskMetadata``.

    Raises:
        ClirbenchError: A language is not in ``MTEB_LANGUAGES``.
    """
    unknown = [language for language in languages if language not in MTEB_LANGUAGES]
    if unknown:
        raise ClirbenchError(
            f"{task.id}: no mteb code is known for the language '{unknown[0]}': leave the language out"
        )
    codes = {language: MTEB_LANGUAGES[language] for language in languages}
    subsets = {
        "monolingual": {x: [codes[x]] for x in codes},
        "cross-lingual": {f"{q}-{c}": [codes[q], codes[c]] for q in codes for c in codes if q != c},
        "multilingual": {x: [codes[x], *(code for code in codes.values() if code != codes[x])] for x in codes},
    }[setting]
    return TaskMetadata(
        name=(task.mteb or f"Clirbench{task.id}") + _PARTS[setting],
        description=f"{task.description} {setting} setting.",
        reference=task.homepage if task.homepage.startswith("https://") else None,
        dataset={"path": f"clirbench/{task.id}", "revision": task.hash},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=[SPLIT],
        eval_langs=subsets,
        main_score="ndcg_at_10",
        bibtex_citation=task.citation,
    )


def _subsets(collection: Collection, setting: str) -> dict[str, dict[str, Any]]:
    """The data of a setting as mteb's retrieval tasks hold them, by subset. Subsets share their corpora."""
    languages = collection.languages
    language = collection.candidate_language
    ids = np.array([f"{languages[x]}-{i}" for i, x in enumerate(language.tolist())], dtype=object)

    @cache
    def corpus(only: int | None) -> Any:
        rows = np.arange(len(ids)) if only is None else np.flatnonzero(language == only)
        texts = [collection.candidates[i] for i in rows]
        return Dataset.from_dict({"id": ids[rows].tolist(), "title": [""] * len(rows), "text": texts})

    def split(pairs: NDArray[np.bool_], only: int | None) -> dict[str, Any]:
        # As in clirbench, a query without a gold in the subset is left out.
        golds: dict[int, dict[str, int]] = {}
        rows = collection.gold_query[pairs].tolist(), ids[collection.gold_candidate[pairs]], grades[pairs].tolist()
        for query, candidate, grade in zip(*rows, strict=True):
            golds.setdefault(query, {})[str(candidate)] = grade
        names = {query: collection.topics[collection.query_topic[query]] for query in golds}
        return {
            "corpus": corpus(only),
            "queries": Dataset.from_dict({"id": list(names.values()), "text": [collection.queries[q] for q in golds]}),
            "relevant_docs": {names[query]: own for query, own in golds.items()},
            "top_ranked": None,
        }

    query_language = collection.query_language[collection.gold_query]
    gold_language = language[collection.gold_candidate]
    grades = np.ones(len(gold_language), dtype=np.int8) if collection.gold_grade is None else collection.gold_grade
    subsets = {}
    for q, name in enumerate(languages):
        if setting == "multilingual":
            subsets[name] = split(query_language == q, None)
            continue
        for c, other in enumerate(languages):
            if (q == c) == (setting == "monolingual"):
                subset = split((query_language == q) & (gold_language == c), c)
                if subset["relevant_docs"]:
                    subsets[name if q == c else f"{name}-{other}"] = subset
    return subsets
