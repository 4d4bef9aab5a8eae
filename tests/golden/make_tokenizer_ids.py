#!/usr/bin/env python3
"""Golden ids: tricky texts through the small tokenizers and through variants of them.

    python make_tokenizer_ids.py [OUT_FOLDER]      default: beside this script

Made with tokenizers 0.22.1. tokenizer_ids.json: texts and, by family, the ids
of each, with special tokens cut out; `split` are the ids with special tokens
as text, of the texts where they differ. tokenizer_variants.json: pipelines
other than the families', each as changes to a family's tokenizer.json, with
texts and ids.

    python make_tokenizer_ids.py --write FOLDER    the variants as model folders, for tokenizer_compare.py
"""

import copy
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizer_texts  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

FAMILIES = ["llama2", "llama3", "mistral", "qwen3", "smollm2"]
TEXT_MAX = 100

GPT4O = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = "|".join([
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+", r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    r" ?[\p{P}\p{S}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
KIMI_HAN = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2_BYTES = dict(BYTES, use_regex=True)


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def normalizers(*steps):
    return {"type": "Sequence", "normalizers": list(steps)}


def metaspace(scheme, cut, mark="\u2581"):
    return {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme, "split": cut}


def replace(find, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: find}, "content": content}


def token(content, i, **flags):
    whole = {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": False}
    whole.update(flags)
    return whole


def flagged():
    """Added tokens with every flag, in a lower-casing byte-level tokenizer."""
    base = json.load(open(os.path.join(HERE, "tokenizers", "smollm2", "tokenizer.json"), encoding="utf-8"))
    n = len(base["model"]["vocab"])
    more = [("<L>", dict(lstrip=True)), ("<R>", dict(rstrip=True)), ("<LR>", dict(lstrip=True, rstrip=True)),
            ("<W>", dict(single_word=True)), ("word", dict(single_word=True)), ("NORM", dict(normalized=True)),
            ("Norm", dict(normalized=True, single_word=True)), ("<SL>", dict(special=True, lstrip=True)),
            ("<S", dict(special=True)), ("\n", dict(rstrip=True, lstrip=True)), ("Nor", dict(normalized=True)),
            ("日本", dict(special=True, normalized=True))]
    return base["added_tokens"] + [token(text, n + i, **flags) for i, (text, flags) in enumerate(more)]


VARIANTS = [
    ("nfc", "smollm2", {"normalizer": {"type": "NFC"}}),
    ("nfd", "smollm2", {"normalizer": {"type": "NFD"}}),
    ("nfkc", "smollm2", {"normalizer": {"type": "NFKC"}}),
    ("nfkd", "smollm2", {"normalizer": {"type": "NFKD"}}),
    ("lower", "smollm2", {"normalizer": {"type": "Lowercase"}}),
    ("strip", "smollm2", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}}),
    ("strip left", "mistral", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": False}}),
    ("strip right", "smollm2", {"normalizer": {"type": "Strip", "strip_left": False, "strip_right": True}}),
    ("several normalizers", "smollm2", {"normalizer": normalizers(
        {"type": "NFKC"}, {"type": "Lowercase"}, replace("  ", " "), {"type": "Strip", "strip_left": False,
                                                                      "strip_right": True},
        replace("[0-9]+", "#", "Regex"), {"type": "Prepend", "prepend": "> "})}),
    ("replace spaces", "mistral", {"normalizer": normalizers(replace("\\s{2,}", " ", "Regex"), replace("ab", ""))}),
    ("bytes as normalizer", "smollm2", {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None}),
    ("prefix space", "smollm2", {"pre_tokenizer": dict(GPT2_BYTES, add_prefix_space=True)}),
    ("prefix space per digit", "smollm2", {"pre_tokenizer": sequence(
        {"type": "Digits", "individual_digits": True}, dict(GPT2_BYTES, add_prefix_space=True))}),
    ("digits together", "smollm2", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, GPT2_BYTES)}),
    ("digits after bytes", "smollm2", {"pre_tokenizer": sequence(GPT2_BYTES, {"type": "Digits", "individual_digits": True})}),
    ("bytes alone", "smollm2", {"pre_tokenizer": BYTES}),
    ("no pre-tokenizer", "smollm2", {"pre_tokenizer": None}),
    ("punctuation", "smollm2", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": "Isolated"}, GPT2_BYTES)}),
    ("punctuation together", "smollm2", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": "Contiguous"}, BYTES)}),
    ("whitespace", "smollm2", {"pre_tokenizer": sequence({"type": "Whitespace"}, BYTES)}),
    ("whitespace split", "smollm2", {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, BYTES)}),
    ("gpt-2 as Split", "smollm2", {"pre_tokenizer": sequence(split(GPT2), BYTES)}),
    ("llama 3 removed inverted", "smollm2", {"pre_tokenizer": sequence(split(LLAMA3, "Removed", True), BYTES)}),
    ("llama 3 by the general way", "smollm2", {"pre_tokenizer": sequence(split("(?:%s)" % LLAMA3), BYTES)}),
    ("gpt-2 by the general way", "smollm2", {"pre_tokenizer": sequence(split("(?:%s)" % GPT2), BYTES)}),
    ("gpt-4o", "smollm2", {"pre_tokenizer": sequence(split(GPT4O, "Removed", True), BYTES)}),
    ("deepseek", "smollm2", {"pre_tokenizer": sequence(
        split("[\r\n]"), split("\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿ]+"), split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"), split("\\s+$"[:3]),
        split("[一-龥ࠀ-一가-퟿]+"), {"type": "Digits", "individual_digits": True}, BYTES)}),
    ("deepseek v3", "smollm2", {"pre_tokenizer": sequence(
        split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), BYTES)}),
    ("han apart", "smollm2", {"pre_tokenizer": sequence(split(KIMI_HAN), BYTES)}),
    ("empty matches", "smollm2", {"pre_tokenizer": sequence(split("(?=[A-Z])"), split("x*"), BYTES)}),
    ("look behind", "smollm2", {"pre_tokenizer": sequence(split("(?<=[a-z])(?=[A-Z])|\\d+?|(?<!a)b"), BYTES)}),
    ("merged with previous", "smollm2", {"pre_tokenizer": sequence(split(" ", "MergedWithPrevious", False, "String"), BYTES)}),
    ("merged with next", "smollm2", {"pre_tokenizer": sequence(split(" ", "MergedWithNext", False, "String"), BYTES)}),
    ("merged with next inverted", "smollm2", {"pre_tokenizer": sequence(split("[a-z]+", "MergedWithNext", True), BYTES)}),
    ("words", "smollm2", {"pre_tokenizer": sequence(split("\\w+|[^\\w\\s]+"), dict(BYTES, add_prefix_space=True))}),
    ("contiguous", "smollm2", {"pre_tokenizer": sequence(split("\\s", "Contiguous"), BYTES)}),
    ("removed", "smollm2", {"pre_tokenizer": sequence(split("e", "Removed", False, "String"), BYTES)}),
    ("metaspace always", "llama2", {"normalizer": None, "pre_tokenizer": metaspace("always", True)}),
    ("metaspace always whole", "llama2", {"normalizer": None, "pre_tokenizer": metaspace("always", False)}),
    ("metaspace first", "llama2", {"normalizer": None, "pre_tokenizer": metaspace("first", True)}),
    ("metaspace never", "llama2", {"normalizer": None, "pre_tokenizer": metaspace("never", True)}),
    ("metaspace of old", "llama2", {"normalizer": None, "pre_tokenizer": {
        "type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}}),
    ("metaspace and split", "llama2", {"normalizer": None, "pre_tokenizer": sequence(
        {"type": "WhitespaceSplit"}, metaspace("always", True))}),
    ("no byte fallback", "llama2", {"model.byte_fallback": False}),
    ("no byte fallback, unknown one by one", "llama2", {"model.byte_fallback": False, "model.fuse_unk": False}),
    ("no unknown", "llama2", {"model.byte_fallback": False, "model.unk_token": None}),
    ("some bytes missing", "llama2", {"model.-vocab": ["<0xE4>", "<0xF0>", "<0x0A>"]}),
    ("some letters missing", "smollm2", {"model.-vocab": ["Ā", "ñ", "Ċ"], "model.unk_token": "<|endoftext|>"}),
    ("merges ignored", "llama2", {"model.ignore_merges": True}),
    ("merges not ignored", "llama3", {"model.ignore_merges": False}),
    ("normalized special tokens", "llama2", {"added.normalized": True}),
    ("flags of added tokens", "smollm2", {"added_tokens": flagged(), "normalizer": {"type": "Lowercase"}}),
]

FLAG_TEXTS = ["a <L> b", "a  <L>  b", "a <R>  b", "a <LR> <LR> b", "<LR>  <L>", "x<W>y <W> z", "a word words sword word",
              "word", "normNORM norm Norm nor", "a  <SL> b<S", "a \n \n b\n", "<R> \n <L>", "\u65e5\u672c\u65e5\u672c",
              "\u00a0<L>\u3000<R>\u2003x", "<LR>", " <LR> ", "a\u0301word", "word\u0301", "<|im_end|> <R>  <|im_end|>"]


def apply(base, changes):
    whole = copy.deepcopy(base)
    for key, value in changes.items():
        if key == "model.-vocab":
            gone = set(value)
            vocab = whole["model"]["vocab"]
            whole["model"]["merges"] = [m for m in whole["model"]["merges"] if not gone.intersection(
                m.split(" ") if isinstance(m, str) else m)]
            whole["model"]["vocab"] = {k: v for k, v in vocab.items() if k not in gone}
            kept = whole["model"]["vocab"]
            while True:  # merges of merges that are gone, too
                sides = [m.split(" ") if isinstance(m, str) else m for m in whole["model"]["merges"]]
                made = {a + b for a, b in sides}
                bad = [i for i, (a, b) in enumerate(sides) if any(
                    len(x) > 1 and not x.startswith("<") and x not in made and x.strip("\u2581") for x in (a, b))]
                if not bad:
                    break
                whole["model"]["merges"] = [m for i, m in enumerate(whole["model"]["merges"]) if i not in set(bad)]
            del kept
        elif key == "added.normalized":
            for t in whole["added_tokens"]:
                t["normalized"] = value
        elif key.startswith("model."):
            whole["model"][key[6:]] = value
        else:
            whole[key] = value
    return whole


def load(family):
    with open(os.path.join(HERE, "tokenizers", family, "tokenizer.json"), encoding="utf-8") as f:
        return json.load(f)


def dump(path, value):
    """One item of the outer lists a line."""
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


def ids_of(tok, texts):
    return [tok.encode(text, add_special_tokens=False).ids for text in texts]


def families(texts):
    result = {"texts": texts, "ids": {}, "split": {}}
    for family in FAMILIES:
        tok = Tokenizer.from_str(json.dumps(load(family)))
        result["ids"][family] = ids_of(tok, texts)
        tok.encode_special_tokens = True
        split_ids = ids_of(tok, texts)
        result["split"][family] = {str(i): ids for i, ids in enumerate(split_ids) if ids != result["ids"][family][i]}
    return result


def variants(texts):
    result = []
    texts = texts[9::12]
    for name, family, changes in VARIANTS:
        own = texts + (FLAG_TEXTS if name == "flags of added tokens" else [])
        whole = apply(load(family), changes)
        tok = Tokenizer.from_str(json.dumps(whole))
        changed = {k: v for k, v in whole.items() if v != load(family)[k] and k != "model"}
        model = {k: v for k, v in whole["model"].items() if v != load(family)["model"][k]}
        result.append({"name": name, "family": family, "set": changed, "model": model,
                       "texts": own if own is not texts else None, "ids": ids_of(tok, own)})
    return {"texts": texts, "variants": result}


def boundary_variants():
    """
    Tokenizers whose ids show where words were cut, whatever the vocabulary: a
    space put before each word that has none, and one id for each word.
    """
    cuts = {
        "gpt-2": [split(GPT2)], "gpt-2 general": [split("(?:%s)" % GPT2)], "gpt-2 of ByteLevel": [GPT2_BYTES],
        "llama 3": [split(LLAMA3)], "llama 3 general": [split("(?:%s)" % LLAMA3)],
        "qwen 2": [split(LLAMA3.replace("{1,3}", ""))], "gpt-4o": [split(GPT4O)],
        "deepseek": [split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK)], "han": [split(KIMI_HAN)],
        "smollm": [{"type": "Digits", "individual_digits": True}, GPT2_BYTES],
        "digits": [{"type": "Digits", "individual_digits": False}], "punctuation": [{"type": "Punctuation"}],
        "whitespace": [{"type": "Whitespace"}], "whitespace split": [{"type": "WhitespaceSplit"}],
    }
    cuts.update(("\\p{%s}" % name, [split("\\p{%s}" % name, "Contiguous")]) for name in (
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
        "Sc", "Sk", "So", "Zs", "Zl", "Zp", "L", "M", "N", "P", "S", "Z", "Han"))
    cuts.update((name, [split(name, "Contiguous")]) for name in ("\\s", "\\w", "\\d", "(?i:s)", "(?i:k)", "(?i:'re)", "."))
    for name, steps in cuts.items():
        yield "cut " + name, "smollm2", {"pre_tokenizer": sequence(*steps, dict(BYTES, add_prefix_space=True))}
        yield "count " + name, "smollm2", {"pre_tokenizer": sequence(*steps), "added_tokens": [], "model": dict(
            load("smollm2")["model"], vocab={"?": 0}, merges=[], unk_token="?", fuse_unk=True)}


def write(folder):
    for name, family, changes in VARIANTS + list(boundary_variants()):
        path = os.path.join(folder, "".join(ch if ch.isalnum() else "_" for ch in name))
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "tokenizer.json"), "w", encoding="utf-8") as out:
            json.dump(apply(load(family), changes), out, ensure_ascii=False)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--write":
        write(sys.argv[2])
        return
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    texts = list(dict.fromkeys(text[:TEXT_MAX] for text in tokenizer_texts.tricky()))
    dump(os.path.join(folder, "tokenizer_ids.json"), families(texts))
    dump(os.path.join(folder, "tokenizer_variants.json"), variants(texts))


if __name__ == "__main__":
    main()
