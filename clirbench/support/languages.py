"""Facts about languages that hold for every task: names, scripts, and choices of several at once."""

import re
from collections.abc import Iterable

# Languages that are written without spaces between words.
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})

# By code of ISO 639-1 and of ISO 639-3: the name in English, the usual script as ISO 15924 has it, and where it is at home: "E"
# for Europe, "A" for Asia from Iran eastwards, "I" for those of the latter that are Indo-Aryan or Dravidian.
_KNOWN = """
am amh Amharic Ethi -|ar ara Arabic Arab -|- arb Arabic Arab -|az aze Azerbaijani Latn -
bg bul Bulgarian Cyrl E|bn ben Bengali Beng I|ca cat Catalan Latn E|cs ces Czech Latn E|da dan Danish Latn E
de deu German Latn E|el ell Greek Grek E|en eng English Latn E|es spa Spanish Latn E|et est Estonian Latn E
eu eus Basque Latn E|fa fas Persian Arab A|fi fin Finnish Latn E|fr fra French Latn E|gu guj Gujarati Gujr I
he heb Hebrew Hebr -|hi hin Hindi Deva I|hr hrv Croatian Latn E|hu hun Hungarian Latn E|hy hye Armenian Armn -
id ind Indonesian Latn A|is isl Icelandic Latn E|it ita Italian Latn E|ja jpn Japanese Jpan A
jv jav Javanese Latn A|ka kat Georgian Geor -|kk kaz Kazakh Cyrl A|km khm Khmer Khmr A|kn kan Kannada Knda I
ko kor Korean Kore A|lo lao Lao Laoo A|lt lit Lithuanian Latn E|lv lav Latvian Latn E|ml mal Malayalam Mlym I
mr mar Marathi Deva I|ms msa Malay Latn A|my mya Burmese Mymr A|ne nep Nepali Deva I|nl nld Dutch Latn E
no nor Norwegian Latn E|pa pan Punjabi Guru I|pl pol Polish Latn E|pt por Portuguese Latn E
ro ron Romanian Latn E|ru rus Russian Cyrl E|si sin Sinhala Sinh I|sk slk Slovak Latn E
sl slv Slovenian Latn E|sq sqi Albanian Latn E|sr srp Serbian Cyrl E|sv swe Swedish Latn E
sw swa Swahili Latn -|ta tam Tamil Taml I|te tel Telugu Telu I|th tha Thai Thai A|tl tgl Tagalog Latn A
tr tur Turkish Latn -|uk ukr Ukrainian Cyrl E|ur urd Urdu Arab I|uz uzb Uzbek Latn A|vi vie Vietnamese Latn A
yo yor Yoruba Latn -|zh zho Chinese Hani A
"""
_OF_CODE = {
    code: (name, script, home)
    for short, long, name, script, home in (
        one.split(" ") for line in _KNOWN.split("\n") for one in line.split("|") if one
    )
    for code in (short, long)
    if code != "-"
}
_SCRIPTS = {
    "Arab": "Arabic", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari", "Ethi": "Ethiopic", "Grek": "Greek",
    "Hans": "simplified", "Hant": "traditional", "Hebr": "Hebrew", "Latn": "Latin", "Sinh": "Sinhala", "Thai": "Thai",
}  # fmt: skip
_RIGHT_TO_LEFT = frozenset({"Arab", "Hebr"})
# Choices of languages, by key: what people read.
CHOICES = {
    "european": "European",
    "asian": "Asian",
    "indic": "Indic",
    "rtl": "right-to-left",
    "not-latin": "not Latin",
}


def language_name(code: str) -> str:
    """The name of a language in English, such as "Arabic" for "ar" and "ara", "Hindi, Latin script" for "hin_Latn".

    The code itself where it is not known.
    """
    base, _, script = code.partition("_")
    if base not in _OF_CODE:
        return code
    name, usual, _ = _OF_CODE[base]
    if not script or script == usual:
        return name
    return (
        f"{name}, {_SCRIPTS.get(script, script)} script"
        if script not in ("Hans", "Hant")
        else f"{name}, {_SCRIPTS[script]}"
    )


def script_of(code: str) -> str | None:
    """The script of a language as ISO 15924 has it: that of the code, as in "hin_Latn", or else the usual one.

    None where neither is known.
    """
    base, _, stated = code.partition("_")
    if re.fullmatch("[A-Z][a-z]{3}", stated):
        return stated
    return _OF_CODE[base][1] if base in _OF_CODE and not stated else None


def choices_of(codes: Iterable[str]) -> dict[str, list[str]]:
    """Those of some languages that belong to each choice of ``CHOICES``, sorted; a choice without any is left out.

    European languages are at home in Europe, Asian ones in Asia from Iran eastwards, and Indic ones are Indo-Aryan or Dravidian.
    The others go by the script: of the code, or else the usual one.
    """
    chosen: dict[str, list[str]] = {key: [] for key in CHOICES}
    for code in sorted(codes):
        base, _, stated = code.partition("_")
        if base not in _OF_CODE:
            continue
        _, usual, home = _OF_CODE[base]
        script = stated or usual
        belongs = {
            "european": home == "E",
            "asian": home in ("A", "I"),
            "indic": home == "I",
            "rtl": script in _RIGHT_TO_LEFT,
            "not-latin": script != "Latn",
        }
        for key in CHOICES:
            chosen[key] += [code] if belongs[key] else []
    return {key: languages for key, languages in chosen.items() if languages}
