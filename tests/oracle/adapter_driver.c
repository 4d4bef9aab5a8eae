/*
 * adapter_driver.c: makes, reads and writes adapter folders for adapter_roundtrip.py.
 *
 *     adapter_driver new TARGETS RANK ALPHA DROPOUT RSLORA FOLDER BASE <linears.txt
 *     adapter_driver copy FROM FOLDER BASE <linears.txt
 *
 * linears.txt has a line "name C O" for each linear module of the model. A new
 * adapter's B is filled with small numbers, so that it changes the model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lora/adapter.h"

#define NAME_MAX_LEN 255
#define TARGETS_MAX  64

static struct error err;

static int read_linears(struct lora_linear **linears)
{
    char name[NAME_MAX_LEN + 1];
    size_t cap = 0;
    int n = 0, C, O;

    while (scanf("%255s %d %d", name, &C, &O) == 3) {
        if (mem_grow(linears, &cap, (size_t)n + 1, sizeof(**linears), &err) < 0)
            return -1;
        (*linears)[n] = (struct lora_linear){ mem_strdup(name, &err), C, O };
        if (!(*linears)[n++].name)
            return -1;
    }
    return n;
}

static int make_new(struct adapter *adapter, char **argv, const struct lora_linear *linears, int n)
{
    const char *targets[TARGETS_MAX];
    struct lora_params params = {
        .lora_rank = (int)strtol(argv[3], NULL, 10),
        .lora_alpha = strtod(argv[4], NULL),
        .lora_dropout = strtod(argv[5], NULL),
        .use_rslora = argv[6][0] == '1',
        .targets = targets,
        .seed = 42,
    };

    for (char *name = strtok_r(argv[2], ",", &argv[2]); name && params.target_count < TARGETS_MAX;
         name = strtok_r(NULL, ",", &argv[2]))
        targets[params.target_count++] = name;
    if (adapter_open(adapter, &params, linears, n, &err) < 0)
        return -1;
    for (int m = 0; m < adapter->count; m++) {
        const struct lora_module *module = &adapter->modules[m];
        size_t count = (size_t)module->O * (size_t)adapter->R;

        for (size_t i = 0; i < count; i++)
            adapter->params[module->b_offset + i] = (float)(i % 17) / 100.0F - 0.08F;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct lora_linear *linears = NULL;
    struct adapter adapter = { 0 };
    int n = read_linears(&linears);
    int rc = -1;

    if (n > 0 && argc == 9 && strcmp(argv[1], "new") == 0)
        rc = make_new(&adapter, argv, linears, n);
    else if (n > 0 && argc == 5 && strcmp(argv[1], "copy") == 0)
        rc = adapter_load(&adapter, argv[2], linears, n, &err);
    if (rc == 0)
        rc = adapter_save(&adapter, NULL, argv[argc - 2], argv[argc - 1], &err);
    if (rc < 0)
        (void)fprintf(stderr, "error: %s\n", err.msg);
    adapter_close(&adapter);
    for (int i = 0; i < n; i++)
        free((void *)(uintptr_t)linears[i].name);
    free(linears);
    return rc < 0;
}
