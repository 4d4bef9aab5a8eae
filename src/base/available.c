/*
 * base/available.c: /proc/meminfo and the limits of control groups.
 */
#include "base/available.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { PATH = 4096 };

static size_t meminfo_available(const char *root)
{
    char line[PATH];
    unsigned long long kib = 0;
    FILE *file;

    (void)snprintf(line, sizeof(line), "%s/proc/meminfo", root);
    file = fopen(line, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (file)
        (void)fclose(file);
    return (size_t)kib * 1024;
}

/* The number in a group's file of its limit; SIZE_MAX where it says "max" or is not there. */
static size_t limit_in(const char *folder, const char *name)
{
    char path[PATH + 64];
    unsigned long long bytes;
    size_t limit = SIZE_MAX;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    if (file && fscanf(file, "%llu", &bytes) == 1)
        limit = (size_t)bytes;
    if (file)
        (void)fclose(file);
    return limit;
}

/* The least limit of the group and of those above it, up to where the groups are mounted. */
static size_t limit_of_group(const char *root, const char *mount, const char *group,
                             const char *name)
{
    char folder[PATH];
    size_t limit = SIZE_MAX, least;
    int top = snprintf(folder, sizeof(folder), "%s%s", root, mount);

    if (snprintf(folder + top, sizeof(folder) - (size_t)top, "%s", group) >= PATH - top)
        return SIZE_MAX;
    for (;;) {
        char *end = strrchr(folder, '/');

        least = limit_in(folder, name);
        limit = least < limit ? least : limit;
        if (!end || end < folder + top)
            return limit;
        *end = '\0';
    }
}

/* Lines of /proc/self/cgroup: number:controllers:group. Version 2 has number 0 and no controllers. */
static size_t group_limit(const char *root)
{
    char line[PATH];
    size_t limit = SIZE_MAX;
    FILE *file;

    (void)snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
    file = fopen(line, "r");
    while (file && fgets(line, sizeof(line), file)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        size_t least = SIZE_MAX;

        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (strcmp(line, "0:") == 0)
            least = limit_of_group(root, "/sys/fs/cgroup", group, "memory.max");
        else if (strstr(controllers + 1, "memory"))
            least = limit_of_group(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        limit = least < limit ? least : limit;
    }
    if (file)
        (void)fclose(file);
    return limit;
}

size_t available_bytes(const char *root)
{
    size_t node = meminfo_available(root), group = group_limit(root);

    return group < node ? group : node;
}
