/*
 * store/h5file.c: what writing and reading share: types, names, errors, close.
 */
#include "store/h5file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store_internal.h"

size_t h5type_size(enum h5type type)
{
    switch (type) {
    case H5_UINT8:
        return 1;
    case H5_INT32:
    case H5_FLOAT32:
        return 4;
    case H5_INT64:
    case H5_FLOAT64:
        return 8;
    }
    BUG("type %d", (int)type);
}

/* Little-endian on every machine: the bytes of a file do not tell who wrote it. */
hid_t h5type_stored(enum h5type type)
{
    switch (type) {
    case H5_UINT8:
        return H5T_STD_U8LE;
    case H5_INT32:
        return H5T_STD_I32LE;
    case H5_INT64:
        return H5T_STD_I64LE;
    case H5_FLOAT32:
        return H5T_IEEE_F32LE;
    case H5_FLOAT64:
        return H5T_IEEE_F64LE;
    }
    BUG("type %d", (int)type);
}

hid_t h5type_native(enum h5type type)
{
    switch (type) {
    case H5_UINT8:
        return H5T_NATIVE_UINT8;
    case H5_INT32:
        return H5T_NATIVE_INT32;
    case H5_INT64:
        return H5T_NATIVE_INT64;
    case H5_FLOAT32:
        return H5T_NATIVE_FLOAT;
    case H5_FLOAT64:
        return H5T_NATIVE_DOUBLE;
    }
    BUG("type %d", (int)type);
}

void h5file_tame(void)
{
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    (void)H5PLset_loading_state(0);
}

static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
    (void)n;
    *(const char **)text = entry->desc;
    return 1; // stops the walk
}

int h5file_fail(const char *path, const char *what, struct error *err)
{
    const char *text = NULL;

    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, (void *)&text);
    (void)error_set(err, "cannot %s '%s': HDF5: %s", what, path,
                    text && text[0] ? text : "no reason given");
    (void)H5Eclear2(H5E_DEFAULT);
    return -1;
}

void h5file_die(const struct h5file *file, const char *what)
{
    struct error err;

    (void)h5file_fail(file->path, what, &err);
    BUG("rank %d of %d: %s", file->dist->rank, file->dist->size, err.msg);
}

struct h5array *h5file_array(struct h5file *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->arrays[i].name, name) == 0)
            return &file->arrays[i];
    return NULL;
}

struct h5array *h5file_new_array(struct h5file *file, const char *name, struct error *err)
{
    struct h5array *array;

    if (mem_grow((void *)&file->arrays, &file->cap, file->count + 1, sizeof(*file->arrays), err) <
        0)
        return NULL;
    array = &file->arrays[file->count++];
    *array = (struct h5array){ .id = -1 };
    memcpy(array->name, name, strlen(name) + 1);
    return array;
}

struct hash h5file_hash(const struct h5file *file)
{
    return file->hash;
}

void h5file_close(struct h5file *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->count; i++)
        if (file->arrays[i].id >= 0)
            (void)H5Dclose(file->arrays[i].id);
    if (file->id >= 0 && H5Fclose(file->id) < 0 && file->writing)
        h5file_die(file, "write");
    if (file->fd >= 0)
        (void)close(file->fd);
    (void)H5Eclear2(H5E_DEFAULT);
    if (file->temp) {
        dist_barrier(file->dist); // nobody has it open any more
        if (file->dist->rank == 0)
            (void)unlink(file->temp);
    }
    free(file->arrays);
    free(file->temp);
    free(file->path);
    free(file);
}

/* "name.h5tmp-1234-56789": only digits and '-' after the mark. */
static int is_temp_name(const char *name)
{
    const char *mark = strstr(name, H5FILE_TEMP);

    if (!mark)
        return 0;
    mark += strlen(H5FILE_TEMP);
    return mark[0] != '\0' && mark[strspn(mark, "0123456789-")] == '\0';
}

int h5file_clean(const char *folder, double age_s, struct error *err)
{
    char **names = NULL;
    int count = 0;
    int rc = 0;

    if (folder_names(folder, &names, &count, err) < 0)
        return -1;
    for (int i = 0; i < count && rc == 0; i++) {
        struct stat st;
        char *path;

        if (!is_temp_name(names[i]))
            continue;
        path = path_join(folder, names[i], err);
        if (!path)
            rc = -1;
        else if (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
                 difftime(time(NULL), st.st_mtime) >= age_s)
            (void)unlink(path); // somebody else may have been quicker
        free(path);
    }
    folder_names_free(names, count);
    return rc;
}
