"""Tasks of models with adapters: chosen, passed on, recorded, or refused with the list of those that there are."""

import json

import numpy as np
import pytest
from model_folders import KEEPS_NOTHING, edit, plain, router

import clirbench
from clirbench.encoders.adapters import asked_tasks
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.results.reload_model import ModelAt, refuse_another_model, reload_model
from clirbench.support.errors import ClirbenchError

# A module that turns the vector of a text by a matrix for each task, as jina-embeddings-v3 has one adapter for each.
CODE = f"""
import torch
from sentence_transformers.base.modules import Module


class Turn(Module):
    lora_adaptations = ["retrieval.query", "retrieval.passage", "separation"]

    def forward(self, features, task=None, **kwargs):
        if task in self.lora_adaptations:
            generator = torch.Generator().manual_seed(self.lora_adaptations.index(task))
            matrix = torch.randn(16, 16, generator=generator)
            features["sentence_embedding"] = features["sentence_embedding"] @ matrix
        return features
{KEEPS_NOTHING}"""
TASKS = "retrieval.query, retrieval.passage, separation"


@pytest.fixture(scope="module")
def with_tasks(tmp_path_factory):
    """A model whose folder brings a module that takes the keyword ``task``, as modules.json says."""
    model = plain(tmp_path_factory.mktemp("tasks"))
    (model / "turn.py").write_text(CODE, encoding="utf-8")
    path = model / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    modules.append({"idx": 2, "name": "2", "path": "2_Turn", "type": "turn.Turn", "kwargs": ["task"]})
    path.write_text(json.dumps(modules), encoding="utf-8")
    prompts = {"retrieval.query": "find: ", "retrieval.passage": "text: "}
    return edit(model, "config_sentence_transformers.json", prompts=prompts)


def load(folder, encode_task=None, **more):
    return load_encoder(str(folder), EncoderOptions(encode_task=encode_task, trust_remote_code=True, **more))


def test_names_of_tasks_are_one_or_two():
    assert asked_tasks(EncoderOptions(encode_task="a, b")) == ("a", "b")
    assert asked_tasks(EncoderOptions(encode_task="a")) == ("a", "a")
    assert asked_tasks(EncoderOptions()) == (None, None)
    for wrong in ("a,b,c", "a,", ""):
        with pytest.raises(ClirbenchError, match="--encode-task is"):
            asked_tasks(EncoderOptions(encode_task=wrong))


def test_the_chosen_task_reaches_the_model_with_the_prompt_of_its_name(with_tasks):
    from sentence_transformers import SentenceTransformer

    model = load(with_tasks, "retrieval.query,retrieval.passage")
    assert (model.settings.query_task, model.settings.candidate_task) == ("retrieval.query", "retrieval.passage")
    assert (model.settings.query_prompt, model.settings.candidate_prompt) == ("find: ", "text: ")
    library = SentenceTransformer(str(with_tasks), device="cpu", trust_remote_code=True)
    texts = ["a text", "another one"]
    for encode, task in (
        (model.encoder.encode_queries, "retrieval.query"),
        (model.encoder.encode_candidates, "retrieval.passage"),
    ):
        ours, theirs = encode(texts), library.encode(texts, task=task, prompt_name=task, convert_to_tensor=True)
        assert np.allclose(ours.cpu(), theirs.cpu(), atol=1e-6)
    both = load(with_tasks, "separation", query_prompt="q: ")
    assert (both.settings.query_task, both.settings.candidate_task) == ("separation", "separation")
    assert (both.settings.query_prompt, both.settings.candidate_prompt) == ("q: ", "")


def test_no_task_is_noted_and_a_wrong_one_is_refused(with_tasks):
    model = load(with_tasks)
    assert model.settings.query_task is None
    assert any(f"has tasks that are not used: {TASKS} " in note for note in model.notes)
    with pytest.raises(ClirbenchError, match=f"which is no task of .*: choose from {TASKS}") as error:
        load(with_tasks, "retrieval.query,classification")
    assert "\n" not in str(error.value)


def test_models_without_tasks_refuse_one(tmp_path):
    with pytest.raises(ClirbenchError, match="which has no tasks: leave it out"):
        load(plain(tmp_path), "retrieval")
    (tmp_path / "two").mkdir()
    with pytest.raises(ClirbenchError, match="a Router reads queries and candidates each in its own way"):
        load(router(tmp_path / "two"), "query")
    assert load(tmp_path / "plain").notes == load(tmp_path / "plain", query_prompt=None).notes


def test_a_result_states_its_tasks_and_is_loaded_again_with_them(with_tasks):
    model = load(with_tasks, "retrieval.query,retrieval.passage")
    result = clirbench.evaluate(model, "demo", languages=["en"])
    assert result.document.encoder.candidate_task == "retrieval.passage"
    again = reload_model(result.document, ModelAt(str(with_tasks), trust_remote_code=True))
    refuse_another_model(again, result.document)
    other = clirbench.evaluate(load(with_tasks, "separation"), "demo", languages=["en"])
    assert other.ranks_file != result.ranks_file


def test_a_router_reads_each_role_in_its_own_way(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = router(tmp_path)
    model = load(folder)
    library = SentenceTransformer(str(folder), device="cpu")
    routes = library[0].sub_modules
    texts = ["a text", "another one, which is longer"]
    for encode, route in ((model.encoder.encode_queries, "query"), (model.encoder.encode_candidates, "document")):
        alone = SentenceTransformer(modules=list(routes[route]), device="cpu")
        assert np.allclose(encode(texts).cpu(), alone.encode(texts, convert_to_tensor=True).cpu(), atol=1e-6)
    # Queries go to a static model, which reads whole texts.
    assert (model.settings.query_max_length, model.settings.candidate_max_length) == (None, 64)
    result = clirbench.evaluate(model, "demo", languages=["en", "de"])
    assert result.document.encoder.query_max_length is None


def test_the_old_name_of_a_router_is_read(tmp_path):
    """Folders of sentence-transformers 4 and older call it Asym."""
    folder = router(tmp_path)
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    modules[0]["type"] = "sentence_transformers.models.Asym"
    path.write_text(json.dumps(modules), encoding="utf-8")
    (config,) = folder.rglob("router_config.json")
    config.rename(config.with_name("config.json"))
    model = load(folder)
    assert (model.settings.query_max_length, model.settings.candidate_max_length) == (None, 64)
    assert model.encoder.encode_queries(["a text"]).shape == (1, 16)
