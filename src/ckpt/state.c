/*
 * ckpt/state.c: one state to and from an HDF5 file.
 *
 * While states are saved without waiting for the disk, the oldest one is not
 * removed but becomes the next one's space: writing over blocks and cached
 * pages that are there costs half of new ones, and rarely meets a full disk
 * (the log in it grows, and some file systems never write in place).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "ckpt_internal.h"

#define SLICE_ALIGN 65536 // elements; the chunk of files from before

static const char *const array_names[3] = { "params", "exp_avg", "exp_avg_sq" };

const char *ckpt_text_name(enum ckpt_text text)
{
    static const char *const names[CKPT_TEXTS] = { "config", "versions", "compute", "log",
                                                   "meters" };

    return names[text];
}

/* One line a tensor: offset, rows, columns, name. */
static int format_table(struct strbuf *table, const struct ckpt_state *state, struct error *err)
{
    for (int i = 0; i < state->tensor_count; i++) {
        const struct ckpt_tensor *tensor = &state->tensors[i];

        strbuf_printf(table, "%zu %d %d %s\n", tensor->offset, tensor->rows, tensor->cols,
                      tensor->name);
    }
    return strbuf_check(table, err);
}

static int put_numbers(struct h5whole *whole, const struct ckpt_state *state, struct error *err)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = { { "format", CKPT_FORMAT },
                    { "step", state->step },
                    { "epoch", state->epoch },
                    { "cursor", state->cursor },
                    { "tokens_seen", state->tokens_seen },
                    { "global_batch", state->global_batch } };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (h5whole_put_i64(whole, numbers[i].name, numbers[i].value, err) < 0)
            return -1;
    return 0;
}

static int put_texts(struct h5whole *whole, const struct ckpt_state *state, const char *table,
                     struct error *err)
{
    char key[HASH_TEXT_MAX];

    hash_text(state->run_key, key);
    if (h5whole_put_text(whole, "run_key", key, strlen(key), err) < 0 ||
        h5whole_put_text(whole, "tensors", table, strlen(table), err) < 0)
        return -1;
    for (int i = 0; i < CKPT_TEXTS; i++) {
        const char *text = state->texts[i] ? state->texts[i] : "";

        if (h5whole_put_text(whole, ckpt_text_name(i), text, strlen(text), err) < 0)
            return -1;
    }
    return 0;
}

static int put_arrays(struct h5whole *whole, const struct ckpt_state *state, struct error *err)
{
    const float *const arrays[3] = { state->params, state->exp_avg, state->exp_avg_sq };

    for (int i = 0; i < 3; i++)
        if (h5whole_put_array(whole, array_names[i], H5_FLOAT32, state->param_count, arrays[i],
                              err) < 0)
            return -1;
    return 0;
}

/* rc: whether this rank can. Collective. */
static int write_state(const struct dist *dist, int rc, const char *path,
                       const struct ckpt_state *state, const char *spare, int flush,
                       struct error *err)
{
    struct strbuf table = { 0 };
    struct h5whole *whole = NULL;

    dist_assert_same(dist, state->step);
    dist_assert_same(dist, state->param_count);
    if (rc == 0 && dist->rank == 0)
        rc = format_table(&table, state, err);
    if (rc == 0)
        rc = h5whole_open(&whole, dist, path, err);
    if (rc == 0 && (put_numbers(whole, state, err) < 0 ||
                    put_texts(whole, state, strbuf_text(&table), err) < 0 ||
                    put_arrays(whole, state, err) < 0))
        rc = -1;
    rc = h5whole_publish(whole, dist, rc, spare, flush, err);
    h5whole_close(whole);
    strbuf_release(&table);
    return rc;
}

int ckpt_save_state(const struct dist *dist, const char *folder, const struct ckpt_state *state,
                    struct error *err)
{
    char *path = path_join(folder, CKPT_STATE_FILE, err);
    int rc = write_state(dist, path ? 0 : -1, path, state, NULL, 1, err);

    free(path);
    return rc;
}

/* A backup may hold the same file under a name of its own. */
static int has_other_names(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 || st.st_nlink != 1;
}

/* Rolling states that are not worth keeping: one becomes spare, if not NULL. Local: rank 0. */
static int prune_rolling(const char *folder, int64_t step, const char *spare, struct error *err)
{
    int64_t *steps = NULL;
    int count = 0;
    int rc = ckpt_steps(folder, "step-", ".h5", step, &steps, &count, err);

    for (int i = CKPT_KEPT; i < count && rc == 0; i++) {
        char *path = ckpt_path(folder, "step-", steps[i], ".h5", err);

        if (!path)
            rc = -1;
        else if (!spare || file_exists(spare) || has_other_names(path) || rename(path, spare) < 0)
            (void)remove(path);
        free(path);
    }
    free(steps);
    return rc;
}

/* After a state was published. With flush, each node begins to flush what it wrote. Collective. */
static int keep_two(const struct dist *dist, const char *folder, const char *path,
                    const char *spare, int64_t step, struct flush **flush, struct error *err)
{
    int rc = 0;

    if (dist->rank == 0)
        rc = prune_rolling(folder, step, flush ? spare : NULL, err);
    if (rc == 0 && flush && dist->node_rank == 0)
        rc = flush_start(flush, path, err);
    return dist_agree(dist, rc, err);
}

/*
 * flush NULL: wait for the disk. Otherwise the new state is not there yet when
 * older ones go, so the one before it must be: its flush was begun a save ago
 * and is waited for by all nodes before anything is published. Collective.
 */
static int save_rolling(const struct dist *dist, const char *output_dir,
                        const struct ckpt_state *state, struct flush **flush, struct error *err)
{
    char *folder = path_join(output_dir, CKPT_STATE_FOLDER, err);
    char *path = folder ? ckpt_path(folder, "step-", state->step, ".h5", err) : NULL;
    char *spare = path ? path_join(folder, CKPT_SPARE_FILE, err) : NULL;
    struct error late;
    int rc = spare ? 0 : -1;

    if (rc == 0 && dist->rank == 0)
        rc = folder_make(folder, err);
    if (flush && flush_wait(flush, &late) < 0 && rc == 0) {
        *err = late;
        rc = -1;
    }
    rc = write_state(dist, rc, path, state, spare, flush == NULL, err);
    if (rc == 0)
        rc = keep_two(dist, folder, path, spare, state->step, flush, err);
    free(spare);
    free(path);
    free(folder);
    return rc;
}

int ckpt_save_rolling(const struct dist *dist, const char *output_dir,
                      const struct ckpt_state *state, struct error *err)
{
    return save_rolling(dist, output_dir, state, NULL, err);
}

int ckpt_save_rolling_soon(const struct dist *dist, const char *output_dir,
                           const struct ckpt_state *state, struct flush **flush, struct error *err)
{
    return save_rolling(dist, output_dir, state, flush, err);
}

static int parse_key(const char *text, struct hash *key)
{
    uint64_t words[2] = { 0 };

    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
        return -1;
    for (int i = 0; i < 32; i++) {
        char c = text[i];

        words[i / 16] = words[i / 16] << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *key = (struct hash){ .hi = words[0], .lo = words[1] };
    return 0;
}

/* A number followed by a space; moves *at behind it. */
static int parse_number(char **at, uint64_t limit, uint64_t *value)
{
    size_t digits = strspn(*at, "0123456789");

    if (digits == 0 || digits > 19 || (*at)[digits] != ' ')
        return -1;
    *value = strtoull(*at, NULL, 10);
    *at += digits + 1;
    return *value <= limit ? 0 : -1;
}

static int parse_tensor(char *line, uint64_t total, struct ckpt_tensor *tensor)
{
    uint64_t offset;
    uint64_t rows;
    uint64_t cols;

    if (parse_number(&line, total, &offset) < 0 || parse_number(&line, INT32_MAX, &rows) < 0 ||
        parse_number(&line, INT32_MAX, &cols) < 0 || rows * cols > total - offset)
        return -1;
    *tensor = (struct ckpt_tensor){
        .name = line, .rows = (int)rows, .cols = (int)cols, .offset = (size_t)offset
    };
    return 0;
}

/* Cuts the table's text into lines in place. */
static int parse_table(struct ckpt_resume *resume, struct error *err)
{
    struct ckpt_state *state = &resume->state;
    size_t cap = 0;
    char *line = resume->table_block;

    while (*line) {
        char *end = strchr(line, '\n');

        if (!end || state->tensor_count == INT32_MAX)
            goto bad;
        *end = '\0';
        if (mem_grow((void *)&resume->tensor_block, &cap, (size_t)state->tensor_count + 1,
                     sizeof(*resume->tensor_block), err) < 0)
            return -1;
        if (parse_tensor(line, state->param_count, &resume->tensor_block[state->tensor_count]) < 0)
            goto bad;
        state->tensor_count++;
        line = end + 1;
    }
    state->tensors = resume->tensor_block;
    return 0;
bad:
    return error_set(err, "cannot read '%s': its table of tensors is wrong at tensor %d",
                     resume->path, state->tensor_count + 1);
}

static int get_numbers(struct ckpt_resume *resume, struct error *err)
{
    struct ckpt_state *state = &resume->state;
    int64_t format;

    if (h5file_get_i64(resume->file, "format", &format, err) < 0)
        return -1;
    if (format != CKPT_FORMAT)
        return error_set(err, "cannot read '%s': its format is %lld, this program knows %d",
                         resume->path, (long long)format, CKPT_FORMAT);
    if (h5file_get_i64(resume->file, "step", &state->step, err) < 0 ||
        h5file_get_i64(resume->file, "epoch", &state->epoch, err) < 0 ||
        h5file_get_i64(resume->file, "cursor", &state->cursor, err) < 0 ||
        h5file_get_i64(resume->file, "tokens_seen", &state->tokens_seen, err) < 0 ||
        h5file_get_i64(resume->file, "global_batch", &state->global_batch, err) < 0)
        return -1;
    if (state->step < 0 || state->epoch < 0 || state->cursor < 0 || state->global_batch < 0)
        return error_set(err, "cannot read '%s': a count in it is negative", resume->path);
    return 0;
}

/*
 * When a machine dies, the new name of a spare may be on the disk and nothing
 * of what was written over it: the file is whole then, but an older state.
 */
static int check_step(const struct ckpt_resume *resume, struct error *err)
{
    const char *slash = strrchr(resume->path, '/');
    int64_t named = ckpt_step_of(slash ? slash + 1 : resume->path, "step-", ".h5");

    if (named < 0 || named == resume->state.step)
        return 0;
    return error_set(err, "cannot read '%s': it holds the state of step %lld", resume->path,
                     (long long)resume->state.step);
}

static int get_texts(struct ckpt_resume *resume, struct error *err)
{
    char *key = NULL;
    size_t len;
    int rc;

    if (h5file_get_text(resume->file, "run_key", &key, &len, err) < 0)
        return -1;
    rc = parse_key(key, &resume->state.run_key);
    free(key);
    if (rc < 0)
        return error_set(err, "cannot read '%s': its run key is none", resume->path);
    for (int i = 0; i < CKPT_TEXTS; i++) {
        if (h5file_get_text(resume->file, ckpt_text_name(i), &resume->text_blocks[i], &len, err) <
            0)
            return -1;
        resume->state.texts[i] = resume->text_blocks[i];
    }
    return h5file_get_text(resume->file, "tensors", &resume->table_block, &len, err);
}

static int check_arrays(struct ckpt_resume *resume, struct error *err)
{
    for (int i = 0; i < 3; i++) {
        uint64_t total;

        if (!h5file_find(resume->file, array_names[i], H5_FLOAT32, &total) ||
            (i > 0 && total != resume->state.param_count))
            return error_set(err, "cannot read '%s': its array '%s' is missing or of another size",
                             resume->path, array_names[i]);
        resume->state.param_count = (size_t)total;
    }
    return 0;
}

int ckpt_state_open(struct ckpt_resume *resume, const struct dist *dist, const char *path,
                    struct error *err)
{
    int rc;

    *resume = (struct ckpt_resume){ .dist = dist };
    resume->path = mem_strdup(path, err);
    rc = dist_agree(dist, resume->path ? 0 : -1, err);
    if (rc == 0)
        rc = h5file_open(&resume->file, dist, path, err);
    if (rc == 0) {
        if (get_numbers(resume, err) < 0 || check_step(resume, err) < 0 ||
            get_texts(resume, err) < 0 || check_arrays(resume, err) < 0 ||
            parse_table(resume, err) < 0)
            rc = -1;
        rc = dist_agree(dist, rc, err);
    }
    if (rc < 0)
        ckpt_resume_close(resume);
    return rc;
}

/* Reads this rank's part and fetches the others'. Collective. */
static int load_array(struct ckpt_resume *resume, const char *name, float *array,
                      const uint64_t *elements, uint64_t *bytes, struct error *err)
{
    const struct dist *dist = resume->dist;
    uint64_t first = elements[dist->rank];
    int rc = h5file_read(resume->file, name, H5_FLOAT32, first, elements[dist->rank + 1] - first,
                         array + first, err);

    if (dist_agree(dist, rc, err) < 0)
        return -1;
    for (int r = 0; r <= dist->size; r++)
        bytes[r] = elements[r] * sizeof(*array);
    dist_gather_pieces(dist, array, bytes);
    return 0;
}

/* A job that goes on writes over the states that it needs no more. Local: rank 0 looks. */
static int check_kept(const struct ckpt_resume *resume, struct error *err)
{
    if (resume->dist->rank != 0 || h5file_is_in_place(resume->file))
        return 0;
    return error_set(err, "cannot resume from '%s': it was replaced while it was read",
                     resume->path);
}

int ckpt_resume_arrays(struct ckpt_resume *resume, float *params, float *exp_avg, float *exp_avg_sq,
                       size_t n, struct error *err)
{
    const struct dist *dist = resume->dist;
    float *const arrays[3] = { params, exp_avg, exp_avg_sq };
    uint64_t *bounds;
    int rc;

    if (n != resume->state.param_count)
        return error_set(err, "cannot resume from '%s': it has %zu parameters, this run %zu",
                         resume->path, resume->state.param_count, n);
    bounds = mem_alloc(2 * ((size_t)dist->size + 1), sizeof(*bounds), err);
    rc = dist_agree(dist, bounds ? 0 : -1, err);
    if (rc == 0)
        dist_cut(dist, n, SLICE_ALIGN, bounds);
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = load_array(resume, array_names[i], arrays[i], bounds, bounds + dist->size + 1, err);
    free(bounds);
    return rc == 0 ? dist_agree(dist, check_kept(resume, err), err) : -1;
}
