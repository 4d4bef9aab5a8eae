/*
 * bench/tokenizer_encode.c: encodes a file of texts; says how fast.
 *
 *     tokenizer_encode FOLDER TEXTS [IDS [REPEAT [SPLIT]]]
 *
 * TEXTS holds records: length in bytes as a 32-bit little-endian number, then
 * the text. IDS ("-" for none) gets for each text the number of ids and the
 * ids, all 32-bit; a text that is refused gets the number 0xFFFFFFFF. The
 * last of REPEAT passes (1) is the one that is timed, in CPU time; SPLIT 1 takes special
 * tokens as text. tests/oracle/tokenizer_compare.py runs it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "text/tokenizer.h"

struct job {
    const char *folder, *texts, *ids;
    long repeat;
    int split;
};

/* CPU time of this process: other work on the machine does not count. */
static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The record at *at; 0 at the end. */
static int next_text(const struct file_map *map, size_t *at, const char **text, size_t *len)
{
    uint32_t n;

    if (map->len - *at < sizeof(n))
        return 0;
    memcpy(&n, map->bytes + *at, sizeof(n));
    *at += sizeof(n);
    if (n > map->len - *at)
        return 0;
    *text = (const char *)map->bytes + *at;
    *len = n;
    *at += n;
    return 1;
}

static void write_ids(FILE *out, const struct token_list *ids, int rc)
{
    uint32_t n = rc < 0 ? UINT32_MAX : (uint32_t)ids->n;

    (void)fwrite(&n, sizeof(n), 1, out);
    if (rc == 0)
        (void)fwrite(ids->v, sizeof(*ids->v), ids->n, out);
}

/* One pass over all texts; their bytes and ids are counted. */
static void pass(const struct tokenizer *tok, const struct file_map *map, const struct job *job,
                 FILE *out, size_t *bytes, size_t *tokens)
{
    struct token_list ids = { 0 };
    struct error err;
    const char *text;
    size_t len;
    size_t at = 0;

    *bytes = *tokens = 0;
    while (next_text(map, &at, &text, &len)) {
        int rc;

        ids.n = 0;
        rc = tokenizer_encode(tok, text, len, job->split, &ids, &err);
        *bytes += len;
        *tokens += ids.n;
        if (out)
            write_ids(out, &ids, rc);
    }
    token_list_release(&ids);
}

static int run(const struct job *job, struct error *err)
{
    struct tokenizer *tok = NULL;
    struct file_map map = { 0 };
    FILE *out = NULL;
    double start = cpu_s();
    double opened, took;
    size_t bytes, tokens;
    int rc = -1;

    if (tokenizer_open(&tok, job->folder, err) < 0 || file_map_open(&map, job->texts, err) < 0)
        goto out;
    opened = cpu_s() - start;
    for (long i = 1; i < job->repeat; i++)
        pass(tok, &map, job, NULL, &bytes, &tokens);
    start = cpu_s();
    pass(tok, &map, job, NULL, &bytes, &tokens);
    took = cpu_s() - start;
    if (strcmp(job->ids, "-") != 0) {
        out = fopen(job->ids, "wb");
        if (!out) {
            (void)error_set(err, "cannot write '%s'", job->ids);
            goto out;
        }
        pass(tok, &map, job, out, &bytes, &tokens);
    }
    printf("bytes=%zu tokens=%zu open_s=%.3f encode_s=%.4f MB_per_s=%.2f\n", bytes, tokens, opened,
           took, (double)bytes / 1e6 / took);
    rc = 0;
out:
    if (out && fclose(out) != 0)
        rc = error_set(err, "cannot write '%s'", job->ids);
    file_map_close(&map);
    tokenizer_close(tok);
    return rc;
}

int main(int argc, char **argv)
{
    struct job job = { .ids = "-", .repeat = 1 };
    struct error err;

    log_enable(1);
    if (argc < 3 || argc > 6) {
        (void)fprintf(stderr, "usage: tokenizer_encode FOLDER TEXTS [IDS [REPEAT [SPLIT]]]\n");
        return 2;
    }
    job.folder = argv[1];
    job.texts = argv[2];
    if (argc > 3)
        job.ids = argv[3];
    if (argc > 4)
        job.repeat = strtol(argv[4], NULL, 10);
    if (argc > 5)
        job.split = strtol(argv[5], NULL, 10) != 0;
    if (run(&job, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.msg);
        return 1;
    }
    return 0;
}
