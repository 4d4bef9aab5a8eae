#!/usr/bin/env python3
"""Ids and speed of our tokenizer against the `tokenizers` library.

    python tokenizer_compare.py --program build/tests/bench/tokenizer_encode [FOLDER ...]

FOLDER: model folders with a tokenizer.json; without one, all of
tests/golden/tokenizers. Options: --megabytes N (10) of generated text,
--seed N, --code-points (every code point in some surroundings), --files GLOB ... (real files, as they are, added to the text),
--speed (CPU time of both, one thread, whole documents, the best of --repeat
passes; the library by its quickest call, the one without offsets).
--json OUT writes what --speed or the comparison found, a list with one object a folder.
Every id must be equal, with special tokens cut out and taken as text. Exit
status 1 when one differs.
"""

import argparse
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tokenizer_texts  # noqa: E402
from tokenizers import Tokenizer, __version__  # noqa: E402


def write_texts(path, texts):
    with open(path, "wb") as out:
        for text in texts:
            data = text.encode("utf-8")
            out.write(struct.pack("<I", len(data)))
            out.write(data)


def read_ids(path):
    with open(path, "rb") as f:
        data = memoryview(f.read()).cast("I")
    at = 0
    while at < len(data):
        n = data[at]
        yield None if n == 0xFFFFFFFF else data[at + 1:at + 1 + n].tolist()
        at += 1 + (0 if n == 0xFFFFFFFF else n)


def run(program, folder, texts_path, ids_path, repeat, split):
    line = subprocess.run([program, folder, texts_path, ids_path, str(repeat), str(int(split))], check=True,
                          capture_output=True, text=True).stdout
    return dict(item.split("=") for item in line.split())


def report_difference(texts, i, ours, theirs):
    k = next((k for k, (a, b) in enumerate(zip(ours or [], theirs)) if a != b), min(len(ours or []), len(theirs)))
    print("  text %d differs at id %d: ours %s, library %s" % (
        i, k, (ours or [])[k:k + 6] if ours is not None else "an error", theirs[k:k + 6]))
    print("  text: %r" % texts[i][:200])


def compare(program, folder, texts, work, split):
    """Number of texts whose ids differ."""
    library = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = split
    ids_path = os.path.join(work, "ids")
    run(program, folder, os.path.join(work, "texts"), ids_path, 1, split)
    bad, tokens = 0, 0
    for i, ours in enumerate(read_ids(ids_path)):
        theirs = library.encode(texts[i], add_special_tokens=False).ids
        tokens += len(theirs)
        if ours != theirs:
            bad += 1
            if bad <= 5:
                report_difference(texts, i, ours, theirs)
    return bad, tokens, i + 1


def speed(program, folder, texts, work, repeat):
    """(ours, library) in MB/s: the best of repeat passes in one process each."""
    size = sum(len(t.encode("utf-8")) for t in texts) / 1e6
    ours = max(float(run(program, folder, os.path.join(work, "texts"), "-", 2, False)["MB_per_s"])
               for _ in range(repeat))
    library = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    best = 1e9
    for _ in range(repeat):
        start = time.process_time()
        for text in texts:
            library.encode_batch_fast([text], add_special_tokens=False)
        best = min(best, time.process_time() - start)
    return ours, size / best


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--program", required=True)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", nargs="*", default=[])
    parser.add_argument("--code-points", action="store_true", help="texts that hold every code point")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--once", action="store_true", help="special tokens cut out only")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    folders = args.folders or sorted(glob.glob(os.path.join(here, "..", "golden", "tokenizers", "*")))
    texts = tokenizer_texts.tricky() if not args.speed else []
    texts += list(tokenizer_texts.mixed(args.megabytes, args.seed))
    if args.code_points:
        texts += list(tokenizer_texts.code_points())
    for pattern in args.files:
        for path in sorted(glob.glob(pattern, recursive=True)):
            with open(path, encoding="utf-8", errors="ignore") as f:
                texts.append(f.read())
    size = sum(len(t.encode("utf-8")) for t in texts)
    print("tokenizers %s; %d texts, %.1f MB" % (__version__, len(texts), size / 1e6))
    failed, found = 0, []
    with tempfile.TemporaryDirectory() as work:
        write_texts(os.path.join(work, "texts"), texts)
        for folder in folders:
            name = os.path.basename(os.path.normpath(folder))
            if args.speed:
                ours, theirs = speed(args.program, folder, texts, work, args.repeat)
                print("%-10s ours %.1f MB/s, library %.2f MB/s: %.1fx" % (name, ours, theirs, ours / theirs))
                found.append({"tokenizer": name, "bytes": size, "ours_mb_per_s": ours,
                              "library_mb_per_s": theirs, "ratio": ours / theirs,
                              "library": "tokenizers " + __version__})
                continue
            for split in (False,) if args.once else (False, True):
                bad, tokens, count = compare(args.program, folder, texts, work, split)
                print("%-10s%s %d texts, %d ids: %s" % (name, " (special tokens as text)" if split else "", count,
                                                       tokens, "equal" if not bad else "%d texts DIFFER" % bad))
                failed += bad
                found.append({"tokenizer": name, "special_tokens_as_text": split, "texts": count,
                              "ids": tokens, "texts_that_differ": bad})
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(found, f, indent=1)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
