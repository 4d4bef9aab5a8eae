#!/usr/bin/env python3
"""Writes tests/golden/config/: what LLaMA-Factory, transformers and OmegaConf know and do.

    HF_HUB_OFFLINE=1 $ORACLE_PYTHON tests/golden/make_config.py [--transformers4 training_args.py]

  fields.tsv   every field of the argument groups that a YAML file feeds: group, name, type, default.
               --transformers4 adds the fields that only transformers 4 has, read from its source.
  scalars.tsv  plain YAML words: word, Python type, str() of the value
  cases.txt    small files with overrides, and what OmegaConf makes of them

The first line of each file names the versions it was made with.
"""
import argparse
import ast
import dataclasses
import importlib.metadata
import pathlib
import sys

OUT = pathlib.Path(__file__).parent / "config"

WORDS = """1e-4 1.0e-4 1E5 1e+5 1_000 1_000.5 1_0e3 1__0e3 0 -0 +7 007 08 010 0o17 0x1F 0b101 0b 0x
1:30 12:30:00 1:30.5 190:20:30.15 0:30 1:75 .5 -.5 .5e3 .5e+3 5. 5.e3 5_.5 1. +.inf -.INF .inf .nan .NaN
nan inf true True TRUE tRUE yes Yes YES no No NO on off On OFF y n Y N null Null NULL ~ None none nUll
123456789012345678901234567890 9223372036854775807 9223372036854775808 -9223372036854775808
2024-01-01 2024-01-01T00:00:00 1e400 1e-400 0.1 100.0 1e16 1e15 123456789.125 1e22 5e-324 1.7976931348623157e308
0.0001 0.00001 1e-5 3.0 2.5e-3 -1e-7 + - -- +-1 1- 1a 1e 1e- e5 _1 1_ 1.5_ 1_.5 0_1 0x_ =
model/a:b a#b http://x/y qwen3_nothink v1.2.3 1.2.3 12e4 12e4x /tmp/x saves/1 ${ '1' "1" 'yes' "" ''""".split()

CASES = [
    ("seed: 7\ndata_seed: ${seed}\n", []),
    ("learning_rate: 1e-4\noutput_dir: saves/lr${learning_rate}_x\n", []),
    ("learning_rate: 1e-5\nbf16: yes\noutput_dir: ${learning_rate}/${bf16}/${lora_alpha}\nlora_alpha: null\n", []),
    ("a: 1_000\nb: ${a}${a}\nc: 0x10\nd: x${c}\n", []),
    ("a: b\nb: c\nc: ${${a}}\n", []),
    ("a: b\nb: deep\nc: pre_${${a}}_post\n", []),
    ("a: \\${b}\nb: 1\n", []),
    ("a: x\\${b}y\nb: 1\n", []),
    ("a: x\\\\${b}y\nb: 1\n", []),
    ("a: x\\\\\\${b}y\nb: 1\n", []),
    ("a: 'c:\\x\\y'\nb: ${a}\n", []),
    ("m: {x: 0.5, y: two}\na: ${m.x}\nb: ${m.y}\n", []),
    ("a: ${.b}\nb: 3\n", []),
    ("a: ${ b }\nb: 3\n", []),
    ("a: ${oc.env:LOWRANK_TEST_A}\n", []),
    ("a: ${oc.env:LOWRANK_TEST_A}/x\n", []),
    ("a: ${oc.env:LOWRANK_TEST_UNSET,plain}\n", []),
    ("a: ${oc.env:LOWRANK_TEST_UNSET,'a, b'}\n", []),
    ("a: ${oc.env:LOWRANK_TEST_UNSET,null}\n", []),
    ("a: ${oc.env:LOWRANK_TEST_UNSET,${b}}\nb: 5\n", []),
    ("a: ${oc.env:LOWRANK_TEST_N}\n", []),
    ("a: ${oc.decode:${oc.env:LOWRANK_TEST_N}}\n", []),
    ("a: 1\n", ["a=2"]),
    ("a: 1\n", ["a="]),
    ("a: 1\n", ["a=1e-3"]),
    ("a: 1\n", ["a=yes", "b=no"]),
    ("a: 1\n", ["a='1'"]),
    ("a: 1\n", ["a=x=y"]),
    ("a: 1\n", ["a=2", "a=3"]),
    ("m: {x: 1, y: 2}\n", ["m={x: 5}"]),
    ("m: {x: 1, y: 2}\n", ["m.y=6", "m.z=7"]),
    ("m: 1\n", ["m.y=6"]),
    ("m: null\n", ["m.y=6"]),
    ("a: 1\n", ["n.o.p=3"]),
    ("a: 1\nb: ${a}\n", ["a=9"]),
    ("a: one\n  two\nb: |\n  x\n  y\nc: >\n  x\n  y\n", []),
    ("a: \"x\\ty\\u00e9\"\nb: 'it''s'\n", []),
    ("a: # nothing\nb: x # comment\n", []),
    ("a: [1, x, yes]\nb: \n  - p\n  - 2.0\n", []),
    ("---\na: 1\n...\n", []),
    ("{a: 1, b: two}\n", []),
    ("", ["a=1"]),
    ("# only a comment\n", []),
]

ENV = {"LOWRANK_TEST_A": "value of a", "LOWRANK_TEST_N": "12"}


def versions():
    names = ("llamafactory", "transformers", "omegaconf", "pyyaml")
    return " ".join(f"{n} {importlib.metadata.version(n)}" for n in names)


def plain(value):
    """A default as it is written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if value in ({}, []):
        return "null" if value == {} else "[]"
    return str(getattr(value, "value", value))


def type_name(annotation):
    name = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    return name or str(annotation).replace("typing.", "")


def dataclass_rows():
    from llamafactory.hparams import (DataArguments, FinetuningArguments, GeneratingArguments,
                                      ModelArguments, TrainingArguments)

    groups = (("model", ModelArguments), ("data", DataArguments), ("training", TrainingArguments),
              ("finetuning", FinetuningArguments), ("generating", GeneratingArguments))
    for group, cls in groups:
        for field in dataclasses.fields(cls):
            if not field.init:
                continue
            default = field.default
            if default is dataclasses.MISSING:
                default = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
            yield group, field.name, type_name(field.type), plain(default)


def source_rows(path, known):
    tree = ast.parse(pathlib.Path(path).read_text())
    cls = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "TrainingArguments")
    for node in cls.body:
        if not isinstance(node, ast.AnnAssign) or node.target.id in known:
            continue
        keywords = {k.arg: k.value for k in getattr(node.value, "keywords", [])}
        init = keywords.get("init")
        if init is not None and init.value is False:
            continue
        default = keywords.get("default")
        try:
            text = plain(ast.literal_eval(default)) if default is not None else "null"
        except ValueError:
            text = "?"
        yield "transformers4", node.target.id, ast.unparse(node.annotation), text


def write_fields(transformers4):
    rows = list(dataclass_rows())
    if transformers4:
        rows += list(source_rows(transformers4, {name for _, name, _, _ in rows}))
    lines = [f"# {versions()}{' transformers 4.57.1 (source)' if transformers4 else ''}"]
    lines += ["\t".join(part.replace("\t", " ").replace("\n", " ") for part in row) for row in rows]
    (OUT / "fields.tsv").write_text("\n".join(lines) + "\n")


def load(text):
    import io

    from omegaconf import OmegaConf
    return OmegaConf.load(io.StringIO(text))


def write_scalars():
    lines = [f"# {versions()}"]
    for word in WORDS:
        try:
            value = load(f"a: {word}\n")._get_node("a")._value()
        except Exception as e:  # a word that YAML refuses here is no case for us
            print(f"skipped {word!r}: {type(e).__name__}", file=sys.stderr)
            continue
        lines.append(f"{word}\t{type(value).__name__}\t{value}")
    (OUT / "scalars.tsv").write_text("\n".join(lines) + "\n")


def flat(prefix, value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(f"{prefix}.{key}" if prefix else str(key), item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from flat(f"{prefix}.{i}", item)
    else:
        yield prefix, type(value).__name__, str(value)


def write_cases():
    import os

    from omegaconf import OmegaConf
    os.environ.update(ENV)
    os.environ.pop("LOWRANK_TEST_UNSET", None)
    lines = [f"# {versions()}"]
    for text, overrides in CASES:
        merged = OmegaConf.merge(load(text) if text.strip(" \n") else OmegaConf.create({}),
                                 OmegaConf.from_dotlist(overrides))
        lines.append("@case")
        lines += text.rstrip("\n").split("\n") if text else []
        lines += [f"@pair {pair}" for pair in overrides]
        try:
            result = OmegaConf.to_container(merged, resolve=True)
        except Exception as e:
            print(f"{text!r}: {type(e).__name__}: {e}", file=sys.stderr)
            lines.append("@error")
            continue
        for key, kind, value in flat("", result):
            shown = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
            lines.append(f"@value {key} {kind} {shown}")
    (OUT / "cases.txt").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--transformers4", help="training_args.py of transformers 4.57.1")
    args = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    write_fields(args.transformers4)
    write_scalars()
    write_cases()


if __name__ == "__main__":
    main()
