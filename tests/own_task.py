"""A small task of one's own for tests: two topics in English and German."""

import json

ROWS = (
    ("open", "en", "When can I come in?", "The door is open from eight."),
    ("open", "de", "Wann kann ich kommen?", "Die Tür ist ab acht offen."),
    ("plain", "en", "Is there an answer?", "A plain answer."),
    ("plain", "de", "Gibt es eine Antwort?", "Eine einfache Antwort."),
)


def write_task(folder, name="mine", languages=("en", "de"), more="", swap=("", "")):
    """Write ``NAME.toml``, ``q.jsonl`` and ``c.jsonl``; the path of the first. ``swap`` replaces one text by another."""
    queries = [{"topic": topic, "language": x, "text": question} for topic, x, question, _ in ROWS]
    candidates = [{"language": x, "text": answer, "answers": [topic]} for topic, x, _, answer in ROWS]
    for file, rows in (("q", queries), ("c", candidates)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{file}.jsonl").write_text(text.replace(*swap) if swap[0] else text, encoding="utf-8")
    head = f'format = 1\nid = "{name}"\nname = "Mine"\ndescription = "d"\nlicence = "private"\nreader = "jsonl"\n'
    files = f'languages = {json.dumps(list(languages))}\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n'
    (folder / f"{name}.toml").write_text(head + files + more, encoding="utf-8")
    return folder / f"{name}.toml"
