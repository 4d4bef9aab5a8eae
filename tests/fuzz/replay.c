/*
 * replay.c: runs a fuzz target over stored inputs, without a fuzzer.
 *
 *     replay_<reader> FILE|FOLDER ...
 *
 * Each input is tried as it is, cut short at up to 32 places, and with single
 * bytes changed at up to 96; places and values are always the same. Built
 * with a sanitizer this finds reads past the end. Ends with the number of
 * inputs; status 1 when there were none or one could not be read.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CUTS    32
#define CHANGES 96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long inputs;

/* The input in a block of exactly its size, so that a sanitizer sees its end. */
static void try_one(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, bytes, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    inputs++;
}

static void try_variants(uint8_t *bytes, size_t len)
{
    uint32_t x = 2463534242u;

    try_one(bytes, len);
    for (size_t i = 0; i < CUTS && i < len; i++)
        try_one(bytes, len <= CUTS ? i : i * len / CUTS);
    for (int i = 0; i < CHANGES && len > 0; i++) {
        x ^= x << 13; // xorshift32
        x ^= x >> 17;
        x ^= x << 5;
        size_t at = x % len;
        uint8_t was = bytes[at];
        bytes[at] = (uint8_t)(x >> 24);
        try_one(bytes, len);
        bytes[at] = was;
    }
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    long len = -1;
    uint8_t *bytes = NULL;
    int rc = -1;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0)
        goto out;
    rewind(file);
    bytes = malloc((size_t)len + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)len, file) != (size_t)len)
        goto out;
    try_variants(bytes, (size_t)len);
    rc = 0;
out:
    if (rc < 0)
        (void)fprintf(stderr, "cannot read '%s'\n", path);
    if (file != NULL)
        (void)fclose(file);
    free(bytes);
    return rc;
}

static int replay(const char *path)
{
    struct stat st;
    DIR *folder;
    int rc = 0;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return replay_file(path);
    folder = opendir(path);
    if (folder == NULL)
        return -1;
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        char name[4096];
        int n = snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.' && (n < 0 || n >= (int)sizeof(name) || replay(name) < 0))
            rc = -1;
    }
    (void)closedir(folder);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc; i++)
        if (replay(argv[i]) < 0)
            rc = -1;
    (void)printf("%ld inputs\n", inputs);
    return rc < 0 || inputs == 0;
}
