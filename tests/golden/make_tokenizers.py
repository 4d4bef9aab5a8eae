#!/usr/bin/env python3
"""Small tokenizers with the pipelines of real model families.

    python make_tokenizers.py [FOLDER]      default: tokenizers/ beside this script

Made with tokenizers 0.22.1 (Python 3.11). Each FAMILY/tokenizer.json has the
normalizer, pre-tokenizer, post-processor, flags and added tokens of the real
one and 600 to 1000 tokens trained on text that this script makes, so that
the same ids can be had from the `tokenizers` library, from transformers and
from us. Running it again gives the same bytes.
"""

import collections
import json
import os
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")

SENTENCES = """\
The quick brown fox jumps over the lazy dog, and the dog does not mind at all.
A cluster of small machines can train a model if the messages between them are short.
What is the capital of France? The capital of France is Paris, a city on the Seine.
Write a function that returns the sum of the squares of the first numbers.
You are a helpful assistant. Answer the question in one sentence, then explain why.
Please translate the following text into German and keep the names as they are.
I don't know what you'll say, but they've said that it's what we're doing and I'd agree.
The user asks for the weather; the assistant calls a tool and waits for the result.
Below is an instruction that describes a task. Write a response that completes the request.
A chat between a curious user and an artificial intelligence assistant.
Today's training run took 1234 steps, 56.7 seconds and 890 megabytes of memory.
Three plus four is seven; twelve minus five is also seven; one hundred is 100.
Der schnelle braune Fuchs springt über den faulen Hund, und das gefällt ihm nicht.
Die Größe des Modells hängt von der Zahl der Schichten und der Breite ab.
Le modèle apprend à répondre aux questions, même à celles qui sont très difficiles.
El niño comió una manzana en el jardín mañana por la mañana con su compañera.
Быстрая коричневая лиса прыгает через ленивую собаку, и ей это нравится.
今天的天气很好，我们去公园散步吧。请用一句话回答这个问题。
これは日本語の文章です。モデルは質問に答えることができます。
안녕하세요, 저는 도움이 되는 조수입니다. 질문에 대답해 주세요.
هذا نص قصير باللغة العربية للتجربة فقط.
यह हिन्दी में एक छोटा वाक्य है।
def square(x):\n    return x * x\n\n\nfor i in range(10):\n    print(i, square(i))
int main(void)\n{\n\treturn printf("%d\\n", 42) < 0;\n}
{"name": "get_weather", "arguments": {"city": "Berlin", "unit": "celsius"}}
<h1>Title</h1>\n<p>Some <b>bold</b> text &amp; more</p>
SELECT name, count(*) FROM users WHERE age >= 18 GROUP BY name ORDER BY 2 DESC;
| step | loss |\n|------|------|\n| 1 | 2.345 |\n| 2 | 1.987 |
""".splitlines()

WORDS = """\
the of and to in is that for it as was with be by on not he his but at are this have from or had an
they which one you were all her she there would their we him been has when who will no more if out so
up said what its about than into them can only other time new some could these two may first then do
any like my now over such our man me even most made after also did many off before must well back
through years where much your way down should because long each just state people those too mr how
little good world make very year still see own work men day get here old life both between being under
three never know same last another while us might great go come since against right came take used
himself few house use place during high without again home around small however found mrs part school
thought went say once general upon war every left public until always away something fact water less
though far put head think called set almost enough end took government night yet system better four
nothing told eyes city going look asked later knew point next program tokens model layer weight matrix
vector gradient learning training question answer user assistant system function return value number
""".split()


def corpus():
    """Text lines: the sentences, and random sentences of frequent words."""
    rng = random.Random(20251125)
    lines = [line.replace("\\n", "\n").replace("\\t", "\t") for line in SENTENCES] * 3
    for _ in range(1500):
        n = rng.randint(4, 14)
        words = [WORDS[min(rng.randrange(len(WORDS)), rng.randrange(len(WORDS)))] for _ in range(n)]
        line = " ".join(words)
        if rng.random() < 0.5:
            line = line.capitalize() + rng.choice(".?!:;")
        if rng.random() < 0.1:
            line = rng.choice(["\n\n", "  ", "    ", "\t", "\n"]) + line
        if rng.random() < 0.2:
            line += " %d" % rng.randrange(10 ** rng.randint(1, 6))
        lines.append(line)
    return lines


def added(first_id, tokens):
    """Entries of added_tokens: (text, special) with ids from first_id on."""
    return [
        {
            "id": first_id + i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": special,
        }
        for i, (text, special) in enumerate(tokens)
    ]


def template(bos, bos_id):
    """A post-processor that puts bos first."""
    return {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": bos, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"SpecialToken": {"id": bos, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": bos, "type_id": 1}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {bos: {"id": bos, "ids": [bos_id], "tokens": [bos]}},
    }


def bpe(vocab, merges, **flags):
    """The model part of tokenizer.json."""
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    model.update(flags)
    return model


def train_byte_level(pre_tokenizer, size, lines):
    """Vocabulary and merges (as pairs) of a byte-level BPE of this size."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizer
    tok.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=size,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    model = json.loads(tok.to_str())["model"]
    return model["vocab"], [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]


def train_byte_fallback(size, head, lines):
    """
    Pieces and merges in the order of a converted sentencepiece model: head,
    256 bytes, merged pieces, single characters; of each piece all the ways to
    make it from two others. The rarer characters are left out, for bytes.
    """
    counts = collections.Counter(ch for line in lines for ch in line if ch != " ")
    common = sorted(counts, key=lambda ch: (-counts[ch], ch))[:150]
    rare = {ord(ch): None for ch in counts if ch not in common}
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tok.train_from_iterator(
        [line.translate(rare) for line in lines],
        trainers.BpeTrainer(vocab_size=size, show_progress=False),
    )
    trained = sorted(json.loads(tok.to_str())["model"]["vocab"].items(), key=lambda kv: kv[1])
    chars = [piece for piece, _ in trained if len(piece) == 1]
    pieces = ["\u2581" * n for n in (2, 4, 8, 3)] + [piece for piece, _ in trained if len(piece) > 1]
    order = head + ["<0x%02X>" % b for b in range(256)] + pieces + chars
    vocab = {piece: i for i, piece in enumerate(order)}
    merges = []
    for piece in pieces:
        ways = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        ways = [(a, b) for a, b in ways if a in vocab and b in vocab]
        merges += sorted(ways, key=lambda ab: (vocab[ab[0]], vocab[ab[1]]))
    return vocab, [list(m) for m in merges]


BYTE_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def spaces_decoder(strip):
    return {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ]
        + ([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if strip else []),
    }


def byte_level(add_prefix_space=False, trim_offsets=True, use_regex=True):
    return {
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    }


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def file(added_tokens, normalizer, pre_tokenizer, post_processor, decoder, model):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def library_split(pattern):
    from tokenizers import Regex

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def llama3(lines):
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
             "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
    vocab, merges = train_byte_level(library_split(LLAMA3_PATTERN), 820, lines)
    tokens = added(len(vocab), [(name, True) for name in names])
    post = {
        "type": "Sequence",
        "processors": [byte_level(True, False, True), template(names[0], len(vocab))],
    }
    pre = {"type": "Sequence", "pretokenizers": [split(LLAMA3_PATTERN), byte_level(use_regex=False)]}
    # merges as text, as files from before tokenizers 0.20 have them
    model = bpe(vocab, [" ".join(m) for m in merges], ignore_merges=True)
    config = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    return file(tokens, None, pre, post, BYTE_DECODER, model), config


def qwen2(lines, extra=()):
    names = [("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True)] + list(extra)
    vocab, merges = train_byte_level(library_split(QWEN2_PATTERN), 780, lines)
    pre = {
        "type": "Sequence",
        "pretokenizers": [split(QWEN2_PATTERN), byte_level(False, False, False)],
    }
    model = bpe(vocab, merges, continuing_subword_prefix="", end_of_word_suffix="")
    config = {
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "unk_token": None,
    }
    return (
        file(added(len(vocab), names), {"type": "NFC"}, pre, byte_level(False, False, False),
             byte_level(False, False, False), model),
        config,
    )


def qwen3(lines):
    marks = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    return qwen2(lines, [(name, False) for name in marks])


def smollm2(lines):
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<empty_output>"]
    library = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trained, merges = train_byte_level(library, 700, lines)
    vocab = {name: i for i, name in enumerate(names)}
    vocab.update({piece: i + len(names) for piece, i in trained.items()})
    pre = {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level()],
    }
    config = {
        "add_prefix_space": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
    }
    tokens = added(0, [(name, True) for name in names])
    return file(tokens, None, pre, None, BYTE_DECODER, bpe(vocab, merges)), config


def llama2(lines):
    head = ["<unk>", "<s>", "</s>"]
    vocab, merges = train_byte_fallback(640, head, lines)
    normalizer = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    }
    model = bpe(vocab, [" ".join(m) for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": False,
                      "normalized": False, "rstrip": False, "single_word": False},
        "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False,
                      "normalized": False, "rstrip": False, "single_word": False},
        "legacy": False,
        "pad_token": None,
        "unk_token": {"__type": "AddedToken", "content": "<unk>", "lstrip": False,
                      "normalized": False, "rstrip": False, "single_word": False},
    }
    tokens = added(0, [(name, True) for name in head])
    return file(tokens, normalizer, None, template("<s>", 1), spaces_decoder(True), model), config


def mistral(lines):
    head = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
    vocab, merges = train_byte_fallback(660, head, lines)
    pre = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    model = bpe(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "add_prefix_space": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "legacy": False,
        "pad_token": None,
        "unk_token": "<unk>",
    }
    tokens = added(0, [(name, True) for name in head])
    return file(tokens, None, pre, template("<s>", 1), spaces_decoder(True), model), config


FAMILIES = {"llama2": llama2, "llama3": llama3, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3,
            "smollm2": smollm2}


def complete_config(config, added_tokens):
    whole = {
        "added_tokens_decoder": {
            str(t["id"]): {key: t[key] for key in
                           ("content", "lstrip", "normalized", "rstrip", "single_word", "special")}
            for t in added_tokens
        },
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    whole.update(config)
    return dict(sorted(whole.items()))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "tokenizers")
    lines = corpus()
    for name, make in FAMILIES.items():
        whole, config = make(lines)
        path = os.path.join(folder, name)
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "tokenizer.json"), "w", encoding="utf-8") as out:
            json.dump(whole, out, ensure_ascii=False, indent=1)
            out.write("\n")
        with open(os.path.join(path, "tokenizer_config.json"), "w", encoding="utf-8") as out:
            json.dump(complete_config(config, whole["added_tokens"]), out, ensure_ascii=False, indent=2)
            out.write("\n")
        tok = Tokenizer.from_str(json.dumps(whole))
        print("%s: %d tokens" % (name, tok.get_vocab_size(with_added_tokens=True)))


if __name__ == "__main__":
    main()
