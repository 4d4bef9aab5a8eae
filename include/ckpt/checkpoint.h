/*
 * ckpt/checkpoint.h: saving and resuming a whole run.
 *
 * A state is one HDF5 file (docs/formats.md): counters, run key, texts, the
 * table of tensors, and three flat arrays: adapter parameters and AdamW's two
 * moments. It holds no trace of how many ranks wrote it. States live in two
 * places under the output folder:
 *
 *   state/step-N.h5          the rolling state, saved often, two are kept
 *   checkpoint-N/state.h5    beside a PEFT adapter, at the user's save_steps
 *
 * Both appear whole or not at all. ckpt_resume() looks at both and takes the
 * newest that verifies and has this run's key.
 *
 *     save:    ckpt_save_rolling(dist, output_dir, &state, &err)
 *
 *     folder:  struct ckpt_folder folder = { 0 };
 *              if (ckpt_folder_open(&folder, dist, output_dir, step, &err) == 0) {
 *                  rc = rank == 0 ? adapter_save(..., folder.path, ...) : 0;
 *                  if (dist_agree(dist, rc, &err) == 0 &&
 *                      (save_only_model ||
 *                       ckpt_save_state(dist, folder.path, &state, &err) == 0))
 *                      rc = ckpt_folder_publish(&folder, &err);
 *              }
 *              ckpt_folder_close(&folder);    // removes it when not published
 *              ckpt_prune(dist, output_dir, step, save_total_limit, &err);
 *
 *     resume:  struct ckpt_resume resume = { 0 };
 *              if (ckpt_resume_open(&resume, dist, output_dir, &run_key, &err) < 0) ...
 *              if (resume.found == CKPT_FOUND)
 *                  rc = ckpt_resume_arrays(&resume, params, exp_avg, exp_avg_sq, n, &err);
 *              ckpt_resume_close(&resume);
 *
 * After a failed save (full disk) nothing partial is visible, the states from
 * before are intact, and the message is the same on all ranks.
 */
#ifndef CKPT_CHECKPOINT_H
#define CKPT_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/flush.h"
#include "base/hash.h"
#include "dist/dist.h"

#define CKPT_KEPT 2 // state files that pruning always leaves

/* Texts of a state; their meaning is the caller's. NULL counts as "". */
enum ckpt_text {
    CKPT_CONFIG,   // resolved configuration, YAML
    CKPT_VERSIONS, // program and libraries
    CKPT_COMPUTE,  // matrix backend, kernel, threads per rank
    CKPT_LOG,      // log history (trainer_log.jsonl, trainer_state.json's log_history)
    CKPT_METERS,   // sums since the last log line and whatever else must go on exactly
    CKPT_TEXTS
};

/* One tensor of the flat arrays: elements [offset, offset + rows * cols). */
struct ckpt_tensor {
    const char *name;
    int rows, cols;
    size_t offset;
};

/*
 * What a save is given; everything is borrowed. Step, param_count and the
 * arrays must be equal on all ranks; of the rest rank 0's counts.
 */
struct ckpt_state {
    int64_t step;         // optimizer steps done
    int64_t epoch;        // epochs done: the epoch that the next step belongs to
    int64_t cursor;       // place in that epoch's order of the next sample
    int64_t tokens_seen;  // input tokens since the start of the run
    int64_t global_batch; // samples in a step
    struct hash run_key;  // hash of what decides the result
    const char *texts[CKPT_TEXTS];
    const struct ckpt_tensor *tensors;
    int tensor_count;
    const float *params, *exp_avg, *exp_avg_sq; // [param_count] each, whole on every rank
    size_t param_count;
};

/* Writes folder/state.h5, published by itself. Collective. */
int ckpt_save_state(const struct dist *dist, const char *folder, const struct ckpt_state *state,
                    struct error *err);

/*
 * Writes output_dir/state/step-N.h5 and then removes all rolling states but
 * this one and the next best. Collective.
 */
int ckpt_save_rolling(const struct dist *dist, const char *output_dir,
                      const struct ckpt_state *state, struct error *err);

/*
 * The same without waiting for the disk, for saving after every step. A killed
 * process loses nothing by it. The state is flushed while the caller goes on,
 * and the next save waits for that before older ones go, so that a machine
 * that dies costs one state more: the last one does not verify then, or holds
 * another step than its name says, and the one before it is resumed. *flush is
 * NULL at first and is handed from save to save; after the last one,
 * flush_wait() it. What was the oldest state stays in the folder as spare.h5,
 * to be written over by the next save, unless it has another name as well (a
 * backup of links); ckpt_save_rolling() uses it up. Collective.
 */
int ckpt_save_rolling_soon(const struct dist *dist, const char *output_dir,
                           const struct ckpt_state *state, struct flush **flush, struct error *err);

/* checkpoint-N under its temporary name, output_dir/.checkpoint-N.tmp. */
struct ckpt_folder {
    const struct dist *dist;
    char *path;       // write files here; the folder has this name until it is published
    char *final_path; // output_dir/checkpoint-N
    int64_t step;
    int made; // the temporary folder is there
};

/* Makes the temporary folder, output_dir too; keeps dist. Collective. */
int ckpt_folder_open(struct ckpt_folder *folder, const struct dist *dist, const char *output_dir,
                     int64_t step, struct error *err);

/* Flushes every file and renames the folder; one of that name is replaced. Collective. */
int ckpt_folder_publish(struct ckpt_folder *folder, struct error *err);

/* Removes the temporary folder when it was not published. Accepts { 0 }. Collective. */
void ckpt_folder_close(struct ckpt_folder *folder);

/*
 * Keeps the limit newest checkpoint-N folders, counted from step backwards
 * (folders of later steps are left-overs of another run and count as oldest),
 * never fewer than CKPT_KEPT; limit <= 0 keeps all. One that cannot be removed
 * is named in the log and stays. Collective.
 */
int ckpt_prune(const struct dist *dist, const char *output_dir, int64_t step, int limit,
               struct error *err);

enum ckpt_found {
    CKPT_NONE,     // nothing to resume: no state, or one alone, damaged, which the log names
    CKPT_FOUND,    // the newest state that verifies and has this run's key
    CKPT_OTHER_RUN // there are whole states, but none with this key; the newest one is given
};

/* A state that was found; its texts and tensors belong to this struct. */
struct ckpt_resume {
    enum ckpt_found found;
    char *path;              // of the state file
    struct ckpt_state state; // its array pointers are NULL; texts are never NULL
    const struct dist *dist;
    struct h5file *file;
    char *text_blocks[CKPT_TEXTS]; // what state.texts points to
    char *table_block;             // tensor table; the names point into it
    struct ckpt_tensor *tensor_block;
};

/*
 * Removes what killed writers left in output_dir, then tries the states from
 * the newest step down. A damaged one is named in one warning of the log with
 * the reason, and the next is taken. run_key NULL: any run. With found ==
 * CKPT_NONE nothing else is filled in; a missing output_dir is no error. An
 * error is what the user can mend (a folder that cannot be read, a state that a rank
 * cannot open, several states and none whole, no memory).
 * Collective.
 */
int ckpt_resume_open(struct ckpt_resume *resume, const struct dist *dist, const char *output_dir,
                     const struct hash *run_key, struct error *err);

/* The same for one checkpoint folder or state file by name: damage is an error. Collective. */
int ckpt_resume_from(struct ckpt_resume *resume, const struct dist *dist, const char *path,
                     const struct hash *run_key, struct error *err);

/*
 * Reads the arrays; n must be the state's param_count. The ranks read a part
 * each and share it. A rolling state of a run that goes on may be replaced
 * meanwhile: that is an error. Collective.
 */
int ckpt_resume_arrays(struct ckpt_resume *resume, float *params, float *exp_avg, float *exp_avg_sq,
                       size_t n, struct error *err);

/* Accepts { 0 }. Collective when a file was found. */
void ckpt_resume_close(struct ckpt_resume *resume);

/*
 * Forgets the rolling states, for a run that starts over; checkpoint-N folders
 * stay, as in LLaMA-Factory. Collective.
 */
int ckpt_forget(const struct dist *dist, const char *output_dir, struct error *err);

#endif
