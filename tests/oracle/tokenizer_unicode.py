#!/usr/bin/env python3
"""Character classes as the `tokenizers` library sees them, as a C table.

    python tokenizer_unicode.py > src/text/unicode_table.c     write the table
    python tokenizer_unicode.py --check src/text/unicode_table.c

Everything is measured from the library's behaviour over all code points, so
that our ids do not depend on the Unicode version of PCRE2 or utf8proc:
general category and white space from its regular expressions (Oniguruma),
words from Whitespace, punctuation from Punctuation, lower case from
Lowercase, and from NFC to NFKD which characters its normalizer knows at all
(it stands at Unicode 9). Which of those may join the character before them
is from Python's unicodedata, which is stable. Written with tokenizers 0.22.1.
"""

import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
SPACE, WORD, PUNCT, PLAIN, INERT, HAN = (1 << b for b in range(5, 11))

ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def blocks():
    """All code points as strings of 4096: short enough for the library to be quick."""
    for i in range(0, len(ALL), 4096):
        yield "".join(map(chr, ALL[i:i + 4096]))


def kept(splitter):
    """The code points left by a pre-tokenizer that removes all others."""
    out = set()
    for text in blocks():
        for piece, _ in splitter.pre_tokenize_str(text):
            out.update(map(ord, piece))
    return out


def matching(pattern):
    return kept(pre_tokenizers.Split(Regex("(?:%s)+" % pattern), "removed", invert=True))


def punctuation():
    splitter = pre_tokenizers.Punctuation("removed")
    return set(ALL) - kept(splitter)


def words():
    """What \\w of the library's second regular expression engine matches."""
    splitter = pre_tokenizers.Whitespace()
    out = set()
    for c in ALL:
        if len(splitter.pre_tokenize_str("a" + chr(c))) == 1 and len(splitter.pre_tokenize_str("!" + chr(c))) == 2:
            out.add(c)
    return out


def combining_in_library(c):
    """True when the library gives c a combining class: it is sorted before or after another mark."""
    nfd = normalizers.NFD()
    ch = chr(c)
    return nfd.normalize_str("a\u0334" + ch) != "a\u0334" + ch or nfd.normalize_str("a" + ch + "\u0334") != (
        "a" + ch + "\u0334"
    ) or nfd.normalize_str("a\u0345" + ch) != "a\u0345" + ch or nfd.normalize_str("a" + ch + "\u0345") != (
        "a" + ch + "\u0345"
    )


def normalization():
    """(plain, inert): unchanged by NFC and never joined to what is before; touched by no form at all."""
    first, second = set(), set()
    for c in ALL:
        d = unicodedata.decomposition(chr(c))
        if d and not d.startswith("<"):
            parts = [int(x, 16) for x in d.split()]
            if len(parts) == 2:
                first.add(parts[0])
                second.add(parts[1])
    first.update(range(0x1100, 0x1113), range(0xAC00, 0xD7A4))
    second.update(range(0x1161, 0x1176), range(0x11A8, 0x11C3))
    forms = [normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD()]
    plain, inert = set(), set()
    for c in ALL:
        ch = chr(c)
        same = [form.normalize_str(ch) == ch for form in forms]
        combines = combining_in_library(c)
        # a pair that the library does not compose although unicodedata would is newer than the library
        if same[0] and not combines and (c not in second or c > 0x11900):
            plain.add(c)
        if all(same) and not combines and (c not in first and c not in second or c > 0x11900):
            inert.add(c)
    return plain, inert


def classes():
    table = [0] * 0x110000
    for i, name in enumerate(CATEGORIES[1:], 1):
        for c in matching(r"\p{%s}" % name):
            table[c] |= i
    plain, inert = normalization()
    for flag, members in ((SPACE, matching(r"\s")), (WORD, words()), (PUNCT, punctuation()), (PLAIN, plain),
                          (INERT, inert), (HAN, matching(r"\p{Han}"))):
        for c in members:
            table[c] |= flag
    return table


def lower_runs():
    """(first, count, step, delta) of characters with another lower case of one character."""
    lower = normalizers.Lowercase()
    pairs = []
    for c in ALL:
        text = lower.normalize_str(chr(c))
        if text != chr(c):
            if len(text) != 1:
                assert c == 0x130 and text == "i\u0307", hex(c)
                continue
            pairs.append((c, ord(text) - c))
    runs = []
    for c, delta in pairs:
        if runs:
            first, count, step, d = runs[-1]
            gap = c - (first + (count - 1) * step)
            if d == delta and (count == 1 and gap <= 2 or count > 1 and gap == step):
                runs[-1] = (first, count + 1, gap, d)
                continue
        runs.append((c, 1, 1, delta))
    return runs


def wrapped(items):
    line, lines = "   ", []
    for item in items:
        if len(line) + len(item) + 2 > 98:
            lines.append(line)
            line = "   "
        line += " " + item + ","
    return lines + [line]


def table_c():
    table = classes()
    runs, start = [], 0
    for c in range(1, 0x110001):
        if c == 0x110000 or table[c] != table[start]:
            runs.append((c - start, table[start]))
            start = c
    out = [
        "/*",
        " * text/unicode_table.c: character classes, as measured.",
        " *",
        " * Written by tests/oracle/tokenizer_unicode.py from the behaviour of the",
        " * `tokenizers` library; do not edit. Runs of equal class over all code",
        " * points (how many, class), and the characters that have a lower case.",
        " */",
        '#include "unicode.h"',
        "",
        "/* clang-format off */",
        "const struct unicode_run unicode_runs[] = {",
    ]
    out += wrapped("{%d,%d}" % run for run in runs)
    out += ["};", "", "const int unicode_run_count = %d;" % len(runs), "",
            "const struct unicode_lower_run unicode_lower_runs[] = {"]
    lowers = lower_runs()
    out += wrapped("{%d,%d,%d,%d}" % run for run in lowers)
    out += ["};", "/* clang-format on */", "", "const int unicode_lower_run_count = %d;" % len(lowers), ""]
    return "\n".join(out)


def main():
    text = table_c()
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="utf-8") as f:
            same = f.read() == text
        print("same" if same else "different")
        sys.exit(0 if same else 1)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
