"""The reference pages, generated from the code each time that the docs are built: they cannot drift from it."""

import ast
import html
import importlib
import json
import re
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import griffe
import typer.main

import clirbench
from clirbench.cli import app
from clirbench.encoders.bundled import BUNDLED
from clirbench.metrics.catalogue import metric_rows
from clirbench.results.schema import Submitted
from clirbench.submissions.model_toml import ModelFile
from clirbench.support.paths import VARIABLES
from clirbench.tasks import task_file
from clirbench.tasks.new_task import init_task
from clirbench.training.recipe import EXTENDS, EXTENDS_MEANS, Recipe

# What a user imports, by the name under which it is imported; the front door's names are those of its __all__.
PUBLIC: dict[str, Sequence[str]] = {
    "clirbench": [name for name in clirbench.__all__ if name != "__version__"],
    "clirbench.encoders": ["Scorer"],
    "clirbench.integrations.sentence_transformers": ["CLIREvaluator", "EvaluatorOptions"],
    "clirbench.integrations.mteb": ["tasks", "benchmark", "OneEncoding"],
    "clirbench.training.batches": ["HybridBatchSampler", "SamplerOptions"],
}


def pages() -> dict[str, str]:
    """Every generated page, by its path below ``reference/``."""
    return {
        "index.md": _index(),
        "commands.md": _commands(),
        "python.md": _python(),
        "metrics.md": _metrics(),
        "tasks.md": _tasks(),
        "models.md": _models(),
        "result.md": _result(),
        "files.md": _files(),
        "environment.md": _environment(),
        "messages.md": _messages(),
        "modules.md": _modules(),
    }


def _index() -> str:
    links = [
        ("Commands", "commands.md", "every command with its options, defaults and examples"),
        ("Python", "python.md", "what `import clirbench` offers, and the integrations"),
        ("Metrics", "metrics.md", "each metric and measure of bias: what it says, which way is up, its source"),
        ("Tasks", "tasks.md", "each task with its sizes, languages and licence"),
        ("Bundled models", "models.md", "the models that need no download"),
        ("The result file", "result.md", "every key of the JSON, from its schema"),
        ("TOML files", "files.md", "a task of your own, `model.toml`, a training recipe"),
        ("Environment variables", "environment.md", "what can be set from outside"),
        ("Messages", "messages.md", "every error that a user can mend, with what to do"),
        ("Modules", "modules.md", "every file of the package, and what it is"),
    ]
    rows = [f"- [{title}]({page}): {what}" for title, page, what in links]
    return _page("Reference", "Everything on these pages is generated from the code when the docs are built.", *rows)


def commands() -> dict[str, Any]:
    """Every command by what is typed after ``clirbench``."""
    group: Any = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {child}": one for child, one in inner.items()} if inner else {name: command}
    return found


def _commands() -> str:
    listed = ["| command | what it does |", "| --- | --- |"]
    parts = []
    for name, command in commands().items():
        text = _prose(command.help)
        listed.append(f"| [`{name}`](#clirbench-{name.replace(' ', '-')}) | {text.split(chr(10))[0]} |")
        parts.append(_command(name, command, text))
    foot = "Every command has `--help` (`-h`), which ends with examples. `clirbench --version` says the version.\n\n"
    foot += (
        "Exit codes: 0, all is well; 1, a check or a gate says no; 2, a mistake, with one line that says what to do; "
    )
    foot += "130, stopped by Ctrl-C."
    return _page("Commands", *listed, "", foot, "", *parts)


def _command(name: str, command: Any, text: str) -> str:
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    options = [p for p in command.params if p.opts[0].startswith("-")]
    usage = " ".join(
        f"[{p.metavar or p.name.upper()}]" if not p.required else p.metavar or p.name.upper() for p in arguments
    )
    lines = [f"## clirbench {name}", text, f"```text\nclirbench {name} {usage + ' ' if usage else ''}[OPTIONS]\n```"]
    if arguments:
        rows = [f"| `{p.metavar or p.name.upper()}` | {_default(p)} | {_cell(p.help)} |" for p in arguments]
        lines.append("\n".join(["| argument | default | meaning |", "| --- | --- | --- |", *rows]))
    if options:
        rows = [f"| {_spelt(p)} | {_default(p)} | {_cell(p.help)} |" for p in options]
        lines.append("\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows]))
    shown = [line.strip() for line in (command.epilog or "").split("\n") if line.startswith("  ")]
    if shown:
        lines.append("```bash\n" + "\n".join(shown) + "\n```")
    return "\n\n".join(lines) + "\n"


def _spelt(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return _cell(parameter.show_default)
    if parameter.required:
        return "**required**"
    if getattr(parameter, "is_flag", False):
        return "off"
    return "" if parameter.default is None else f"`{parameter.default}`"


def _python() -> str:
    package = griffe.load("clirbench", search_paths=[str(Path(clirbench.__file__).parent.parent)])
    parts = []
    for module, names in PUBLIC.items():
        parts.append(f"## {module}\n")
        for name in names:
            # A room only points at the modules that define its names. (The others import torch or mteb: nothing to wait for.)
            home = (
                importlib.import_module(module)._HOME[name] if module in ("clirbench", "clirbench.encoders") else module
            )
            thing = package[f"{home}.{name}".removeprefix("clirbench.")]
            parts.append(_thing(module, name, thing))
    first = "Names are imported from the module whose heading they stand below. "
    first += "Anything not listed here may change without notice."
    return _page("Python", first, "", *parts)


def _thing(module: str, name: str, thing: Any) -> str:
    lines = [f"### {name} {{#{module}.{name}}}"]
    if thing.is_function:
        lines += [_signature(f"{module}.{name}", thing), *_docstring(thing)]
        return "\n\n".join(lines) + "\n"
    if "__init__" in thing.members and thing.docstring and not any(b for b in thing.bases if "Error" in str(b)):
        lines.append(_signature(f"{module}.{name}", thing.members["__init__"]))
    lines += _docstring(thing)
    # What a constructor assigns is told in the docstring, or it is nobody's business: its value is source code.
    fields = [
        m
        for m in thing.members.values()
        if m.is_attribute
        and m.is_public
        and "property" not in m.labels
        and (m.value is None or "class-attribute" in m.labels or m.docstring)
    ]
    told = any(s.kind.value == "attributes" for s in thing.docstring.parse("google")) if thing.docstring else False
    if fields and not told:
        rows = [f"| `{m.name}` | {_type(m.annotation)} | {_code(m.value)} |" for m in fields]
        lines.append("\n".join(["| attribute | type | default |", "| --- | --- | --- |", *rows]))
    for member in thing.members.values():
        if not member.is_public or member.name.startswith("__") or not member.docstring:
            continue
        if member.is_function:
            lines += [f"#### {name}.{member.name} {{#{module}.{name}.{member.name}}}"]
            lines += [_signature(member.name, member), *_docstring(member)]
        elif "property" in member.labels:
            lines += [f"#### {name}.{member.name} {{#{module}.{name}.{member.name}}}", *_docstring(member)]
    return "\n\n".join(lines) + "\n"


def _signature(name: str, function: Any) -> str:
    parts, keyword_only = [], False
    for p in function.parameters:
        if p.name == "self":
            continue
        kind = p.kind.value
        if kind == "keyword-only" and not keyword_only:
            keyword_only = True
            parts.append("*")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        text = f"{stars}{p.name}" + (f": {p.annotation}" if p.annotation else "")
        parts.append(text if p.default is None or stars else f"{text} = {p.default}")
    end = f" -> {function.returns}" if function.returns and function.name != "__init__" else ""
    one = f"{name}({', '.join(parts)}){end}"
    if len(one) > 88:
        one = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"
    return f"```python\n{one}\n```"


def _docstring(thing: Any) -> list[str]:
    if thing.docstring is None:
        return []
    lines = []
    for section in thing.docstring.parse("google"):
        kind = section.kind.value
        if kind == "text":
            lines.append(_prose(section.value))
        elif kind in ("parameters", "attributes"):
            what = "parameter" if kind == "parameters" else "attribute"
            rows = [f"| `{x.name}` | {_type(x.annotation)} | {_cell(x.description)} |" for x in section.value]
            lines.append("\n".join([f"| {what} | type | meaning |", "| --- | --- | --- |", *rows]))
        elif kind in ("returns", "yields"):
            lines += [f"**{kind.capitalize()}** {_code(x.annotation)}: {_cell(x.description)}" for x in section.value]
        elif kind == "raises":
            lines += [f"**Raises** {_code(x.annotation)}: {_cell(x.description)}" for x in section.value]
        elif kind == "examples":
            lines += ["**Example**", *(_prose(part) for _, part in section.value)]
        elif kind == "admonition":
            lines += [f"**{section.title or section.value.kind.capitalize()}**", _prose(section.value.contents)]
        else:
            raise ValueError(f"{thing.path}: a docstring section '{kind}' that the reference does not know")
    return lines


def _metrics() -> str:
    rows = ["| metric | better | what it says | source |", "| --- | --- | --- | --- |"]
    rows += [f"| `{m.name}` | {m.better} | {_cell(m.description)} | {_cell(m.source)} |" for m in metric_rows()]
    return _page(
        "Metrics",
        "As `clirbench metrics` lists them. All are computed from the ranks of the gold candidates.",
        "Results hold shares in 0 to 1; tables show them x100.",
        "",
        *rows,
    )


def _tasks() -> str:
    parts = [
        "As `clirbench tasks` lists them, and as their TOML files declare them.",
        "",
        "Where candidates are sentences, they stand alone, without their paragraph. So these are neither mteb's XQuAD and MLQA",
        "tasks, which retrieve paragraphs, nor LAReQA's encoding of a sentence in its context: their numbers are not comparable.",
        "",
    ]
    for name in clirbench.list_tasks():
        task = clirbench.load_task(name)
        pairs = len(task.languages) * (len(task.languages) - 1) if "cross-lingual" in task.settings else 0
        candidates = sum(task.counts["candidates"].values())
        of_all = f" of {len(task.all_languages)}" if task.all_languages else ""
        parts += [
            f"## {name}",
            "",
            f"**{task.name}.** {_prose(task.description)}",
            "",
            "| | |",
            "| --- | --- |",
            f"| size | {task.counts['topics']:,} questions in {len(task.languages)}{of_all} languages, "
            f"{candidates:,} candidate {task.candidate_text}s, {task.counts['gold_pairs']:,} gold pairs |",
            f"| languages | {', '.join(task.languages)} |",
            f"| settings | {', '.join(task.settings)}{f' ({pairs} pairs)' if pairs else ''} |",
            f"| metrics | {', '.join(f'`{m}`' for m in task.metrics)} |",
            f"| bias | {', '.join(f'`{m}`' for m in task.bias)} |",
            f"| licence | {_cell(task.licence)} |",
            *([f"| homepage | <{task.homepage}> |"] if task.homepage else []),
            *(f"| no {what.replace('_', ' ')} | {_cell(why)} |" for what, why in task.absent.items()),
            *(f"| {what.replace('_', ' ')} | {_cell(text)} |" for what, text in task.remarks.items()),
            "",
            *([f"```bibtex\n{task.citation.strip()}\n```", ""] if task.citation else []),
        ]
    return _page("Tasks", *parts)


def _models() -> str:
    rows = [f"| `{name}` | {_cell(model.description)} |" for name, model in BUNDLED.items()]
    return _page(
        "Bundled models",
        "As `clirbench models` lists them. They need no download. The lexical ones stand on the board as rows to compare with,",
        "because monolingual XQuAD-R is nearly lexical. The trained ones are [packed](../explanation/packed-models.md).",
        "",
        "| model | what it is |",
        "| --- | --- |",
        *rows,
    )


def _result() -> str:
    schema = Submitted.json_schema()
    return _page(
        "The result file",
        "One JSON file for each model and task, checked strictly: an unknown, missing or wrong key is refused.",
        "`clirbench schema` prints its JSON Schema for other tools.",
        "",
        *_definitions(
            schema["$defs"],
            ["Document", *[n for n in schema["$defs"] if n != "Document"]],
            {"Document": "A measured result"},
        ),
    )


def _files() -> str:
    parts = [
        "Every file is read strictly: an unknown, missing or wrong key is an error that names the file and the key.",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = init_task("my-faq", Path(folder), ["en", "de"])
        parts += ["## A task of your own", "", "`clirbench init-task my-faq --languages en,de` writes these files:", ""]
        for path in files:
            language = "toml" if path.suffix == ".toml" else "json"
            parts += [f"**{path.name}**", "", f"```{language}\n{path.read_text(encoding='utf-8').strip()}\n```", ""]
    meanings = _attributes("tasks.task.Task", "tasks.task.BoardColumns", "tasks.task.SourceFile")
    meanings["format"] = "Of the file: 1."
    meanings["source"] = meanings["sources"]
    meanings |= {"hub": "The data set on the hub.", "revision": "Its commit.", "split": "Its split."}
    kinds = task_file._ParallelFile, task_file._ParallelHubFile, task_file._StreamedFile
    shipped, on_hub, streamed = (_schema(one, meanings) for one in kinds)
    own = {
        "queries": "The file of queries, beside this one.",
        "candidates": "The file of candidates, beside this one.",
        "relevant_from": "The lowest grade that makes a candidate gold.",
    }
    parts += [_object(_schema(task_file._OwnFile, meanings | own)), ""]
    parts += ["## A shipped task", "", "As those in `tasks/`. Its candidates are sentences, read into memory.", ""]
    parts += [_object(shipped), "", *_definitions(shipped["$defs"], shipped["$defs"], {}, "###")]
    known = set(shipped["$defs"])
    for title, text, kind in (
        ("A parallel set on the hub", "Its candidates are passages, read into memory.", on_hub),
        ("A streamed task", "Its candidates are passages, read shard by shard.", streamed),
    ):
        parts += [f"## {title}", "", f"{text} What differs from the table of a shipped task:", ""]
        other = {key: value for key, value in kind["properties"].items() if value != shipped["properties"].get(key)}
        parts += [_object({**kind, "properties": other}), ""]
        fresh = [name for name in kind["$defs"] if name not in known]
        known.update(fresh)
        parts += _definitions(kind["$defs"], fresh, {}, "###")
    parts += ["## model.toml", "", "What a submission says of its model; `clirbench submit` writes it.", ""]
    parts += _model_schema(ModelFile)
    parts += ["## A training recipe", "", "The one argument of `clirbench train`.", ""]
    parts += _model_schema(Recipe, {EXTENDS: {"type": "string", "description": EXTENDS_MEANS}})
    return _page("TOML files", *parts)


def _attributes(*classes: str) -> dict[str, str]:
    """What the docstrings of classes say of their attributes, by name."""
    package = griffe.load("clirbench", search_paths=[str(Path(clirbench.__file__).parent.parent)])
    return {
        attribute.name: attribute.description
        for name in classes
        for section in package[name].docstring.parse("google")
        if section.kind.value == "attributes"
        for attribute in section.value
    }


def _schema(model: Any, meanings: Mapping[str, str]) -> dict[str, Any]:
    """The JSON Schema of a model, with meanings where it has none of its own."""
    schema: dict[str, Any] = model.model_json_schema()
    for one in (schema, *schema.get("$defs", {}).values()):
        for key, value in one["properties"].items():
            value.setdefault("description", meanings.get(key, ""))
    return schema


def _model_schema(model: Any, more: Mapping[str, Any] | None = None) -> list[str]:
    """The tables of a model's keys; ``more`` are keys that its file has besides."""
    schema = model.model_json_schema()
    schema["properties"] = {**(more or {}), **schema["properties"]}
    definitions = schema.get("$defs", {})
    return [_object(schema), "", *_definitions(definitions, list(definitions), {}, "###")]


def _definitions(
    definitions: Mapping[str, Any], order: Iterable[str], titles: Mapping[str, str], level: str = "##"
) -> list[str]:
    parts = []
    for name in order:
        # A table of a TOML file is called as it stands there: its docstring begins with that.
        table = re.match(r"``(\[+[\w.]+\]+)``", definitions[name].get("description", ""))
        title = f"`{table[1]}`" if table else titles.get(name, name.lstrip("_"))
        parts += [
            f"{level} {title} {{#{name.lower().lstrip('_')}}}",
            "",
            _object(definitions[name]),
            "",
        ]
    return parts


def _object(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = []
    for key, value in schema["properties"].items():
        default = "**required**" if key in required else f"`{json.dumps(value.get('default'))}`"
        rows.append(f"| `{key}` | {_kind(value)} | {default} | {_cell(value.get('description', ''))} |")
    text = _prose(schema.get("description", ""))
    return "\n".join(
        [*([text, ""] if text else []), "| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A JSON Schema type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name.lstrip('_')}](#{name.lower().lstrip('_')})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type")
    if kind == "array":
        inner = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {_kind(inner)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"table of {_kind(inner)}" if isinstance(inner, dict) else "table"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
    }
    text = words.get(str(kind), "any")
    limits = [f"{sign} {schema[key]:,}" for key, sign in _SIGNS.items() if key in schema]
    limits += [f"at most {schema['maxLength']:,} characters"] if "maxLength" in schema else []
    return f"{text} ({', '.join(limits)})" if limits else text


_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _environment() -> str:
    rows = [f"| `{name}` | {_cell(meaning)} |" for name, meaning in VARIABLES.items()]
    return _page(
        "Environment variables",
        "`clirbench doctor` says what is set.",
        "",
        "| variable | meaning |",
        "| --- | --- |",
        *rows,
    )


# What a user did who meets the messages of a room.
ROOMS = {
    "support": "Files and folders",
    "tasks": "Tasks and their data",
    "encoders": "Loading and running a model",
    "ranking": "Scores",
    "metrics": "Metrics",
    "results": "Reading, comparing and using results",
    "evaluation": "Evaluating: in memory, streamed, on Ray, TREC runs",
    "integrations": "mteb and sentence-transformers",
    "training": "Training",
    "submissions": "Submitting, checking, verifying",
    "board": "The board and the site",
    "cli": "Options that do not fit",
}


def messages() -> list[tuple[str, str]]:
    """Every error text with the room that raises it; what is filled in stands as a word in capitals."""
    package = Path(clirbench.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    constants = {name: text for tree in trees.values() for name, text in _texts(tree.body).items()}
    found = []
    for path, tree in trees.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                known = constants | _texts(list(ast.walk(function)))
                said = (_said(node, known) for node in ast.walk(function))
                # A message that is passed on whole stands where it is made.
                texts = [" ".join(text.split()) for text in said if len(re.findall(r"[a-z]{2,}", text)) > 1]
                found += [(path.relative_to(package).parts[0], text) for text in texts]
    return found


def _texts(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """The texts that are given names, by name, where a name has one text only."""
    given: dict[str, list[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(
                _template(node.value) if isinstance(node.value, ast.JoinedStr | ast.Constant) else ""
            )
    return {name: texts[0] for name, texts in given.items() if len(texts) == 1 and texts[0]}


def _said(node: ast.AST, known: Mapping[str, str]) -> str:
    """The message of an error that is made, or of a finding of ``clirbench check``; "" for everything else."""
    match node:
        case ast.Call(func=ast.Name(id="ClirbenchError" | "ModelError"), args=[message, *_]):
            return _template(message, known)
        case ast.Call(func=ast.Attribute(attr="error" | "warning"), args=[_, key, message]):
            where = _template(key, known)
            return f"FILE: '{where}' {_template(message, known)}" if where else f"FILE: {_template(message, known)}"
    return ""


def _template(node: ast.expr, known: Mapping[str, str] = MappingProxyType({})) -> str:
    match node:
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=parts):
            return "".join(_template(part, known) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)) | ast.Name(id=name) if name in known:
            return known[name]
        case ast.FormattedValue(value=ast.IfExp(body=(ast.JoinedStr() | ast.Constant()) as either)):
            return _template(either, known)
        case ast.FormattedValue(value=value, conversion=conversion):
            return f"'{_word(value)}'" if conversion in (ord("r"), ord("a")) else _word(value)
    return _word(node)


def _word(node: ast.expr) -> str:
    """What an expression in a message stands for, as a placeholder in capitals."""
    match node:
        case ast.Name(id=name):
            return _PLACEHOLDERS.get(name, name.strip("_").upper())
        case ast.Attribute(value=value, attr="id" | "name"):
            return _word(value)
        case ast.Attribute(attr=name):
            return _PLACEHOLDERS.get(name, name.strip("_").upper())
        case ast.Call(func=ast.Attribute(attr="join"), args=[inner]):
            return _word(inner)
        case ast.Call(func=ast.Name(id="len")):
            return "N"
        case ast.Call(func=ast.Name(id="first_line")):
            return "REASON"
        case ast.Call(func=ast.Attribute(value=value, attr="replace" | "strip" | "title")) | ast.Subscript(value=value):
            return _word(value)
        case ast.Call(args=[inner, *_]):
            return _word(inner)
        case ast.Constant(value=str(text)):
            return text
        case ast.GeneratorExp(generators=[ast.comprehension(iter=several)]):
            return _word(several)
        case ast.IfExp(body=inner) | ast.BinOp(left=inner) | ast.Starred(value=inner) | ast.BoolOp(values=[inner, *_]):
            return _word(inner)
        case ast.Call(func=ast.Attribute(value=value)):
            return _word(value)
        case ast.Call(func=ast.Name(id=name)):
            return name.upper()
    return "VALUE"


_PLACEHOLDERS = {
    "strerror": "REASON",
    "error": "REASON",
    "line": "REASON",
    "number": "N",
    "text": "VALUE",
    "stem": "NAME",
}


def _messages() -> str:
    parts = [
        "A mistake that you can mend is one line on standard error, and exit code 2. It names the file, key or value, and",
        "what to do next. Words in capitals stand for what is filled in; a message of nothing else is left out.",
        "[Troubleshooting](../start/troubleshooting.md) explains the most frequent ones.",
        "",
    ]
    said = messages()
    for room, title in ROOMS.items():
        texts = sorted({text for where, text in said if where == room})
        if texts:
            parts += [f"## {title}", "", "| message | what to do |", "| --- | --- |"]
            for text in texts:
                # Where nearly everything is filled in, the row would say nothing.
                if len(re.findall(r"[a-z]{2,}", re.sub(r"'[^']*'|\b[A-Z_.]+\b|[\w.]+\.toml", "", text))) < 2:
                    continue
                fault, _, remedy = text.rpartition(": ")
                if remedy.isupper():
                    remedy = "as the message says"
                if not re.search(r"(?<![-\w'])[a-z]{2,}", fault):
                    fault, remedy = text, ""
                parts.append(f"| {_cell(fault)} | {_cell(remedy)} |")
            parts.append("")
    return _page("Messages", *parts)


def _modules() -> str:
    package = Path(clirbench.__file__).parent
    parts = [
        "Every file of the package, in the words of its first line. [The house](../contributing/house.md) is the map.",
        "",
    ]
    for room in reversed(ROOMS):
        parts += [f"## {room}", "", "| file | what it is |", "| --- | --- |"]
        for path in sorted((package / room).rglob("*.py")):
            # A file that only marks a folder as a package says what the room is.
            name = path.relative_to(package).as_posix().removesuffix("/__init__.py")
            words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            parts.append(f"| `{name}` | {_cell(words.split(chr(10) * 2)[0])} |")
        parts.append("")
    return _page("Modules", *parts)


def _page(title: str, *lines: str) -> str:
    return "\n".join([f"# {title}", "", *lines]) + "\n"


def _prose(text: str | None) -> str:
    """A docstring as Markdown: sentences of a paragraph on one line, roles and double backticks as code, examples as code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text or "").replace("``", "`")
    return "\n\n".join(map(_paragraph, text.strip("\n").split("\n\n")))


def _paragraph(text: str) -> str:
    if text.startswith(">>>"):
        return f"```pycon\n{text}\n```"
    if all(line.startswith("    ") for line in text.split("\n")):
        return f"```text\n{textwrap.dedent(text)}\n```"
    if text.startswith(("- ", "* ", "1. ")):
        return text
    return " ".join(text.split())


def _cell(text: Any) -> str:
    """Words in a cell of a table: what stands in backticks and options are code, and every address is a link."""
    parts = " ".join(_prose(str(text)).split()).split("`")
    parts[1::2] = [_code(part) for part in parts[1::2]]
    parts[::2] = [_plain(part) for part in parts[::2]]
    return "".join(parts)


def _plain(text: str) -> str:
    text = re.sub(r"([*|<]|(?<!\w)_|_(?!\w))", r"\\\1", text)
    text = re.sub(r"(?<![\w-])--[a-z][a-z-]*[a-z]", r"`\g<0>`", text)
    text = re.sub(r"(\S+) \((https://[^\s),;]+)\)", lambda m: f"[{m[1]}]({m[2].replace(chr(92), '')})", text)
    text = re.sub(r"(?<!\]\()https://[^\s),;]+", lambda m: f"<{m[0].replace(chr(92), '')}>", text)
    text = re.sub(r"arXiv[: ](\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    return re.sub(
        r"doi[: ](10\.[^\s),;]+)", lambda m: f"[doi:{m[1]}](https://doi.org/{m[1].replace(chr(92), '')})", text
    )


def _code(value: Any) -> str:
    """Code in a cell of a table. A bar would end the cell, and a backslash before it would be seen: it is named instead."""
    if value in (None, ""):
        return ""
    text = str(value)
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _type(value: Any) -> str:
    return _code(value)
