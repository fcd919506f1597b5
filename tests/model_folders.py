"""Model folders of every kind that people have, built offline with small random weights, and what clirbench says of each.

``python tests/model_folders.py`` writes the tables of docs/explanation/model-folders.md.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import tiny_models
from packaging.version import Version

from clirbench.encoders.describe import SHOWN

# transformers before 5.6 looks for the weights of an adapter under other names, and fills all of them with random numbers.
NO_ADAPTERS = Version(metadata.version("transformers")) < Version("5.6")

# The end of a module's class, for one that has neither weights nor settings.
KEEPS_NOTHING = """
    def save(self, output_path, *args, **kwargs):
        pass

    @classmethod
    def load(cls, *args, **kwargs):
        return cls()
"""
# Code that a model brings: a module that keeps the first dimensions.
_CODE = f"""
import torch
from sentence_transformers.base.modules import Module


class Cut(Module):
    def forward(self, features, **kwargs):
        features["sentence_embedding"] = features["sentence_embedding"][:, :8]
        return features
{KEEPS_NOTHING}"""


@dataclass(frozen=True)
class Kind:
    """A kind of model folder: its name in the docs, how it is built below a folder, and the options of the run."""

    name: str
    build: Callable[[Path], Path]
    options: dict[str, Any] = field(default_factory=dict)


def edit(folder: Path, file: str, **changes: Any) -> Path:
    """Change keys of a JSON file of a model folder; returns the folder."""
    path = folder / file
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(document | changes, indent=1), encoding="utf-8")
    return folder


def plain(folder: Path, *more: Any) -> Path:
    """A BERT with mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    base = tiny_models.tiny_bert(folder / "bert", head=False)
    body = Transformer(str(base))
    SentenceTransformer(modules=[body, Pooling(16), *more], device="cpu").save(
        str(folder / "plain"), create_model_card=False
    )
    return folder / "plain"


def configured(**changes: Any) -> Callable[[Path], Path]:
    """A plain model with other values in its configuration of sentence-transformers."""
    return lambda folder: edit(plain(folder), "config_sentence_transformers.json", **changes)


def in_half(folder: Path) -> Path:
    """A plain model whose checkpoint is saved in float16."""
    import torch
    from safetensors.torch import load_file, save_file

    model = plain(folder)
    weights = {name: tensor.to(torch.float16) for name, tensor in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return edit(model, "config.json", dtype="float16")


def adapter(folder: Path) -> Path:
    """A LoRA adapter whose base model lies in another folder."""
    import peft
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(plain(folder)), device="cpu")
    torch.manual_seed(0)
    model.add_adapter(
        peft.LoraConfig(task_type="FEATURE_EXTRACTION", r=2, target_modules=["query", "value"], init_lora_weights=False)
    )
    model.save(str(folder / "adapter"), create_model_card=False)
    return folder / "adapter"


def router(folder: Path) -> Path:
    """A router: queries go to static embeddings, candidates to a BERT."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    static = SentenceTransformer(str(tiny_models.static_model(folder)), device="cpu")
    bert = SentenceTransformer(str(plain(folder)), device="cpu")
    routes = Router.for_query_document(query_modules=list(static), document_modules=list(bert))
    SentenceTransformer(modules=[routes], device="cpu").save(str(folder / "router"), create_model_card=False)
    return folder / "router"


def own_module(folder: Path) -> Path:
    """A model whose folder brings the class of a module."""
    model = plain(folder)
    (model / "own.py").write_text(_CODE, encoding="utf-8")
    return _append_module(model, "own.Cut")


def module_elsewhere(folder: Path) -> Path:
    """A model with a module whose class Python finds outside the folder."""
    (folder / "clirbench_elsewhere.py").write_text(_CODE, encoding="utf-8")
    return _append_module(plain(folder), "clirbench_elsewhere.Cut")


def _append_module(model: Path, name: str) -> Path:
    path = model / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    modules.append({"idx": len(modules), "name": str(len(modules)), "path": f"{len(modules)}_Cut", "type": name})
    path.write_text(json.dumps(modules), encoding="utf-8")
    return model


def without_pooling(folder: Path) -> Path:
    """A folder of transformers, without modules of sentence-transformers."""
    return tiny_models.tiny_bert(folder / "bert", head=False)


def with_dense(folder: Path) -> Path:
    """A plain model whose last layer projects to 8 dimensions."""
    import torch
    from sentence_transformers.base.modules import Dense

    torch.manual_seed(0)
    return plain(folder, Dense(16, 8))


def cut_candidates(folder: Path) -> Path:
    """A plain model that reads 8 tokens of a document."""
    return edit(plain(folder), "sentence_bert_config.json", max_seq_length=32, document_length=8)


def with_holes(folder: Path) -> Path:
    """A plain model whose checkpoint lacks a layer."""
    from safetensors.torch import load_file, save_file

    model = plain(folder)
    weights = {k: v for k, v in load_file(model / "model.safetensors").items() if ".layer.1." not in k}
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def pointer(folder: Path) -> Path:
    """A plain model whose weights are a Git LFS pointer."""
    model = plain(folder)
    (model / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", encoding="utf-8"
    )
    return model


def cross_encoder(folder: Path) -> Path:
    """A cross-encoder, which scores pairs and has no vectors."""
    from sentence_transformers import CrossEncoder

    base = tiny_models.tiny_bert(folder / "bert", head=False)
    CrossEncoder(str(base), num_labels=1, device="cpu").save_pretrained(str(folder / "cross"))
    return folder / "cross"


def packed(folder: Path) -> Path:
    """A static model in 4 bits, as the trainer packs it."""
    from clirbench.encoders.bundled import BUNDLED

    held = BUNDLED["clirbench/hybrid"].folder
    assert held is not None
    return Path(shutil.copytree(held, folder / "packed"))


def packed_transformer(folder: Path) -> Path:
    """A transformer in 4-bit blocks, as the trainer packs it."""
    from clirbench.encoders.packed_transformer import write_packed_transformer

    write_packed_transformer(tiny_models.unigram_model(folder / "body"), folder / "small")
    return folder / "small"


KINDS = (
    Kind("transformer with mean pooling", plain),
    Kind("prompts for query and document", configured(prompts={"query": "query: ", "document": "passage: "})),
    Kind("prompts under other names", configured(prompts={"s2p_query": "Instruct: ", "s2p_passage": "Text: "})),
    Kind("similarity null", configured(similarity_fn_name=None)),
    Kind("similarity dot", configured(similarity_fn_name="dot")),
    Kind("saved in half precision", in_half),
    Kind("saved in half precision, `--dtype float32`", in_half, {"dtype": "float32"}),
    Kind("adapter on a base model", adapter),
    Kind("Router: static queries", router),
    Kind("sparse", tiny_models.sparse_model),
    Kind("multi-vector", tiny_models.multi_vector_model),
    Kind("static", tiny_models.static_model),
    Kind("static, `--max-length 64`", tiny_models.static_model, {"max_length": 64}),
    Kind("packed by `clirbench train`: static", packed),
    Kind("packed by `clirbench train`: transformer", packed_transformer),
    Kind("code in the folder", own_module),
    Kind("code in the folder, `--trust-remote-code`", own_module, {"trust_remote_code": True}),
    Kind("code elsewhere, `--trust-remote-code`", module_elsewhere, {"trust_remote_code": True}),
    Kind("no pooling", without_pooling),
    Kind("Dense layer to 8 dimensions", with_dense),
    Kind("`--truncate-dim 4`", plain, {"truncate_dim": 4}),
    Kind("`document_length` 8", cut_candidates),
    Kind("`--max-length 128` beyond 64 positions", plain, {"max_length": 128}),
    Kind("weights missing", with_holes),
    Kind("weights are a Git LFS pointer", pointer),
    Kind("cross-encoder", cross_encoder),
)

COLUMNS = ("folder", "prompts", "similarity", "weights", "longest input", "revision covers", "what clirbench says")
REFUSED = ("folder", "what clirbench says")
BEGIN, END = "<!-- model-folders -->", "<!-- /model-folders -->"


def row(kind: Kind, folder: Path) -> tuple[str, ...]:
    """What clirbench uses for one kind of folder and says, as a row of a table in the docs; a refused folder has two cells."""
    from clirbench.encoders.base import EncoderOptions
    from clirbench.encoders.load import load_encoder
    from clirbench.encoders.revision import outside_parts
    from clirbench.support.errors import ClirbenchError

    # Python imports a module of elsewhere from here.
    sys.path.append(str(folder))
    path = kind.build(folder)
    try:
        model = load_encoder(str(path), EncoderOptions(name="me/model", **kind.options))
        parts = [part.what for part in outside_parts(path, model.trust_remote_code)]
    except ClirbenchError as error:
        return kind.name, _plain(str(error), folder)
    finally:
        sys.path.remove(str(folder))
        for name in ("own", "clirbench_elsewhere"):
            sys.modules.pop(name, None)
    settings, sources = model.settings, model.sources
    prompts = [
        f"{role} `{prompt}` ({SHOWN[source]})"
        for role, prompt, source in (
            ("query", settings.query_prompt, sources.query_prompt),
            ("candidate", settings.candidate_prompt, sources.candidate_prompt),
        )
        if prompt
    ]
    saved = f", saved in {model.saved_dtype}" if model.saved_dtype not in (None, settings.dtype) else ""
    lengths = [str(length or "any") for length in (settings.query_max_length, settings.candidate_max_length)]
    revision = " and ".join(["its files", *parts]) if model.info.revision else "none"
    notes = [_plain(note, folder) for note in model.notes]
    if settings.variant:
        notes.append(f"(the row is `me/model + {settings.variant}`)")
    return (
        kind.name,
        ", ".join(prompts) or "none",
        settings.similarity + (f" ({SHOWN[sources.similarity]})" if sources.similarity != "none" else ""),
        settings.dtype + saved,
        lengths[0] if lengths[0] == lengths[1] else f"query {lengths[0]}, candidate {lengths[1]}",
        revision,
        "; ".join(notes) or "-",
    )


def _plain(text: str, folder: Path) -> str:
    """A message with nothing of this machine: no path, no checksum."""
    text = re.sub(re.escape(str(folder.resolve())) + r"[^\s':,)]*", "FOLDER", text)
    return re.sub(r"\b[0-9a-f]{12,64}\b", "…", text).replace("|", "\\|").replace("\n", " ")


def tables(folder: Path) -> str:
    """The tables in the docs, in Markdown: folders that run, and folders that are refused. They are built below ``folder``."""
    rows = []
    for number, kind in enumerate(KINDS):
        below = folder / f"{number:02}"
        below.mkdir()
        rows.append(row(kind, below))
    return "\n\n".join(_table(head, [one for one in rows if len(one) == len(head)]) for head in (COLUMNS, REFUSED))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def written(page: str, new: str) -> str:
    """A page with new tables between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{new}\n\n{END}{rest.partition(END)[2]}"


PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "model-folders.md"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), tables(Path(where))), encoding="utf-8")
