"""What is fetched and copied of a model: what a loader reads, and nothing else; the model stays the same one."""

import json
import shutil
from importlib import metadata

import model_folders
import numpy as np
import pytest
import tiny_models
from packaging.version import Version

from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.encoders.load import load_encoder
from clirbench.encoders.safe_copy import fetch_files_to_read, files_to_read, safe_copy, trusted_copy
from clirbench.support.errors import ClirbenchError

COMMIT = "b" * 40
# What repositories of the hub hold beside the model.
BESIDE = (
    ".gitattributes",
    "README.md",
    "train_script.py",
    "pytorch_model.bin",
    "tf_model.h5",
    "training_args.bin",
    "onnx/config.json",
    "onnx/model.onnx",
    "onnx/tokenizer.json",
    "openvino/openvino_model.xml",
    "1_Pooling/notes.txt",
    "evaluation/results.json",
    "other.safetensors",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def on_hub(tmp_path, source, name="acme/model"):
    """Put a folder into the cache of the hub as its client does: files in blobs, and links to them. The snapshot."""
    repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        blob = repository / "blobs" / str(number)
        shutil.copyfile(path, blob)
        target = snapshot / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return snapshot


def with_files_beside(folder):
    for name in BESIDE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x80\x04not read")
    return folder


def same_model(loaded, other):
    assert loaded.identity == other.identity
    assert loaded.info == other.info
    assert (loaded.sources, loaded.saved_dtype, loaded.notes) == (other.sources, other.saved_dtype, other.notes)
    texts = ["one text", "another one", "ΑΒΓ"]
    if isinstance(loaded, LoadedEncoder):
        for role in ("encode_queries", "encode_candidates"):
            mine, theirs = (getattr(one.encoder, role)(texts) for one in (loaded, other))
            mine, theirs = (one.to_dense() if one.is_sparse else one for one in (mine, theirs))
            np.testing.assert_array_equal(mine.float().cpu().numpy(), theirs.float().cpu().numpy())


@pytest.mark.parametrize(
    "build",
    [
        model_folders.plain,
        model_folders.configured(prompts={"query": "query: ", "document": "passage: "}),
        model_folders.router,
        model_folders.with_dense,
        model_folders.without_pooling,
        tiny_models.sparse_model,
        tiny_models.multi_vector_model,
        tiny_models.static_model,
    ],
)
def test_a_model_is_the_same_with_the_check_and_without(tmp_path, build, cache):
    folder = build(tmp_path)
    same_model(*(load_encoder(str(folder), EncoderOptions(safe=safe)) for safe in (True, False)))
    on_hub(tmp_path, folder)
    by_default, unsafe = load_encoder("acme/model"), load_encoder("acme/model", EncoderOptions(safe=False))
    same_model(by_default, unsafe)
    assert by_default.info.revision == COMMIT
    assert list((cache / "copies").iterdir()) == []


def test_files_that_are_never_read_refuse_no_model_of_the_hub(tmp_path):
    folder = model_folders.plain(tmp_path)
    on_hub(tmp_path, folder, "acme/bare")
    on_hub(tmp_path, with_files_beside(folder))
    loaded = load_encoder("acme/model", EncoderOptions(name="acme/one"))
    same_model(loaded, load_encoder("acme/bare", EncoderOptions(name="acme/one")))
    # Of a folder that one names, each file must be known: its revision covers all of them.
    with pytest.raises(ClirbenchError, match=r"can run code when it is loaded, or is no file that clirbench knows"):
        load_encoder(str(folder), EncoderOptions(safe=True))


def test_what_is_fetched_is_what_is_read(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    repository = with_files_beside(model_folders.router(tmp_path))
    here, asked = tmp_path / "fetched", []

    def download(name, *, revision, allow_patterns, cache_dir):
        assert (name, revision) == ("acme/model", COMMIT)
        assert huggingface_hub.utils.are_progress_bars_disabled()
        asked.append(set(allow_patterns))
        for place in allow_patterns:
            if (repository / place).is_file():
                (here / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(repository / place, here / place)
        return str(here)

    def download_one(name, place, *, revision, cache_dir):
        huggingface_hub.utils.disable_progress_bars()
        download(name, revision=revision, allow_patterns=[place], cache_dir=cache_dir)
        huggingface_hub.utils.enable_progress_bars()
        if not (repository / place).is_file():
            raise EntryNotFoundError(place)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download_one)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert fetch_files_to_read("acme/model", COMMIT, "stop") == here
    fetched = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert fetched == {
        path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()
    } - set(BESIDE)
    # Nothing is asked for twice, and weights only where modules are.
    assert sum(map(len, asked)) == len(set.union(*asked))
    assert not any("onnx" in place or place.endswith((".bin", ".py")) for place in set.union(*asked))
    assert sorted(files_to_read(here)) == sorted(fetched)


def test_weights_in_several_files(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = model_folders.plain(tmp_path)
    whole = load_encoder(str(folder))
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {key: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, key in enumerate(weights)}
    for file in set(names.values()):
        save_file(
            {key: weights[key] for key in weights if names[key] == file}, folder / file, metadata={"format": "pt"}
        )
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    on_hub(tmp_path, folder)
    loaded = load_encoder("acme/model")
    texts = ["a text"]
    np.testing.assert_array_equal(loaded.encoder.encode_queries(texts), whole.encoder.encode_queries(texts))
    shutil.rmtree(tmp_path / "hub")
    (folder / "model-00002-of-00002.safetensors").unlink()
    on_hub(tmp_path, folder)
    with pytest.raises(ClirbenchError, match=r"acme/model: needs model-00002-of-00002.safetensors, which is not there"):
        load_encoder("acme/model")


def pickled(folder):
    """The folder with its weights as a pickle."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_weights_in_a_pickle_are_read_only_if_they_may(tmp_path):
    folder = model_folders.plain(tmp_path)
    texts = ["a text"]
    vectors = load_encoder(str(folder)).encoder.encode_queries(texts)
    on_hub(tmp_path, pickled(folder))
    with pytest.raises(
        ClirbenchError, match=r"acme/model: has no safetensors weights.*--allow-pickle for weights in .bin"
    ):
        load_encoder("acme/model")
    if Version(metadata.version("torch")) < Version("2.6"):
        # Transformers reads no pickle with it, whatever is allowed.
        for allowed in (True, False):
            with pytest.raises(ClirbenchError, match=r"its weights are a pickle, which torch .* pass --allow-pickle"):
                load_encoder(str(folder), EncoderOptions(allow_pickle=allowed))
        return
    for name in (str(folder), "acme/model"):
        with pytest.raises(ClirbenchError, match=r"are in pytorch_model.bin, a pickle, .* or pass --allow-pickle"):
            load_encoder(name, EncoderOptions(safe=False))
        loaded = load_encoder(name, EncoderOptions(allow_pickle=True))
        np.testing.assert_array_equal(loaded.encoder.encode_queries(texts), vectors)


def test_a_module_in_a_pickle_too(tmp_path):
    folder = model_folders.with_dense(tmp_path)
    dense = next(path.parent for path in folder.glob("*/model.safetensors"))
    pickled(dense)
    with pytest.raises(ClirbenchError, match=r"are in pytorch_model.bin, a pickle"):
        load_encoder(str(folder))
    assert load_encoder(str(folder), EncoderOptions(allow_pickle=True)).encoder.encode_queries(["a"]).shape == (1, 8)


@pytest.mark.parametrize(
    ("option", "value"), [("trust_remote_code", True), ("allow_pickle", True), ("backend", "onnx")]
)
def test_what_the_check_does_not_know_is_not_asked_for_beside_it(option, value):
    with pytest.raises(ClirbenchError, match=f"--safe and --{option.replace('_', '-')} exclude each other"):
        load_encoder("acme/model", EncoderOptions(safe=True, **{option: value}))


def test_a_bundled_model_has_no_files_to_check():
    with pytest.raises(ClirbenchError, match="--safe does not apply to"):
        load_encoder("clirbench/char-ngram", EncoderOptions(safe=True))


def test_a_model_of_mteb_is_checked_where_mteb_leaves_loading_to_the_library(tmp_path):
    import mteb

    name = "sentence-transformers/all-MiniLM-L6-v2"
    folder = model_folders.plain(tmp_path)
    snapshot = on_hub(tmp_path, folder, name)
    snapshot.rename(snapshot.with_name(mteb.get_model_meta(name).revision))
    checked = load_encoder(f"mteb:{name}")
    assert checked.identity == load_encoder(f"mteb:{name}", EncoderOptions(safe=False)).identity
    config = next((tmp_path / "hub").rglob("config_sentence_transformers.json"))
    config.write_text('{"run": 1}', encoding="utf-8")
    with pytest.raises(ClirbenchError, match=f"{name}: config_sentence_transformers.json has the unknown key 'run'"):
        load_encoder(f"mteb:{name}")


def test_a_copy_is_read_only_and_is_gone_at_the_end(tmp_path, cache):
    folder = model_folders.plain(tmp_path)
    with safe_copy(folder, "stop") as copy:
        assert copy.is_relative_to(cache)
        files = [path for path in copy.rglob("*") if path.is_file()]
        assert len(files) > 5
        assert not any(path.stat().st_mode & 0o222 for path in (copy, *copy.rglob("*")))
        # A copy that has passed is not copied again.
        with safe_copy(copy, "stop") as again:
            assert again == copy
    assert not copy.exists()
    with pytest.raises(RuntimeError), safe_copy(folder, "stop") as copy:
        raise RuntimeError
    assert list((cache / "copies").iterdir()) == []
    with trusted_copy(folder) as copy:
        assert {path.name for path in copy.iterdir()} == {path.name for path in folder.iterdir()}
    assert list((cache / "copies").iterdir()) == []


def test_links_of_the_hub_cache_are_followed_and_others_are_not(tmp_path):
    snapshot = on_hub(tmp_path, model_folders.plain(tmp_path))
    assert load_encoder("acme/model").info.revision == COMMIT
    outside = tmp_path / "secret.json"
    outside.write_text("{}", encoding="utf-8")
    (snapshot / "special_tokens_map.json").unlink(missing_ok=True)
    (snapshot / "special_tokens_map.json").symlink_to(outside)
    with pytest.raises(ClirbenchError, match=r"acme/model: special_tokens_map.json is a link out of the folder"):
        load_encoder("acme/model")


def test_errors_name_the_model_and_not_the_copy(tmp_path, cache):
    folder = model_folders.with_holes(tmp_path)
    with pytest.raises(ClirbenchError, match="the checkpoint of") as error:
        load_encoder(str(folder), EncoderOptions(safe=True))
    assert str(cache) not in str(error.value)
    on_hub(tmp_path, model_folders.cross_encoder(tmp_path / "other"))
    with pytest.raises(ClirbenchError, match=r"'acme/model' is a cross-encoder.*rerank:FIRST\+acme/model"):
        load_encoder("acme/model")


def test_a_cache_without_weights_says_how_to_fetch_them(tmp_path):
    folder = model_folders.plain(tmp_path)
    (folder / "model.safetensors").unlink()
    on_hub(tmp_path, folder)
    with pytest.raises(ClirbenchError, match=rf"the cache has no weights of acme/model: .* --revision {COMMIT}"):
        load_encoder("acme/model")
