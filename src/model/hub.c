/*
 * model/hub.c: the layout of the Hugging Face cache:
 *
 *     <cache>/models--Qwen--Qwen3-4B/refs/main                a commit
 *     <cache>/models--Qwen--Qwen3-4B/snapshots/<commit>/...   the files
 */
#include "model/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"

static int cache_root(struct strbuf *root, const char *cache_dir, struct error *err)
{
    const char *hub = getenv("HF_HUB_CACHE");
    const char *home = getenv("HF_HOME");
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *user = getenv("HOME");

    if (cache_dir)
        strbuf_puts(root, cache_dir);
    else if (hub && *hub)
        strbuf_puts(root, hub);
    else if (home && *home)
        strbuf_printf(root, "%s/hub", home);
    else if (xdg && *xdg)
        strbuf_printf(root, "%s/huggingface/hub", xdg);
    else
        strbuf_printf(root, "%s/.cache/huggingface/hub", user ? user : "");
    return strbuf_check(root, err);
}

/* "models--Qwen--Qwen3-4B" */
static void add_repository(struct strbuf *path, const char *name)
{
    strbuf_puts(path, "/models--");
    for (const char *c = name; *c; c++)
        if (*c == '/')
            strbuf_puts(path, "--");
        else
            strbuf_putc(path, *c);
}

/* The commit that refs/<revision> names, or the revision itself. */
static char *read_commit(const char *repository, const char *revision, struct error *err)
{
    struct strbuf path = { 0 };
    char *text = NULL;
    size_t len;

    strbuf_printf(&path, "%s/refs/%s", repository, revision);
    if (strbuf_check(&path, err) < 0 || !file_exists(path.text) ||
        file_read(path.text, &text, &len, err) < 0)
        text = mem_strdup(revision, err);
    else
        text[strcspn(text, " \r\n")] = '\0';
    strbuf_release(&path);
    return text;
}

int model_folder_find(char **folder, const char *name, const char *cache_dir, const char *revision,
                      struct error *err)
{
    struct strbuf path = { 0 };
    char *commit = NULL;
    int rc = -1;

    *folder = NULL;
    if (folder_exists(name)) {
        *folder = mem_strdup(name, err);
        return *folder ? 0 : -1;
    }
    if (name[0] == '/' || name[0] == '.' || file_exists(name)) {
        (void)error_set(err, "model_name_or_path: '%s' is no folder", name);
        goto out;
    }
    if (cache_root(&path, cache_dir, err) < 0)
        goto out;
    add_repository(&path, name);
    commit = strbuf_check(&path, err) < 0 ? NULL : read_commit(path.text, revision, err);
    if (!commit)
        goto out;
    strbuf_printf(&path, "/snapshots/%s", commit);
    if (strbuf_check(&path, err) < 0)
        goto out;
    if (!folder_exists(path.text)) {
        (void)error_set(err,
                        "model '%s' is no folder and is not in the cache ('%s'); fetch it with "
                        "'hf download %s%s%s', or give a folder as model_name_or_path",
                        name, path.text, name, strcmp(revision, "main") ? " --revision " : "",
                        strcmp(revision, "main") ? revision : "");
        goto out;
    }
    *folder = mem_strdup(path.text, err);
    rc = *folder ? 0 : -1;
out:
    free(commit);
    strbuf_release(&path);
    return rc;
}
