/*
 * ckpt_internal.h: names and places of states.
 */
#ifndef CKPT_INTERNAL_H
#define CKPT_INTERNAL_H

#include "ckpt/checkpoint.h"
#include "store/h5file.h"
#include "store/h5whole.h"

#define CKPT_STATE_FILE   "state.h5"
#define CKPT_STATE_FOLDER "state"
#define CKPT_SPARE_FILE   "spare.h5" // in it
#define CKPT_FORMAT       1

/* The number in prefix<digits>suffix, or -1 when name is not of that form. Local. */
int64_t ckpt_step_of(const char *name, const char *prefix, const char *suffix);

/* "<folder>/<prefix><step><suffix>" in a new string. Local. */
char *ckpt_path(const char *folder, const char *prefix, int64_t step, const char *suffix,
                struct error *err);

/*
 * Steps of all names in folder of that form, in the order in which they are
 * worth keeping: those up to step from the newest down, then later ones, which
 * another run left. A missing folder has none. The caller frees *steps. Local.
 */
int ckpt_steps(const char *folder, const char *prefix, const char *suffix, int64_t step,
               int64_t **steps, int *count, struct error *err);

/*
 * Removes or puts back what killed writers left in output_dir; what cannot be
 * is named in the log. -1: out of memory. Local: rank 0.
 */
int ckpt_clean(const char *output_dir, struct error *err);

/* The name under which a text is stored. Local. */
const char *ckpt_text_name(enum ckpt_text text);

/* Fills resume from the state file at path, all but found; keeps dist. Collective. */
int ckpt_state_open(struct ckpt_resume *resume, const struct dist *dist, const char *path,
                    struct error *err);

#endif
