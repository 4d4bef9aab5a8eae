/*
 * ckpt/folder.c: checkpoint-N appears whole, and old ones go.
 *
 * rename() cannot replace a folder that is not empty, so one of the same name
 * is moved aside first; a writer killed in between is made good by
 * ckpt_clean(). A folder that goes is renamed before it is emptied: no half
 * checkpoint is ever seen.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ckpt_internal.h"

/* Local: rank 0. */
static int make_folder(const struct ckpt_folder *folder, const char *output_dir, struct error *err)
{
    if (folder_make(output_dir, err) < 0 || ckpt_clean(output_dir, err) < 0)
        return -1;
    if (file_exists(folder->path))
        return error_set(err, "'%s' is left from a killed run and cannot be removed; remove it",
                         folder->path);
    return folder_make(folder->path, err);
}

int ckpt_folder_open(struct ckpt_folder *folder, const struct dist *dist, const char *output_dir,
                     int64_t step, struct error *err)
{
    int rc = -1;

    *folder = (struct ckpt_folder){ .dist = dist, .step = step };
    folder->path = ckpt_path(output_dir, ".checkpoint-", step, ".tmp", err);
    if (folder->path)
        folder->final_path = ckpt_path(output_dir, "checkpoint-", step, "", err);
    if (folder->final_path)
        rc = 0;
    if (rc == 0 && dist->rank == 0)
        rc = make_folder(folder, output_dir, err);
    folder->made = 1;
    rc = dist_agree(dist, rc, err);
    if (rc < 0)
        ckpt_folder_close(folder);
    return rc;
}

/* Everything in it is on disk before its name is. Local: rank 0. */
static int sync_folder(const char *path, struct error *err)
{
    char **names = NULL;
    int count = 0;
    int rc = 0;

    if (folder_names(path, &names, &count, err) < 0)
        return -1;
    for (int i = 0; i < count && rc == 0; i++) {
        char *child = path_join(path, names[i], err);

        if (!child)
            rc = -1;
        else
            rc = folder_exists(child) ? sync_folder(child, err) : file_sync(child, err);
        free(child);
    }
    folder_names_free(names, count);
    return rc < 0 ? -1 : file_sync(path, err);
}

/* output_dir/.checkpoint-N<suffix> for the folder output_dir/checkpoint-N. */
static char *hidden_name(const char *final_path, const char *suffix, struct error *err)
{
    const char *slash = strrchr(final_path, '/');
    size_t folder = slash ? (size_t)(slash - final_path) + 1 : 0;
    size_t len = strlen(final_path);
    char *hidden = mem_alloc(len + strlen(suffix) + 2, 1, err);

    if (!hidden)
        return NULL;
    memcpy(hidden, final_path, folder);
    hidden[folder] = '.';
    memcpy(hidden + folder + 1, final_path + folder, len - folder);
    memcpy(hidden + len + 1, suffix, strlen(suffix));
    return hidden;
}

/*
 * Removes the folder at path, which is or was that of final_path. It goes under a hidden name first, from which it never
 * comes back. A failure is said and no reason to end a run: what is left, the next cleaning tries. Local: rank 0.
 */
static void discard(const char *final_path, const char *path)
{
    struct error err;
    char *gone = hidden_name(final_path, ".gone", &err);

    if (!gone || folder_remove(gone, &err) < 0 || file_rename(path, gone, &err) < 0 ||
        folder_remove(gone, &err) < 0)
        log_warn("%s; it stays", err.msg);
    free(gone);
}

/* Local: rank 0. */
static int replace_folder(const struct ckpt_folder *folder, struct error *err)
{
    char *old = hidden_name(folder->final_path, ".old", err);
    struct error ignored; // the first failure is the one to tell
    int rc = -1;

    if (!old || sync_folder(folder->path, err) < 0)
        goto out;
    if (!file_exists(folder->final_path)) {
        rc = file_rename(folder->path, folder->final_path, err);
        goto out;
    }
    if (file_rename(folder->final_path, old, err) < 0)
        goto out;
    rc = file_rename(folder->path, folder->final_path, err);
    if (rc < 0)
        (void)file_rename(old, folder->final_path, &ignored);
    else
        discard(folder->final_path, old);
out:
    free(old);
    return rc;
}

int ckpt_folder_publish(struct ckpt_folder *folder, struct error *err)
{
    int rc = 0;

    if (folder->dist->rank == 0)
        rc = replace_folder(folder, err);
    rc = dist_agree(folder->dist, rc, err);
    if (rc == 0)
        folder->made = 0;
    return rc;
}

void ckpt_folder_close(struct ckpt_folder *folder)
{
    struct error ignored;

    if (folder->made && folder->dist->rank == 0 && folder->path)
        (void)folder_remove(folder->path, &ignored);
    free(folder->path);
    free(folder->final_path);
    *folder = (struct ckpt_folder){ 0 };
}

/* Local: rank 0. */
static int prune(const char *output_dir, int64_t step, int limit, struct error *err)
{
    int64_t *steps = NULL;
    int count = 0;
    int kept = 0;
    int rc = ckpt_steps(output_dir, "checkpoint-", "", step, &steps, &count, err);

    for (int i = 0; i < count && rc == 0; i++) {
        char *path = ckpt_path(output_dir, "checkpoint-", steps[i], "", err);

        if (!path)
            rc = -1;
        else if (kept < limit)
            kept++;
        else
            discard(path, path);
        free(path);
    }
    free(steps);
    return rc;
}

int ckpt_prune(const struct dist *dist, const char *output_dir, int64_t step, int limit,
               struct error *err)
{
    int rc = 0;

    if (limit <= 0)
        return 0;
    if (dist->rank == 0)
        rc = prune(output_dir, step, limit < CKPT_KEPT ? CKPT_KEPT : limit, err);
    return dist_agree(dist, rc, err);
}

int ckpt_forget(const struct dist *dist, const char *output_dir, struct error *err)
{
    char *folder = path_join(output_dir, CKPT_STATE_FOLDER, err);
    int rc = folder ? 0 : -1;

    if (rc == 0 && dist->rank == 0)
        rc = folder_remove(folder, err);
    free(folder);
    return dist_agree(dist, rc, err);
}
