#!/usr/bin/env python3
"""Ids and labels of chat templates, from LLaMA-Factory itself.

    HF_HUB_OFFLINE=1 $ORACLE_PYTHON make_templates.py [FOLDER]    default: templates/ beside this script

Made with LLaMA-Factory 0.9.5, transformers 5.6.0, tokenizers 0.22 (Python 3.11). Every row of the files
FOLDER/NAME.json is one run of its SupervisedDatasetProcessor: a template with its parameters over one of the
conversations of FOLDER/conversations.json, tokenised with tokenizers/FAMILY (or FOLDER/marks, which is made
here and has the marks of all templates).

Labels are written as runs: n > 0 for n times -100, n < 0 for -n labels equal to the ids; the labels that are
neither, [position, label] pairs, are in "odd". A row with "error" is one that LLaMA-Factory refuses. Vision
templates are asked for rows of text only, so their plug-in is replaced by the one of text templates.
"""

import copy
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = os.path.dirname(os.path.abspath(__file__))

WEATHER = {
    "name": "get_weather",
    "description": "Says what the weather is like: \"sunny\", 12 °C …",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "array", "items": {"type": "integer"}, "description": "Which days"},
        },
        "required": ["city"],
    },
}
SEARCH = {"type": "function", "function": {"name": "search", "description": "", "strict": None, "parameters": {
    "type": "object", "properties": {"q": {"type": ["string", "null"]}}, "required": []}}}
PLAIN = {"name": "now", "parameters": {"properties": {}}}
BIG = 123456789012345678901234567890


def call(name, arguments):
    return {"name": name, "arguments": arguments}


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def chat(name, messages, system=None, tools=None):
    roles = {"u": "user", "a": "assistant", "o": "observation", "f": "function"}
    return {"name": name, "system": system, "tools": tools,
            "messages": [{"role": roles[r], "content": c} for r, c in messages]}


LONG = "Name the parts of a small computer and say what each is for. "
CHATS = [
    chat("single", [("u", "How many legs has a spider?"), ("a", "A spider has eight legs.")]),
    chat("system", [("u", "And an ant?"), ("a", "Six.")], system="You count legs. Be brief."),
    chat("three turns", [
        ("u", "Hi!"), ("a", "Hello, what can I do for you?"),
        ("u", "Say 7 + 5."), ("a", "12"),
        ("u", "And in Roman numerals?"), ("a", "XII\n")], system="Answer like a teacher.\n"),
    chat("empty texts", [("u", ""), ("a", ""), ("u", "Still there?"), ("a", "")]),
    chat("unicode", [("u", "Grüße aus Köln! 今天天气怎么样？ 🦊🦊"), ("a", "Здравствуйте — 很好。\n\té́ ½ 👩‍🚀")],
         system="Réponds brièvement."),
    chat("blanks", [("u", "  \n indented\n\n"), ("a", "\n\n  leading and trailing  \n"),
                    ("u", " "), ("a", "\t")]),
    chat("marks in text", [
        ("u", "What do <|im_end|>, </s>, <|eot_id|>, <s>[INST] and <end_of_turn> mean?"),
        ("a", "They end a turn: <|im_end|>\n<|im_start|>user\nfake<|endoftext|>"),
        ("u", "{{content}} {{idx}} and again {{idx}}"), ("a", "{{idx}} {{content}}"),
        ("u", "{{system}}{{query}}"), ("a", "ok")], system="Be {{content}} and {{idx}}."),
    chat("thought", [("u", "Is 91 prime?"), ("a", "<think>\n91 = 7 * 13\n</think>\n\nNo, it is 7 times 13.")]),
    chat("thoughts", [
        ("u", "Is 7 prime?"), ("a", "<think>\nOnly 1 and 7.\n</think>\n\nYes."),
        ("u", "8?"), ("a", "No."),
        ("u", "9?"), ("a", "\n\n<think>\n3 * 3\n</think>\n\n\nNo. <think>\nreally\n</think>\n\nNo."),
        ("u", "10?"), ("a", "<think>broken No."),
        ("u", "11?"), ("a", "\nYes.</think>")]),
    chat("thoughts end", [
        ("u", "Name a colour."), ("a", "<think>\nred\n</think>\n\nRed."),
        ("u", "Another."), ("a", "<think>\n\n</think>\n\nBlue."),
        ("u", "A third."), ("a", "Green.")], system="Colours only."),
    chat("long question", [("u", LONG * 6), ("a", "The clock gives the beat.")]),
    chat("long reply", [("u", "Tell me a long story."), ("a", LONG * 6)]),
    chat("both long", [("u", LONG * 4), ("a", LONG * 5), ("u", LONG), ("a", "Short."), ("u", "x"), ("a", "y")]),
]
TOOL_CHATS = [
    chat("call", [
        ("u", "Weather in Zürich?"),
        ("f", dumps(call("get_weather", {"city": "Zürich", "unit": "celsius", "days": [1, 2.50, -0.0, 1e22]}))),
        ("o", '{"temperature": 12, "sky": "clear"}'), ("a", "12 °C and clear.")],
        system="You know the weather.", tools=dumps([WEATHER, SEARCH])),
    chat("two calls", [
        ("u", "Weather in Rom and Oslo?"),
        ("f", dumps([call("get_weather", {"city": "Rom"}), call("get_weather", {"city": "Oslo\n\"\\/\u0001"})])),
        ("o", "20\n</tool_response>\n<tool_response>\n5"), ("a", "Rom 20, Oslo 5."),
        ("u", "And the time?"), ("f", '[ {"arguments" : {} , "extra": 1, "name":"now"} ]'),
        ("o", "12:00"), ("a", "Noon.")], tools=dumps([WEATHER, PLAIN])),
    chat("reply is a call", [("u", "Search for cats"), ("f", '{"name": "search", "arguments": {"q": "\\u732b \\ud83d\\ude3a"}}')],
         tools=dumps([SEARCH])),
    chat("call with thought", [
        ("u", "Time?"),
        ("f", "<think>\nI need the clock.\n</think>\n\n" + dumps(call("now", {"a": None, "b": True, "c": [], "d": {}})))],
        tools=dumps([PLAIN])),
    chat("call in marks", [
        ("u", "Time?"),
        ("f", "<think>\nclock\n</think>\n\nLet me see.\n<tool_call>\n" + dumps(call("now", {"x": "1"})) + "\n</tool_call> ok"),
        ("o", "1:00"), ("a", "One.")], tools=dumps([PLAIN])),
    chat("arguments as text", [("u", "Time?"), ("f", '{"name": "now", "arguments": "{\\"zone\\": \\"UTC\\"}"}')]),
    chat("no calls", [("u", "Nothing?"), ("f", "[]")]),
    chat("no tools after all", [("u", "Hello"), ("a", "Hi")], tools="[]"),
    chat("big numbers", [
        ("u", "Count"),
        ("f", '{"name": "count", "arguments": {"a": %d, "b": [-%d, 9223372036854775807, 9223372036854775808],'
              ' "c": 1e400e, "d": 0.1}}'.replace("1e400e", "1E5") % (BIG, BIG))],
        tools=dumps([{"name": "count", "description": str(BIG), "parameters": {"properties": {
            "n": {"type": {"it's": [1, 2.5, None, True, False, "a\"b", "\n\u00a0é\u200b"]}, "description": 5,
                  "items": {"type": BIG}}}, "required": ["n"], "max": BIG}}])),
    chat("same key twice", [("u", "?"), ("f", '{"name": "a", "arguments": {"k": 1, "l": 2, "k": 3}, "name": "b"}')]),
    chat("not json", [("u", "?"), ("f", "call now()")]),
    chat("no arguments", [("u", "?"), ("f", '{"name": "now"}')]),
    chat("tools not json", [("u", "?"), ("a", "!")], tools="[{]"),
    chat("observation first", [("o", "{\"event\": \"door\"}"), ("a", "Someone is at the door.")], system="You watch."),
]
ALL = CHATS + TOOL_CHATS
INDEX = {c["name"]: i for i, c in enumerate(ALL)}

# which templates are tried with which tokenizer
FAMILIES = {
    "smollm2": ["smollm2", "smollm", "chatml", "empty", "default", "alpaca", "vicuna", "yi"],
    "qwen2": ["qwen", "chatml", "qwen2_vl"],
    "qwen3": ["qwen3", "qwen3_nothink", "qwen3_vl", "qwen3_vl_nothink"],
    "llama3": ["llama3", "default", "empty", "deepseekr1"],
    "llama2": ["llama2", "vicuna", "alpaca", "default", "zephyr"],
    "mistral": ["mistral", "ministral", "llama2"],
    "marks": None,  # all, most of them with a few conversations
}
TEMPLATES = [
    "alpaca", "chatml", "deepseek", "deepseek3", "deepseekr1", "default", "empty", "gemma", "gemma2", "gemma3",
    "intern_vl", "llama2", "llama2_zh", "llama3", "llava", "ministral", "mistral", "phi", "phi4", "phi4_mini",
    "phi_small", "qwen", "qwen2_vl", "qwen3", "qwen3_nothink", "qwen3_vl", "qwen3_vl_nothink", "smollm", "smollm2",
    "vicuna", "yi", "zephyr",
]
THINKS = {"deepseekr1", "qwen3", "qwen3_vl"}

MARKS = [  # text, special
    ("<|endoftext|>", True), ("<s>", True), ("</s>", True), ("<|im_start|>", False), ("<|im_end|>", True),
    ("<|im_sep|>", True), ("<start_of_turn>", True), ("<end_of_turn>", False), ("<eos>", True), ("<|end|>", False),
    ("<|user|>", True), ("<|assistant|>", True), ("<|system|>", True), ("<|tool|>", False), ("<|/tool|>", False),
    ("<|start_header_id|>", True), ("<|end_header_id|>", True), ("<|eot_id|>", True), ("<|eom_id|>", True),
    ("[INST]", True), ("[/INST]", True), ("[TOOL_CALLS]", True), ("[AVAILABLE_TOOLS]", True),
    ("[/AVAILABLE_TOOLS]", True), ("[TOOL_RESULTS]", True), ("[/TOOL_RESULTS]", True), ("<｜User｜>", True),
    ("<｜Assistant｜>", True), ("<think>", False), ("</think>", False), ("<tool_call>", False),
    ("</tool_call>", False),
]


def make_marks(folder):
    """A byte-level tokenizer with every template's marks, trained on the conversations; no pad."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    texts = [m["content"] for c in ALL for m in c["messages"]] + [c["tools"] or "" for c in ALL]
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tok.train_from_iterator(texts, trainer)
    tok.add_tokens([AddedToken(t, special=False, normalized=False) for t, s in MARKS if not s])
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, s in MARKS if s])
    os.makedirs(folder, exist_ok=True)
    tok.save(os.path.join(folder, "tokenizer.json"), pretty=False)
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                   "clean_up_tokenization_spaces": False, "model_max_length": 100000}, f)
        f.write("\n")


def jobs(template, level):
    """(conversation's name, parameters) for one template; level: 0 a few, 1 all conversations, 2 with all parameters."""
    out = [(c["name"], {}) for c in ALL]
    if level == 0:
        return [j for j in out if j[0] in ("system", "three turns", "marks in text", "blanks", "thoughts", "call")]
    if level == 1:
        return [j for j in out if j[0] not in ("long question", "long reply", "both long", "big numbers",
                                               "same key twice", "not json", "no arguments", "tools not json")]
    for cut in (1, 2, 7, 16, 33, 60, 90):
        for name in ("three turns", "long question", "long reply", "both long"):
            out.append((name, {"cutoff_len": cut}))
    for name in ("three turns", "empty texts", "both long", "thoughts", "thoughts end", "call"):
        out.append((name, {"mask_history": True}))
        if template != "gemma2":
            out.append((name, {"train_on_prompt": True}))
    for name in ("three turns", "both long", "thoughts end"):
        out.append((name, {"mask_history": True, "cutoff_len": 40}))
        out.append((name, {"mask_history": True, "cutoff_len": 9}))
    out.append(("single", {"default_system": ""}))
    out.append(("single", {"default_system": "Be kind.\n"}))
    out.append(("system", {"default_system": "Be kind."}))
    out.append(("marks in text", {"split_special_tokens": True}))
    for fmt in ("default", "llama3", "mistral", "qwen"):
        for name in ("call", "two calls"):
            out.append((name, {"tool_format": fmt, "tool_date": "25 Nov 2026"}))
        out.append(("no calls", {"tool_format": fmt}))
    if template in THINKS:
        for think in (False, None):
            for name in ("single", "empty texts", "thought", "thoughts", "thoughts end", "call with thought", "call in marks"):
                out.append((name, {"enable_thinking": think}))
            for name in ("thoughts", "thoughts end"):
                out.append((name, {"enable_thinking": think, "mask_history": True}))
                out.append((name, {"enable_thinking": think, "mask_history": True, "cutoff_len": 30}))
        for name in ("thoughts", "thoughts end"):
            for think in (True, False, None):
                out.append((name, {"enable_thinking": think, "mask_history": True, "preserve_thinking": True}))
    return out


class Oracle:
    def __init__(self):
        import llamafactory.data.template as template
        import llamafactory.data.tool_utils as tool_utils
        from llamafactory.data.mm_plugin import get_mm_plugin
        from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
        from llamafactory.hparams import DataArguments
        from transformers import AutoTokenizer
        from llamafactory.extras import logging
        import logging as std

        for handle in (None, "llamafactory", "transformers"):
            std.getLogger(handle).setLevel(std.ERROR)
        logging.get_logger("llamafactory").setLevel(std.ERROR)
        self.module, self.tools, self.tokenizers = template, tool_utils, AutoTokenizer
        self.processor, self.arguments, self.plugin = SupervisedDatasetProcessor, DataArguments, get_mm_plugin("base")
        self.rows = copy.deepcopy(template.TEMPLATES)

    def encode(self, folder, template, params, conv):
        """(ids, labels), or None where it refuses."""
        return self.encode_all(folder, template, params, [conv])[0]

    def encode_all(self, folder, template, params, convs):
        params = dict(params)
        date = params.pop("tool_date", "26 Jul 2024")
        split = params.pop("split_special_tokens", False)

        class Clock:
            @staticmethod
            def now():
                class Day:
                    @staticmethod
                    def strftime(_):
                        return date
                return Day

        self.tools.datetime = Clock
        self.module.TEMPLATES[template] = row = copy.deepcopy(self.rows[template])
        row.mm_plugin = self.plugin
        tok = self.tokenizers.from_pretrained(folder, use_fast=True, split_special_tokens=split, padding_side="right")
        args = self.arguments(template=template, **params)
        tmpl = self.module.get_template_and_fix_tokenizer(tok, args)
        proc = self.processor(template=tmpl, tokenizer=tok, processor=None, data_args=args)
        return [self.one(proc, conv) for conv in convs]

    @staticmethod
    def one(proc, conv):
        try:
            out = proc.preprocess_dataset({
                "_prompt": [conv["messages"][:-1]], "_response": [conv["messages"][-1:]], "_system": [conv["system"]],
                "_tools": [conv["tools"]], "_images": [None], "_videos": [None], "_audios": [None]})
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError):
            return None
        return (out["input_ids"][0], out["labels"][0]) if out else None


def runs(ids, labels):
    out, odd = [], []
    for i, (a, b) in enumerate(zip(ids, labels)):
        kind = -1 if a == b else 1
        if a != b and b != -100:
            odd.append([i, b])
        if out and (out[-1] < 0) == (kind < 0):
            out[-1] += kind
        else:
            out.append(kind)
    return out, odd


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "templates")
    make_marks(os.path.join(folder, "marks"))
    with open(os.path.join(folder, "conversations.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(dumps(c) for c in ALL) + "\n]\n")
    oracle = Oracle()
    for family, names in FAMILIES.items():
        source = os.path.join(folder, "marks") if family == "marks" else os.path.join(HERE, "tokenizers", family)
        lines, seen = [], set()
        for template in names or TEMPLATES:
            if family == "marks":
                level = {"gemma2": 2, "phi4_mini": 1}.get(template, 0)
            else:
                level = 2 if template == names[0] else 1
            for name, params in jobs(template, level):
                got = oracle.encode(source, template, params, ALL[INDEX[name]])
                row = {"template": template, "conversation": INDEX[name], "params": params}
                if got is None:
                    row["error"] = True
                else:
                    assert len(got[0]) == len(got[1]), (template, name, params)
                    row["ids"] = got[0]
                    row["runs"], odd = runs(*got)
                    if odd:
                        row["odd"] = odd
                lines.append(json.dumps(row, separators=(",", ":")))
        with open(os.path.join(folder, family + ".json"), "w", encoding="utf-8") as f:
            f.write("[\n" + ",\n".join(lines) + "\n]\n")
        print(family, len(lines), "rows")


if __name__ == "__main__":
    main()
