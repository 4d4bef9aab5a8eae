/*
 * data/prepare on several ranks: stores equal LLaMA-Factory's tables row by row
 * whatever the number of ranks, are found again, and are refused or made anew
 * when they should be; bad rows and stop requests end the work on all ranks.
 */
#include "mpi_test.h"

#include "base/hash.h"
#include "data/prepare.h"
#include "format/json.h"
#include "store/h5file.h"
#include "text/template.h"
#include "text/tokenizer.h"

#define GOLDEN    "tests/golden/data/prepare.json"
#define SETS      "tests/golden/data/sets"
#define TOKENIZER "tests/golden/tokenizers/smollm2"

#define NAMES_MAX 8

/* A tokenizer, a template and parameters for one data set. */
struct setting {
    struct tokenizer *tok;
    struct template *tmpl;
    struct prepare_params params;
    const char *names[NAMES_MAX], *eval_names[NAMES_MAX];
};

static void setting_open(struct setting *s, const char *cache_dir)
{
    struct template_params params = { .name = "smollm2", .enable_thinking = 1 };
    struct error err;

    if (s->params.cutoff_len == 0)
        s->params.cutoff_len = 256;
    if (!s->params.dataset_dir)
        s->params.dataset_dir = SETS;
    s->params.dataset = s->names;
    s->params.eval_dataset = s->eval_names;
    s->params.cache_dir = cache_dir;
    s->params.seed = 42;
    if (s->params.budget_bytes == 0)
        s->params.budget_bytes = (size_t)1 << 30;
    params.cutoff_len = prepare_cutoff(&s->params);
    if (tokenizer_open(&s->tok, TOKENIZER, &err) < 0 ||
        template_open(&s->tmpl, &params, s->tok, &err) < 0)
        BUG("%s", err.msg);
    s->params.template = s->tmpl;
}

static void setting_close(struct setting *s)
{
    template_close(s->tmpl);
    tokenizer_close(s->tok);
}

/* "a,b" into names; text is kept. */
static int list(const json_t *entry, const char *key, const char **names)
{
    const json_t *array = json_object_get(entry, key);
    size_t i;

    for (i = 0; i < json_array_size(array) && i < NAMES_MAX; i++)
        names[i] = json_string_value(json_array_get(array, i));
    return (int)i;
}

/* Hash of all rows of all parts: ids, labels, bounds, counts. 0 when a row cannot be read. */
static uint64_t fold(uint64_t h, int64_t v)
{
    return h * 1099511628211u + (uint64_t)v;
}

static uint64_t hash_set(const struct sample_store *store, const struct sample_set *set)
{
    const size_t longest = (size_t)set->max_length + 2;
    int32_t *ids = calloc(longest, sizeof(*ids)), *labels = calloc(longest, sizeof(*labels));
    int32_t *bounds = calloc(longest, sizeof(*bounds));
    struct error err;
    uint64_t h = 0;
    size_t i;
    int32_t k;

    for (i = 0; i < set->count; i++) {
        if (sample_store_read(store, set, i, ids, labels, bounds, &err) < 0) {
            (void)printf("%s\n", err.msg);
            h = 0;
            break;
        }
        h = fold(h, set->length[i]);
        for (k = 0; k < set->length[i]; k++)
            h = fold(fold(h, ids[k]), labels[k]);
        for (k = 0; k <= set->segments[i]; k++)
            h = fold(h, bounds[k]);
        h = fold(h, set->labelled[i]);
    }
    free(ids);
    free(labels);
    free(bounds);
    return h;
}

static int same_sets(const struct sample_store *store, const json_t *want)
{
    size_t i;

    if ((size_t)store->set_count != json_array_size(want))
        return 0;
    for (i = 0; i < json_array_size(want); i++) {
        const json_t *entry = json_array_get(want, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        const struct sample_set *set = sample_store_set(store, name);
        char text[17];

        if (!set || (int64_t)set->count != json_integer_value(json_object_get(entry, "rows")))
            return 0;
        (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash_set(store, set));
        if (strcmp(text, json_string_value(json_object_get(entry, "hash"))) != 0) {
            (void)printf("set '%s' differs\n", name);
            return 0;
        }
    }
    return 1;
}

static void setting_from(struct setting *s, const json_t *entry)
{
    struct prepare_params *p = &s->params;

    p->dataset_count = list(entry, "dataset", s->names);
    p->eval_dataset_count = list(entry, "eval_dataset", s->eval_names);
    p->eval_on_each_dataset = json_is_true(json_object_get(entry, "eval_on_each_dataset"));
    p->max_samples = json_integer_value(json_object_get(entry, "max_samples"));
    p->val_size = json_number_value(json_object_get(entry, "val_size"));
    p->cutoff_len = (int)json_integer_value(json_object_get(entry, "cutoff_len"));
    p->packing = json_is_true(json_object_get(entry, "neat_packing")) ? PACKING_NEAT
                 : json_is_true(json_object_get(entry, "packing"))    ? PACKING_PLAIN
                                                                      : PACKING_OFF;
    p->preprocessing_batch_size =
        (int)json_integer_value(json_object_get(entry, "preprocessing_batch_size"));
    p->preprocessing_num_workers =
        (int)json_integer_value(json_object_get(entry, "preprocessing_num_workers"));
}

static void stores_equal_the_reference_on_any_number_of_ranks(struct dist *dist)
{
    struct error err = { { 0 } };
    json_t *golden = json_parse_file(GOLDEN, &err);
    const json_t *cases = json_object_get(golden, "cases");
    char folder[64];
    size_t i;

    assert_all_ranks(dist, json_array_size(cases) > 3);
    mpi_test_folder(dist, folder);
    for (i = 0; i < json_array_size(cases); i++) {
        const json_t *entry = json_array_get(cases, i);
        struct setting s = { 0 };
        struct sample_store store;

        setting_from(&s, entry);
        s.params.budget_bytes = i % 2 ? 1 : 0;
        setting_open(&s, folder);
        assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
        assert_all_ranks(dist, !store.reused && (i % 2 == 0) == (store.ids != NULL));
        assert_all_ranks(dist, same_sets(&store, json_object_get(entry, "sets")));
        sample_store_close(&store);
        assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
        assert_all_ranks(dist, store.reused);
        assert_all_ranks(dist, same_sets(&store, json_object_get(entry, "sets")));
        sample_store_close(&store);
        setting_close(&s);
    }
    json_decref(golden);
    mpi_test_folder_remove(dist, folder);
}

static void one_set(struct setting *s, const char *name)
{
    s->names[0] = name;
    s->params.dataset_count = 1;
}

/* A rank alone: its own communicator, as if it were a run of one. */
static struct dist alone(const struct dist *dist)
{
    struct dist one = *dist;

    one.comm = MPI_COMM_SELF;
    one.node_comm = MPI_COMM_SELF;
    one.rank = one.node_rank = one.node = 0;
    one.size = one.node_size = one.node_count = 1;
    return one;
}

static void the_file_has_the_same_bytes_from_one_rank(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct error err = { { 0 } };
    struct hash all = { 0, 0 }, single = { 1, 1 };
    char folder[64], other[64];
    int ok = 1;

    mpi_test_folder(dist, folder);
    mpi_test_folder(dist, other);
    one_set(&s, "chats");
    setting_open(&s, folder);
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    if (dist->rank == 0)
        ok = hash_file(&all, store.path, &err) == 0;
    sample_store_close(&store);
    if (dist->rank == dist->size - 1) {
        const struct dist one = alone(dist);

        s.params.cache_dir = other;
        ok = ok && prepare_samples(&store, &s.params, NULL, &one, &err) == 0 &&
             hash_file(&single, store.path, &err) == 0;
        sample_store_close(&store);
    }
    dist_bcast(dist, &all, sizeof(all), 0);
    dist_bcast(dist, &single, sizeof(single), dist->size - 1);
    assert_all_ranks(dist, ok && hash_equal(all, single));
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
    mpi_test_folder_remove(dist, other);
}

/* Writes dataset_info.json and rows.jsonl into a folder. */
static void write_set(const struct dist *dist, const char *folder, const char *rows)
{
    const char *info = "{\"rows\": {\"file_name\": \"rows.jsonl\"}}";
    struct error err;
    char path[128];

    if (dist->rank == 0) {
        (void)snprintf(path, sizeof(path), "%s/dataset_info.json", folder);
        if (file_write(path, info, strlen(info), &err) < 0)
            BUG("%s", err.msg);
        (void)snprintf(path, sizeof(path), "%s/rows.jsonl", folder);
        if (file_write(path, rows, strlen(rows), &err) < 0)
            BUG("%s", err.msg);
    }
    dist_barrier(dist);
}

#define ROW(text) "{\"instruction\": \"say\", \"input\": \"\", \"output\": \"" text "\"}\n"

static void one_row_is_enough_for_many_ranks(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct prepare_report report;
    struct error err = { { 0 } };
    char folder[64];

    mpi_test_folder(dist, folder);
    write_set(dist, folder, ROW("only"));
    one_set(&s, "rows");
    s.params.dataset_dir = folder;
    setting_open(&s, folder);
    assert_all_ok(dist, prepare_samples(&store, &s.params, &report, dist, &err), &err);
    assert_all_ranks(dist, store.samples == 1 && report.source_rows == 1);
    assert_all_ranks(dist, sample_store_set(&store, "train")->count == 1);
    assert_all_ranks(dist, !sample_store_set(&store, "eval"));
    sample_store_close(&store);
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
}

static void a_bad_row_is_named_or_skipped(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct error err = { { 0 } };
    char folder[64];

    mpi_test_folder(dist, folder);
    write_set(dist, folder,
              ROW("1") ROW("2") "\n" ROW("3") "{\"instruction\": \n" ROW("4") ROW("5") ROW("6"));
    one_set(&s, "rows");
    s.params.dataset_dir = folder;
    setting_open(&s, folder);
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "rows.jsonl: row 4 (line 5): the row:1:") != NULL);
    s.params.skip_bad_samples = 1;
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    assert_all_ranks(dist, store.samples == 6 && store.skipped == 1);
    sample_store_close(&store);
    s.params.skip_bad_samples = 0; // what was skipped then is an error now
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
}

static void sets_without_a_usable_row_are_refused(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct error err = { { 0 } };
    char folder[64];

    mpi_test_folder(dist, folder);
    write_set(dist, folder, "{\"instruction\": \"a\"}\n{\"instruction\": \"b\"}\n");
    one_set(&s, "rows");
    s.params.dataset_dir = folder;
    setting_open(&s, folder);
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "none of the 2 rows for 'train' can be used") &&
                               strstr(err.msg, "row 1 (line 1): no reply in column 'output'"));
    write_set(dist, folder, "\n");
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "has no rows") != NULL);
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
}

/* What a plan is made of. */
static struct hash counts_of(const struct sample_store *store)
{
    struct hash h = hash_bytes(&store->max_id, sizeof(store->max_id));

    h = hash_chain(h, store->offset, (store->samples + 1) * sizeof(*store->offset));
    for (int i = 0; i < store->set_count; i++) {
        const struct sample_set *set = &store->sets[i];

        h = hash_chain(h, set->name, strlen(set->name));
        h = hash_chain(h, set->length, set->count * sizeof(*set->length));
        h = hash_chain(h, set->labelled, set->count * sizeof(*set->labelled));
        h = hash_chain(h, set->segments, set->count * sizeof(*set->segments));
        h = hash_chain(h, set->member, set->first[set->count] * sizeof(*set->member));
    }
    return h;
}

static void tokenized_path_is_used_only_with_its_key(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct error err = { { 0 } };
    struct hash counted, written;
    char folder[64], finished[128];

    mpi_test_folder(dist, folder);
    (void)snprintf(finished, sizeof(finished), "%s/finished", folder);
    write_set(dist, folder, ROW("1") ROW("2"));
    one_set(&s, "rows");
    s.params.dataset_dir = folder;
    s.params.tokenized_path = finished;
    s.params.dry_run = 1;
    setting_open(&s, folder);
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    assert_all_ranks(dist, !folder_exists(finished) && !store.file);
    counted = counts_of(&store);
    sample_store_close(&store);
    s.params.dry_run = 0;
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    written = counts_of(&store);
    assert_all_ranks(dist, hash_equal(counted, written));
    sample_store_close(&store);
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    assert_all_ranks(dist, store.reused && store.samples == 2);
    sample_store_close(&store);
    write_set(dist, folder, ROW("1") ROW("3"));
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "made from other data or settings") != NULL);
    s.params.overwrite_cache = 1;
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    assert_all_ranks(dist, !store.reused);
    sample_store_close(&store);
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
}

static void a_damaged_store_is_made_again(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct error err = { { 0 } };
    char folder[64], path[256];

    mpi_test_folder(dist, folder);
    one_set(&s, "chats");
    setting_open(&s, folder);
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    (void)snprintf(path, sizeof(path), "%s", store.path);
    sample_store_close(&store);
    dist_barrier(dist);
    if (dist->rank == 0) {
        FILE *f = fopen(path, "r+b");

        if (!f || fseek(f, 3000, SEEK_SET) != 0 || fputc('x', f) == EOF || fclose(f) != 0)
            BUG("cannot damage the store");
    }
    dist_barrier(dist);
    assert_all_ok(dist, prepare_samples(&store, &s.params, NULL, dist, &err), &err);
    assert_all_ranks(dist, !store.reused);
    sample_store_close(&store);
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
}

/* One sample of three tokens in one row; what is wrong with it is up to the caller. */
struct made {
    int64_t offset[2], member, first[2], cutoff_len, max_id;
    int32_t labelled, ids[3], labels[3];
};

static int put(struct h5file *file, const struct dist *dist, const char *name, enum h5type type,
               uint64_t total, const void *data, struct error *err)
{
    return h5file_write(file, name, type, total, 0, dist->rank == 0 ? total : 0, data, err);
}

static int write_made(const struct made *m, const char *path, const struct dist *dist,
                      struct error *err)
{
    const char *key = "00000000000000010000000000000002";
    const int64_t source = 0;
    const unsigned char leading = 0;
    struct h5file *file = NULL;
    int rc = -1;

    if (h5file_create(&file, dist, path, err) == 0 &&
        h5file_put_i64(file, "format", PREPARE_FORMAT, err) == 0 &&
        h5file_put_i64(file, "packing", 0, err) == 0 &&
        h5file_put_i64(file, "cutoff_len", m->cutoff_len, err) == 0 &&
        h5file_put_i64(file, "samples", 1, err) == 0 &&
        h5file_put_i64(file, "skipped", 0, err) == 0 &&
        h5file_put_i64(file, "dropped", 0, err) == 0 &&
        h5file_put_i64(file, "at_limit", 0, err) == 0 &&
        h5file_put_i64(file, "max_id", m->max_id, err) == 0 &&
        h5file_put_text(file, "key", key, strlen(key), err) == 0 &&
        h5file_put_text(file, "sets", "[\"train\"]", 9, err) == 0 &&
        put(file, dist, "offset", H5_INT64, 2, m->offset, err) == 0 &&
        put(file, dist, "source", H5_INT64, 1, &source, err) == 0 &&
        put(file, dist, "labelled", H5_INT32, 1, &m->labelled, err) == 0 &&
        put(file, dist, "leading", H5_UINT8, 1, &leading, err) == 0 &&
        put(file, dist, "ids", H5_INT32, 3, m->ids, err) == 0 &&
        put(file, dist, "labels", H5_INT32, 3, m->labels, err) == 0 &&
        put(file, dist, "set0_first", H5_INT64, 2, m->first, err) == 0 &&
        put(file, dist, "set0_member", H5_INT64, 1, &m->member, err) == 0)
        rc = h5file_publish(file, err);
    h5file_close(file);
    return rc;
}

static struct made good_store(void)
{
    return (struct made){ .offset = { 0, 3 },
                          .first = { 0, 1 },
                          .cutoff_len = 3,
                          .max_id = 9,
                          .labelled = 1,
                          .ids = { 1, 2, 9 },
                          .labels = { -100, -100, 9 } };
}

/* Opens and reads what was made: 1 when all is well. */
static int readable(const struct made *m, const char *path, const struct dist *dist)
{
    struct sample_store store;
    struct error err = { { 0 } };
    int32_t ids[3], labels[3], bounds[2];
    int ok;

    if (write_made(m, path, dist, &err) < 0)
        BUG("%s", err.msg);
    if (sample_store_open(&store, path, 0, dist, &err) < 0)
        return 0;
    ok = sample_store_read(&store, &store.sets[0], 0, ids, labels, bounds, &err) == 0;
    sample_store_close(&store);
    return ok;
}

static void stores_with_wrong_numbers_are_refused(struct dist *dist)
{
    struct made bad[8];
    char folder[64], path[128];
    int i;

    mpi_test_folder(dist, folder);
    (void)snprintf(path, sizeof(path), "%s/made.h5", folder);
    for (i = 0; i < 8; i++)
        bad[i] = good_store();
    bad[0].member = 1;
    bad[1].member = -1;
    bad[2].offset[1] = 4;
    bad[3].first[1] = 2;
    bad[4].cutoff_len = 2;
    bad[5].labelled = 3;
    bad[6].max_id = 8;
    bad[7].labels[1] = -7;
    for (i = 0; i < 8; i++) {
        const int ok = readable(&bad[i], path, dist);

        assert_all_ranks(dist, !ok);
    }
    bad[0] = good_store();
    i = readable(&bad[0], path, dist);
    assert_all_ranks(dist, i);
    mpi_test_folder_remove(dist, folder);
}

struct stopper {
    int calls, rank, mine;
};

static int stop_after(void *arg)
{
    struct stopper *s = arg;

    return s->mine == s->rank && --s->calls < 0;
}

static void a_stop_request_on_one_rank_ends_all(struct dist *dist)
{
    char folder[64];
    int calls;

    mpi_test_folder(dist, folder);
    for (calls = 0; calls < 4; calls++) {
        struct stopper stopper = { calls, dist->size - 1, dist->rank };
        struct setting s = { 0 };
        struct sample_store store;
        struct error err = { { 0 } };
        char **names = NULL;
        int count = 0;

        one_set(&s, "chats");
        s.params.stop = stop_after;
        s.params.stop_arg = &stopper;
        setting_open(&s, folder);
        assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) ==
                                   PREPARE_INTERRUPTED);
        assert_all_ranks(dist, folder_names(folder, &names, &count, &err) == 0 && count == 0);
        folder_names_free(names, count);
        setting_close(&s);
    }
    mpi_test_folder_remove(dist, folder);
}

static void mistakes_are_said_once_by_all(struct dist *dist)
{
    struct setting s = { 0 };
    struct sample_store store;
    struct error err = { { 0 } };
    char folder[64];

    mpi_test_folder(dist, folder);
    one_set(&s, "nothing");
    setting_open(&s, folder);
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "no data set 'nothing'") != NULL);
    s.params.dataset_dir = folder;
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "'dataset_dir' must be the folder") != NULL);
    write_set(dist, folder, "[{\"instruction\": \"a\", \"output\": \"b\"}, {");
    one_set(&s, "rows");
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "the file was cut off here") != NULL);
    s.params.val_size = 0.1;
    s.params.eval_dataset_count = 1;
    assert_all_ranks(dist, prepare_samples(&store, &s.params, NULL, dist, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "exclude each other") != NULL);
    setting_close(&s);
    mpi_test_folder_remove(dist, folder);
}

int main(void)
{
    static const struct mpi_test tests[] = {
        MPI_TEST(stores_equal_the_reference_on_any_number_of_ranks),
        MPI_TEST(the_file_has_the_same_bytes_from_one_rank),
        MPI_TEST(one_row_is_enough_for_many_ranks),
        MPI_TEST(a_bad_row_is_named_or_skipped),
        MPI_TEST(sets_without_a_usable_row_are_refused),
        MPI_TEST(tokenized_path_is_used_only_with_its_key),
        MPI_TEST(a_damaged_store_is_made_again),
        MPI_TEST(stores_with_wrong_numbers_are_refused),
        MPI_TEST(a_stop_request_on_one_rank_ends_all),
        MPI_TEST(mistakes_are_said_once_by_all),
    };

    return mpi_test_run(tests, MPI_TEST_COUNT(tests));
}
