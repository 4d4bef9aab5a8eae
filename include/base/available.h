/*
 * base/available.h: how much memory this process may still take.
 */
#ifndef BASE_AVAILABLE_H
#define BASE_AVAILABLE_H

#include <stddef.h>

/*
 * Bytes: the least of MemAvailable of the node and of the limits of the
 * control groups this process is in (a job under Slurm has one), versions 1
 * and 2, those above them included. What a group has in use is not taken off:
 * most of it are file pages, which give way. 0 when nothing can be told.
 *
 * root comes before each path that is read: "", or a folder of a test. Local.
 */
size_t available_bytes(const char *root);

#endif
