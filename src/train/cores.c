/*
 * train/cores.c: how many threads a rank should have.
 */
#define _GNU_SOURCE // sched_getaffinity()
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/train_internal.h"

/* Where a rank may compute. */
struct place {
    int64_t node;
    cpu_set_t cores; // none: cannot be told
};

int cores_of_rank(const struct dist *dist, int *cores, struct error *err)
{
    struct place mine = { .node = dist->node };
    char *all;
    size_t bytes;
    int sharing = 0, own;

    if (sched_getaffinity(0, sizeof(mine.cores), &mine.cores) < 0)
        CPU_ZERO(&mine.cores);
    own = CPU_COUNT(&mine.cores) > 0 ? CPU_COUNT(&mine.cores) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (dist_gather_bytes(dist, &mine, sizeof(mine), &all, &bytes, NULL, err) < 0)
        return -1;
    for (size_t at = 0; at < bytes; at += sizeof(mine))
        sharing += memcmp(all + at, &mine, sizeof(mine)) == 0;
    free(all);
    *cores = own > sharing ? own / sharing : 1;
    return 0;
}
