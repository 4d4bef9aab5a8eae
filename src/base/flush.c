/*
 * base/flush.c: fsync() in a thread.
 */
#include "base/flush.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"

struct flush {
    pthread_t thread;
    int begun;
    char *path, *folder;
    int rc;
    struct error err;
};

static void *flush_both(void *arg)
{
    struct flush *flush = arg;

    flush->rc = file_sync(flush->path, &flush->err);
    if (flush->rc == 0)
        flush->rc = file_sync(flush->folder, &flush->err);
    return NULL;
}

int flush_start(struct flush **out, const char *path, struct error *err)
{
    struct flush *flush = mem_alloc(1, sizeof(*flush), err);

    if (!flush)
        return -1;
    flush->path = mem_strdup(path, err);
    flush->folder = flush->path ? path_parent(path, err) : NULL;
    if (!flush->folder) {
        free(flush->path);
        free(flush);
        return -1;
    }
    flush->begun = pthread_create(&flush->thread, NULL, flush_both, flush) == 0;
    if (!flush->begun)
        (void)flush_both(flush);
    *out = flush;
    return 0;
}

int flush_wait(struct flush **slot, struct error *err)
{
    struct flush *flush = *slot;
    int rc;

    if (!flush)
        return 0;
    if (flush->begun)
        (void)pthread_join(flush->thread, NULL);
    rc = flush->rc;
    if (rc < 0)
        *err = flush->err;
    free(flush->folder);
    free(flush->path);
    free(flush);
    *slot = NULL;
    return rc;
}
