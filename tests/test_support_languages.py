"""Names of languages and choices of several at once, for every language of the shipped tasks."""

import unicodedata

import pytest

from clirbench.support.languages import CHOICES, choices_of, language_name, script_of
from clirbench.tasks.task_file import board_tasks, list_tasks, load_task

LANGUAGES = sorted({language for name in list_tasks() for language in load_task(name).languages})


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_of_a_task_has_a_name(code):
    assert language_name(code) != code


def test_names_by_hand():
    assert [language_name(code) for code in ("ar", "ara", "arb_Arab", "hin_Latn", "zho_Hans", "xx")] == [
        "Arabic", "Arabic", "Arabic", "Hindi, Latin script", "Chinese, simplified", "xx",
    ]  # fmt: skip


def test_scripts_by_hand():
    codes = ("hi", "hin", "hin_Latn", "nobody_Grek", "xx", "zh_CN", "zho_Hant")
    assert [script_of(code) for code in codes] == ["Deva", "Deva", "Latn", "Grek", None, None, "Hant"]


def test_choices_of_the_board_by_hand():
    board = {language for task in board_tasks().values() for language in task.languages}
    assert choices_of(board) == {
        "european": ["de", "el", "en", "es", "fi", "fr", "ru"],
        "asian": ["bn", "fa", "hi", "id", "ja", "ko", "te", "th", "vi", "zh"],
        "indic": ["bn", "hi", "te"],
        "rtl": ["ar", "fa"],
        "not-latin": ["ar", "bn", "el", "fa", "hi", "ja", "ko", "ru", "te", "th", "zh"],
    }


def test_a_script_in_the_code_decides():
    assert choices_of(["hin_Latn", "hin_Deva", "arb_Latn", "nobody"]) == {
        "asian": ["hin_Deva", "hin_Latn"],
        "indic": ["hin_Deva", "hin_Latn"],
        "not-latin": ["hin_Deva"],
    }


# A letter of each language.
LETTERS = {
    "ar": "ع", "bn": "ব", "el": "ε", "fa": "ف", "hi": "ह", "ja": "日", "ko": "한", "ru": "р", "te": "త", "th": "ไ", "zh": "中",
    "he": "ע", "ur": "ا", "de": "D", "vi": "V", "tr": "T", "sw": "S",
}  # fmt: skip


@pytest.mark.parametrize(("code", "letter"), LETTERS.items())
def test_scripts_are_those_of_the_letters(code, letter):
    chosen = choices_of([code])
    assert ("not-latin" in chosen) == ("LATIN" not in unicodedata.name(letter))
    assert ("rtl" in chosen) == (unicodedata.bidirectional(letter) in ("R", "AL"))


def test_every_choice_has_words():
    assert set(choices_of(LANGUAGES)) == set(CHOICES)
