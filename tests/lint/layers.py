#!/usr/bin/env python3
"""Checks what each file includes against layers.txt, and the calls that house style bans.

    layers.py [ROOT]

Prints one line a finding, then 'N passed, N failed' (one check a file). Standard library only.
"""
import os
import re
import sys

# Third-party headers by the library that layers.txt names; a header not here and not of C or POSIX is a finding.
THIRD_PARTY = {
    "cblas": ["cblas.h", "mkl_cblas.h", "mkl.h", "blis.h", "openblas_config.h", "dnnl.h", "oneapi/dnnl/dnnl.h",
              "dnnl_config.h", "dnnl_version.h", "dnnl_debug.h"],
    "mpi": ["mpi.h"],
    "hdf5": ["hdf5.h", "hdf5_hl.h"],
    "yaml": ["yaml.h"],
    "jansson": ["jansson.h"],
    "pcre2": ["pcre2.h"],
    "utf8proc": ["utf8proc.h"],
    "xxhash": ["xxhash.h"],
    "stb_image": ["stb_image.h", "stb/stb_image.h"],
}
LIBRARY_OF = {header: name for name, headers in THIRD_PARTY.items() for header in headers}
C_AND_POSIX = set("""
assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h signal.h
stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h tgmath.h
threads.h time.h uchar.h wchar.h wctype.h
dirent.h dlfcn.h fcntl.h fnmatch.h ftw.h getopt.h glob.h libgen.h poll.h pthread.h pwd.h regex.h sched.h strings.h
termios.h unistd.h wordexp.h sys/file.h sys/ioctl.h sys/mman.h sys/resource.h sys/select.h sys/stat.h
sys/statvfs.h sys/syscall.h sys/sysinfo.h sys/time.h sys/types.h sys/uio.h sys/utsname.h sys/wait.h
immintrin.h cpuid.h arm_neon.h omp.h sanitizer/asan_interface.h
""".split())

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|gets|s?rand)\s*\(")
ALLOCATES = re.compile(r"\b(malloc|calloc|realloc|strdup|strndup|aligned_alloc|posix_memalign)\s*\(")
LEAVES = re.compile(r"\b(exit|_exit|_Exit|quick_exit)\s*\(")
TYPEDEF = re.compile(r"\btypedef\s+struct\b")
ASSERT = re.compile(r"\bassert\s*\(")
SIDE_EFFECT = re.compile(r"\+\+|--|(?<![=!<>])=(?!=)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)
LINES_MAX = 800


def read_table(path):
    table = {}
    for line in open(path, encoding="utf-8"):
        if line.strip() and not line.startswith("#"):
            layer, others, third = re.split(r"\s{2,}", line.strip())
            table[layer] = (set(others.split()) - {"-"} | {layer}, set(third.split()) - {"-"})
    return table


def blank(text, keep_strings):
    """Comments, and if wanted the insides of strings, replaced by spaces; line numbers stay."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def swap(match):
        s = match.group(0)
        if s[0] in "\"'":
            return s if keep_strings else s[0] + " " * (len(s) - 2) + s[-1]
        return re.sub(r"[^\n]", " ", s)

    return pattern.sub(swap, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def argument(code, start):
    """The text between the bracket at start and its partner."""
    depth = 0
    for i in range(start, len(code)):
        depth += (code[i] == "(") - (code[i] == ")")
        if depth == 0:
            return code[start + 1:i]
    return code[start + 1:]


def quoted_include(root, name, layer, path, table):
    first = name.split("/")[0]
    if "/" in name and first in table and os.path.isfile(os.path.join(root, "include", name)):
        return None if first in table[layer][0] else f"layer '{layer}' may not include '{name}'"
    if first in table and os.path.isfile(os.path.join(root, "src", name)):
        return None if first == layer else f"'{name}' is what layer '{first}' keeps to itself"
    if "/" not in name and os.path.isfile(os.path.join(os.path.dirname(path), name)):
        return None
    return f"no header '{name}' in include/, src/ or beside the file"


def included(root, path, layer, table):
    text = blank(open(path, encoding="utf-8").read(), True)
    for match in INCLUDE.finditer(text):
        own, system = match.groups()
        if own:
            said = quoted_include(root, own, layer, path, table)
        elif system in LIBRARY_OF:
            library = LIBRARY_OF[system]
            said = None if library in table[layer][1] else f"layer '{layer}' may not include '{system}' ({library})"
        else:
            said = None if system in C_AND_POSIX else f"'{system}' is in no list of tests/lint/layers.py"
        if said:
            yield line_of(text, match.start()), said


def called(path, layer):
    code = blank(open(path, encoding="utf-8").read(), False)
    for match in BANNED.finditer(code):
        yield line_of(code, match.start()), f"'{match.group(1)}' is banned"
    for match in TYPEDEF.finditer(code):
        yield line_of(code, match.start()), "a struct has no typedef here"
    for match in ASSERT.finditer(code):
        if SIDE_EFFECT.search(argument(code, match.end() - 1)):
            yield line_of(code, match.start()), "assert with a side effect"
    if layer not in (None, "base"):
        for match in ALLOCATES.finditer(code):
            yield line_of(code, match.start()), f"'{match.group(1)}': allocate with base/mem.h"
    if layer not in (None, "cli"):
        for match in LEAVES.finditer(code):
            yield line_of(code, match.start()), f"'{match.group(1)}' below main: a rank that leaves alone hangs the rest"
    if layer not in (None, "cli", "dist"):
        for match in re.finditer(r"\bMPI_(Init|Init_thread|Finalize|Abort)\s*\(", code):
            yield line_of(code, match.start()), f"'MPI_{match.group(1)}' outside dist and cli"
    lines = code.count("\n")
    if lines > LINES_MAX:
        yield lines, f"{lines} lines; split above {LINES_MAX}"


def sources(root, top):
    for folder, _, names in sorted(os.walk(os.path.join(root, top))):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(folder, name)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    table = read_table(os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.txt"))
    passed = failed = 0
    for top in ("include", "src", "tests"):
        for path in sources(root, top):
            short = os.path.relpath(path, root)
            layer = short.split(os.sep)[1] if top != "tests" else None
            if layer is not None and layer not in table:
                found = [(1, f"'{layer}' is no layer of tests/lint/layers.txt")]
            else:
                found = list(called(path, layer))
                found += list(included(root, path, layer, table)) if layer else []
            for line, said in sorted(found):
                print(f"{short}:{line}: {said}")
            passed, failed = passed + (not found), failed + bool(found)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
