"""Size against quality: a model's vectors with fewer dimensions and fewer bits, scored on the demo task.

    python benchmarks/sizes.py                   # clirbench/hybrid: print the table
    python benchmarks/sizes.py --write           # also write it into the docs
    python benchmarks/sizes.py --model ORG/NAME

Bytes are those of one vector: 4 for a float32 number, 1 for int8, an eighth for a bit.
"""

import argparse
import tempfile
from pathlib import Path

import blocks

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder

BITS = {None: 32, "int8": 8, "binary": 1}
KEPT = (None, 2, 4, 8)


def row(model, dimensions, quantise, cache):
    """One line of the table; ``dimensions`` is the number to keep, None for all."""
    loaded = load_encoder(model, EncoderOptions(truncate_dim=dimensions, quantise=quantise))
    result = clirbench.evaluate(loaded, "demo", cache=cache)
    size = result.document.model.dimensions
    scores = [result.document.headline[setting]["mAP"] for setting in ("monolingual", "cross-lingual", "multilingual")]
    cells = [f"{100 * score.value:.1f} ±{100 * score.margin:.1f}" for score in scores]
    distance = result.document.headline["bias"]["rank_distance"].value
    number = quantise or "float32"
    return size, f"| {size} | {number} | {size * BITS[quantise] / 8:,.0f} | {' | '.join(cells)} | {distance:,.0f} |"


def main():
    """Print the table, and write it where ``--write`` asks for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="clirbench/hybrid")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    arguments = parser.parse_args()
    lines = [
        "| dimensions | numbers | bytes | mAP, monolingual | cross-lingual | multilingual | rank distance |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        whole, _ = row(arguments.model, None, None, cache)
        for part in KEPT:
            dimensions = part and whole // part
            lines += [row(arguments.model, dimensions, quantise, cache)[1] for quantise in BITS]
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        blocks.write("sizes", table)


if __name__ == "__main__":
    main()
