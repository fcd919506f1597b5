"""The card of a trained transformer: where it comes from, what was kept of it, how it is used."""

from clirbench.training.model_card import training_card
from clirbench.training.recipe import load_recipe


def card(record=None, changes=None):
    recipe, _ = load_recipe("minilm.toml", changes or {})
    facts = {"rows": {}, "texts_by_language": {}, "checked_against": [], "overlaps": 0, "overlaps_allowed": False}
    return training_card(recipe, {**facts, "not_checked_against": {}, **(record or {})})


def test_a_base_of_the_hub_has_its_name_and_one_in_a_folder_has_no_path(tmp_path):
    recipe, _ = load_recipe("minilm.toml", {})
    assert f"| base model | {recipe.model.base}, pooling" in card()
    text = card(changes={"model.base": str(tmp_path / "small")})
    assert "| base model | a copy in the folder small, pooling" in text
    assert str(tmp_path) not in text
    assert "`SentenceTransformer(FOLDER)` loads it." in text
    assert "said on its own card" in text


def test_what_was_kept_of_the_base_model_is_said():
    chosen = {"pieces": {"before": 250_037, "after": 48_123, "coverage": {"en": 0.98}}, "layers": 6}
    text = card({"chosen": chosen})
    assert "| pieces | 48,123 of the 250,037 pieces of its tokenizer are kept" in text
    assert "| layers | 6 are kept |" in text
    assert "pieces of its tokenizer" not in card()


def test_a_card_says_where_the_weights_of_the_base_model_came_from():
    assert "| weights of the base model | those of a 4-bit copy |" in card({"base_weights": "those of a 4-bit copy"})
    assert "weights of the base model" not in card({"base_weights": ""})
    assert "weights of the base model" not in card()
