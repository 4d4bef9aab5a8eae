/*
 * data/dataset.c: entries of dataset_info.json and the files they name.
 */
#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

/* A place in a struct for a name, its key, and its value when the group is left out. */
struct slot {
    size_t offset;
    const char *key;
    const char *fallback;
};

#define COLUMN(field, fallback)                                     \
    {                                                               \
        offsetof(struct dataset_columns, field), #field, (fallback) \
    }
#define TAG(field, fallback)                                          \
    {                                                                 \
        offsetof(struct dataset_tags, field), #field "_tag", fallback \
    }

static const struct slot column_slots[] = {
    COLUMN(prompt, "instruction"),
    COLUMN(query, "input"),
    COLUMN(response, "output"),
    COLUMN(history, NULL),
    COLUMN(messages, "conversations"),
    COLUMN(system, NULL),
    COLUMN(tools, NULL),
    COLUMN(images, NULL),
    COLUMN(videos, NULL),
    COLUMN(audios, NULL),
    COLUMN(chosen, NULL),
    COLUMN(rejected, NULL),
    COLUMN(kto_tag, NULL),
};

static const struct slot tag_slots[] = {
    TAG(role, "from"),     TAG(content, "value"),           TAG(user, "human"),
    TAG(assistant, "gpt"), TAG(observation, "observation"), TAG(function, "function_call"),
    TAG(system, "system"),
};

#define COLUMN_COUNT (sizeof(column_slots) / sizeof(column_slots[0]))
#define TAG_COUNT    (sizeof(tag_slots) / sizeof(tag_slots[0]))

static char **place(void *base, const struct slot *slot)
{
    return (char **)((char *)base + slot->offset);
}

/* group: the object "columns" or "tags", NULL when the entry has none. */
static int read_slots(void *base, const struct slot *slots, size_t count, const json_t *group,
                      struct error *err)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const char *text = group ? NULL : slots[i].fallback;
        char **out = place(base, &slots[i]);

        if (group && json_get_string(group, slots[i].key, &text, err) < 0)
            return -1;
        if (text && !(*out = mem_strdup(text, err)))
            return -1;
    }
    return 0;
}

static void free_slots(void *base, const struct slot *slots, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        free(*place(base, &slots[i]));
}

/* LLaMA-Factory ignores a key that it does not know; most often it is a typing error. */
static void warn_unknown(json_t *group, const struct slot *slots, size_t count,
                         const char *group_name, const char *set)
{
    void *at = json_object_iter(group);
    size_t i;

    for (; at; at = json_object_iter_next(group, at)) {
        for (i = 0; i < count; i++)
            if (strcmp(json_object_iter_key(at), slots[i].key) == 0)
                break;
        if (i == count)
            log_warn("data set '%s': '%s' has an unknown key '%s', which is ignored", set,
                     group_name, json_object_iter_key(at));
    }
}

static int read_formatting(struct dataset_info *info, const json_t *entry, struct error *err)
{
    static const char *const names[] = { "alpaca", "sharegpt", "openai" };
    const char *text = "alpaca";
    int i;

    if (json_get_string(entry, "formatting", &text, err) < 0)
        return -1;
    for (i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            info->formatting = (enum dataset_formatting)i;
            return 0;
        }
    }
    return error_set(err, "'formatting' is '%s'; give alpaca, sharegpt or openai", text);
}

/* Where the rows are, when it is not file_name: refused with the command that helps. */
static int refuse_remote(const json_t *entry, struct error *err)
{
    static const char *const hubs[] = { "hf_hub_url", "ms_hub_url", "om_hub_url" };
    const char *url = NULL;
    int i;

    for (i = 0; i < 3; i++) {
        if (json_get_string(entry, hubs[i], &url, err) < 0)
            return -1;
        if (!url)
            continue;
        if (i == 0)
            return error_set(err,
                             "it is on the Hugging Face hub; fetch it first: hf download "
                             "--repo-type dataset %s --local-dir FOLDER, then give its .json or "
                             ".jsonl as 'file_name' in place of '%s'",
                             url, hubs[i]);
        return error_set(err,
                         "it is on a hub ('%s': '%s'); download it first and give its .json or "
                         ".jsonl as 'file_name' in place of '%s'",
                         hubs[i], url, hubs[i]);
    }
    if (json_get_string(entry, "script_url", &url, err) < 0)
        return -1;
    if (url)
        return error_set(err,
                         "'script_url' is Python code and is not run; save the rows that '%s' "
                         "makes as .jsonl and give that as 'file_name'",
                         url);
    if (json_get_string(entry, "cloud_file_name", &url, err) < 0)
        return -1;
    if (url)
        return error_set(err,
                         "'cloud_file_name' is not read from here; download '%s' and give it as "
                         "'file_name'",
                         url);
    return 0;
}

/* What only other stages use. */
static int refuse_stages(const struct dataset_info *info, const json_t *entry, struct error *err)
{
    int ranking = 0;

    if (json_get_bool(entry, "ranking", &ranking, err) < 0)
        return -1;
    if (ranking)
        return error_set(err, "'ranking' is true: it is for stages dpo and rm, not for sft");
    if (info->columns.kto_tag)
        return error_set(err, "'columns' has 'kto_tag': it is for stage kto, not for sft");
    if (strcmp(info->split, "train") != 0)
        return error_set(err, "'split' is '%s'; a file has only the split 'train'", info->split);
    return 0;
}

static int check_columns(const struct dataset_info *info, struct error *err)
{
    const struct dataset_columns *c = &info->columns;

    if (info->formatting == DATASET_ALPACA) {
        if (!c->prompt && !c->query)
            return error_set(err, "'columns' names no 'prompt' and no 'query'");
        if (!c->response)
            return error_set(err, "'columns' names no 'response', so there is nothing to learn");
        return 0;
    }
    if (!c->messages)
        return error_set(err, "'columns' names no 'messages'");
    if (!info->tags.role || !info->tags.content)
        return error_set(err, "'tags' names no '%s'; what 'tags' omits is none",
                         info->tags.role ? "content_tag" : "role_tag");
    if (!info->tags.user || (!info->tags.assistant && !info->tags.function))
        return error_set(err, "'tags' names no '%s'; what 'tags' omits is none",
                         info->tags.user ? "assistant_tag" : "user_tag");
    return 0;
}

static int read_entry(struct dataset_info *info, const json_t *entry, struct error *err)
{
    const char *split = "train";
    const char *file_name = NULL;
    json_t *columns = NULL, *tags = NULL;

    info->num_samples = -1;
    if (read_formatting(info, entry, err) < 0 || json_get_string(entry, "split", &split, err) < 0 ||
        json_get_int(entry, "num_samples", &info->num_samples, 1, INT64_MAX / 16, err) < 0 ||
        json_get_object(entry, "columns", &columns, err) < 0 ||
        json_get_object(entry, "tags", &tags, err) < 0)
        return -1;
    if (read_slots(&info->columns, column_slots, COLUMN_COUNT, columns, err) < 0 ||
        read_slots(&info->tags, tag_slots, TAG_COUNT, tags, err) < 0)
        return -1;
    info->split = mem_strdup(split, err);
    if (!info->split || refuse_remote(entry, err) < 0 || refuse_stages(info, entry, err) < 0 ||
        check_columns(info, err) < 0 || json_need_string(entry, "file_name", &file_name, err) < 0)
        return -1;
    info->file_name = mem_strdup(file_name, err);
    return info->file_name ? 0 : -1;
}

static void list_names(json_t *all, struct strbuf *out)
{
    void *at = json_object_iter(all);
    int count = 0;

    for (; at && count < 20; at = json_object_iter_next(all, at), count++)
        strbuf_printf(out, "%s%s", count ? ", " : "", json_object_iter_key(at));
    if (at)
        strbuf_puts(out, ", ...");
}

static int unknown_name(json_t *all, const char *name, const char *file, struct error *err)
{
    struct strbuf names = { 0 };

    list_names(all, &names);
    (void)error_set(err, "%s: no data set '%s'; there are: %s", file, name, strbuf_text(&names));
    strbuf_release(&names);
    return -1;
}

int dataset_info_read(struct dataset_info *info, json_t *all, const char *name, const char *file,
                      struct error *err)
{
    const json_t *entry;

    *info = (struct dataset_info){ 0 };
    if (!json_is_object(all))
        return error_set(err, "%s: must be an object, not %s", file, json_kind(all));
    entry = json_object_get(all, name);
    if (!entry)
        return unknown_name(all, name, file, err);
    if (!json_is_object(entry))
        return error_set(err, "%s: data set '%s' must be an object, not %s", file, name,
                         json_kind(entry));
    info->name = mem_strdup(name, err);
    if (!info->name)
        return -1;
    if (read_entry(info, entry, err) < 0)
        return error_wrap(err, "%s: data set '%s'", file, name);
    return 0;
}

void dataset_info_warn(json_t *all, const char *name)
{
    json_t *entry = json_object_get(all, name);

    warn_unknown(json_object_get(entry, "columns"), column_slots, COLUMN_COUNT, "columns", name);
    warn_unknown(json_object_get(entry, "tags"), tag_slots, TAG_COUNT, "tags", name);
}

void dataset_info_release(struct dataset_info *info)
{
    free(info->name);
    free(info->file_name);
    free(info->split);
    free_slots(&info->columns, column_slots, COLUMN_COUNT);
    free_slots(&info->tags, tag_slots, TAG_COUNT);
    *info = (struct dataset_info){ 0 };
}

/* json and jsonl are read; the other types of LLaMA-Factory are refused with a way out. */
static int check_type(const char *path, struct error *err)
{
    static const char *const others[] = { "csv", "parquet", "arrow", "txt" };
    const char *base = strrchr(path, '/');
    const char *dot = strrchr(base ? base : path, '.');
    int i;

    if (dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".jsonl") == 0))
        return 0;
    for (i = 0; dot && i < 4; i++)
        if (strcmp(dot + 1, others[i]) == 0)
            return error_set(err,
                             "'%s' is a .%s file; only .json and .jsonl are read: save it as "
                             "JSON Lines, e.g. with pandas: read_%s(...).to_json(\"x.jsonl\", "
                             "orient=\"records\", lines=True, force_ascii=False)",
                             path, others[i],
                             i == 1   ? "parquet"
                             : i == 2 ? "feather"
                                      : "csv");
    return error_set(err, "'%s' is not a .json or .jsonl file", path);
}

static int add_path(char ***paths, int *count, char *path, struct error *err)
{
    size_t cap = (size_t)*count;

    if (!path)
        return -1;
    if (check_type(path, err) < 0 ||
        mem_grow(paths, &cap, (size_t)*count + 1, sizeof(**paths), err) < 0) {
        free(path);
        return -1;
    }
    (*paths)[(*count)++] = path;
    return 0;
}

static int list_folder(const char *folder, char ***paths, int *count, struct error *err)
{
    char **names = NULL;
    int i, total = 0, rc = -1;

    if (folder_names(folder, &names, &total, err) < 0)
        return -1;
    for (i = 0; i < total; i++) {
        if (names[i][0] == '.')
            continue;
        if (add_path(paths, count, path_join(folder, names[i], err), err) < 0)
            goto out;
    }
    if (*count == 0) {
        (void)error_set(err, "folder '%s' has no files", folder);
        goto out;
    }
    rc = 0;
out:
    folder_names_free(names, total);
    return rc;
}

int dataset_files(const struct dataset_info *info, const char *dataset_dir, char ***paths,
                  int *count, struct error *err)
{
    char *path = path_join(dataset_dir, info->file_name, err);
    int rc = -1;

    *paths = NULL;
    *count = 0;
    if (!path)
        return -1;
    if (folder_exists(path))
        rc = list_folder(path, paths, count, err);
    else if (!file_exists(path))
        (void)error_set(err, "no file '%s'; 'dataset_dir' is '%s'", path, dataset_dir);
    else
        rc = add_path(paths, count, mem_strdup(path, err), err);
    free(path);
    if (rc < 0) {
        dataset_files_free(*paths, *count);
        *paths = NULL;
        *count = 0;
        return error_wrap(err, "data set '%s'", info->name);
    }
    return 0;
}

void dataset_files_free(char **paths, int count)
{
    int i;

    for (i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}
