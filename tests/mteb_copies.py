"""Small local copies of mteb's data sets in mteb's layout: a folder of Parquet files with configurations in its README."""

import pyarrow as pa
import pyarrow.parquet as pq


def write_config(folder, configs):
    """Write {configuration: {split: {column: values}}} as `datasets` reads a folder."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, columns in splits.items():
            path = folder / name / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), path)
            lines += [f"  - split: {split}", f"    path: {name}/{split}.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
    return folder


def retrieval_copy(folder, subsets, splits=("test",)):
    """``subsets``: name -> (corpus {id: text}, queries {id: text}, judgements [(query, document)])."""
    configs = {}
    for name, (corpus, queries, pairs) in subsets.items():
        parts = {
            "corpus": {"_id": list(corpus), "title": [""] * len(corpus), "text": list(corpus.values())},
            "queries": {"_id": list(queries), "text": list(queries.values())},
            "qrels": {
                "query-id": [q for q, _ in pairs],
                "corpus-id": [d for _, d in pairs],
                "score": [1] * len(pairs),
            },
        }
        for part, columns in parts.items():
            configs[f"{name}-{part}"] = dict.fromkeys(splits, columns)
    return write_config(folder, configs)


def xnli_copy(folder, pairs, splits=("test", "validation")):
    """``pairs``: language -> [(premise, hypothesis, label)], 0 entailment, 1 neutral (which mteb leaves out), 2 contradiction."""
    for rows in pairs.values():
        # mteb numbers the classes that it finds: without a neutral row contradictions would be taken for neutral and left out.
        assert {label for _, _, label in rows} == {0, 1, 2}
    return write_config(
        folder,
        {
            language: {
                split: {
                    "premise": [p for p, _, _ in rows],
                    "hypothesis": [h for _, h, _ in rows],
                    "label": [label for _, _, label in rows],
                }
                for split in splits
            }
            for language, rows in pairs.items()
        },
    )
