"""Removals of language bias: each against its own definition, then end to end on an encoder with a known bias."""

import hashlib
import json

import numpy as np
import pytest

import clirbench
from clirbench.encoders.transforms import Transform, fit_transform, parse_transform
from clirbench.support.errors import ClirbenchError


def samples(seed=0, languages=4, texts=50, dimensions=12):
    rng = np.random.default_rng(seed)
    offsets = rng.standard_normal((languages, dimensions))
    vectors = offsets[:, None] + rng.standard_normal((languages, texts, dimensions))
    return list((vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32))


def test_centring_leaves_every_language_a_mean_of_zero():
    given = samples()
    removal = fit_transform(Transform("center", 0), given)
    for i, sample in enumerate(given):
        assert np.abs(removal(sample, i).mean(axis=0)).max() < 1e-6


@pytest.mark.parametrize("rank", [1, 3])
def test_lir_removes_the_first_singular_directions_of_each_language(rank):
    given = samples()
    removal = fit_transform(Transform("lir", rank), given)
    for i, sample in enumerate(given):
        left, values, right = np.linalg.svd(sample.astype(np.float64), full_matrices=False)
        rest = (left[:, rank:] * values[rank:]) @ right[rank:]
        assert np.abs(removal(sample, i) - rest).max() < 1e-5


@pytest.mark.parametrize("rank", [1, 2])
def test_lsar_finds_the_subspace_in_which_the_means_differ(rank):
    # Means that are one shared vector plus a part in a known subspace orthogonal to it.
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.standard_normal((12, rank + 1)))[0].T
    within = rng.standard_normal((5, rank)) @ axes[1:]
    means = 2 * axes[0] + within
    removal = fit_transform(Transform("lsar", rank), [mean[None].astype(np.float32) for mean in means])
    for i, mean in enumerate(means):
        assert removal(mean[None].astype(np.float32), i)[0] == pytest.approx(2 * axes[0], abs=1e-5)


class Biased:
    """Texts of one topic share a direction; each language adds its own, twice as long."""

    revision = "1"
    name = "tests/biased"

    def __init__(self):
        self.encoded = 0

    def encode_queries(self, texts):
        self.encoded += len(texts)
        rows = []
        for text in texts:
            language, _, topic = text.split()[:3]
            rows.append(self._direction(topic) * (0 if "wrong" in text else 1) + 2 * self._direction(language))
            rows[-1] = rows[-1] + 0.3 * self._direction(text)
        return np.array(rows)

    encode_candidates = encode_queries

    @staticmethod
    def _direction(name):
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).standard_normal(32)
        return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("transform", ["center", "lir:1", "lsar:2"])
def test_a_known_bias_goes_away(tiny, monkeypatch, transform):
    monkeypatch.setattr("clirbench.evaluation.loaded_task.load_collection", lambda *_: tiny(topics=20))
    before = clirbench.evaluate(Biased(), "demo")
    options = clirbench.EncoderOptions(transform=transform)
    after = clirbench.evaluate(Biased(), "demo", options=options)
    assert after.score("multilingual", "mAP") > before.score("multilingual", "mAP") + 0.2
    assert after.score("bias", "rank_distance") < 0.5 * before.score("bias", "rank_distance")
    assert (after.document.encoder.transform, after.document.encoder.transform_sample) == (transform, "pool")


def test_the_result_has_a_folder_of_its_own_and_the_vectors_are_shared(tmp_path):
    class Counting:
        revision, name, encoded = "1", "tests/counting", 0

        def encode_queries(self, texts):
            Counting.encoded += len(texts)
            return np.array([np.random.default_rng(list(text.encode())).random(16) for text in texts])

        encode_candidates = encode_queries

    for transform, folder in ((None, "tests__counting"), ("lir:2", "tests__counting+lir-2")):
        options = clirbench.EncoderOptions(transform=transform)
        result = clirbench.evaluate(
            Counting(), "demo", languages=["en", "de"], options=options, cache=tmp_path / "cache"
        )
        assert result.save(tmp_path).parent.name == folder
    assert result.document.cost.texts_encoded == 0
    # One text of each role is encoded again, to see that the cached vectors are this encoder's.
    assert Counting.encoded == result.document.cost.texts + 2


def test_fitting_on_texts_of_a_file(tmp_path):
    lines = [{"language": language, "text": f"{language} text {i}"} for language in ("en", "de") for i in range(9)]
    path = tmp_path / "sample.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    transform = parse_transform("lir:2", path)
    assert transform.sample == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert len(transform.texts["de"]) == 9
    options = clirbench.EncoderOptions(transform="center", transform_sample=str(path))
    model = clirbench.load_encoder("clirbench/hybrid", options)
    result = clirbench.evaluate(model, "demo", languages=["en", "de"])
    assert result.document.encoder.transform_sample == transform.sample
    with pytest.raises(ClirbenchError, match="--transform-sample has no text in th"):
        clirbench.evaluate(model, "demo", languages=["en", "th"])
    path.write_text('{"language": "en"}\n', encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"sample.jsonl:1: 'language' and 'text' must be non-empty text"):
        parse_transform("center", path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "lir"}, "use center, lir:K or lsar:K"),
        ({"transform": "lir:0"}, "with K from 1"),
        ({"transform": "lsar:2"}, "smaller than the number of dimensions, and than languages, here 2"),
        ({"transform": "lir:512"}, "than texts of each language"),
        ({"transform_sample": "x.jsonl"}, "does nothing without --transform"),
        ({"transform": "center", "transform_sample": "nowhere.jsonl"}, "nowhere.jsonl: cannot be read"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ClirbenchError, match=message):
        clirbench.evaluate(
            "clirbench/hybrid", "demo", languages=["en", "de"], options=clirbench.EncoderOptions(**options)
        )


def test_sparse_vectors_are_refused():
    options = clirbench.EncoderOptions(transform="center")
    with pytest.raises(ClirbenchError, match="sparse vectors, which --transform cannot take"):
        clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en", "de"], options=options)
