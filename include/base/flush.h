/*
 * base/flush.h: a file on its way to the disk while the caller goes on.
 *
 * One thread for each that waits for the disk and does nothing else. A path is
 * flushed, then the folder that holds it, so that name and content are both
 * there afterwards.
 *
 *     struct flush *flush = NULL;
 *     flush_start(&flush, path, &err);
 *     ...
 *     flush_wait(&flush, &err);     // -1: it did not get there
 *
 * Local.
 */
#ifndef BASE_FLUSH_H
#define BASE_FLUSH_H

#include "base/error.h"

struct flush;

/*
 * Begins; *flush must be NULL and is NULL afterwards on failure. Where no
 * thread is to be had it waits.
 */
int flush_start(struct flush **flush, const char *path, struct error *err);

/* Ends and frees what was begun, *flush is NULL then; NULL inside is no error. */
int flush_wait(struct flush **flush, struct error *err);

#endif
