/*
 * store/h5read.c: the reading half.
 *
 * A published file does not change while its run may need it, so each rank
 * opens it by itself without MPI-IO and reads what it likes. (Who reads another
 * run's asks h5file_is_in_place() afterwards.) What HDF5 says about sizes is
 * checked before use, and the file's links, filters and external parts are held
 * to what the writing half makes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "store_internal.h"

#define CACHE_BYTES (4 << 20) // per array: 16 chunks of int32
#define CACHE_SLOTS 521

int h5file_open(struct h5file **out, const struct dist *dist, const char *path, struct error *err)
{
    struct h5file *file = mem_alloc(1, sizeof(*file), err);
    struct stat st;
    hid_t access;
    int rc;

    *out = NULL;
    h5file_tame();
    if (file) {
        file->dist = dist;
        file->id = -1;
        file->fd = -1;
        file->path = mem_strdup(path, err);
    }
    if (dist_agree(dist, file && file->path ? 0 : -1, err) < 0)
        goto fail;
    if (stat(path, &st) == 0) {
        file->device = st.st_dev;
        file->inode = st.st_ino;
    }
    if (seal_verify(dist, path, &file->bytes, &file->hash, err) < 0)
        goto fail;
    access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
    (void)H5Pset_file_locking(access, 0, 1);
#endif
    file->id = H5Fopen(path, H5F_ACC_RDONLY, access);
    rc = file->id < 0 ? h5file_fail(file->path, "read", err) : 0;
    (void)H5Pclose(access);
    if (dist_agree(dist, rc, err) < 0)
        goto fail;
    *out = file;
    return 0;
fail:
    if (file && file->path)
        h5file_close(file);
    else
        free(file);
    return -1;
}

int h5file_is_in_place(const struct h5file *file)
{
    struct stat st;

    return stat(file->path, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode;
}

/* A dataset of the root that is reached by a plain link; -1 when there is none. */
static hid_t open_dataset(const struct h5file *file, const char *name)
{
    H5L_info_t link;
    hid_t list;
    hid_t id;

    if (strlen(name) >= H5FILE_NAME || strchr(name, '/') ||
        H5Lexists(file->id, name, H5P_DEFAULT) <= 0 ||
        H5Lget_info(file->id, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return -1;
    list = H5Pcreate(H5P_DATASET_ACCESS);
    (void)H5Pset_chunk_cache(list, CACHE_SLOTS, CACHE_BYTES, 1.0);
    id = H5Dopen2(file->id, name, list);
    (void)H5Pclose(list);
    return id;
}

/* Stored inside this file, with no filter but Fletcher32. */
static int storage_is_ours(hid_t id)
{
    hid_t list = H5Dget_create_plist(id);
    H5D_layout_t layout = list < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(list);
    int filters = list < 0 ? -1 : H5Pget_nfilters(list);
    unsigned flags = 0;
    unsigned config = 0;
    size_t values = 0;
    int ok = filters >= 0 && filters <= 1;

    if (layout == H5D_CONTIGUOUS)
        ok = ok && filters == 0 && H5Pget_external_count(list) == 0;
    else
        ok = ok && layout == H5D_CHUNKED;
    if (ok && filters == 1)
        ok = H5Pget_filter2(list, 0, &flags, &values, NULL, 0, NULL, &config) ==
             H5Z_FILTER_FLETCHER32;
    if (list >= 0)
        (void)H5Pclose(list);
    return ok;
}

/* One dimension of that type, no longer than the file. */
static int check_array(const struct h5file *file, hid_t id, enum h5type type, uint64_t *total)
{
    hid_t space = H5Dget_space(id);
    hid_t stored = H5Dget_type(id);
    hsize_t dims = 0;
    int ok = space >= 0 && stored >= 0 && H5Tequal(stored, h5type_stored(type)) > 0 &&
             H5Sget_simple_extent_type(space) == H5S_SIMPLE &&
             H5Sget_simple_extent_ndims(space) == 1 &&
             H5Sget_simple_extent_dims(space, &dims, NULL) == 1 && storage_is_ours(id) &&
             dims <= file->bytes / h5type_size(type);

    *total = dims;
    if (stored >= 0)
        (void)H5Tclose(stored);
    if (space >= 0)
        (void)H5Sclose(space);
    return ok;
}

/* The array, opened once and kept open; NULL when it is not there as expected. */
static struct h5array *reading_array(struct h5file *file, const char *name, enum h5type type)
{
    struct h5array *array = h5file_array(file, name);
    struct error ignored;
    uint64_t total;
    hid_t id;

    if (array)
        return array->type == type ? array : NULL;
    id = open_dataset(file, name);
    if (id < 0) {
        (void)H5Eclear2(H5E_DEFAULT);
        return NULL;
    }
    if (check_array(file, id, type, &total))
        array = h5file_new_array(file, name, &ignored);
    if (!array) {
        (void)H5Dclose(id);
        return NULL;
    }
    array->id = id;
    array->type = type;
    array->total = total;
    return array;
}

int h5file_find(struct h5file *file, const char *name, enum h5type type, uint64_t *total)
{
    struct h5array *array = reading_array(file, name, type);

    *total = array ? array->total : 0;
    return array != NULL;
}

int h5file_read(struct h5file *file, const char *name, enum h5type type, uint64_t offset,
                uint64_t count, void *data, struct error *err)
{
    struct h5array *array = reading_array(file, name, type);
    hsize_t start = offset;
    hsize_t length = count;
    hid_t from;
    hid_t to;
    herr_t rc;

    if (!array)
        return error_set(err, "cannot read '%s': it has no array '%s' of the expected type",
                         file->path, name);
    if (offset > array->total || count > array->total - offset)
        return error_set(err, "cannot read '%s': elements %llu to %llu of '%s', which has %llu",
                         file->path, (unsigned long long)offset,
                         (unsigned long long)(offset + count), name,
                         (unsigned long long)array->total);
    if (count == 0)
        return 0;
    from = H5Dget_space(array->id);
    to = H5Screate_simple(1, &length, NULL);
    rc = H5Sselect_hyperslab(from, H5S_SELECT_SET, &start, NULL, &length, NULL);
    if (rc >= 0)
        rc = H5Dread(array->id, h5type_native(type), to, from, H5P_DEFAULT, data);
    if (rc < 0)
        (void)h5file_fail(file->path, "read", err);
    (void)H5Sclose(to);
    (void)H5Sclose(from);
    return rc < 0 ? -1 : 0;
}

/* *len bytes of a string dataset; 0 for a null dataspace, which is an empty text. */
static int text_shape(const struct h5file *file, hid_t id, hid_t type, size_t *len)
{
    hid_t space = H5Dget_space(id);
    H5S_class_t shape = space < 0 ? H5S_NO_CLASS : H5Sget_simple_extent_type(space);
    int ok = type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
             storage_is_ours(id) && (shape == H5S_SCALAR || shape == H5S_NULL);

    *len = ok && shape == H5S_SCALAR ? H5Tget_size(type) : 0;
    if (space >= 0)
        (void)H5Sclose(space);
    return ok && *len <= file->bytes ? 0 : -1;
}

static int read_text(struct h5file *file, hid_t id, hid_t type, char **text, size_t *len,
                     struct error *err)
{
    if (text_shape(file, id, type, len) < 0)
        return error_set(err, "cannot read '%s': a text in it is none", file->path);
    *text = mem_alloc(size_add(*len, 1), 1, err);
    if (!*text)
        return -1;
    if (*len > 0 && H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0) {
        free(*text);
        *text = NULL;
        return h5file_fail(file->path, "read", err);
    }
    *len = strlen(*text); // NULL padding
    return 0;
}

int h5file_get_text(struct h5file *file, const char *name, char **text, size_t *len,
                    struct error *err)
{
    hid_t id = open_dataset(file, name);
    hid_t type;
    int rc;

    *text = NULL;
    *len = 0;
    if (id < 0) {
        (void)H5Eclear2(H5E_DEFAULT);
        return error_set(err, "cannot read '%s': it has no text '%s'", file->path, name);
    }
    type = H5Dget_type(id);
    rc = read_text(file, id, type, text, len, err);
    if (type >= 0)
        (void)H5Tclose(type);
    (void)H5Dclose(id);
    return rc;
}

static int get_number(struct h5file *file, const char *name, enum h5type type, void *value,
                      struct error *err)
{
    hid_t id = H5Aexists(file->id, name) > 0 ? H5Aopen(file->id, name, H5P_DEFAULT) : -1;
    hid_t space = id < 0 ? -1 : H5Aget_space(id);
    hid_t stored = id < 0 ? -1 : H5Aget_type(id);
    int ok = space >= 0 && stored >= 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR &&
             H5Tequal(stored, h5type_stored(type)) > 0 &&
             H5Aread(id, h5type_native(type), value) >= 0;

    if (stored >= 0)
        (void)H5Tclose(stored);
    if (space >= 0)
        (void)H5Sclose(space);
    if (id >= 0)
        (void)H5Aclose(id);
    (void)H5Eclear2(H5E_DEFAULT);
    if (!ok)
        return error_set(err, "cannot read '%s': it has no number '%s'", file->path, name);
    return 0;
}

int h5file_get_i64(struct h5file *file, const char *name, int64_t *value, struct error *err)
{
    return get_number(file, name, H5_INT64, value, err);
}

int h5file_get_f64(struct h5file *file, const char *name, double *value, struct error *err)
{
    return get_number(file, name, H5_FLOAT64, value, err);
}
