"""The story of a board: which model it is of, and what it says."""

import pandas as pd
import pytest

from clirbench.board.site.charts import ladder
from clirbench.board.story import Step, as_they_are, story

TASK = "xquad-r"


def board(*rows):
    """A table of the board, from rows of model, origin, and monolingual and multilingual mAP; each margin is .01."""
    frame = pd.DataFrame({"model": [row[0] for row in rows], "origin": [row[1] for row in rows]})
    for setting, place in (("monolingual", 2), ("cross-lingual", 2), ("multilingual", 3)):
        values = pd.Series([row[place] for row in rows], dtype=float)
        frame[f"{TASK} {setting} mAP"] = values
        frame[f"{TASK} {setting} mAP low"], frame[f"{TASK} {setting} mAP high"] = values - 0.01, values + 0.01
    frame[f"{TASK} zero-shot"] = ["no" if row[0].startswith("big/") else "yes" for row in rows]
    return frame


BOARD = (
    ("paper/best", "reported", 0.9, 0.7),
    ("big/encoder", "measured", 0.80, 0.298),
    ("big/encoder + center", "measured", 0.79, 0.542),
    ("big/encoder + lir:1", "measured", 0.79, 0.55),
    ("clirbench/hybrid", "measured", 0.70, 0.308),
    ("clirbench/hybrid + center", "measured", 0.70, 0.35),
)


def test_the_story_is_of_the_model_that_centring_helps_most():
    told = story(board(*BOARD), TASK)
    assert (told.biased.model, told.centred.model, told.bag.model) == (
        "big/encoder",
        "big/encoder + center",
        "clirbench/hybrid",
    )
    assert told.sentences == [
        "big/encoder has mAP 80.0 among candidates in the question's language, but 29.8 in a pool of 11 languages, where a "
        "bag of subwords (clirbench/hybrid) has 30.8.",
        "One mean per language, subtracted from its vectors, gives 54.2 there.",
        "The model was trained on data of the same kind, so it is not zero-shot.",
    ]


def test_one_sentence_says_it_with_the_names_that_people_use():
    frame = board(*BOARD)
    frame["name"] = frame["model"].str.replace("big/encoder", "the encoder")
    assert story(frame, TASK).sentence == (
        "the encoder finds answers in the question's language (mAP 80.0) and loses them in the pool of 11 languages (29.8; a bag "
        "of subwords has 30.8); one mean per language, subtracted from its vectors, brings them back (54.2). It was trained on "
        "data of the same kind, so it is not zero-shot."
    )


def test_its_steps_end_with_the_best_measured_model_without_a_transform():
    told = story(board(*BOARD, ("clirbench/hybrid-e5", "measured", 0.8, 0.6), ("me/other", "measured", 0.8, 0.4)), TASK)
    assert [(step.words, step.value, step.own) for step in told.steps[2:]] == [
        ("in a pool of 11 languages", 0.298, True),
        ("in that pool, one mean per language subtracted", 0.542, True),
        ("clirbench/hybrid, a bag of subwords", 0.308, False),
        ("clirbench/hybrid-e5, the best without a transform", 0.6, False),
    ]


@pytest.mark.parametrize("best", [0.298, 0.31, 0.2])
def test_a_model_that_is_not_shown_to_be_better_is_not_called_the_best(best):
    assert story(board(*BOARD, ("me/other", "measured", 0.8, best)), TASK).best is None


def test_a_gain_within_the_margins_is_no_story():
    rows = [("a/one", "measured", 0.8, 0.30), ("a/one + center", "measured", 0.8, 0.315)]
    assert story(board(*rows), TASK) is None
    assert story(board(*rows[:1]), TASK) is None
    # Published figures are not tested.
    assert story(board(("a/one", "reported", 0.8, 0.3), ("a/one + center", "reported", 0.8, 0.6)), TASK) is None
    # A model that was not run on the task has no numbers.
    assert (
        story(board(("a/one", "measured", 0.8, float("nan")), ("a/one + center", "measured", 0.8, 0.6)), TASK) is None
    )


def test_a_board_without_the_bag_of_subwords_tells_it_without():
    told = story(board(*BOARD[:3]), TASK)
    assert told.bag is None
    assert told.sentences[0].endswith("in a pool of 11 languages.")
    assert all(step.own for step in told.steps)


def test_models_as_they_are_have_no_transform_and_are_measured():
    assert as_they_are(board(*BOARD))["model"].tolist() == ["big/encoder", "clirbench/hybrid"]


def test_the_chart_has_a_bar_for_each_step_and_says_its_numbers():
    chart = ladder("story", "a/<one>", [Step("in its language", 0.8, True), Step("c/d, a bag", 0.25, False)])
    assert "a/&lt;one&gt;" in chart
    assert 'width="336.0"' in chart  # 0.8 of 420
    assert 'width="105.0"' in chart
    assert "in its language: 80.0, c/d, a bag: 25.0." in chart
    assert chart.count(">others in the same pool<") == 1
