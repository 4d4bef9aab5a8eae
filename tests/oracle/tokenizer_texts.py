"""Texts to try tokenizers on: tricky ones by hand, and any amount of mixed ones.

Deterministic: the same seed gives the same texts on every machine.
"""

import random
import unicodedata

SPECIALS = """\
<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eom_id|> <|eot_id|>
<|endoftext|> <|im_start|> <|im_end|> <s> </s> <unk> [INST] [/INST] [TOOL_CALLS] <think> </think>
<tool_call> </tool_call> <tool_response> </tool_response> <repo_name> <0x0A> <pad>""".split()

PHRASES = {
    "latin": "The quick brown fox doesn't jump; it's lazy. Größe über façade naïve Łódź coöperate İstanbul "
    "ﬁne oﬀ ſtraße Ångström Élan e\u0301tude n\u0303 a\u0308o\u0302 Việt Nam đường phố Ｆｕｌｌｗｉｄｔｈ".split(),
    "greek": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί ΟΔΥΣΣΕΥΣ ᾳ ἄνθρωπος".split(),
    "cyrillic": "Быстрая коричневая лиса прыгает через ленивую собаку Ёжик й и\u0306 їжак Ѹ".split(),
    "hebrew": "שלום עולם בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם".split(),
    "arabic": "السلام عليكم ورحمة الله مُحَمَّدٌ ١٢٣٤ ۱۲۳ ﷺ لا إله بِسْمِ ٱللَّهِ".split(),
    "devanagari": "यह हिन्दी में एक छोटा वाक्य है क्षत्रिय ज़मीन क़लम १२३ ड़ फ़".split(),
    "bengali": "আমি বাংলায় গান গাই কো কৌ ড় ১২৩".split(),
    "tamil": "தமிழ் மொழி கொ கோ கௌ ௧௨௩ ௰".split(),
    "thai": "สวัสดีครับ ผมชื่อ ภาษาไทย ไม่มีช่องว่าง ๑๒๓ กำ".split(),
    "georgian": "საქართველო Ⴀⴀ Ა".split(),
    "armenian": "Բարեւ ձեզ և".split(),
    "ethiopic": "ሰላም ልዑል ፩፪፫".split(),
    "tibetan": "བཀྲ་ཤིས་བདེ་ལེགས། ཀྵ གྷ ཱི".split(),
    "myanmar": "မြန်မာဘာသာ ဦး ၁၂၃".split(),
    "khmer": "ភាសាខ្មែរ ១២៣".split(),
    "han": "今天天气很好，我们去公园散步吧。請用一句話回答這個問題！𠮷野家 㐀 龍龜 ⼀ 一二三 豈 更".split(),
    "kana": "これはテストです。カタカナ ガギグ か\u3099 は\u309a ﾊﾟﾋﾟ ｶﾞ ー 々 〇".split(),
    "hangul": "안녕하세요 한국어 \u1112\u1161\u11ab\u1100\u116e\u11a8 각 힣 ㄱㄴㄷ".split(),
    "emoji": "😀 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ☎️ ❤️‍🔥 🧑🏿‍🚀 #️⃣ 🫠 ©️ ™".split(),
    "symbols": "∑∫√∞≈≠ ½ ⅓ Ⅷ ⓐ ① ㊗ ㍿ ℃ Å Ω µ № … — – “quoted” ‘s’ «» ¿? ¡! € £ ¥ ₹ ‰ ⁿ ² ₂ ﬃ 𝐀𝒷𝕮 🄰".split(),
    "new": "\U0001e5d0\U0001e5d1 \U00011f02 \U000323af \ua7da\ua7db \u1c89\u1c8a \U00010d40\U00010d41 "
    "\U0001e4d0 \U0001fae9 \u0897 \u1b4e".split(),
}

CODE = [
    "def f(x: int) -> int:\n    return x * 2  # twice\n",
    "for (int i = 0; i < n; ++i) {\n\t\ta[i] += b[i]->c;\n}\n",
    "SELECT * FROM t WHERE a >= 10 AND b != 'x''y';\n",
    "{\"k\": [1, 2.5e-3, null, true, \"a\\n\\u00e9\"]}\n",
    "<div class=\"a b\">&amp;<br/></div>\r\n",
    "$ ls -la | grep 'x' > /dev/null 2>&1 && echo $?\n",
    "#include <stdio.h>\r\n#define X(a, b) ((a) << (b))\r\n",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org 192.168.0.1 2024-01-31T12:34:56Z 0xDEADBEEF\n",
    "| a | b |\n|---|:-:|\n| 1 | **2** |\n\n- [ ] item\n",
    "\\frac{a}{b} = \\sum_{i=1}^{n} x_i^2 \\quad $\\alpha$\n",
]

SPACES = [" ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\r\n\r\n", " \n", "\n ", " \n \n", "        ",
          "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\u2029", "\u1680", "\u180e", "\u200b", "\ufeff", "\v",
          "\f", " \t ", "\n\t\n", "\u202f", "\u205f", "\u2060", "\x1c", "\x1f", "                                 "]

CONTROLS = [chr(c) for c in range(32)] + ["\x7f", "\x80", "\x9f", "\u00ad", "\u200c", "\u200d", "\u200e", "\u202e",
                                           "\ufffd", "\uffff", "\ufdd0", "\U0010ffff", "\ue000", "\u0000"]

CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'Ve", "'m", "'M", "'ll", "'LL", "'lL", "'d", "'D",
                "'\u017f", "'\u212a", "\u2019s", "'", "''s", "'x", "'sam", "'r", "'l", " 's", "'R E", "'\u017fx"]

WORDS = """time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work government number night point home water
room mother area money story fact month lot right study book eye job word business issue side kind head house
service friend father power hour game line end member law car city community name president team minute idea""".split()

WORD_MARKS = ["\u2581", "\u2581\u2581", " \u2581", "\u0120", "\u010a", "\u0100", "\u0143"]


def any_char(rng):
    """A code point of any kind, more often a low one."""
    while True:
        top = rng.choice((0x80, 0x250, 0x800, 0x3000, 0x10000, 0x20000, 0x32400, 0x110000))
        c = rng.randrange(top)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def number(rng):
    return rng.choice(("%d", "%05d", "%d.", "-%d", "%d,", "$%d", "%d%%")) % rng.randrange(10 ** rng.randint(1, 12))


def prose(rng, words=40):
    """Mostly ordinary text of one script."""
    script = rng.choice(list(PHRASES))
    pool = PHRASES[script]
    out = []
    for _ in range(rng.randint(1, words)):
        out.append(rng.choice(pool))
        out.append(" " if rng.random() < 0.9 else rng.choice((", ", ". ", "; ", "! ", "? ", " - ", "\n", "")))
    return "".join(out)


def english(rng, words=80):
    out = []
    for _ in range(rng.randint(3, words)):
        word = rng.choice(WORDS)
        if rng.random() < 0.1:
            word = word.capitalize()
        if rng.random() < 0.03:
            word = word.upper()
        if rng.random() < 0.04:
            word += rng.choice(CONTRACTIONS)
        if rng.random() < 0.04:
            word = number(rng)
        out.append(word)
        out.append(" " if rng.random() < 0.88 else rng.choice((", ", ". ", ": ", " (", ") ", "\n", "\n\n", "-", "/", "_")))
    return "".join(out)


def noise(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return "".join(any_char(rng) for _ in range(rng.randint(1, 30)))
    if kind == 1:
        return rng.choice("aA1. -=_*\u4e00\u00e9\U0001f600\u0301") * rng.randint(1, 400)
    if kind == 2:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 12)))
    if kind == 3:
        return "".join(rng.choice(CONTROLS) for _ in range(rng.randint(1, 10)))
    if kind == 4:  # a letter under a heap of marks, in any order
        return rng.choice("aeou\u05d0\u0915\uac00") + "".join(
            chr(rng.choice((rng.randrange(0x300, 0x370), rng.randrange(0x591, 0x5C8), 0x3099, 0x1DC0, 0x94D, 0x11A8)))
            for _ in range(rng.randint(1, 24)))
    if kind == 5:
        return rng.choice(("", " ", "x", "'", "\n")) + rng.choice(CONTRACTIONS) + rng.choice(("", " ", "s", "1"))
    if kind == 6:
        return "".join(rng.choice(WORD_MARKS) + rng.choice(WORDS) for _ in range(rng.randint(1, 5)))
    return "".join(rng.choice((rng.choice(WORDS), rng.choice(SPACES), any_char(rng), number(rng)))
                   for _ in range(rng.randint(2, 12)))


def document(rng, size):
    """A text of about size characters."""
    out, n = [], 0
    style = rng.random()
    while n < size:
        r = rng.random()
        if r < 0.06:
            part = rng.choice(("", " ", "\n")) + rng.choice(SPECIALS) + rng.choice(("", " ", "\n", "  "))
        elif r < 0.20:
            part = noise(rng)
        elif r < 0.35:
            part = rng.choice(CODE)
        elif r < 0.35 + 0.4 * style:
            part = prose(rng)
        else:
            part = english(rng)
        out.append(part)
        out.append(rng.choice(("", " ", "\n", "\n\n")))
        n += len(part) + 1
    return "".join(out)


def mixed(megabytes, seed=1):
    """Documents of 1 to 10 kB until there are this many megabytes of UTF-8."""
    rng = random.Random(seed)
    total = 0
    while total < megabytes * 1e6:
        text = document(rng, rng.randint(500, 6000))
        total += len(text.encode("utf-8"))
        yield text


def code_points():
    """
    Every code point of the planes 0 and 1, from there on where the category
    changes and every 32nd: alone, beside letters, digits, spaces, apostrophes
    and marks, and repeated.
    """

    def wanted(c):
        if 0xD800 <= c <= 0xDFFF or 0xE100 <= c < 0xF800:
            return False
        return c < 0x1FC00 or c % 32 == 0 or len({unicodedata.category(chr(x)) for x in (c - 1, c, min(c + 1, 0x10FFFF))}) > 1

    chars = [chr(c) for c in range(0x110000) if wanted(c)]
    for start in range(0, len(chars), 64):
        yield "".join("a%s %sb1%s'%s\n%s\u0301%s%s '%ss" % ((ch,) * 8) for ch in chars[start:start + 64])


def tricky():
    """A few hundred short texts: every item above alone and in its surroundings."""
    rng = random.Random(7)
    out = ["", " ", "a", "\n", "\u2581", "Hello world", " Hello  world ", "Hello\n\nworld\n", "I'll say it's 12345 o'clock"]
    out += [" ".join(words) for words in PHRASES.values()]
    out += ["".join(words) for words in PHRASES.values()]
    out += CODE
    out += ["a%sb" % space for space in SPACES] + ["%s" % space for space in SPACES[:12]]
    out += [" a%s" % space for space in SPACES[:12]]
    out += ["x%sy" % control for control in CONTROLS]
    out += ["we%s go" % c for c in CONTRACTIONS]
    out += ["".join(WORD_MARKS), " \u2581 a\u2581b", "\u2581a \u2581"]
    out += ["before%safter" % s for s in SPECIALS] + [" %s " % s for s in SPECIALS]
    out += ["".join(SPECIALS), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|im_start|<|im_end|>",
            "<<s>>", "[INST] a [/INST] b </s>"]
    out += [ch * n for ch in "a 1.\n\u4e00" for n in (2, 3, 17, 100)]
    out += ["1" * n for n in range(1, 10)] + ["0.1", "1,234,567.89", "٣٤٥ 12½", "x²y₂"]
    out += ["supercalifragilisticexpialidocious" * 8, "ab" * 150, "\u0e01" * 60]
    out += ["a" + "\u0301\u0316\u0300\u0345" * 6, "\u1100\u1161\u11a8\u11a8", "e\u0301e\u0301", "\u0344", "\u212b\u2126"]
    out += [noise(rng) for _ in range(40)]
    return [text[:400] for text in out]
