"""The hybrid sampler: its law, its determinism, and its life inside trainers."""

from collections import Counter
from functools import partial

import datasets
import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard, skip_first_batches
from torch.utils.data import DataLoader

from clirbench.support.errors import ClirbenchError
from clirbench.training.batches import HybridBatchSampler, SamplerKeywords, SamplerOptions

LANGUAGES = ("en", "de", "th", "zh")


def parallel(topics=400, present=lambda topic, language: True, sources=("a", "b")):
    """One row per topic and ordered language pair, as text columns; topics alternate between sources."""
    rows = [
        {
            "query": f"q{topic}-{q}",
            "candidate": f"c{topic}-{c}",
            "query_language": q,
            "candidate_language": c,
            "topic": f"t{topic}",
            "source": sources[topic % len(sources)],
        }
        for topic in range(topics)
        for q in LANGUAGES
        for c in LANGUAGES
        if present(topic, q) and present(topic, c)
    ]
    return datasets.Dataset.from_list(rows)


@pytest.fixture(scope="module")
def data():
    return parallel()


def kinds(data, batch):
    rows = data[batch]
    pairs = set(zip(rows["query_language"], rows["candidate_language"], strict=True))
    return rows, pairs


def test_batches_are_one_source_of_one_kind_without_repeated_topics(data):
    sampler = HybridBatchSampler(data, 64, seed=3, batches=200)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 200
    for batch in batches:
        rows, pairs = kinds(data, batch)
        assert len(batch) == 64
        assert len(set(rows["topic"])) == 64
        assert len(set(rows["source"])) == 1
        if any(q == c for q, c in pairs):
            assert len(pairs) == 1
        else:
            assert len(pairs) > 1


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_share_of_monolingual_batches_is_alpha(data, alpha):
    sampler = HybridBatchSampler(data, 8, seed=1, alpha=alpha, batches=2000)
    monolingual = sum(len({q == c for q, c in kinds(data, b)[1]} & {True}) for b in sampler)
    # Five standard deviations of a binomial; exact at the ends.
    assert abs(monolingual - 2000 * alpha) <= 5 * (2000 * alpha * (1 - alpha)) ** 0.5


def chi_square(counts, expected):
    from scipy.stats import chisquare

    keys = sorted(expected)
    total = sum(counts.values())
    assert set(counts) <= set(keys)
    return chisquare([counts[k] for k in keys], [total * expected[k] for k in keys]).pvalue


def test_languages_are_uniform_by_default():
    # Half of the topics lack Chinese: uniform must not notice, where every batch has all the rows that it needs.
    data = parallel(present=lambda topic, language: language != "zh" or topic % 4 < 2)
    batches = list(HybridBatchSampler(data, 4, seed=5, batches=4000))
    mono, cross = Counter(), Counter()
    for batch in batches:
        rows, pairs = kinds(data, batch)
        if len(pairs) == 1 and next(iter(pairs))[0] == next(iter(pairs))[1]:
            mono[rows["query_language"][0]] += 1
        else:
            cross.update(zip(rows["query_language"], rows["candidate_language"], strict=True))
    assert chi_square(mono, dict.fromkeys(LANGUAGES, 1 / 4)) > 1e-4
    pairs = [(q, c) for q in LANGUAGES for c in LANGUAGES if q != c]
    # Dropping a repeated topic costs rare pairs a little: 1 % is allowed.
    for pair in pairs:
        assert abs(cross[pair] / cross.total() - 1 / 12) < 0.01


@pytest.mark.parametrize("exponent", [1.0, 0.5])
def test_languages_in_proportion_to_their_rows(exponent):
    data = parallel(present=lambda topic, language: language != "zh" or topic % 10 == 0)
    sampler = HybridBatchSampler(
        data, 2, seed=7, alpha=1.0, language_sampling="proportional", exponent=exponent, batches=4000
    )
    found = Counter(data[batch]["query_language"][0] for batch in sampler)
    sizes = {"en": 400, "de": 400, "th": 400, "zh": 40}
    total = sum(n**exponent for n in sizes.values())
    assert chi_square(found, {x: n**exponent / total for x, n in sizes.items()}) > 1e-4


def test_sources_are_drawn_by_weight_for_either_kind(data):
    sampler = HybridBatchSampler(data, 4, seed=9, source_weights={"a": (3.0, 0.0), "b": (1.0, 1.0)}, batches=3000)
    mono, cross = Counter(), Counter()
    for batch in sampler:
        rows, pairs = kinds(data, batch)
        (mono if all(q == c for q, c in pairs) else cross)[rows["source"][0]] += 1
    assert chi_square(mono, {"a": 0.75, "b": 0.25}) > 1e-4
    assert set(cross) == {"b"}


def test_one_language_pair_for_the_whole_batch(data):
    for batch in HybridBatchSampler(data, 32, alpha=0.0, language_pairs="batch", batches=50):
        assert len(kinds(data, batch)[1]) == 1


def test_equal_texts_do_not_meet():
    rows = [
        {"query": "same", "candidate": f"c{i}", "query_language": "en", "candidate_language": "de", "topic": i}
        for i in range(20)
    ] + [
        {"query": f"q{i}", "candidate": f"d{i}", "query_language": "en", "candidate_language": "de", "topic": 100 + i}
        for i in range(20)
    ]
    data = datasets.Dataset.from_list(rows)
    for batch in HybridBatchSampler(data, 20, alpha=0.0, batches=30):
        assert Counter(data[batch]["query"])["same"] <= 1
        assert 10 <= len(batch) <= 20


def test_a_small_source_gives_short_batches(data):
    sampler = HybridBatchSampler(data, 500, batches=10)
    # 400 topics in two sources: 200 at most.
    assert all(150 <= len(batch) <= 200 for batch in sampler)
    assert list(HybridBatchSampler(data, 500, drop_last=True, batches=10)) == []


def test_batches_depend_on_seed_epoch_and_number_alone(data):
    first = HybridBatchSampler(data, 32, seed=4, batches=20)
    second = HybridBatchSampler(data, 32, seed=4, batches=20)
    assert second.batch(13) == list(first)[13]
    assert list(HybridBatchSampler(data, 32, seed=5, batches=20)) != list(first)
    before = list(first)
    first.set_epoch(1)
    assert list(first) != before
    first.set_epoch(0)
    assert list(first) == before


def test_a_resumed_loader_goes_on_with_the_same_batches(data):
    texts = data.with_format(None, columns=["query", "candidate"])
    whole = list(DataLoader(texts, batch_sampler=HybridBatchSampler(texts, 16, seed=2, batches=12), collate_fn=list))
    loader = DataLoader(texts, batch_sampler=HybridBatchSampler(texts, 16, seed=2, batches=12), collate_fn=list)
    assert list(skip_first_batches(loader, 7)) == whole[7:]
    assert set(whole[0][0]) == {"query", "candidate"}


@pytest.mark.parametrize("size", [32, 500])
def test_several_processes_share_one_sequence(data, size):
    """With 500 all batches are short; accelerate must not drop or repeat them."""
    whole = list(HybridBatchSampler(data, size, seed=2, batches=12))
    shards = [
        list(BatchSamplerShard(HybridBatchSampler(data, size, seed=2, batches=12), 3, rank, even_batches=False))
        for rank in range(3)
    ]
    for rank in range(3):
        assert shards[rank] == whole[rank::3]


@pytest.mark.parametrize("change", ["shuffle", "filter", "split"])
def test_a_data_set_in_another_order(data, change):
    changed = {
        "shuffle": lambda: data.shuffle(seed=1),
        "filter": lambda: data.filter(lambda row: row["topic"] != "t3"),
        "split": lambda: data.train_test_split(0.5, seed=1)["train"],
    }[change]()
    for batch in HybridBatchSampler(changed, 16, seed=3, batches=40):
        rows, pairs = kinds(changed, batch)
        assert len(set(rows["topic"])) == len(batch) == 16
        assert len(pairs) == 1 or all(q != c for q, c in pairs)


def test_without_a_source_column_and_its_default_length(data):
    plain = data.remove_columns(["source"])
    sampler = HybridBatchSampler(plain, 40)
    assert len(sampler) == 10
    assert all(len(batch) == 40 for batch in sampler)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"language_sampling": "even"}, "language_sampling is 'even'"),
        ({"language_pairs": "all"}, "language_pairs is 'all'"),
        ({"alpha": 0.5, "source_weights": {"a": (0, 1)}}, "alpha is above 0"),
        ({"alpha": 0.5, "source_weights": {"a": (1, 0)}}, "alpha is below 1"),
    ],
)
def test_what_cannot_be_sampled(data, options, message):
    with pytest.raises(ClirbenchError, match=message):
        HybridBatchSampler(data, **{"batch_size": 8, **options})


def test_an_unknown_option_is_refused_by_its_name(data):
    with pytest.raises(TypeError, match="'alhpa'"):
        HybridBatchSampler(data, 8, alhpa=0.5)


def test_the_keywords_are_those_of_the_options():
    assert SamplerKeywords.__annotations__ == SamplerOptions.__annotations__


def test_a_missing_column(data):
    with pytest.raises(ClirbenchError, match="no column 'topic'"):
        HybridBatchSampler(data.remove_columns(["topic"]), 8)
    with pytest.raises(ClirbenchError, match="is empty"):
        HybridBatchSampler(data.select([]), 8)
    with pytest.raises(ClirbenchError, match="'topic' of the training data set has missing values"):
        HybridBatchSampler(data.select(range(4)).map(lambda row: {"topic": None}), 8)


def test_it_plugs_into_the_training_arguments(data, tmp_path):
    from sentence_transformers import SentenceTransformerTrainingArguments

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), batch_sampler=partial(HybridBatchSampler, alpha=1.0), use_cpu=True
    )
    sampler = arguments.batch_sampler(data, batch_size=8, drop_last=False, seed=1)
    assert np.shape(sampler.batch(0)) == (8,)
