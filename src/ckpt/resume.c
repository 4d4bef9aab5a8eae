/*
 * ckpt/resume.c: which state a run goes on from.
 *
 * Rank 0 lists what is there, everyone gets the list, and all ranks open one
 * state after the other together until one verifies and has the right key.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "ckpt_internal.h"

struct candidate {
    int64_t step;
    int rolling;
    char *path;
};

struct candidates {
    struct candidate *items;
    size_t count, cap;
};

static void candidates_release(struct candidates *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    free(list->items);
    *list = (struct candidates){ 0 };
}

/* Takes path. */
static int add_candidate(struct candidates *list, int64_t step, int rolling, char *path,
                         struct error *err)
{
    if (!path || mem_grow((void *)&list->items, &list->cap, list->count + 1, sizeof(*list->items),
                          err) < 0) {
        free(path);
        return -1;
    }
    list->items[list->count++] =
        (struct candidate){ .step = step, .rolling = rolling, .path = path };
    return 0;
}

/* Rolling states of output_dir. Local. */
static int add_rolling(struct candidates *list, const char *output_dir, struct error *err)
{
    char *folder = path_join(output_dir, CKPT_STATE_FOLDER, err);
    int64_t *steps = NULL;
    int count = 0;
    int rc = folder ? ckpt_steps(folder, "step-", ".h5", INT64_MAX, &steps, &count, err) : -1;

    for (int i = 0; i < count && rc == 0; i++)
        rc =
            add_candidate(list, steps[i], 1, ckpt_path(folder, "step-", steps[i], ".h5", err), err);
    free(steps);
    free(folder);
    return rc;
}

/* Checkpoint folders that hold a state; save_only_model leaves none. Local. */
static int add_folders(struct candidates *list, const char *output_dir, struct error *err)
{
    int64_t *steps = NULL;
    int count = 0;
    int rc = ckpt_steps(output_dir, "checkpoint-", "", INT64_MAX, &steps, &count, err);

    for (int i = 0; i < count && rc == 0; i++) {
        char *path = ckpt_path(output_dir, "checkpoint-", steps[i], "/" CKPT_STATE_FILE, err);

        if (path && !file_exists(path))
            free(path);
        else
            rc = add_candidate(list, steps[i], 0, path, err);
    }
    free(steps);
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;

    if (x->step != y->step)
        return x->step < y->step ? 1 : -1;
    return y->rolling - x->rolling;
}

/* All paths, newest first, each with its zero byte. Local: rank 0. */
static int list_paths(const char *output_dir, struct strbuf *paths, struct error *err)
{
    struct candidates list = { 0 };
    int rc = -1;

    if (ckpt_clean(output_dir, err) < 0 || add_rolling(&list, output_dir, err) < 0 ||
        add_folders(&list, output_dir, err) < 0)
        goto out;
    if (list.count > 0)
        qsort(list.items, list.count, sizeof(*list.items), newest_first);
    for (size_t i = 0; i < list.count; i++)
        strbuf_add(paths, list.items[i].path, strlen(list.items[i].path) + 1);
    rc = strbuf_check(paths, err);
out:
    candidates_release(&list);
    return rc;
}

/* The list on all ranks; the caller frees *paths. Collective. */
static int share_paths(const struct dist *dist, const char *output_dir, char **paths, size_t *len,
                       struct error *err)
{
    struct strbuf own = { 0 };
    int rc = dist->rank == 0 ? list_paths(output_dir, &own, err) : 0;

    *paths = NULL;
    rc = dist_agree(dist, rc, err);
    if (rc == 0) {
        if (dist->rank == 0) {
            *paths = mem_strndup(strbuf_text(&own), own.len, err);
            *len = own.len;
        }
        rc = dist_agree(dist, dist->rank != 0 || *paths ? 0 : -1, err);
    }
    if (rc == 0)
        rc = dist_bcast_text(dist, paths, len, 0, err);
    strbuf_release(&own);
    if (rc < 0) {
        free(*paths);
        *paths = NULL;
    }
    return rc;
}

static int key_fits(const struct ckpt_resume *resume, const struct hash *run_key)
{
    return !run_key || hash_equal(resume->state.run_key, *run_key);
}

/*
 * Tries one file; damage is a line in the log, not an error. The first whole
 * one of another run is kept in *other, in case nothing better comes. Collective.
 */
static int try_state(struct ckpt_resume *resume, struct ckpt_resume *other, const struct dist *dist,
                     const char *path, const struct hash *run_key, struct error *err)
{
    if (dist_agree(dist, file_can_be_read(path, err), err) < 0)
        return error_wrap(err, "a state that may be good: mend that, or move it away");
    if (ckpt_state_open(resume, dist, path, err) < 0) {
        if (error_is_memory(err))
            return -1; // says nothing about the file
        log_warn("%s; taking the state before it", err->msg);
        return 0;
    }
    if (key_fits(resume, run_key)) {
        resume->found = CKPT_FOUND;
    } else if (other->found == CKPT_NONE) {
        *other = *resume;
        other->found = CKPT_OTHER_RUN;
        *resume = (struct ckpt_resume){ 0 };
    } else {
        ckpt_resume_close(resume);
    }
    return 0;
}

int ckpt_resume_open(struct ckpt_resume *resume, const struct dist *dist, const char *output_dir,
                     const struct hash *run_key, struct error *err)
{
    struct ckpt_resume other = { 0 };
    char *paths;
    size_t len = 0;
    int rc, tried = 0;

    *resume = (struct ckpt_resume){ 0 };
    rc = share_paths(dist, output_dir, &paths, &len, err);
    if (rc < 0)
        return -1;
    for (size_t at = 0; at < len && rc == 0 && resume->found == CKPT_NONE;
         at += strlen(paths + at) + 1, tried++)
        rc = try_state(resume, &other, dist, paths + at, run_key, err);
    free(paths);
    if (rc == 0 && tried > 1 && resume->found == CKPT_NONE && other.found == CKPT_NONE)
        return error_set(err,
                         "none of the %d states in '%s' is whole, each for the reason above: mend "
                         "that, or remove them to start over",
                         tried, output_dir);
    if (rc == 0 && resume->found == CKPT_NONE)
        *resume = other;
    else
        ckpt_resume_close(&other);
    return rc;
}

/* The state file that path means: itself, or the one in that folder. Collective. */
static int state_path(const struct dist *dist, const char *path, char **file, struct error *err)
{
    size_t len = 0;
    int rc = 0;

    *file = NULL;
    if (dist->rank == 0) {
        if (folder_exists(path))
            *file = path_join(path, CKPT_STATE_FILE, err);
        else
            *file = mem_strdup(path, err);
        rc = *file ? 0 : -1;
        len = *file ? strlen(*file) : 0;
        if (rc == 0 && folder_exists(path) && !file_exists(*file))
            rc = error_set(err,
                           "cannot resume from '%s': it has no '" CKPT_STATE_FILE
                           "'; a checkpoint of save_only_model can only be given as "
                           "adapter_name_or_path",
                           path);
    }
    rc = dist_agree(dist, rc, err);
    if (rc == 0)
        rc = dist_bcast_text(dist, file, &len, 0, err);
    if (rc < 0) {
        free(*file);
        *file = NULL;
    }
    return rc;
}

int ckpt_resume_from(struct ckpt_resume *resume, const struct dist *dist, const char *path,
                     const struct hash *run_key, struct error *err)
{
    char *file;
    int rc;

    *resume = (struct ckpt_resume){ 0 };
    if (state_path(dist, path, &file, err) < 0)
        return -1;
    rc = ckpt_state_open(resume, dist, file, err);
    if (rc == 0)
        resume->found = key_fits(resume, run_key) ? CKPT_FOUND : CKPT_OTHER_RUN;
    free(file);
    return rc;
}

void ckpt_resume_close(struct ckpt_resume *resume)
{
    h5file_close(resume->file);
    for (int i = 0; i < CKPT_TEXTS; i++)
        free(resume->text_blocks[i]);
    free(resume->table_block);
    free(resume->tensor_block);
    free(resume->path);
    *resume = (struct ckpt_resume){ 0 };
}
