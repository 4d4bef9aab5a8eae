/*
 * format/safetensors.h: tensors by name from mapped files, and a writer.
 *
 * A file is 8 bytes of header length (little endian), a header in JSON
 *
 *     {"__metadata__":{"format":"pt"},
 *      "lm_head.weight":{"dtype":"BF16","shape":[49152,576],"data_offsets":[0,56623104]}, ...}
 *
 * and the tensors' bytes, row-major, little endian, without a hole. A model
 * folder holds `model.safetensors`, or shards and
 * `model.safetensors.index.json` that says which shard has which tensor.
 *
 * Nothing is copied: files are mapped read-only and shared, so all ranks of a
 * node have one copy of a model in memory.
 *
 * Local. Source: https://github.com/huggingface/safetensors (format section).
 */
#ifndef FORMAT_SAFETENSORS_H
#define FORMAT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "tensor/dtype.h"

#define SAFETENSORS_DIMS_MAX 8

struct safetensors_tensor {
    const char *name;
    int dtype;             // enum dtype, or -1: a format that lowrank does not compute with
    const char *type_name; // as in the file: "BF16", "I64", ...
    int dims;              // 0: a single number
    size_t shape[SAFETENSORS_DIMS_MAX];
    size_t count;     // numbers: the product of shape
    size_t bytes;     // of data
    const void *data; // in the map; aligned to its own number size when dtype >= 0
    int file;         // index of the file that holds it
};

struct safetensors {
    struct safetensors_tensor *tensors; // sorted by name
    size_t count, cap;
    struct file_map *maps; // [files]
    char **paths;          // [files]
    void **headers;        // [files] parsed; own the names
    int files;
    int borrowed; // maps are the caller's memory
};

/*
 * Opens one file, or the weights of a model folder: model.safetensors if
 * there, else the shards of model.safetensors.index.json (every tensor of the
 * index must be in the shard it names; shards may not be outside the folder
 * and no tensor may be in two). Every header is checked before use: length,
 * offsets within the file, no overlap and no hole, bytes equal to shape times
 * number size, no name twice. A tensor in a shard that the index
 * does not name is there like any other. Numbers that are not F32, F16 or BF16
 * are accepted and have dtype -1.
 *
 * Errors name the file and the tensor; a folder with only pytorch_model.bin
 * gets a message that says how to convert it.
 */
int safetensors_open(struct safetensors *st, const char *path, struct error *err);

/* The same for one file already in memory (borrowed until close); name is for messages. */
int safetensors_open_bytes(struct safetensors *st, const void *bytes, size_t len, const char *name,
                           struct error *err);

/* NULL when there is none of that name. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name);

/*
 * The tensor of that name in F32, F16 or BF16 with exactly this shape. NULL
 * with err filled in when it is missing or otherwise: the message names the
 * tensor, its file, what it is and what was expected.
 */
const struct safetensors_tensor *safetensors_need(const struct safetensors *st, const char *name,
                                                  int dims, const size_t *shape, struct error *err);

/* Accepts { 0 }. */
void safetensors_close(struct safetensors *st);

/* A float32 tensor to be written. */
struct safetensors_out {
    const char *name;
    int dims;
    size_t shape[SAFETENSORS_DIMS_MAX];
    const float *data;
};

/*
 * The bytes of a file with these tensors and the metadata {"format": "pt"},
 * as safetensors' own serializer lays them out (by name; the header padded
 * with spaces to 8 bytes): the same tensors give the same bytes in any order.
 * Two tensors of one name are a BUG.
 */
int safetensors_serialize(struct strbuf *out, const struct safetensors_out *tensors, size_t count,
                          struct error *err);

/* The same into a file, whole or not at all. */
int safetensors_write(const char *path, const struct safetensors_out *tensors, size_t count,
                      struct error *err);

#endif
