/*
 * base/edit_distance.c: three rows of the table of prefixes (Damerau 1964, Levenshtein 1966).
 */
#include "base/edit_distance.h"

#include <string.h>

static int smallest(int a, int b, int c)
{
    int m = a < b ? a : b;

    return m < c ? m : c;
}

int edit_distance(const char *a, const char *b)
{
    int row[3][EDIT_DISTANCE_MAX + 1];
    int *before = row[0], *last = row[1], *now = row[2], *spare;
    int m = (int)strnlen(a, EDIT_DISTANCE_MAX), n = (int)strnlen(b, EDIT_DISTANCE_MAX);

    for (int j = 0; j <= n; j++)
        last[j] = j;
    for (int i = 1; i <= m; i++) {
        now[0] = i;
        for (int j = 1; j <= n; j++) {
            now[j] = smallest(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smallest(now[j], before[j - 2] + 1, now[j]);
        }
        spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[n];
}
