"""The numbers that a training computes in."""

import pytest

torch = pytest.importorskip("torch")

from clirbench.training import precision  # noqa: E402
from clirbench.training.precision import choose_precision  # noqa: E402
from clirbench.training.recipe import OptimizerPart  # noqa: E402


class Heard:
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def part(chosen="auto", name="adamw"):
    return OptimizerPart(name=name, steps=1, learning_rate=0.1, precision=chosen)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((2.0, 1.0), "bfloat16"), ((1.0, 1.0), "float32"), ((1.05, 1.0), "float32"), ((1.0, 3.0), "float32")],
)
def test_auto_takes_what_is_faster_on_this_processor_and_says_so(monkeypatch, seconds, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    measured = dict(zip(("float32", "bfloat16"), seconds, strict=True))
    monkeypatch.setattr(precision, "_seconds_of_a_step", lambda model, name: measured[name])
    monkeypatch.setattr(precision, "tokenise_with", lambda *given: len)
    heard = Heard()
    assert choose_precision(None, part(), heard) == expected
    assert len(heard.lines) == 1
    assert f"training computes in {expected}" in heard.lines[0]


def test_where_nothing_can_be_measured_alike_it_is_float32(monkeypatch, tmp_path):
    import tiny_models
    from sentence_transformers import SentenceTransformer

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "_seconds_of_a_step", lambda *given: pytest.fail("it measured"))
    static = SentenceTransformer(str(tiny_models.static_model(tmp_path)), device="cpu")
    heard = Heard()
    assert choose_precision(static, part(), heard) == "float32"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert choose_precision(None, part(), heard) == "float32"
    assert ["reads more than tokens" in line for line in heard.lines] == [True, False]
    assert "training computes in float32: with several processes" in heard.lines[1]


def test_a_gpu_is_not_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        heard = Heard()
        assert choose_precision(None, part(), heard) == expected
        assert heard.lines == [f"training computes in {expected}: the GPU {'has' if has else 'lacks'} bfloat16"]


def test_a_named_precision_is_taken():
    for name in ("float32", "bfloat16"):
        assert choose_precision(None, part(name), Heard()) == name


def test_a_static_model_computes_in_float32():
    assert choose_precision(None, part(name="sparse-adam"), Heard()) == "float32"


def test_a_step_is_measured_and_leaves_no_gradient(tmp_path):
    import tiny_models

    model = tiny_models.unigram_model(tmp_path)
    assert precision._seconds_of_a_step(model, "bfloat16") > 0
    assert all(weight.grad is None for weight in model.parameters())
