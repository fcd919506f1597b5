"""Text of strangers: what may be shown, what renders as nothing, what looks like something else."""

import json
import random
import shutil
from pathlib import Path

import pytest

from clirbench.board.text import board_text
from clirbench.submissions.check_one import examine
from clirbench.submissions.model_toml import parse_model_file
from clirbench.submissions.safe_text import begins_formula, skeleton, trick, tricks
from clirbench.support.errors import ClirbenchError
from clirbench.support.links import link_problem

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
MODEL = (SUBMISSIONS / "clirbench__hybrid" / "model.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "", "Apache-2.0; the card lists those of the training data", "O’Brien — „x“", "Łukasz Ślęzak", "Việt Nam",
        "Vie\u0323\u0302t", "Университет", "हिन्दी, क्षि", "ภาษาไทย ที่ ำ", "שָּׁלוֹם", "မြန်မာလျှောက်", "مدل عربي", "한국어 모델 v2",
        "Wikipedia日本語かなカナ", "中文（许可）：仅供研究", "Greek Ελλάδα and Latin", "https://ai.google.dev/gemma/terms",
        "1.5 (-2)",
    ],
)  # fmt: skip
def test_plain_text_of_many_languages_may_be_shown(text):
    assert trick(text) is None


@pytest.mark.parametrize(
    "hidden",
    [
        "\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\ufe0f", "\ufe00", "\U000e0100", "\u034f", "\u00ad", "\u200b",
        "\u200d", "\u2060", "\ufeff", "\U000e0041", "\u202e", "\u2066", "\u180b", "\u17b4", "\U0001d159", "\u2028",
        "\x00", "\x1b", "\r",
        "\ue000", "\U0001bca0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("free", [False, True])
def test_what_renders_as_nothing_is_refused_everywhere(hidden, free):
    assert trick(f"a{hidden}b", free) == f"holds the invisible character U+{ord(hidden):04X}: remove it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("   ", "only spaces"),
        ("\u3000", "only spaces"),
        ("a\u00a0b", "the space U+00A0"),
        ("a\u2003b", "the space U+2003"),
        ("a\u0301\u0302\u0303\u0304", "more than 3 marks"),
        ("e\u0302\u0301\u0303\u0304", "more than 3 marks"),
        ("a \u0301", "mark U+0301 on no letter"),
        ("a\u20dd", "the character U+20DD"),
        ("a😀", "the character U+1F600"),
        ("<b>", "looks like markup"),
        ("é>", "looks like markup"),
        ("раypal", "mixes scripts"),
        ("Αpache", "mixes scripts"),
        ("한국ひ", "mixes scripts"),
        ("ᎠᏴᏟ", "no script in modern use"),
        ("ＭＩＴ", "another form of 'M'"),
        ("𝐌𝐈𝐓", "another form of 'M'"),
        ("ⓜit", "the character U+24DC"),
        ("=1+1", "formula"),
        ("+1", "formula"),
        ("-1", "formula"),
        ("@x", "formula"),
        (" =1", "formula"),
        ("＝1+1", "formula"),
        ("＋1", "formula"),
        ("－1", "formula"),
        ("＠x", "formula"),
        ("﹦1", "formula"),
    ],
)
def test_text_that_deceives_is_refused_on_one_line(text, message):
    assert message in trick(text)


def test_prompts_and_citations_keep_their_free_characters():
    for text in (
        "query: ",
        "Instruct: find\nQuery:\t",
        "<s>",
        "- a",
        "@misc{x,\n title={é}}",
        "запрос и query",
        "検索：\u3000",
        "👍",
    ):
        assert trick(text, free=True) is None
    assert "more than 3 marks" in trick("a\u0301\u0302\u0303\u0304", free=True)
    # A package that is called "citation" is no citation.
    assert list(tricks({"packages": {"citation": "<b>"}, "citation": "<b>"})) == [
        ("packages.citation", "holds '<', which looks like markup: remove it")
    ]


def test_names_of_keys_are_texts_too():
    assert [key for key, _ in tricks({"a": {"b\u3164": 1, "": 2, "c": [{"=d": 0.5}]}})] == [
        "a.'b\\u3164'",
        "a",
        "a.c.0.'=d'",
    ]


def test_a_forged_key_or_label_is_refused_in_a_submission(tmp_path):
    folder = tmp_path / "clirbench__hybrid"
    shutil.copytree(SUBMISSIONS / folder.name, folder)
    path = folder / "mlqa-r.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["environment"]["packages"]["\u3164"] = "1"
    document["environment"]["device"] = "＝cmd"
    path.write_text(json.dumps(document), encoding="utf-8")
    (folder / "model.toml").write_text(MODEL.replace('contact = "', 'contact = "\u2800'), encoding="utf-8")
    refused = {f.key: f.message for f in examine(folder).findings if f.level == "error"}
    assert refused == {
        "environment.packages.'\\u3164'": "holds the invisible character U+3164: remove it",
        "environment.device": "begins with '＝', as a formula of a spreadsheet does: begin with a letter or a digit",
        "contact": "holds the invisible character U+2800: remove it",
    }


def test_a_csv_file_holds_no_formula_in_any_form():
    import pandas as pd

    texts = ["=1", "＝1", "+1", "－1", "@x", "\t=1", " =1", "plain", "1-2"]
    lines = board_text(pd.DataFrame({"model": texts, "number": -1.5}), "csv").splitlines()[1:]
    assert [line.lstrip('"').startswith("'") for line in lines] == [True] * 7 + [False] * 2
    assert all(line.endswith(",-1.5") for line in lines)
    assert not begins_formula("")


def test_names_in_other_forms_of_the_same_letters_can_be_confused():
    for name in ("org__model_l", "ｏｒｇ__ｍodel_1", "𝐨𝐫𝐠__𝗺odel-1", "org__mödel-1", "ORG__rnodel.i"):
        assert skeleton(name) == skeleton("org__m0del-1")
    assert skeleton("org__model-2") != skeleton("org__model-3")


@pytest.mark.parametrize(
    "link",
    [
        "https://huggingface.co/BAAI/bge-m3",
        "https://arxiv.org/abs/2004.05484",
        "https://a.co?x=1#y@z:1",
        "https://a.co/%20x",
    ],
)
def test_plain_links_may_be_shown(link):
    assert link_problem(link) is None


@pytest.mark.parametrize(
    "link",
    [
        "http://a.co", "javascript:alert(1)", "HTTPS://a.co", "https:/a.co", "https:///a.co", "https://good.co@evil.co", "https://u:p@a.co",
        "https://good.co\\@evil.co", "https://a.co/\\evil.co", "https://xn--80ak6aa92e.com", "https://a.xn--p1ai", "https://аpple.com",
        "https://ſ.com", "https://a.co:8080/x", "https://a.co:443", "https://localhost/x", "https://127.0.0.1/", "https://[::1]/",
        "https://a.co/%0d%0aSet", "https://a.co/%00", "https://a.co/%5c", "https://a.co/%zz", "https://a.co/x y", "https://a.co/<b>",
        "https://a.co./", "https://-a.co", "https://a_b.co", "https://a.co/\n", "https://a.co/\u200b",
        "https://a.co/" + "x" * 500,
    ],
)  # fmt: skip
def test_links_that_hide_their_host_are_refused(link):
    assert link_problem(link)
    wrong = MODEL.replace('link = ""', f"link = {json.dumps(link)}")
    with pytest.raises(ClirbenchError, match="'link'"):
        parse_model_file(wrong.encode(), Path("model.toml"))


def test_an_answer_for_what_is_no_evaluation_set_is_refused_when_it_is_read():
    with pytest.raises(
        ClirbenchError, match=r"'trained_on\.squad' is not an evaluation set: use miracl, mlqa-r, xquad-r"
    ):
        parse_model_file(f'{MODEL}\nsquad = "no"\n'.encode(), Path("model.toml"))


def every_trick(value, key=""):
    """Each text and each name, one by one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from every_trick(inner, f"{key}.{name[:40]}".lstrip("."))
            fault = trick(name) if name else "has an empty name in it: remove it"
            if fault:
                yield (f"{key}.{name[:40]!a}" if name else key).lstrip("."), fault
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from every_trick(inner, f"{key}.{i}")
    elif isinstance(value, str) and (fault := trick(value)):
        yield key, fault


def test_no_text_is_passed_over():
    """Dicts of numbers are passed over as a whole, and the names of all dicts are looked at."""
    rng = random.Random(3)
    names = ["mAP", "R@1", "de", "\u200b", "", "=1+1", "x<y", "fine"]
    leaves = [0.5, 7, None, True, "fine", "hid\u200bden", "<b>", ""]

    def made(depth):
        kind = rng.randrange(4 if depth else 1)
        if kind in (1, 2):
            return {name: made(depth - 1) for name in rng.sample(names, rng.randrange(5))}
        return [made(depth - 1) for _ in range(rng.randrange(4))] if kind == 3 else rng.choice(leaves)

    found = 0
    for _ in range(2000):
        value = made(4)
        told = list(tricks(value))
        found += len(told)
        assert told == list(every_trick(value))
    assert found > 500
