/*
 * text/pattern_internal.h: a pattern between reading and matching.
 */
#ifndef TEXT_PATTERN_INTERNAL_H
#define TEXT_PATTERN_INTERNAL_H

#include "charset.h"
#include "text_internal.h"

#define ATOMS_MAX 64
#define ATOM_MARK '\1' // before the number of an atom + 2

/* PCRE2's syntax with marks where atoms stand; an atom is any one character of a set. */
struct pattern_source {
    struct charset *atoms[ATOMS_MAX];
    int count;
    struct strbuf text;
};

/* literal: the text stands for itself. source is { 0 } before. */
int pattern_translate(struct pattern_source *source, const char *text, size_t len, int literal,
                      const struct unicode_classes *uc, struct error *err);
void pattern_source_release(struct pattern_source *source);

#endif
