"""What a model's revision covers: its files, and the parts that lie elsewhere."""

import hashlib
import json
import shutil
import sys

import model_folders
import numpy as np
import pytest
import tiny_models
from command_line import call, clir

import clirbench
from clirbench.encoders import from_sentence_transformers
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.hub import resolve_commit
from clirbench.encoders.load import load_encoder
from clirbench.encoders.revision import (
    Part,
    Revision,
    commit_of,
    folder_revision,
    outside_parts,
    snapshot_revision,
    whole_revision,
)
from clirbench.encoders.vector_cache import CacheEntry
from clirbench.support.errors import ClirbenchError

TRUSTED = EncoderOptions(trust_remote_code=True)
COMMITS = [hashlib.sha1(bytes([number])).hexdigest() for number in range(3)]


def folder_of(place, **files):
    """A folder with JSON files; the last underscore of each name stands for the dot."""
    place.mkdir(parents=True)
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        (place / f"{stem}.{suffix}").write_text(json.dumps(content) if suffix == "json" else content, encoding="utf-8")
    return place


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty cache of the hub; a function that puts a commit of a repository there."""
    from huggingface_hub import constants

    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(name, commit, **files):
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "main").write_text(commit)
        return folder_of(repository / "snapshots" / commit, **files)

    return put


@pytest.fixture
def importable(monkeypatch, tmp_path):
    """A folder from which Python imports; modules of it are forgotten afterwards."""
    place = tmp_path / "importable"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    before = set(sys.modules)
    yield place
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(place)):
            del sys.modules[name]


def test_a_folder_without_parts_elsewhere_has_the_checksum_of_its_files(tmp_path):
    folder = model_folders.own_module(tmp_path)
    assert outside_parts(folder, True) == []
    for trust in (False, True):
        assert whole_revision(folder, trust) == Revision(f"sha256:{folder_revision(folder)}")


def test_an_adapter_is_known_by_the_weights_of_its_base_model(tmp_path):
    folder = model_folders.adapter(tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    base = tmp_path / "plain"
    assert config["base_model_name_or_path"] == str(base)
    if model_folders.NO_ADAPTERS:
        with pytest.raises(ClirbenchError, match="pip install -U transformers peft"):
            load_encoder(str(folder))
        return
    first = load_encoder(str(folder))
    vectors = np.asarray(first.encoder.encode_queries(["wo?"]))
    assert first.info.revision not in (None, f"sha256:{folder_revision(folder)}")
    # The label of a local model is its revision in short.
    assert first.info.name.endswith(first.info.revision.removeprefix("sha256:")[:8])
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    save_file({name: tensor * 0.5 for name, tensor in weights.items()}, base / "model.safetensors", {"format": "pt"})
    second = load_encoder(str(folder))
    assert not np.allclose(vectors, np.asarray(second.encoder.encode_queries(["wo?"])), atol=1e-3)
    assert second.info.revision != first.info.revision
    assert second.info.name != first.info.name


def test_moving_the_base_model_changes_its_name_and_no_vector(tmp_path):
    folder = model_folders.adapter(tmp_path)
    before = outside_parts(folder)
    (tmp_path / "plain").rename(tmp_path / "moved")
    model_folders.edit(folder, "adapter_config.json", base_model_name_or_path=str(tmp_path / "moved"))
    assert before == [Part("base model", str(tmp_path / "plain"))]
    assert outside_parts(folder) == [Part("base model", str(tmp_path / "moved"))]


def test_a_base_model_on_the_hub_counts_with_its_commit(hub, tmp_path):
    folder = folder_of(tmp_path / "adapter", adapter_config_json={"base_model_name_or_path": "someone/base"})
    unknown = whole_revision(folder)
    assert unknown == Revision(None, (Part("base model", "someone/base"),))
    assert "its base model someone/base" in unknown.note("me/adapter")
    texts = []
    for commit in COMMITS[:2]:
        hub("someone/base", commit, config_json={})
        texts.append(whole_revision(folder).text)
    assert None not in texts
    assert len(set(texts)) == 2


def test_a_model_on_the_hub_with_a_part_elsewhere_has_more_than_its_commit(hub):
    plain = hub("someone/plain", COMMITS[0], config_json={})
    assert snapshot_revision(COMMITS[0], plain) == Revision(COMMITS[0])
    assert snapshot_revision(COMMITS[0], None) == Revision(COMMITS[0])
    adapter = hub("someone/adapter", COMMITS[1], adapter_config_json={"base_model_name_or_path": "someone/plain"})
    first = snapshot_revision(COMMITS[1], adapter).text
    assert first.startswith(f"{COMMITS[1]}+sha256:")
    assert commit_of(first) == COMMITS[1]
    hub("someone/plain", COMMITS[2], config_json={})
    assert snapshot_revision(COMMITS[1], adapter).text != first


def test_a_repository_of_an_adapter_alone_is_found_offline(hub):
    hub("someone/adapter", COMMITS[0], adapter_config_json={"base_model_name_or_path": "someone/base"})
    assert resolve_commit("someone/adapter", None) == COMMITS[0]
    with pytest.raises(ClirbenchError, match="hf download someone/other --revision v2"):
        resolve_commit("someone/other", "v2")


def test_a_run_of_an_adapter_on_the_hub(hub, tmp_path):
    folder = model_folders.edit(
        model_folders.adapter(tmp_path), "adapter_config.json", base_model_name_or_path="someone/base"
    )
    for name, commit, source in (("adapter", COMMITS[0], folder), ("base", COMMITS[1], tmp_path / "plain")):
        shutil.copytree(source, hub(f"someone/{name}", commit), dirs_exist_ok=True)
    # The cache knows which files the hub does not have.
    absent = tmp_path / "hub" / "models--someone--adapter" / ".no_exist" / COMMITS[0]
    absent.mkdir(parents=True)
    for name in ("config.json", "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
        (absent / name).touch()
    command = ("run", "--model", "someone/adapter", "--tasks", "demo", "--languages", "en,de", "--allow-zero-vectors")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    refused = clir(tmp_path, *command, **offline)
    assert (refused.returncode, "makes it an adapter" in refused.stderr) == (2, True)
    ran = clir(tmp_path, *command, "--no-safe", **offline)
    if model_folders.NO_ADAPTERS:
        # Releases as old as this also ask the hub for files that the cache knows to be absent.
        assert ran.returncode == 2
        return
    assert ran.returncode == 0, ran.stderr
    assert f"revision {COMMITS[0][:12]}+sha256:" in ran.stderr
    written = tmp_path / "results" / "someone__adapter" / "demo+de-en.json"
    model = json.loads(written.read_text(encoding="utf-8"))["model"]
    snapshot = tmp_path / "hub" / "models--someone--adapter" / "snapshots" / COMMITS[0]
    assert (model["revision"], model["revision_kind"]) == (snapshot_revision(COMMITS[0], snapshot).text, "hub-commit")


def test_a_commit_is_cut_out_of_a_revision_alone():
    assert [commit_of(text) for text in (None, "main", "v1+cpu", COMMITS[0])] == [None, "main", "v1+cpu", COMMITS[0]]


def test_two_adapters_on_each_other_end(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    folder_of(a, adapter_config_json={"base_model_name_or_path": str(b)})
    folder_of(b, adapter_config_json={"base_model_name_or_path": str(a)})
    assert whole_revision(a).text != whole_revision(b).text


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("config_json", {"auto_map": {"AutoModel": "PLACE--modeling.Model"}}, "code in"),
        ("config_json", {"text_config": {"auto_map": {"AutoModel": "PLACE--modeling.Model"}}}, "code in"),
        ("tokenizer_config_json", {"auto_map": {"AutoTokenizer": ["PLACE--own.Slow", None]}}, "code in"),
        ("modules_json", [{"path": "", "type": "PLACE--own.Module"}], "code in"),
        ("router_config_json", {"types": {"query_0": "PLACE--own.Module"}}, "code in"),
        ("sentence_bert_config_json", {"tokenizer_name_or_path": "PLACE"}, "tokenizer"),
        ("modules_json", [{"path": "../other", "type": "sentence_transformers.models.Pooling"}], "module"),
    ],
)
def test_each_way_to_name_a_part_elsewhere(tmp_path, file, content, part):
    place = folder_of(tmp_path / "other", own_py="A = 1\n")
    content = json.loads(json.dumps(content).replace("PLACE", str(place)))
    folder = folder_of(tmp_path / "model", **{file: content})
    assert [one.what for one in outside_parts(folder, True)] == [part]
    first = whole_revision(folder, True).text
    assert first != f"sha256:{folder_revision(folder)}"
    (place / "own.py").write_text("A = 2\n")
    assert whole_revision(folder, True).text not in (None, first)
    if part == "code in":
        # Code that may not run is no part of the vectors.
        assert whole_revision(folder).text == f"sha256:{folder_revision(folder)}"


def test_a_part_of_a_part_counts(tmp_path):
    code = folder_of(tmp_path / "code", modeling_py="KEEP = 1\n")
    base = folder_of(tmp_path / "base", config_json={"auto_map": {"AutoModel": f"{code}--modeling.Own"}})
    folder = folder_of(tmp_path / "adapter", adapter_config_json={"base_model_name_or_path": str(base)})
    first = whole_revision(folder, True).text
    (code / "modeling.py").write_text("KEEP = 2\n")
    assert whole_revision(folder, True).text != first


def test_a_class_that_python_finds_elsewhere_counts_with_what_it_imports(importable, tmp_path):
    folder = model_folders.module_elsewhere(tmp_path)
    code = importable / "clirbench_elsewhere.py"
    (tmp_path / "clirbench_elsewhere.py").rename(code)
    (importable / "clirbench_dimensions.py").write_text("KEEP = 8\n")
    code.write_text("import clirbench_dimensions\n" + code.read_text())
    loaded = load_encoder(str(folder), TRUSTED)
    assert loaded.info.revision not in (None, f"sha256:{folder_revision(folder)}")
    for changed in (code, importable / "clirbench_dimensions.py"):
        before = whole_revision(folder, True).text
        changed.write_text(changed.read_text() + "# changed\n")
        assert whole_revision(folder, True).text not in (None, before)


def test_code_of_the_folder_counts_with_the_modules_beside_python_and_the_models_that_it_fetches(
    hub, importable, tmp_path
):
    fetched = hub("someone/teacher", COMMITS[0], config_json={})
    (importable / "clirbench_helper.py").write_text("A = 1\n")
    code = (
        "import torch, json, clirbench_helper\n"
        "def load(): return AutoModel.from_pretrained('someone/teacher')\n"
        "def example(): return AutoModel.from_pretrained('someone/never-fetched')\n"
    )
    folder = folder_of(tmp_path / "model", modeling_py=code)
    assert [str(part) for part in outside_parts(folder, True)] == [
        "code in module clirbench_helper",
        "model someone/teacher",
    ]
    assert fetched.is_dir()
    first = whole_revision(folder, True).text
    (importable / "clirbench_helper.py").write_text("A = 2\n")
    assert whole_revision(folder, True).text not in (None, first)


def test_a_class_of_an_installed_package_counts_with_its_release(monkeypatch, tmp_path):
    from importlib import metadata

    folder = folder_of(tmp_path / "model", modules_json=[{"path": "", "type": "safetensors.torch.Own"}])
    first = whole_revision(folder, True).text
    assert first not in (None, f"sha256:{folder_revision(folder)}")
    monkeypatch.setattr(metadata, "version", lambda name: "99")
    assert whole_revision(folder, True).text not in (None, first)


def test_a_model_whose_parts_are_not_known_has_no_revision_and_says_so(monkeypatch, tmp_path):
    unknown = Revision(None, (Part("tokenizer", "someone/words"),))
    monkeypatch.setattr(from_sentence_transformers, "whole_revision", lambda folder, trust: unknown)
    loaded = load_encoder(str(tiny_models.static_model(tmp_path)))
    assert (loaded.info.revision, loaded.info.revision_kind) == (None, "unknown")
    assert [note for note in loaded.notes if "tokenizer someone/words" in note and "its vectors are not cached" in note]
    assert loaded.info.name == f"local/static-{folder_revision(tmp_path / 'static')[:8]}"
    run = ("run", "--model", tmp_path / "static", "--name", "me/own", "--tasks", "demo", "--languages", "en,de")
    run += ("--allow-zero-vectors", "--output", tmp_path / "results")
    first = call(*run)
    assert first.exit_code == 0
    assert "words is not known: its vectors are not cached, and a later run does not keep this result" in " ".join(
        first.stderr.split()
    )
    assert not list((tmp_path / "cache").rglob("*.npy"))
    with pytest.raises(ClirbenchError, match="has changed since, because it has no revision: pass --output"):
        raise call(*run).exception


class Own:
    """An encoder of the user's own: random vectors by a seed, rounded a little otherwise for one text alone."""

    name, revision = "me/own", "v1"

    def __init__(self, seed, dimensions=8, noise=1e-3):
        self.seed, self.dimensions, self.noise, self.asked = seed, dimensions, noise, []

    def encode_queries(self, texts):
        self.asked.append(len(texts))
        rows = [np.random.default_rng([self.seed, *text.encode()]).standard_normal(self.dimensions) for text in texts]
        return np.array(rows) * (1 + self.noise * (len(texts) == 1))

    encode_candidates = encode_queries


def cached(encoder, tmp_path):
    return clirbench.evaluate(encoder, "demo", languages=["en", "de"], cache=tmp_path / "vectors")


@pytest.mark.parametrize("other", [Own(2), Own(1, dimensions=4)])
def test_two_encoders_of_one_name_and_revision_do_not_share_vectors(tmp_path, other):
    first = cached(Own(1), tmp_path).document
    again = Own(1)
    # One text of each role is compared, and its other rounding is no other vector.
    assert cached(again, tmp_path).document.headline == first.headline
    assert again.asked == [1, 1]
    with pytest.raises(ClirbenchError, match="me/own gives other vectors than the cache has under its revision 'v1'"):
        cached(other, tmp_path)
    other.revision = "v2"
    assert cached(other, tmp_path).document.headline != first.headline


def test_a_model_that_the_library_knows_is_another_one_with_its_own_code(tmp_path):
    folder = model_folders.plain(tmp_path)
    model_folders.edit(folder, "config.json", auto_map={"AutoModel": "own.Own"})
    (folder / "own.py").write_text(
        "from transformers import BertModel\n\n\nclass Own(BertModel):\n    def forward(self, *args, **kwargs):\n"
        "        output = super().forward(*args, **kwargs)\n"
        "        output.last_hidden_state = output.last_hidden_state.flip(-1)\n        return output\n",
        encoding="utf-8",
    )
    as_known, as_own = (load_encoder(str(folder), options) for options in (EncoderOptions(), TRUSTED))
    one, other = (np.asarray(model.encoder.encode_queries(["a river"])) for model in (as_known, as_own))
    assert np.abs(one - other).max() > 0.1
    assert as_known.info == as_own.info
    assert as_known.identity != as_own.identity
    entries = {CacheEntry(tmp_path, model, "query", ["a river"]).folder for model in (as_known, as_own)}
    assert len(entries) == 2
    clirbench.evaluate(as_known, "demo", languages=["en", "de"]).save(tmp_path / "results")
    with pytest.raises(ClirbenchError, match="holds another run"):
        clirbench.evaluate(as_own, "demo", languages=["en", "de"]).save(tmp_path / "results")


def test_a_model_without_code_is_the_same_with_and_without_trust(tmp_path):
    folder = model_folders.with_dense(tmp_path)
    assert load_encoder(str(folder)).identity == load_encoder(str(folder), TRUSTED).identity


def test_a_function_that_the_library_would_replace_is_refused(tmp_path):
    folder = model_folders.with_dense(tmp_path)
    model_folders.edit(folder, "2_Dense/config.json", activation_function="transformers.activations.GELUActivation")
    with pytest.raises(ClirbenchError, match="replaces by another unless it is trusted"):
        load_encoder(str(folder))
    assert load_encoder(str(folder), TRUSTED).identity["trust_remote_code"]
