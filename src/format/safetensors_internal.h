/*
 * What the parts of format/safetensors share.
 */
#ifndef FORMAT_SAFETENSORS_INTERNAL_H
#define FORMAT_SAFETENSORS_INTERNAL_H

#include "format/safetensors.h"

/* Room for that many files (at least 1), all empty; safetensors_close() also after -1. */
int safetensors_reserve(struct safetensors *st, int files, struct error *err);

/* Reads the headers of all files, whose maps and paths are set, and sorts by name. */
int safetensors_read_headers(struct safetensors *st, struct error *err);

#endif
