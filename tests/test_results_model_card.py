"""Model cards: a model-index that the hub reads, and the rest of the card as it was."""

import pytest

import clirbench
from clirbench.results.model_card import card_yaml, update_card, write_eval_results
from clirbench.support.errors import ClirbenchError


def whole(result):
    """As if it were of a whole task; cards take no others."""
    task = result.document.task.model_copy(update={"complete": True})
    return clirbench.Result(result.document.model_copy(update={"task": task}), result.ranks, result.ranks_file)


def test_card_is_a_model_index_that_the_hub_reads(hybrid):
    import yaml
    from huggingface_hub.repocard_data import model_index_to_eval_results

    name, scores = model_index_to_eval_results(yaml.safe_load(card_yaml([whole(hybrid)]))["model-index"])
    assert name == "clirbench/hybrid"
    by = {(score.dataset_config, score.metric_name): score for score in scores}
    assert by["multilingual", "mAP"].metric_value == round(hybrid.score("multilingual", "mAP"), 6)
    assert by["bias", "rank_distance"].metric_value == round(hybrid.score("bias", "rank_distance"), 6)
    assert by["multilingual", "mAP"].dataset_type == "clirbench/demo"
    with pytest.raises(ClirbenchError, match="of a restricted run"):
        card_yaml([hybrid])


def test_eval_results_are_what_the_hub_reads(hybrid, tmp_path):
    import yaml
    from huggingface_hub import parse_eval_result_entries

    (path,) = write_eval_results([whole(hybrid)], tmp_path)
    assert path == tmp_path / ".eval_results" / "clirbench-demo.yaml"
    entries = {entry.task_id: entry for entry in parse_eval_result_entries(yaml.safe_load(path.read_text("utf-8")))}
    assert {entry.dataset_id for entry in entries.values()} == {"clirbench/demo"}
    assert entries["multilingual_mAP"].value == round(hybrid.score("multilingual", "mAP"), 6)
    assert "similarity: " in entries["multilingual_mAP"].notes
    with pytest.raises(ClirbenchError, match="is no folder"):
        write_eval_results([whole(hybrid)], tmp_path / "missing")
    with pytest.raises(ClirbenchError, match="of a restricted run"):
        write_eval_results([hybrid], tmp_path)


def test_card_updates_a_readme_and_leaves_the_rest(hybrid, lexical, tmp_path):
    from huggingface_hub import ModelCard

    path = tmp_path / "README.md"
    path.write_text(
        "---\nlicense: mit\ntags:\n- mine\nmodel-index:\n- name: me/model\n  results:\n  - task:\n      type: sts\n"
        "    dataset:\n      type: other/sts\n      name: Other\n    metrics:\n    - type: pearson\n      value: 0.5\n---\n"
        "# My model\n\nText --- stays.\n",
        encoding="utf-8",
    )
    number = update_card([whole(hybrid)], path)
    card = ModelCard.load(path)
    assert card.data.license == "mit"
    assert card.data.tags == ["mine"]
    assert card.data.model_name == "me/model"
    assert "# My model\n\nText --- stays." in card.text
    assert sum(score.dataset_type == "other/sts" for score in card.data.eval_results) == 1
    assert sum(score.dataset_type == "clirbench/demo" for score in card.data.eval_results) == number
    first = path.read_text(encoding="utf-8")
    assert update_card([whole(hybrid)], path) == number
    assert path.read_text(encoding="utf-8") == first
    with pytest.raises(ClirbenchError, match="of different models"):
        update_card([whole(hybrid), whole(lexical)], path)
    path.write_text("---\n[\n---\n")
    with pytest.raises(ClirbenchError, match="cannot be read as a model card") as error:
        update_card([whole(hybrid)], path)
    assert "\n" not in str(error.value)
    fresh = tmp_path / "new.md"
    assert update_card([whole(hybrid)], fresh) == number
    assert ModelCard.load(fresh).data.model_name == "clirbench/hybrid"
