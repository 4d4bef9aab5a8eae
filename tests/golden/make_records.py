#!/usr/bin/env python3
"""Rows and what LLaMA-Factory's converters make of them, for tests/unit/data/test_dataset.c.

usage: $ORACLE_PYTHON tests/golden/make_records.py   writes tests/golden/data/records.json

A result is the conversation that the sft processor would encode; "dropped" when it would leave the row out
with a warning; "error" when a Python exception would end the run. A column that a row lacks is null, as in the Arrow
table that the datasets library makes.
"""
import json
import logging
import os

import llamafactory
from llamafactory.data.converter import get_dataset_converter
from llamafactory.data.parser import get_dataset_list


class Args:
    media_dir = "."
    dataset_dir = "."


class Row(dict):
    def __missing__(self, key):
        return None


CHAT = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
OPENAI = {**CHAT, "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}

SETS = {
    "plain": {"file_name": "x.json"},
    "alpaca_full": {"file_name": "x.json", "columns": {"prompt": "q", "query": "extra", "response": "a",
                                                       "history": "h", "system": "s", "tools": "t"}},
    "alpaca_short": {"file_name": "x.json", "columns": {"prompt": "q", "response": "a"}},
    "share": {"file_name": "x.json", "formatting": "sharegpt"},
    "share_tools": {"file_name": "x.json", "formatting": "sharegpt",
                    "columns": {"messages": "conversations", "tools": "tools", "system": "sys"}},
    "chat": {"file_name": "x.json", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": CHAT},
    "chat_system": {"file_name": "x.json", "formatting": "sharegpt", "columns": {"messages": "messages"},
                    "tags": {**CHAT, "system_tag": "system"}},
    "openai": {"file_name": "x.json", "formatting": "openai",
               "columns": {"messages": "messages", "tools": "tools", "system": "sys"}, "tags": OPENAI},
}


def h(role, value):
    return {"from": role, "value": value}


def m(role, content, **more):
    return {"role": role, "content": content, **more}


ROWS = {
    "plain": [
        {"instruction": "Say hello", "input": "", "output": "Hello"},
        {"instruction": "Add", "input": "1 2", "output": "3"},
        {"instruction": "", "input": "only input", "output": "ok"},
        {"instruction": None, "input": None, "output": "from nothing"},
        {"instruction": "zwei\nZeilen \u00e9\U0001f600", "input": "x\ty", "output": ""},
        {"instruction": "no reply", "input": "", "output": None},
        {"instruction": "more keys", "output": "x", "id": 7, "input": ""},
        {"instruction": "history is not a column here", "input": "", "output": "x", "history": [["a", "b"]]},
    ],
    "alpaca_full": [
        {"q": "now", "extra": "e", "a": "reply", "h": [["u1", "a1"], ["u2", "a2"]], "s": "sys", "t": "[]"},
        {"q": "now", "a": "reply", "h": [], "s": None, "t": None},
        {"q": "now", "a": "reply", "h": None, "s": "", "t": ""},
        {"q": "now", "a": "reply", "h": [["u1"]]},
        {"q": "now", "a": "reply", "h": [["u1", "a1", "x"]]},
        {"q": "now", "a": "reply", "h": "text is no history"},
    ],
    "alpaca_short": [
        {"q": "now", "extra": "not a column", "a": "reply"},
        {"q": "now", "a": "reply", "s": "not a column"},
    ],
    "share": [
        {"conversations": [h("human", "hi"), h("gpt", "hello")]},
        {"conversations": [h("system", "be kind"), h("human", "hi"), h("gpt", "hello")]},
        {"conversations": [h("human", "1"), h("gpt", "2"), h("human", "3"), h("gpt", "4")]},
        {"conversations": [h("human", "w?"), h("function_call", "{\"name\": \"f\", \"arguments\": {}}"),
                           h("observation", "42"), h("gpt", "it is 42")]},
        {"conversations": [h("human", "1"), h("gpt", "2"), h("human", "3")]},
        {"conversations": [h("gpt", "1"), h("human", "2")]},
        {"conversations": [h("human", "1"), h("human", "2")]},
        {"conversations": [h("human", "1"), h("system", "late"), h("human", "2"), h("gpt", "3")]},
        {"conversations": [h("system", "alone")]},
        {"conversations": [h("user", "1"), h("assistant", "2")]},
        {"conversations": []},
        {"conversations": [h("human", ""), h("gpt", "")]},
        {"conversations": [h("observation", "result first"), h("gpt", "ok")]},
        {"conversations": [h("human", "1"), h("gpt", "2")], "system": "not a column"},
        {"conversations": None},
        {"conversations": [h("human", "1"), h(None, "2")]},
    ],
    "share_tools": [
        {"conversations": [h("human", "w?"), h("function_call", "{}"), h("observation", "1"), h("gpt", "2")],
         "tools": "[{\"name\": \"f\"}]"},
        {"conversations": [h("human", "hi"), h("gpt", "hello")], "sys": "from the column", "tools": ""},
        {"conversations": [h("system", "first"), h("human", "hi"), h("gpt", "hello")], "sys": "from the column"},
    ],
    "chat": [
        {"messages": [m("user", "hi"), m("assistant", "hello")]},
        {"messages": [m("system", "no such tag"), m("user", "hi"), m("assistant", "hello")]},
    ],
    "chat_system": [
        {"messages": [m("system", "be kind"), m("user", "hi"), m("assistant", "hello")]},
        {"messages": [m("user", "hi"), m("tool", "x"), m("assistant", "hello")]},
    ],
    "openai": [
        {"messages": [m("user", "hi"), m("assistant", "hello")]},
        {"messages": [m("system", "be kind"), m("user", "hi"), m("assistant", "hello")]},
        {"messages": [m("system", "detailed thinking on"), m("user", "hi"), m("assistant", "hello")]},
        {"messages": [m("system", "x detailed thinking off y"), m("user", "hi"), m("assistant", "hello")]},
        {"messages": [m("user", "hi"), m("assistant", "hello")], "sys": "column"},
        {"messages": [m("system", "be kind"), m("user", "hi"), m("assistant", "hello")], "tools": "[]"},
        {"messages": [m("user", "hi"), m("assistant", "hello")], "tools": []},
        {"messages": [m("user", "hi"), m("assistant", "hello")], "tools": "[{\"type\": \"function\"}]"},
        {"messages": [m("system", "s"), m("user", "w?"),
                      m("assistant", None, tool_calls=[{"id": "1", "type": "function", "function":
                        {"name": "f", "arguments": "{\"x\": 1}"}}]),
                      m("tool", "one"), m("tool", "two"), m("assistant", "done")],
         "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": [1, 2.5, None, True], "\u00e9": "\n"}}}]},
        {"messages": [m("user", "w?"),
                      m("assistant", "thinking", tool_calls=[{"function": {"name": "f", "arguments": {"b": 1, "a": {}}}},
                                                             {"function": {"name": "g", "arguments": "{}"}}]),
                      m("tool", "one"), m("assistant", "done")]},
        {"messages": [m("user", "hi"), m("assistant", "hello", tool_calls=[])]},
        {"messages": [m("user", "hi"), m("assistant", "hello", tool_calls=None)]},
        {"messages": [m("user", "hi"), m("function", "{\"name\": \"f\"}"), m("tool", "r"), m("assistant", "x")]},
        {"messages": [m("user", "hi"), m("assistant", "a"), m("user", "x"), m("tool", "never followed")]},
        {"messages": [m("user", "hi"), m("assistant", "a"), m("tool", "never followed")]},
        {"messages": [m("assistant", "a"), m("user", "hi")]},
        {"messages": [m("user", "hi"), m("system", "late"), m("user", "x"), m("assistant", "y")]},
        {"messages": [m("user", "hi"), m("someone", "x")]},
        {"messages": [m("user", "hi"), m("assistant", "a"), m("user", "b")]},
        {"messages": []},
    ],
}


def convert(attr, row):
    converter = get_dataset_converter(attr.formatting, attr, Args())
    try:
        out = converter(Row(row))
    except Exception:
        return "error"
    if len(out["_prompt"]) % 2 != 1 or len(out["_response"]) != 1:
        return "dropped"
    messages = out["_prompt"] + out["_response"]
    if any(not isinstance(x["content"], str) for x in messages):
        return "error"
    return {"messages": [[x["role"], x["content"]] for x in messages], "system": out["_system"] or "",
            "tools": out["_tools"] or ""}


def main():
    logging.disable(logging.CRITICAL)
    cases = []
    for name, attr in zip(SETS, get_dataset_list(list(SETS), SETS)):
        for row in ROWS[name]:
            cases.append({"set": name, "row": row, "result": convert(attr, row)})
    golden = {"versions": {"llamafactory": llamafactory.extras.env.VERSION}, "sets": SETS, "cases": cases}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "records.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(golden, f, ensure_ascii=False, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
