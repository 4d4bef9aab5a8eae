/*
 * format/safetensors_folder.c: the weights of a model folder.
 */
#include "safetensors_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/json.h"

#define SINGLE_FILE "model.safetensors"
#define INDEX_FILE  "model.safetensors.index.json"
#define SHARDS_MAX  100000

static int open_file(struct safetensors *st, const char *path, struct error *err)
{
    if (safetensors_reserve(st, 1, err) < 0)
        return -1;
    st->paths[0] = mem_strdup(path, err);
    if (!st->paths[0] || file_map_open(&st->maps[0], path, err) < 0)
        return -1;
    return safetensors_read_headers(st, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The shards that the index names, sorted, each once; borrowed from map. */
static int shard_names(const json_t *map, const char *index, const char ***names, int *count,
                       struct error *err)
{
    size_t n = 0, unique = 0;
    const char **list = mem_alloc(json_object_size(map), sizeof(*list), err);
    const char *tensor;
    json_t *value;

    *names = list;
    if (!list)
        return -1;
    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        const char *shard = json_string_value(value);

        if (!shard || shard[0] == '\0' || shard[0] == '.' || strchr(shard, '/'))
            return error_set(err, "'%s': tensor '%s' is not in a file of this folder", index,
                             tensor);
        list[n++] = shard;
    }
    if (n == 0)
        return error_set(err, "'%s' names no tensor", index);
    qsort(list, n, sizeof(*list), compare_texts);
    for (size_t i = 0; i < n; i++) {
        if (unique == 0 || strcmp(list[unique - 1], list[i]) != 0)
            list[unique++] = list[i];
    }
    if (unique > SHARDS_MAX)
        return error_set(err, "'%s' names %zu shards; %d at most", index, unique, SHARDS_MAX);
    *count = (int)unique;
    return 0;
}

/* Every tensor of the index is in the shard it names. */
static int check_index(const struct safetensors *st, const json_t *map, const char *index,
                       struct error *err)
{
    const char *tensor;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        const struct safetensors_tensor *t = safetensors_find(st, tensor);
        const char *shard = json_string_value(value);
        const char *path = t ? st->paths[t->file] : "";
        const char *slash = strrchr(path, '/');

        if (strcmp(slash ? slash + 1 : path, shard) != 0)
            return error_set(err, "'%s': tensor '%s' is not in '%s'", index, tensor, shard);
    }
    return 0;
}

static int open_shards(struct safetensors *st, const char *folder, const char *index,
                       struct error *err)
{
    json_t *root = json_parse_file(index, err);
    const json_t *map = json_object_get(root, "weight_map");
    const char **names = NULL;
    int count = 0;
    int rc = -1;

    if (!root)
        return -1;
    if (!json_is_object(map)) {
        (void)error_set(err, "'%s' has no object 'weight_map'", index);
        goto out;
    }
    if (shard_names(map, index, &names, &count, err) < 0 || safetensors_reserve(st, count, err) < 0)
        goto out;
    for (int i = 0; i < count; i++) {
        st->paths[i] = path_join(folder, names[i], err);
        if (!st->paths[i] || file_map_open(&st->maps[i], st->paths[i], err) < 0)
            goto out;
    }
    if (safetensors_read_headers(st, err) < 0)
        goto out;
    rc = check_index(st, map, index, err);
out:
    free(names);
    json_decref(root);
    return rc;
}

static int has_file(const char *folder, const char *name)
{
    struct error err;
    char *path = path_join(folder, name, &err);
    int there = path && file_exists(path);

    free(path);
    return there;
}

static int say_none(const char *folder, struct error *err)
{
    if (has_file(folder, "pytorch_model.bin") || has_file(folder, "pytorch_model.bin.index.json"))
        return error_set(err,
                         "'%s' has its weights in pytorch_model.bin only; convert them: python -c "
                         "\"from transformers import AutoModelForCausalLM as M; "
                         "M.from_pretrained('%s', dtype='auto').save_pretrained('%s')\"",
                         folder, folder, folder);
    return error_set(err, "'%s' has no " SINGLE_FILE " and no " INDEX_FILE, folder);
}

static int open_folder(struct safetensors *st, const char *folder, struct error *err)
{
    char *single = path_join(folder, SINGLE_FILE, err);
    char *index = path_join(folder, INDEX_FILE, err);
    int rc = -1;

    if (!single || !index)
        goto out;
    if (file_exists(single))
        rc = open_file(st, single, err);
    else if (file_exists(index))
        rc = open_shards(st, folder, index, err);
    else
        rc = say_none(folder, err);
out:
    free(single);
    free(index);
    return rc;
}

int safetensors_open(struct safetensors *st, const char *path, struct error *err)
{
    int rc;

    *st = (struct safetensors){ 0 };
    rc = folder_exists(path) ? open_folder(st, path, err) : open_file(st, path, err);
    if (rc < 0)
        safetensors_close(st);
    return rc;
}
