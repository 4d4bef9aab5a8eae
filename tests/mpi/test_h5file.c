/*
 * test_h5file.c: files are the same bytes whoever writes them, whole or not
 * there, and every damage is noticed by all ranks.
 */
#include "base/mem.h"
#include "mpi_test.h"
#include "store/h5file.h"
#include "store/h5whole.h"
#include "store/store_internal.h"

#define COUNT 200003 // a prime, a little over three chunks

static const char long_word[] = "gr\xc3\xbc\xc3\x9f dich \xe4\xb8\x96\xe7\x95\x8c\n";

static float value(uint64_t i)
{
    return (float)((i * 2654435761u) & 0xFFFFFF) * 0.37f - 1e6f;
}

/* The first ranks of a job as a group of their own. Collective over all. */
static void group_open(const struct dist *all, struct dist *group, int size)
{
    *group = *all;
    group->size = size;
    DIST_MPI(MPI_Comm_split(all->comm, all->rank < size, all->rank, &group->comm));
}

static void group_close(struct dist *group)
{
    DIST_MPI(MPI_Comm_free(&group->comm));
}

static int write_numbers(struct h5file *file, const struct dist *dist, struct error *err)
{
    char text[3000];

    memset(text, 'z', sizeof(text));
    return h5file_put_i64(file, "step", INT64_MIN + 1, err) < 0 ||
                   h5file_put_f64(file, "rate", 0.1, err) < 0 ||
                   h5file_put_text(file, "empty", "", 0, err) < 0 ||
                   h5file_put_text(file, "word", dist->rank ? NULL : long_word,
                                   dist->rank ? 0 : strlen(long_word), err) < 0 ||
                   h5file_put_text(file, "long", text, sizeof(text), err) < 0
               ? -1
               : 0;
}

/* Every type; slices that no chunk bound respects; a part in a second call. */
static int write_arrays(struct h5file *file, const struct dist *dist, struct error *err)
{
    float *f = mem_alloc(COUNT, sizeof(*f), err);
    uint64_t *bounds = mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err);
    int32_t ints[10];
    int64_t longs[10];
    uint8_t bytes[10];
    double doubles[10];
    uint64_t first, count, half, small;
    int rc = -1;

    if (!f || !bounds)
        goto out;
    for (int i = 0; i < 10; i++) {
        ints[i] = -i * 100000000;
        longs[i] = (int64_t)i << 59;
        bytes[i] = (uint8_t)(i * 25);
        doubles[i] = 1.0 / (i + 1);
    }
    for (uint64_t i = 0; i < COUNT; i++)
        f[i] = value(i);
    dist_cut(dist, COUNT, 1, bounds);
    first = bounds[dist->rank];
    count = bounds[dist->rank + 1] - first;
    half = count / 3;
    small = dist->rank == dist->size - 1 ? 10 : 0; // the last rank alone
    if (h5file_add(file, "floats", H5_FLOAT32, COUNT, err) < 0 ||
        h5file_write_slice(file, "floats", first, half, f + first, err) < 0 ||
        h5file_write(file, "ints", H5_INT32, 10, 0, small, ints, err) < 0 ||
        h5file_write(file, "longs", H5_INT64, 10, 0, small, longs, err) < 0 ||
        h5file_write(file, "bytes", H5_UINT8, 10, 0, small, bytes, err) < 0 ||
        h5file_write(file, "doubles", H5_FLOAT64, 10, 0, small, doubles, err) < 0 ||
        h5file_write(file, "nothing", H5_INT32, 0, 0, 0, NULL, err) < 0 ||
        h5file_write_slice(file, "floats", first + half, count - half, f + first + half, err) < 0)
        goto out;
    rc = 0;
out:
    free(bounds);
    free(f);
    return rc;
}

/* Collective over dist. */
static int write_file(const struct dist *dist, const char *path, struct hash *hash,
                      struct error *err)
{
    struct h5file *file;
    int rc = h5file_create(&file, dist, path, err);

    if (rc == 0 && (write_numbers(file, dist, err) < 0 || write_arrays(file, dist, err) < 0 ||
                    h5file_publish(file, err) < 0))
        rc = -1;
    if (rc == 0 && file->bytes > file->reserved)
        rc = error_set(err, "'%s': more was written than reserved", path);
    if (rc == 0)
        *hash = h5file_hash(file);
    h5file_close(file);
    return rc;
}

static int floats_are_right(struct h5file *file, struct error *err)
{
    float *f = mem_alloc(COUNT, sizeof(*f), err);
    uint64_t total;
    int right = f && h5file_find(file, "floats", H5_FLOAT32, &total) && total == COUNT &&
                h5file_read(file, "floats", H5_FLOAT32, 0, COUNT, f, err) == 0;

    for (uint64_t i = 0; right && i < COUNT; i++)
        right = f[i] == value(i);
    right = right && h5file_read(file, "floats", H5_FLOAT32, 65530, 11, f, err) == 0;
    for (uint64_t i = 0; right && i < 11; i++)
        right = f[i] == value(65530 + i);
    free(f);
    return right;
}

static int small_arrays_are_right(struct h5file *file, struct error *err)
{
    int32_t ints[10];
    int64_t longs[10];
    uint8_t bytes[10];
    double doubles[10];
    uint64_t total = 1;
    int right = h5file_read(file, "ints", H5_INT32, 0, 10, ints, err) == 0 &&
                h5file_read(file, "longs", H5_INT64, 0, 10, longs, err) == 0 &&
                h5file_read(file, "bytes", H5_UINT8, 0, 10, bytes, err) == 0 &&
                h5file_read(file, "doubles", H5_FLOAT64, 0, 10, doubles, err) == 0 &&
                h5file_find(file, "nothing", H5_INT32, &total) && total == 0 &&
                h5file_read(file, "nothing", H5_INT32, 0, 0, ints, err) == 0;

    for (int i = 0; right && i < 10; i++)
        right = ints[i] == -i * 100000000 && longs[i] == (int64_t)i << 59 && bytes[i] == i * 25 &&
                doubles[i] == 1.0 / (i + 1);
    return right;
}

static int texts_are_right(struct h5file *file, struct error *err)
{
    char *text = NULL;
    size_t len = 1;
    int64_t step = 0;
    double rate = 0;
    int right = h5file_get_i64(file, "step", &step, err) == 0 && step == INT64_MIN + 1 &&
                h5file_get_f64(file, "rate", &rate, err) == 0 && rate == 0.1;

    right = right && h5file_get_text(file, "empty", &text, &len, err) == 0 && len == 0;
    free(text);
    text = NULL;
    right = right && h5file_get_text(file, "word", &text, &len, err) == 0 &&
            len == strlen(long_word) && strcmp(text, long_word) == 0;
    free(text);
    text = NULL;
    right = right && h5file_get_text(file, "long", &text, &len, err) == 0 && len == 3000 &&
            strspn(text, "z") == 3000;
    free(text);
    return right;
}

static void any_number_of_ranks_writes_the_same_bytes(struct dist *dist)
{
    struct error err = { "" };
    struct hash hashes[64];
    char folder[64];
    char path[96];

    mpi_test_folder(dist, folder);
    for (int size = 1; size <= dist->size; size++) {
        struct dist group;
        struct h5file *file;
        int rc = 0;

        (void)snprintf(path, sizeof(path), "%s/%d.h5", folder, size);
        group_open(dist, &group, size);
        if (dist->rank < size)
            rc = write_file(&group, path, &hashes[size], &err);
        group_close(&group);
        assert_all_ok(dist, dist_agree(dist, rc, &err), &err);
        dist_bcast(dist, &hashes[size], sizeof(hashes[size]), 0);
        assert_all_ok(dist, h5file_open(&file, dist, path, &err), &err);
        assert_all_ranks(dist, hash_equal(h5file_hash(file), hashes[size]));
        assert_all_ranks(dist, hash_equal(hashes[1], hashes[size]));
        assert_all_ranks(dist, floats_are_right(file, &err));
        assert_all_ranks(dist, small_arrays_are_right(file, &err));
        assert_all_ranks(dist, texts_are_right(file, &err));
        h5file_close(file);
    }
    mpi_test_folder_remove(dist, folder);
}

static void reads_beyond_or_of_another_kind_are_refused(struct dist *dist)
{
    struct error err = { "" };
    struct hash hash;
    struct h5file *file;
    char folder[64];
    char path[96];
    char *text;
    size_t len;
    int64_t number;
    uint64_t total;
    float f[8];

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/a.h5", folder);
    assert_all_ok(dist, write_file(dist, path, &hash, &err), &err);
    assert_all_ok(dist, h5file_open(&file, dist, path, &err), &err);
    assert_all_ranks(dist, h5file_read(file, "floats", H5_FLOAT32, COUNT - 1, 2, f, &err) < 0);
    assert_all_ranks(dist, strstr(err.msg, path) != NULL);
    assert_all_ranks(dist, h5file_read(file, "floats", H5_FLOAT32, UINT64_MAX, 2, f, &err) < 0);
    assert_all_ranks(dist, h5file_read(file, "floats", H5_INT32, 0, 1, f, &err) < 0);
    assert_all_ranks(dist, h5file_read(file, "ints", H5_FLOAT32, 0, 1, f, &err) < 0);
    assert_all_ranks(dist, h5file_read(file, "word", H5_UINT8, 0, 1, f, &err) < 0);
    assert_all_ranks(dist, !h5file_find(file, "absent", H5_INT32, &total));
    assert_all_ranks(dist, !h5file_find(file, "../x", H5_INT32, &total));
    assert_all_ranks(dist, h5file_get_text(file, "ints", &text, &len, &err) < 0 && !text);
    assert_all_ranks(dist, h5file_get_text(file, "absent", &text, &len, &err) < 0 && !text);
    assert_all_ranks(dist, h5file_get_i64(file, "rate", &number, &err) < 0);
    assert_all_ranks(dist, h5file_get_i64(file, "absent", &number, &err) < 0);
    assert_all_ranks(dist, floats_are_right(file, &err)); // none of this did harm
    h5file_close(file);
    mpi_test_folder_remove(dist, folder);
}

/* Names in a folder. Local. */
static int count_names(const char *folder)
{
    char **names;
    int count;
    struct error err;

    if (folder_names(folder, &names, &count, &err) < 0)
        return -1;
    folder_names_free(names, count);
    return count;
}

static void an_unpublished_file_leaves_nothing_and_harms_nothing(struct dist *dist)
{
    struct error err = { "" };
    struct hash before, after;
    struct h5file *file;
    char folder[64];
    char path[96];
    uint64_t bytes;

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/a.h5", folder);
    assert_all_ok(dist, write_file(dist, path, &before, &err), &err);
    assert_all_ok(dist, h5file_create(&file, dist, path, &err), &err);
    assert_all_ok(dist, h5file_put_i64(file, "step", 7, &err), &err);
    assert_all_ok(dist, h5file_add(file, "big", H5_FLOAT64, 100000, &err), &err);
    h5file_close(file);
    dist_barrier(dist);
    assert_all_ranks(dist, count_names(folder) == 1);
    assert_all_ok(dist, hash_file(&after, path, &err), &err);
    assert_all_ok(dist, write_file(dist, path, &before, &err), &err); // replaces it by the same
    assert_all_ok(dist, hash_file(&before, path, &err), &err);
    assert_all_ranks(dist, hash_equal(before, after));
    assert_all_ok(dist, file_size(path, &bytes, &err), &err);
    assert_all_ranks(dist, bytes < 4 * H5FILE_CHUNK * 4 + 20000); // nothing of the reserve is left
    mpi_test_folder_remove(dist, folder);
}

static void a_missing_folder_is_one_message(struct dist *dist)
{
    struct error err = { "" };
    struct h5file *file;

    assert_all_ranks(dist, h5file_create(&file, dist, "/nowhere/at/all.h5", &err) < 0 && !file);
    assert_all_ranks(dist, strstr(err.msg, "'/nowhere/at/all.h5': No such file") != NULL);
    assert_all_ranks(dist, h5file_open(&file, dist, "/nowhere/at/all.h5", &err) < 0 && !file);
    assert_all_ranks(dist, strstr(err.msg, "'/nowhere/at/all.h5': No such file") != NULL);
}

static void a_text_with_a_zero_byte_is_refused(struct dist *dist)
{
    struct error err = { "" };
    struct h5file *file;
    char folder[64];
    char path[96];

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/a.h5", folder);
    assert_all_ok(dist, h5file_create(&file, dist, path, &err), &err);
    assert_all_ranks(dist, h5file_put_text(file, "t", "a\0b", 3, &err) < 0);
    assert_all_ranks(dist, strstr(err.msg, "zero byte") != NULL);
    assert_all_ranks(dist, h5file_put_i64(file, "n", 1, &err) < 0); // spoiled from now on
    assert_all_ranks(dist, h5file_publish(file, &err) < 0);
    h5file_close(file);
    dist_barrier(dist);
    assert_all_ranks(dist, count_names(folder) == 0);
    mpi_test_folder_remove(dist, folder);
}

/* Writes bytes as they are, on rank 0. Collective. */
static void put_bytes(const struct dist *dist, const char *path, const char *bytes, size_t len)
{
    struct error err = { "" };

    if (dist->rank == 0 && file_write(path, bytes, len, &err) < 0)
        BUG("%s", err.msg);
    dist_barrier(dist);
}

/* True when opening fails with one message that names the file. Collective. */
static int is_refused(const struct dist *dist, const char *path)
{
    struct error err = { "" };
    struct h5file *file;
    int rc = h5file_open(&file, dist, path, &err);

    h5file_close(file);
    return rc < 0 && !file && strstr(err.msg, path) && !strchr(err.msg, '\n');
}

static void every_damage_is_refused_by_all_ranks(struct dist *dist)
{
    struct error err = { "" };
    struct hash hash;
    char folder[64];
    char path[96];
    char *bytes = NULL;
    size_t len;
    int refused = 1;

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/a.h5", folder);
    assert_all_ok(dist, write_file(dist, path, &hash, &err), &err);
    assert_all_ok(dist, file_read(path, &bytes, &len, &err), &err);
    for (size_t cut = 0; cut < len; cut += cut < 600 ? 61 : 59999) {
        put_bytes(dist, path, bytes, cut);
        refused = is_refused(dist, path) && refused;
    }
    for (size_t at = 0; at < len; at += at < 3000 ? 53 : 61001) {
        bytes[at] ^= (char)(1 << (at % 8));
        put_bytes(dist, path, bytes, len);
        refused = is_refused(dist, path) && refused;
        bytes[at] ^= (char)(1 << (at % 8));
    }
    put_bytes(dist, path, "\211HDF\r\n\032\n", 8);
    refused = is_refused(dist, path) && refused;
    memset(bytes, 0, len);
    put_bytes(dist, path, bytes, len);
    refused = is_refused(dist, path) && refused;
    free(bytes);
    assert_all_ranks(dist, refused);
    assert_all_ranks(dist, is_refused(dist, folder));
    mpi_test_folder_remove(dist, folder);
}

/* What Fletcher32 alone would let pass. */
static void zeros_turned_into_ones_are_noticed(struct dist *dist)
{
    struct error err = { "" };
    struct h5file *file;
    char folder[64];
    char path[96];
    char *bytes = NULL;
    size_t len, run = 0, at = 0;
    static uint8_t zeros[5000];

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/a.h5", folder);
    assert_all_ok(dist, h5file_create(&file, dist, path, &err), &err);
    assert_all_ok(
        dist, h5file_write(file, "z", H5_UINT8, 5000, 0, dist->rank ? 0 : 5000, zeros, &err), &err);
    assert_all_ok(dist, h5file_publish(file, &err), &err);
    h5file_close(file);
    assert_all_ok(dist, file_read(path, &bytes, &len, &err), &err);
    while (at < len && run < 4000) // the data is the only run of this length
        run = bytes[at++] == 0 ? run + 1 : 0;
    memset(bytes + at - 2, 0xFF, 2);
    put_bytes(dist, path, bytes, len);
    free(bytes);
    assert_all_ranks(dist, run == 4000);
    assert_all_ranks(dist, is_refused(dist, path));
    mpi_test_folder_remove(dist, folder);
}

static void cleaning_removes_only_our_left_overs(struct dist *dist)
{
    static const char *const names[] = { "a.h5",           "a.h5.h5tmp-12-34",
                                         "b.h5tmp-notes",  "c.h5tmp-",
                                         "d.txt",          "step-3.h5.h5tmp-9-1",
                                         "e.h5tmp-1-2.bak" };
    struct error err = { "" };
    char folder[64];
    char path[96];

    mpi_test_folder(dist, folder);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        put_bytes(dist, path, "x", 1);
    }
    assert_all_ok(dist, dist->rank ? 0 : h5file_clean(folder, 3600.0, &err), &err);
    assert_all_ranks(dist, count_names(folder) == 7);
    assert_all_ok(dist, dist->rank ? 0 : h5file_clean(folder, 0.0, &err), &err);
    assert_all_ranks(dist, count_names(folder) == 5);
    mpi_test_folder_remove(dist, folder);
}

#define WHOLE 700001 // doubles, a prime: 5 blocks of the seal and a piece

/* All ranks hold it and write it, over what is at spare; the number is rank 0's. Collective. */
static int write_whole(const struct dist *dist, const char *path, const char *spare,
                       const double *values, struct error *err)
{
    static const int32_t ints[3] = { 1, -2, 3 };
    struct h5whole *whole = NULL;
    int rc = h5whole_open(&whole, dist, path, err);

    if (rc == 0 && (h5whole_put_i64(whole, "n", dist->rank - 7, err) < 0 ||
                    h5whole_put_array(whole, "ints", H5_INT32, 3, ints, err) < 0 ||
                    h5whole_put_text(whole, "t", "\xc3\xa4", 2, err) < 0 ||
                    h5whole_put_array(whole, "nothing", H5_INT64, 0, NULL, err) < 0 ||
                    h5whole_put_array(whole, "values", H5_FLOAT64, WHOLE, values, err) < 0 ||
                    h5whole_put_text(whole, "empty", "", 0, err) < 0))
        rc = -1;
    rc = h5whole_publish(whole, dist, rc, spare, spare == NULL, err);
    h5whole_close(whole);
    return rc;
}

static int whole_is_right(struct h5file *file, const double *values, struct error *err)
{
    double *read = mem_alloc(WHOLE, sizeof(*read), err);
    int32_t ints[3];
    int64_t number = 0;
    uint64_t total = 1;
    char *text = NULL;
    size_t len;
    int right = read && h5file_get_i64(file, "n", &number, err) == 0 && number == -7 &&
                h5file_get_text(file, "t", &text, &len, err) == 0 && len == 2 &&
                h5file_find(file, "nothing", H5_INT64, &total) && total == 0 &&
                h5file_find(file, "values", H5_FLOAT64, &total) && total == WHOLE &&
                h5file_read(file, "values", H5_FLOAT64, 0, WHOLE, read, err) == 0 &&
                memcmp(read, values, WHOLE * sizeof(*read)) == 0 &&
                h5file_read(file, "ints", H5_INT32, 0, 3, ints, err) == 0 && ints[1] == -2;

    free(text);
    free(read);
    return right;
}

static int put_some(struct h5whole *whole, int kind, struct error *err)
{
    static const double numbers[2] = { 1, 2 };

    if (kind == 0)
        return h5whole_put_i64(whole, "n", 1, err);
    if (kind == 1)
        return h5whole_put_text(whole, "t", "text", 4, err);
    return h5whole_put_array(whole, "a", H5_FLOAT64, 2, numbers, err);
}

static void a_failure_inside_hdf5_is_told_with_its_reason(struct dist *dist)
{
    struct error err = { "" };
    struct h5whole *whole;
    struct h5file *file;
    char folder[64], path[96];

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/a.h5", folder);
    assert_all_ok(dist, h5whole_open(&whole, dist, path, &err), &err);
    for (int kind = 0; kind < 3; kind++) {
        assert_all_ok(dist, put_some(whole, kind, &err), &err);
        assert_all_ranks(dist, dist_agree(dist, put_some(whole, kind, &err), &err) < 0);
        assert_all_ranks(dist, strstr(err.msg, path) && strstr(err.msg, "already exists"));
    }
    h5whole_close(whole);
    assert_all_ok(dist, h5file_create(&file, dist, path, &err), &err);
    assert_all_ok(dist, h5file_add(file, "a", H5_INT32, 2, &err), &err);
    assert_all_ranks(dist, h5file_add(file, "a", H5_INT32, 2, &err) < 0);
    assert_all_ranks(dist, strstr(err.msg, path) && strstr(err.msg, "already exists"));
    h5file_close(file);
    mpi_test_folder_remove(dist, folder);
}

/* Local. */
static int make_spare(const char *path, uint64_t bytes, struct error *err)
{
    if (file_write(path, "old", 3, err) < 0)
        return -1;
    return truncate(path, (off_t)bytes) < 0 ? error_set(err, "cannot truncate '%s'", path) : 0;
}

/* On any number of ranks, in new space and over a longer and a shorter file: the same bytes. */
static void what_every_rank_holds_is_written_alike_by_any_number(struct dist *dist)
{
    static const uint64_t spares[3] = { 0, 100, 9000000 };
    struct error err = { "" };
    struct hash first = { 0 };
    char dir[64], path[96], spare[96];
    double *values = mem_alloc(WHOLE, sizeof(*values), &err);

    mpi_test_folder(dist, dir);
    (void)snprintf(path, sizeof(path), "%s/a.h5", dir);
    (void)snprintf(spare, sizeof(spare), "%s/a.h5tmp-0", dir);
    assert_all_ranks(dist, values != NULL);
    for (int i = 0; i < WHOLE; i++)
        values[i] = 1.0 / (i + 1);
    for (int size = 1; size <= dist->size; size++)
        for (int s = 0; s < 3; s++) {
            struct dist group;
            struct h5file *file = NULL;
            int right = 1;
            int rc = 0;

            if (s > 0 && dist->rank == 0)
                rc = make_spare(spare, spares[s], &err);
            assert_all_ok(dist, dist_agree(dist, rc, &err), &err);
            group_open(dist, &group, size);
            if (dist->rank < size)
                rc = write_whole(&group, path, s > 0 ? spare : NULL, values, &err);
            group_close(&group);
            assert_all_ok(dist, dist_agree(dist, rc, &err), &err);
            assert_all_ok(dist, h5file_open(&file, dist, path, &err), &err);
            right = whole_is_right(file, values, &err);
            first = size == 1 && s == 0 ? h5file_hash(file) : first;
            right = right && hash_equal(h5file_hash(file), first) && !file_exists(spare);
            h5file_close(file);
            assert_all_ranks(dist, right);
        }
    free(values);
    mpi_test_folder_remove(dist, dir);
}

int main(void)
{
    static const struct mpi_test tests[] = {
        MPI_TEST(any_number_of_ranks_writes_the_same_bytes),
        MPI_TEST(reads_beyond_or_of_another_kind_are_refused),
        MPI_TEST(an_unpublished_file_leaves_nothing_and_harms_nothing),
        MPI_TEST(a_missing_folder_is_one_message),
        MPI_TEST(a_text_with_a_zero_byte_is_refused),
        MPI_TEST(every_damage_is_refused_by_all_ranks),
        MPI_TEST(zeros_turned_into_ones_are_noticed),
        MPI_TEST(cleaning_removes_only_our_left_overs),
        MPI_TEST(a_failure_inside_hdf5_is_told_with_its_reason),
        MPI_TEST(what_every_rank_holds_is_written_alike_by_any_number),
    };

    return mpi_test_run(tests, MPI_TEST_COUNT(tests));
}
