"""Other libraries that compute a model's vectors: refused with a remedy where they are not there, and part of the identity."""

import importlib.util

import pytest
import tiny_models
from model_folders import plain

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.describe import describe
from clirbench.encoders.from_sentence_transformers import backend_of, wrap_sentence_transformer
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError


@pytest.mark.parametrize(("backend", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_backend_whose_packages_are_missing_says_how_to_get_them(tmp_path, backend, package):
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed: tests/test_encoders_backends.py compares its ranks")
    with pytest.raises(ClirbenchError, match=rf"pip install 'sentence-transformers\[{backend}\]'") as error:
        load_encoder(str(plain(tmp_path)), EncoderOptions(backend=backend))
    assert "\n" not in str(error.value)


def test_a_model_that_uses_no_backend_refuses_one(tmp_path):
    with pytest.raises(ClirbenchError, match="--backend onnx does not apply to this model, no part of which uses it"):
        load_encoder(str(tiny_models.static_model(tmp_path)), EncoderOptions(backend="onnx"))
    for name in ("clirbench/char-ngram", "clirbench/hybrid"):
        with pytest.raises(ClirbenchError, match="--backend does not apply"):
            load_encoder(name, EncoderOptions(backend="onnx"))
    with pytest.raises(ClirbenchError, match="--backend is 'tensorrt': use onnx, openvino"):
        load_encoder("clirbench/hybrid", EncoderOptions(backend="tensorrt"))


def test_the_backend_is_part_of_the_identity(tmp_path):
    """A model in memory says itself what computes it."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(plain(tmp_path)), device="cpu")
    assert wrap_sentence_transformer(model, EncoderOptions(), None, "memory", "me/it").settings.backend is None
    model[0].backend = "onnx"
    wrapped = wrap_sentence_transformer(model, EncoderOptions(), None, "memory", "me/it")
    assert wrapped.settings.backend == "onnx"
    assert wrapped.settings.variant == "onnx"
    assert wrapped.info.parameters is None
    assert wrapped.settings.dtype == "unknown"
    assert ", precision unknown, " in describe(wrapped)[0]
    with pytest.raises(ClirbenchError, match="--dtype does not apply to the backend onnx"):
        backend_of(model, EncoderOptions(dtype="float16"))


@pytest.mark.parametrize(("backend", "package"), [("onnx", "optimum.onnxruntime"), ("openvino", "optimum.intel")])
def test_ranks_are_those_of_torch(tmp_path, backend, package):
    pytest.importorskip(package)
    import clirbench

    folder = str(plain(tmp_path))
    torch = clirbench.evaluate(folder, "demo", languages=["en"])
    other = clirbench.evaluate(folder, "demo", languages=["en"], options=EncoderOptions(backend=backend))
    # Close candidates change places.
    assert abs(torch.score("monolingual", "mAP") - other.score("monolingual", "mAP")) < 0.01
    assert other.document.encoder.backend == backend
