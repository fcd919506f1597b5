"""The dtype of a model's weights, and of its checkpoint."""

import json

import pytest
from model_folders import in_half, plain

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.encoders.precision import saved_dtype


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return in_half(tmp_path_factory.mktemp("half"))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_dtype_in_effect_and_that_of_the_checkpoint(half, dtype):
    loaded = load_encoder(str(half), EncoderOptions(dtype=dtype))
    assert (loaded.settings.dtype, loaded.saved_dtype) == (dtype, "float16")
    assert str(loaded.encoder.encode_queries(["a"]).dtype) == f"torch.{dtype}"


def test_the_heads_of_the_files_count_before_the_configuration(tmp_path):
    folder = plain(tmp_path)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "bfloat16"}))
    assert saved_dtype(folder) == "float32"
    (folder / "model.safetensors").unlink()
    assert saved_dtype(folder) == "bfloat16"
    config.unlink()
    assert saved_dtype(folder) is None


def test_a_damaged_file_says_nothing(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 4)
    assert saved_dtype(tmp_path) is None
