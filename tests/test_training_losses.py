"""The losses of a recipe: batches encoded in groups, the distance to a teacher, rounding to 4 bits."""

import numpy as np
import pytest
import tiny_models

torch = pytest.importorskip("torch")

from clirbench.encoders.blocks import dequantise_blocks, quantise_blocks  # noqa: E402
from clirbench.training.losses import (  # noqa: E402
    HybridLoss,
    encode_by_length,
    length_groups,
    make_loss,
    rounded_weights,
    teacher_distance,
)
from clirbench.training.recipe import LossPart, TeacherPart  # noqa: E402

TEXTS = ["a", "be ba " * 9, "abe", "ba be bi bo", "e" * 30, "ab ba", "be", "ca ce ci co ca ce"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.unigram_model(tmp_path_factory.mktemp("base")).eval()


@pytest.mark.parametrize("padding", [0.0, 0.08, 0.5])
def test_groups_hold_every_text_once_and_little_padding(padding):
    lengths = np.random.default_rng(3).integers(1, 90, 70).tolist()
    groups = list(length_groups(lengths, padding))
    assert sorted(i for group in groups for i in group) == list(range(70))
    for group in groups:
        own = [lengths[i] for i in group]
        assert 1 - sum(own) / (max(own) * len(own)) <= padding
    assert len(groups) < 70
    assert list(length_groups([], padding)) == []


def test_texts_encoded_in_groups_have_the_same_vectors_and_gradients(model):
    gradients, vectors = [], []
    for grouped in (False, True):
        model.zero_grad()
        features = model.preprocess(TEXTS)
        calls = []

        def encode(some, calls=calls):
            calls.append(len(some["input_ids"]))
            return model(some)["sentence_embedding"]

        made = encode_by_length(encode, features) if grouped else encode(features)
        made.square().sum(dim=0).cumsum(0)[::3].sum().backward()
        vectors.append(made.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        assert (len(calls) > 1) == grouped
    assert torch.allclose(vectors[0], vectors[1], atol=1e-6)
    # Sums of floats come in another order.
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()


def test_a_tokenizer_that_pads_on_the_left_loses_no_token():
    lengths = [9, 2, 5, 3]
    for left in (False, True):
        mask = torch.tensor([[0] * (9 - n) + [1] * n if left else [1] * n + [0] * (9 - n) for n in lengths])
        features = {"input_ids": mask * torch.arange(1, 37).reshape(4, 9), "attention_mask": mask}
        sums = lambda some: (some["input_ids"] * some["attention_mask"]).sum(dim=1, keepdim=True)  # noqa: E731
        assert torch.equal(encode_by_length(sums, features), sums(features))


def test_the_distance_of_vectors_by_hand():
    ours = [torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])]
    theirs = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 5.0]])]
    # Cosines 0.6 and 1.
    assert teacher_distance("vectors", ours, theirs).item() == pytest.approx((0.4 + 0.0) / 2)


def test_the_distance_of_cosines_by_hand():
    ours = [torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])]
    theirs = [torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])]
    # The one cosine of two texts is 0.8 here and 1 there; it stands twice among four pairs.
    assert teacher_distance("cosines", ours, theirs).item() == pytest.approx(10 * 2 * 0.2**2 / 4)


def test_texts_without_a_target_are_left_out():
    ours = [torch.tensor([[3.0, 4.0], [9.0, 1.0]]), torch.tensor([[0.0, 2.0], [7.0, 7.0]])]
    theirs = [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 5.0], [0.0, 0.0]])]
    for compare in ("vectors", "cosines"):
        alone = teacher_distance(compare, [side[:1] for side in ours], [side[:1] for side in theirs])
        assert teacher_distance(compare, ours, theirs).item() == pytest.approx(alone.item())


def test_weights_of_both_losses(model):
    sides = lambda: [dict(model.preprocess(TEXTS[:4])), dict(model.preprocess(TEXTS[4:]))]  # noqa: E731
    target = torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    value = {}
    for contrastive, teacher in ((1.0, 0.0), (0.0, 1.0), (0.5, 2.0)):
        part = TeacherPart(weight=teacher) if teacher else None
        loss = HybridLoss(model, LossPart(scale=20.0, weight=contrastive), part)
        value[contrastive, teacher] = loss([side | {"teacher": target} for side in sides()]).item()
    assert value[0.5, 2.0] == pytest.approx(0.5 * value[1.0, 0.0] + 2.0 * value[0.0, 1.0], rel=1e-5)
    nothing = HybridLoss(model, LossPart(scale=20.0, weight=0.0), TeacherPart())(sides())
    nothing.backward()
    assert nothing.item() == 0.0
    # A batch that the teacher does not know has the contrastive loss alone.
    plain = make_loss(model, LossPart(scale=20.0), TeacherPart())(sides()).item()
    assert plain == pytest.approx(value[1.0, 0.0], rel=1e-5)


def test_a_matrix_that_a_packed_model_does_not_round_is_left_as_it_is():
    module = torch.nn.ModuleDict({"narrow": torch.nn.Linear(20, 40), "few": torch.nn.Embedding(2, 64)})
    assert rounded_weights(module) == {}


def test_rounded_weights_are_those_of_the_packed_model_and_let_gradients_through(model):
    frozen = model[0].auto_model.embeddings.word_embeddings.weight
    frozen.requires_grad = False
    rounded = rounded_weights(model)
    weights = dict(model.named_parameters())
    # Six matrices a layer, the table of positions, the pooler. The table of two token types is never packed.
    assert len(rounded) == 2 * 6 + 2
    for name, weight in rounded.items():
        expected = dequantise_blocks(*quantise_blocks(weights[name].detach().numpy()))
        assert np.abs(weight.detach().numpy() - expected).max() <= 1e-6 * np.abs(expected).max()
    name = next(iter(rounded))
    model.zero_grad()
    rounded[name].sum().backward()
    assert torch.equal(weights[name].grad, torch.ones_like(weights[name]))
    assert not any(weights[name] is frozen for name in rounded)
    frozen.requires_grad = True


def test_the_dev_task_scores_the_rounded_weights_and_training_goes_on_from_its_own(model):
    from types import SimpleNamespace

    from clirbench.training.fit import _AsComputed

    class Evaluator:
        primary_metric, greater_is_better = "multilingual.mAP", True

        def __call__(self, scored):
            self.seen = {name: weight.detach().clone() for name, weight in scored.named_parameters()}
            return {"multilingual.mAP": 0.5}

    evaluator, state = Evaluator(), SimpleNamespace(rounded=False)
    scorer = _AsComputed(evaluator, state)
    own = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    packed = {name: weight.detach() for name, weight in rounded_weights(model).items()}
    assert scorer(model) == {"multilingual.mAP": 0.5}
    assert all(torch.equal(evaluator.seen[name], weight) for name, weight in own.items())
    state.rounded = True
    scorer(model)
    assert all(torch.equal(evaluator.seen[name], packed.get(name, weight)) for name, weight in own.items())
    assert not torch.equal(packed[next(iter(packed))], own[next(iter(packed))])
    assert all(torch.equal(weight, own[name]) for name, weight in model.named_parameters())
