"""Static models in a few bits: rounding, the folder, the bundled one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.bundled import BUNDLED, DEFAULT
from clirbench.encoders.load import load_encoder
from clirbench.encoders.packed import PackedEncoder, dequantise, quantise, write_packed
from clirbench.results.rescore import rescore
from clirbench.support.errors import ClirbenchError

FOLDER = BUNDLED[DEFAULT].folder

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_is_within_half_a_step_where_nothing_is_clipped(bits):
    rng = np.random.default_rng(0)
    weights = rng.uniform(-1, 1, (50, 16)).astype(np.float32)
    weights[7] = 0
    packed, scales = quantise(weights, bits)
    assert packed.dtype == np.uint8
    assert packed.shape == (50, 16 * bits // 8)
    back = dequantise(packed, scales, bits)
    top = 2 ** (bits - 1) - 1
    clipped = np.abs(weights) > scales[:, None].astype(np.float32) * (top + 0.5)
    assert (np.abs(back - weights) <= scales[:, None].astype(np.float32) * 0.501)[~clipped].all()
    assert not back[7].any()


def test_what_eight_and_four_bits_hold_exactly():
    for bits in (4, 8):
        top = 2 ** (bits - 1) - 1
        integers = np.arange(-top, top + 1, dtype=np.float32)
        integers = np.append(integers, np.float32(0))[None] * np.float32(0.5)
        packed, scales = quantise(integers, bits)
        assert np.array_equal(dequantise(packed, scales, bits), integers)


def test_the_chosen_scale_beats_the_largest_weight():
    """A heavy tail: clipping it must cost less than the naive scale."""
    weights = np.random.default_rng(1).standard_t(3, (200, 64)).astype(np.float32)
    packed, scales = quantise(weights, 4)
    naive = (np.abs(weights).max(1) / 7).astype(np.float16).astype(np.float32)[:, None]
    plain = np.clip(np.rint(weights / naive), -7, 7) * naive
    assert ((dequantise(packed, scales, 4) - weights) ** 2).sum() < ((plain - weights) ** 2).sum()


@pytest.fixture
def folder(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.array([[1, 1], [7, 0], [0, 7]], dtype=np.float32)
    write_packed(weights, tokenizer.to_str(), 4, tmp_path / "packed")
    return tmp_path / "packed"


def test_a_vector_is_the_mean_over_tokens(folder):
    encoder = PackedEncoder(folder)
    assert np.allclose(
        encoder.encode_queries(["a", "a b", "a a a b", ""]), [[7, 0], [3.5, 3.5], [5.25, 1.75], [1, 1]], atol=0.01
    )
    assert encoder.parameters == 6


def test_a_packed_folder_is_a_model(folder):
    loaded = load_encoder(str(folder), EncoderOptions(name="me/packed"))
    assert (loaded.info.name, loaded.info.kind, loaded.info.revision_kind) == ("me/packed", "packed", "folder-sha256")
    before = load_encoder(str(folder)).info
    assert before.name.startswith("local/packed-")
    (folder / "README.md").write_text("prose")
    assert load_encoder(str(folder)).info == before
    with pytest.raises(ClirbenchError, match="--dtype does not apply to a packed model"):
        load_encoder(str(folder), EncoderOptions(dtype="float16"))


def test_a_packed_folder_is_evaluated(folder, tmp_path):
    result = clirbench.evaluate(str(folder), "demo", languages=["en", "de"])
    assert result.document.model.kind == "packed"
    assert rescore(clirbench.read_result(result.save(tmp_path))).differences == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", '{"format": 9, "bits": 4, "dimensions": 2}', "packed format 9 is not 1"),
        ("model.safetensors", "no", "not a packed model"),
    ],
)
def test_broken_folders(folder, file, content, message):
    (folder / file).write_text(content)
    with pytest.raises(ClirbenchError, match=message):
        load_encoder(str(folder))


def test_a_broken_tokenizer_is_refused_before_any_text_is_encoded(folder, tmp_path):
    (folder / "tokenizer.json").write_text("{}")
    for call in ("encode_queries", "encode_candidates", "count_tokens"):
        with pytest.raises(ClirbenchError, match=r"packed: not a packed model \(.*\): reinstall or rebuild it"):
            getattr(load_encoder(str(folder)).encoder, call)(["a"])
    with pytest.raises(ClirbenchError, match="not a packed model"):
        clirbench.evaluate(str(folder), "demo", languages=["en", "de"], cache=tmp_path / "cache")


def test_a_tokenizer_is_the_one_of_the_revision_though_its_file_changes(folder):
    loaded = load_encoder(str(folder))
    before = load_encoder(str(folder)).encoder.count_tokens(["a b", "a"])
    (folder / "tokenizer.json").write_text("{}")
    assert loaded.encoder.count_tokens(["a b", "a"]) == before == [2, 1]


def test_the_bundled_model_is_small_and_safe():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert sum(files.values()) <= 25_000_000
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["dimensions"] * config["vocabulary"] * config["bits"] / 8 <= files["model.safetensors"]


def test_the_bundled_model_needs_neither_torch_nor_transformers():
    code = (
        "import sys; from clirbench.encoders.load import load_encoder; e = load_encoder('clirbench/hybrid').encoder\n"
        "e.encode_queries(['Where is the library?']); e.encode_candidates(['Wo ist die Bibliothek?'])\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'mteb'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_bundled_model_reads_all_scripts():
    """Names match across scripts, translations are nearer than other sentences."""
    encoder = load_encoder(DEFAULT).encoder
    english = encoder.encode_queries(["The capital of Russia is Moscow.", "My sister cooks rice with fish."])
    for texts in (
        ["Столица России - Москва.", "Моя сестра готовит рис с рыбой."],
        ["Die Hauptstadt Russlands ist Moskau.", "Meine Schwester kocht Reis mit Fisch."],
        ["俄罗斯的首都是莫斯科。", "我姐姐用鱼煮米饭。"],
        ["เมืองหลวงของรัสเซียคือมอสโก", "พี่สาวของฉันหุงข้าวกับปลา"],
        ["عاصمة روسيا هي موسكو.", "أختي تطبخ الأرز مع السمك."],
        ["रूस की राजधानी मास्को है।", "मेरी बहन मछली के साथ चावल पकाती है।"],
    ):
        other = encoder.encode_candidates(texts)
        cosine = (english @ other.T) / np.linalg.norm(english, axis=1)[:, None] / np.linalg.norm(other, axis=1)
        assert cosine[0, 0] > cosine[0, 1], texts
        assert cosine[1, 1] > cosine[1, 0], texts


def test_the_bundled_card_names_every_source_and_licence():
    card = (Path(FOLDER) / "README.md").read_text(encoding="utf-8")
    assert "not stated in the recipe" not in card
    assert "Checked against demo, mlqa-r, xquad-r" in card
    assert "trained on (`--allow-overlap`)" not in card
    for part in ("| xquad-r |", "| mlqa-r |", "## Limits", "CC BY-SA 4.0", "FLORES-200 devtest"):
        assert part in card, part


def test_romanisation():
    from tokenizers import normalizers

    from clirbench.training.static.tokenizer import compile_rules, romanise, rules

    table = rules()
    compiled = normalizers.Precompiled(compile_rules(table))
    for text, expected in {
        "Москва": "moskva",
        "ΑΘΉΝΑ": "athina",
        "Hồ Chí Minh": "ho chi minh",
        "Straße": "strasse",
        "cafe\u0301": "cafe",
        "中文ＡＢＣ": "中文abc",
        "ประเทศไทย": "ประเทศไทย",
    }.items():
        assert compiled.normalize_str(text) == expected
        assert "".join(map(romanise, text)) == expected
    # The compiled map against the plain function, on every character that it changes.
    for character, target in list(table.items())[::7]:
        assert compiled.normalize_str(character) == target, hex(ord(character))


def test_the_bundled_weights_are_those_of_the_board():
    submitted = clirbench.read_result(ROOT / "submissions" / "clirbench__hybrid" / "xquad-r.json").document.model
    assert clirbench.load_encoder("clirbench/hybrid").info.revision == submitted.revision
