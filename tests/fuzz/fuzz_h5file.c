/*
 * fuzz_h5file.c: whatever is given as a file, h5file_open() answers with one
 * message or with a file whose arrays, texts and numbers can be asked for.
 *
 * The input is tried twice: as it is, and below a seal that fits, so that the
 * mutations reach HDF5 and what is checked behind it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "store/h5file.h"
#include "store/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct h5file *file)
{
    struct error err;
    uint64_t total;
    int32_t element;
    int64_t number;
    char *text;
    size_t len;

    if (h5file_find(file, "a", H5_INT32, &total) && total > 0)
        (void)h5file_read(file, "a", H5_INT32, total - 1, 1, &element, &err);
    if (h5file_get_text(file, "t", &text, &len, &err) == 0)
        free(text);
    (void)h5file_get_i64(file, "n", &number, &err);
}

static void open_and_ask(const struct dist *dist, const char *path)
{
    struct error err;
    struct h5file *file;

    if (h5file_open(&file, dist, path, &err) == 0)
        ask(file);
    h5file_close(file);
}

static void seal(const struct dist *dist, const char *path, size_t size)
{
    struct error err;
    struct hash hash;

    if (seal_hash(dist, path, size, &hash, &err) < 0 || seal_write(path, size, hash, 0, &err) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dist dist;
    static char path[64];
    struct error err;

    if (!dist.opened) {
        if (dist_open(&dist, &err) < 0)
            abort();
        (void)snprintf(path, sizeof(path), "/tmp/lowrank-fuzz-%ld.h5", (long)getpid());
    }
    if (file_write(path, data, size, &err) < 0)
        abort();
    open_and_ask(&dist, path);
    if (size > SEAL_BYTES) {
        seal(&dist, path, size);
        open_and_ask(&dist, path);
    }
    (void)unlink(path);
    return 0;
}
