/*
 * ckpt/names.c: which files and folders are ours, and what killed writers left.
 *
 *   checkpoint-N          published
 *   .checkpoint-N.tmp     being written
 *   .checkpoint-N.old     being replaced: back to its name when that is free
 *   .checkpoint-N.gone    being removed
 *   state/step-N.h5       published
 *   state/spare.h5        was the oldest state, is written over by the next one
 *   state/step-N.h5.h5tmp-*, *.tmp-<pid>  being written
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ckpt_internal.h"

int64_t ckpt_step_of(const char *name, const char *prefix, const char *suffix)
{
    size_t len = strlen(prefix);
    const char *digits = name + len;
    size_t count;
    int64_t step = 0;

    if (strncmp(name, prefix, len) != 0)
        return -1;
    count = strspn(digits, "0123456789");
    if (count == 0 || count > 18 || strcmp(digits + count, suffix) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        step = step * 10 + (digits[i] - '0');
    return step;
}

char *ckpt_path(const char *folder, const char *prefix, int64_t step, const char *suffix,
                struct error *err)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%s%lld%s", prefix, (long long)step, suffix);
    return path_join(folder, name, err);
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x < y) - (x > y);
}

/* Turns ..., later ones first, into those up to step first. */
static int keep_order(int64_t *steps, int count, int64_t step, struct error *err)
{
    int64_t *sorted = mem_alloc((size_t)count, sizeof(*sorted), err);
    int later = 0;

    if (!sorted)
        return -1;
    qsort(steps, (size_t)count, sizeof(*steps), newest_first);
    while (later < count && steps[later] > step)
        later++;
    memcpy(sorted, steps + later, (size_t)(count - later) * sizeof(*steps));
    memcpy(sorted + (count - later), steps, (size_t)later * sizeof(*steps));
    memcpy(steps, sorted, (size_t)count * sizeof(*steps));
    free(sorted);
    return 0;
}

int ckpt_steps(const char *folder, const char *prefix, const char *suffix, int64_t step,
               int64_t **steps, int *count, struct error *err)
{
    char **names = NULL;
    int name_count = 0;
    int rc = -1;

    *steps = NULL;
    *count = 0;
    if (!folder_exists(folder))
        return 0;
    if (folder_names(folder, &names, &name_count, err) < 0)
        return -1;
    *steps = mem_alloc((size_t)name_count, sizeof(**steps), err);
    if (!*steps)
        goto out;
    for (int i = 0; i < name_count; i++) {
        int64_t found = ckpt_step_of(names[i], prefix, suffix);

        if (found >= 0)
            (*steps)[(*count)++] = found;
    }
    rc = *count > 0 ? keep_order(*steps, *count, step, err) : 0;
out:
    folder_names_free(names, name_count);
    if (rc < 0) {
        free(*steps);
        *steps = NULL;
        *count = 0;
    }
    return rc;
}

/* base/file.h's temporary names: anything.tmp-<digits>. */
static int is_file_temp(const char *name)
{
    const char *mark = strstr(name, ".tmp-");

    return mark && mark[5] != '\0' && mark[5 + strspn(mark + 5, "0123456789")] == '\0';
}

/* checkpoint-N was moved aside and its successor did not come. */
static int put_back(const char *output_dir, const char *old, int64_t step, struct error *err)
{
    char *final = ckpt_path(output_dir, "checkpoint-", step, "", err);
    int rc = -1;

    if (final)
        rc = file_exists(final) ? folder_remove(old, err) : file_rename(old, final, err);
    free(final);
    return rc;
}

static int clean_one(const char *output_dir, const char *name, struct error *err)
{
    int64_t old = ckpt_step_of(name, ".checkpoint-", ".old");
    int rc = 0;
    char *path;

    if (old < 0 && ckpt_step_of(name, ".checkpoint-", ".tmp") < 0 &&
        ckpt_step_of(name, ".checkpoint-", ".gone") < 0 && !is_file_temp(name))
        return 0;
    path = path_join(output_dir, name, err);
    if (!path)
        return -1;
    if (old >= 0)
        rc = put_back(output_dir, path, old, err);
    else if (folder_exists(path))
        rc = folder_remove(path, err);
    else if (unlink(path) < 0 && errno != ENOENT)
        rc = error_set(err, "cannot remove '%s': %s", path, strerror(errno));
    free(path);
    return rc;
}

/* What cannot be removed is said, and is in nobody's way. */
static int try_clean(int rc, struct error *err)
{
    if (rc == 0 || error_is_memory(err))
        return rc;
    log_warn("%s; going on without that", err->msg);
    return 0;
}

int ckpt_clean(const char *output_dir, struct error *err)
{
    char **names = NULL;
    char *state = NULL;
    int count = 0;
    int rc = 0;

    if (!folder_exists(output_dir))
        return 0;
    if (folder_names(output_dir, &names, &count, err) < 0)
        return try_clean(-1, err);
    for (int i = 0; i < count && rc == 0; i++)
        rc = try_clean(clean_one(output_dir, names[i], err), err);
    folder_names_free(names, count);
    if (rc < 0)
        return -1;
    state = path_join(output_dir, CKPT_STATE_FOLDER, err);
    if (!state)
        return -1;
    if (folder_exists(state))
        rc = try_clean(h5file_clean(state, 0.0, err), err);
    free(state);
    return rc;
}
