/*
 * test_checkpoint.c: states and checkpoint folders.
 *
 * Without arguments: tests in one run. With arguments it plays a part for
 * run.sh, which starts it on other numbers of ranks, kills it and breaks it:
 *
 *   save DIR            saves GOOD rolling states: two are kept, and a spare
 *   loop DIR            saves step after step until it is killed
 *   verify DIR STEP     exit 0 when the newest state is whole and at least STEP
 *   break DIR RANK N    the N-th write of that rank fails while it saves more
 *                       states into what "save" left; exit 1 with one line, or
 *                       0 when there are fewer writes
 *   starve DIR RANK N   the same for the N-th allocation while it saves and
 *                       resumes
 */
#include <sys/stat.h>

#include "base/log.h"
#include "ckpt/checkpoint.h"
#include "ckpt/ckpt_internal.h"
#include "mpi_test.h"

#define PARAMS 150001 // three chunks, the last one not full
#define GOOD   3

static const struct hash key = { 0x0123456789abcdefu, 0xfedcba9876543210u };
static const struct hash other_key = { 1, 2 };

static const struct ckpt_tensor tensors[] = {
    { "model.layers.0.self_attn.q_proj.lora_A", 1, 150000, 0 },
    { "model.layers.0.self_attn.q_proj.lora_B", 1, 1, 150000 },
};

struct run {
    struct ckpt_state state;
    float *arrays[3];
};

static float value(int64_t step, int array, size_t i)
{
    return (float)((i * 7919 + (size_t)step * 104729 + (size_t)array * 31) % 1000003) * 1e-3f;
}

static void run_init(struct run *run)
{
    *run = (struct run){ 0 };
    for (int a = 0; a < 3; a++) {
        run->arrays[a] = calloc(PARAMS, sizeof(float)); // not among those that starve() fails
        if (!run->arrays[a])
            BUG("no memory for the test");
    }
    run->state = (struct ckpt_state){ .run_key = key,
                                      .texts = { "lora_rank: 8\n", "lowrank 0.1", NULL,
                                                 "{\"step\": 1, \"na\xc3\xafve\": 2}\n", "0x1p-3" },
                                      .tensors = tensors,
                                      .tensor_count = 2,
                                      .params = run->arrays[0],
                                      .exp_avg = run->arrays[1],
                                      .exp_avg_sq = run->arrays[2],
                                      .param_count = PARAMS };
}

static void run_release(struct run *run)
{
    for (int a = 0; a < 3; a++)
        free(run->arrays[a]);
}

static void run_set(struct run *run, int64_t step)
{
    run->state.step = step;
    run->state.epoch = step / 10;
    run->state.cursor = step * 8;
    run->state.tokens_seen = step << 33;
    run->state.global_batch = 8;
    for (int a = 0; a < 3; a++)
        for (size_t i = 0; i < PARAMS; i++)
            run->arrays[a][i] = value(step, a, i);
}

/* Collective. */
static int save(const struct dist *dist, struct run *run, const char *dir, int64_t step,
                struct error *err)
{
    run_set(run, step);
    return ckpt_save_rolling(dist, dir, &run->state, err);
}

/* Collective. */
static int save_soon(const struct dist *dist, struct run *run, const char *dir, int64_t step,
                     struct flush **flush, struct error *err)
{
    run_set(run, step);
    return ckpt_save_rolling_soon(dist, dir, &run->state, flush, err);
}

/* The same for steps first to last. Collective. */
static int save_steps(const struct dist *dist, struct run *run, const char *dir, int64_t first,
                      int64_t last, struct error *err)
{
    struct flush *flush = NULL;
    int rc = 0;

    for (int64_t step = first; step <= last && rc == 0; step++)
        rc = save_soon(dist, run, dir, step, &flush, err);
    return flush_wait(&flush, err) < 0 ? -1 : rc;
}

/* Collective. */
static int save_folder(const struct dist *dist, struct run *run, const char *dir, int64_t step,
                       int only_model, struct error *err)
{
    struct ckpt_folder folder;
    char path[160];
    int rc;

    run_set(run, step);
    rc = ckpt_folder_open(&folder, dist, dir, step, err);
    if (rc == 0) {
        (void)snprintf(path, sizeof(path), "%s/adapter_config.json", folder.path);
        rc = dist->rank == 0 ? file_write(path, "{}\n", 3, err) : 0;
        rc = dist_agree(dist, rc, err);
    }
    if (rc == 0 && !only_model)
        rc = ckpt_save_state(dist, folder.path, &run->state, err);
    if (rc == 0)
        rc = ckpt_folder_publish(&folder, err);
    ckpt_folder_close(&folder);
    return rc;
}

static int same_counts(const struct ckpt_state *state, int64_t step)
{
    return state->step == step && state->epoch == step / 10 && state->cursor == step * 8 &&
           state->tokens_seen == step << 33 && state->global_batch == 8 &&
           state->param_count == PARAMS && state->tensor_count == 2 &&
           strcmp(state->tensors[1].name, tensors[1].name) == 0 &&
           state->tensors[0].cols == 150000 && state->tensors[1].offset == 150000;
}

static int same_texts(const struct run *run, const struct ckpt_state *state)
{
    for (int i = 0; i < CKPT_TEXTS; i++) {
        const char *text = run->state.texts[i] ? run->state.texts[i] : "";

        if (strcmp(state->texts[i], text) != 0)
            return 0;
    }
    return 1;
}

/* True when the state holds what run_set(step) made. Collective. */
static int is_whole(struct run *run, struct ckpt_resume *resume, int64_t step)
{
    struct error err = { "" };
    int same = same_counts(&resume->state, step) && same_texts(run, &resume->state);

    if (ckpt_resume_arrays(resume, run->arrays[0], run->arrays[1], run->arrays[2], PARAMS, &err) <
        0)
        return 0;
    for (int a = 0; a < 3; a++)
        for (size_t i = 0; i < PARAMS; i++)
            same = same && run->arrays[a][i] == value(step, a, i);
    return same;
}

/* The step that a resume finds; -1: none, -2: another run, -3: it is not whole. Collective. */
static int64_t resumed_step(const struct dist *dist, struct run *run, const char *dir)
{
    struct ckpt_resume resume;
    struct error err = { "" };
    int64_t step = -1;

    if (ckpt_resume_open(&resume, dist, dir, &key, &err) < 0) {
        (void)fprintf(stderr, "cannot resume: %s\n", err.msg);
        return -4;
    }
    if (resume.found == CKPT_OTHER_RUN)
        step = -2;
    if (resume.found == CKPT_FOUND)
        step = is_whole(run, &resume, resume.state.step) ? resume.state.step : -3;
    ckpt_resume_close(&resume);
    return step;
}

static ino_t inode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* The state in this file, which is not cleaned before as a folder is. Collective. */
static int is_whole_file(const struct dist *dist, struct run *run, const char *path, int64_t step)
{
    struct ckpt_resume resume;
    struct error err = { "" };
    int whole;

    if (ckpt_resume_from(&resume, dist, path, &key, &err) < 0)
        return 0;
    whole = resume.found == CKPT_FOUND && is_whole(run, &resume, step);
    ckpt_resume_close(&resume);
    return whole;
}

static int has(const char *dir, const char *name)
{
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return file_exists(path);
}

static int left_overs(const char *dir)
{
    char **names;
    int count;
    int found = 0;
    struct error err;

    if (folder_names(dir, &names, &count, &err) < 0)
        return 0;
    for (int i = 0; i < count; i++)
        found += names[i][0] == '.' || strstr(names[i], "tmp-") != NULL;
    folder_names_free(names, count);
    return found;
}

static void an_empty_or_missing_folder_resumes_nothing(struct dist *dist)
{
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == -1);
    assert_all_ranks(dist, resumed_step(dist, &run, "/nowhere/at/all") == -1);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void the_newest_state_of_either_kind_is_resumed(struct dist *dist)
{
    struct error err = { "" };
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save(dist, &run, dir, 3, &err), &err);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 3);
    assert_all_ok(dist, save_folder(dist, &run, dir, 10, 0, &err), &err);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 10);
    assert_all_ok(dist, save(dist, &run, dir, 12, &err), &err);
    assert_all_ok(dist, save_folder(dist, &run, dir, 20, 1, &err), &err); // holds no state
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 12);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void two_rolling_states_are_kept(struct dist *dist)
{
    struct error err = { "" };
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    for (int64_t step = 8; step <= 11; step++)
        assert_all_ok(dist, save(dist, &run, dir, step, &err), &err);
    assert_all_ranks(dist, has(dir, "state/step-11.h5") && has(dir, "state/step-10.h5"));
    assert_all_ranks(dist, !has(dir, "state/step-9.h5") && !has(dir, "state/step-8.h5"));
    assert_all_ok(dist, save(dist, &run, dir, 1, &err), &err); // a run that starts over
    assert_all_ranks(dist, has(dir, "state/step-1.h5") && has(dir, "state/step-11.h5"));
    assert_all_ok(dist, save(dist, &run, dir, 2, &err), &err);
    assert_all_ranks(dist, has(dir, "state/step-2.h5") && has(dir, "state/step-1.h5"));
    assert_all_ranks(dist, !has(dir, "state/step-11.h5"));
    assert_all_ok(dist, ckpt_forget(dist, dir, &err), &err);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == -1);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void states_that_reach_the_disk_later_are_kept_alike(struct dist *dist)
{
    struct error err = { "" };
    struct flush *flush = NULL;
    char dir[64], state[80], path[96];
    ino_t inodes[3] = { 0 };
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    for (int64_t step = 1; step <= 7; step++) {
        ino_t *inode = &inodes[step % 3];

        if (step == 6) // a checkpoint leaves the spare alone
            assert_all_ok(dist, save_folder(dist, &run, dir, 5, 1, &err), &err);
        if (step == 5)
            run.state.texts[CKPT_LOG] = "";
        assert_all_ok(dist, save_soon(dist, &run, dir, step, &flush, &err), &err);
        (void)snprintf(path, sizeof(path), "%s/state/step-%d.h5", dir, (int)step);
        assert_all_ranks(dist, is_whole_file(dist, &run, path, step));
        assert_all_ranks(dist, has(dir, "state/" CKPT_SPARE_FILE) == (step >= 3));
        assert_all_ranks(dist, step <= 3 || inode_of(path) == *inode); // written over
        *inode = inode_of(path);
    }
    assert_all_ok(dist, flush_wait(&flush, &err), &err);
    assert_all_ranks(dist, has(dir, "state/step-7.h5") && has(dir, "state/step-6.h5"));
    assert_all_ranks(dist, !has(dir, "state/step-5.h5"));
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 7);
    assert_all_ok(dist, save(dist, &run, dir, 8, &err), &err);
    (void)snprintf(state, sizeof(state), "%s/state", dir);
    assert_all_ranks(dist, left_overs(state) == 0 && !has(state, CKPT_SPARE_FILE)); // used up
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void a_state_with_another_name_is_not_written_over(struct dist *dist)
{
    struct error err = { "" };
    char dir[64], from[96], backup[96];
    struct run run;
    int rc = 0;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save_steps(dist, &run, dir, 1, 1, &err), &err);
    (void)snprintf(from, sizeof(from), "%s/state/step-1.h5", dir);
    (void)snprintf(backup, sizeof(backup), "%s/step-1.h5", dir);
    if (dist->rank == 0)
        rc = link(from, backup);
    assert_all_ok(dist, dist_agree(dist, rc, &err), &err);
    assert_all_ok(dist, save_steps(dist, &run, dir, 2, 3, &err), &err);
    assert_all_ranks(dist, !has(dir, "state/step-1.h5") && !has(dir, "state/" CKPT_SPARE_FILE));
    assert_all_ok(dist, save_steps(dist, &run, dir, 4, 5, &err), &err);
    assert_all_ranks(dist, has(dir, "state/" CKPT_SPARE_FILE));
    assert_all_ranks(dist, is_whole_file(dist, &run, backup, 1));
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void a_state_that_is_replaced_while_it_is_read_is_refused(struct dist *dist)
{
    struct error err = { "" };
    struct ckpt_resume resume;
    char dir[64], path[96];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save_steps(dist, &run, dir, 1, 1, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/state/step-1.h5", dir);
    assert_all_ok(dist, ckpt_resume_from(&resume, dist, path, &key, &err), &err);
    assert_all_ranks(dist, is_whole(&run, &resume, 1));
    assert_all_ok(dist, save_steps(dist, &run, dir, 2, 4, &err), &err); // 4 over 1
    assert_all_ranks(dist, ckpt_resume_arrays(&resume, run.arrays[0], run.arrays[1], run.arrays[2],
                                              PARAMS, &err) < 0);
    assert_all_ranks(dist, strstr(err.msg, "step-1.h5': it was replaced") != NULL);
    ckpt_resume_close(&resume);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void another_run_is_told_apart(struct dist *dist)
{
    struct error err = { "" };
    struct ckpt_resume resume;
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    run.state.run_key = other_key;
    assert_all_ok(dist, save_folder(dist, &run, dir, 500, 0, &err), &err);
    assert_all_ok(dist, ckpt_resume_open(&resume, dist, dir, &key, &err), &err);
    assert_all_ranks(dist, resume.found == CKPT_OTHER_RUN && resume.state.step == 500);
    assert_all_ranks(dist, strcmp(resume.state.texts[CKPT_CONFIG], "lora_rank: 8\n") == 0);
    ckpt_resume_close(&resume);
    run.state.run_key = key;
    assert_all_ok(dist, save(dist, &run, dir, 7, &err), &err);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 7); // older, but ours
    assert_all_ok(dist, ckpt_resume_open(&resume, dist, dir, NULL, &err), &err);
    assert_all_ranks(dist, resume.found == CKPT_FOUND && resume.state.step == 500);
    ckpt_resume_close(&resume);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

/* Rank 0 replaces a file by its first keep bytes, with one bit flipped at flip. Collective. */
static void damage(const struct dist *dist, const char *path, double keep, double flip)
{
    struct error err = { "" };
    char *bytes = NULL;
    size_t len = 0;

    if (dist->rank == 0) {
        if (file_read(path, &bytes, &len, &err) < 0)
            BUG("%s", err.msg);
        if (flip >= 0)
            bytes[(size_t)(flip * (double)(len - 1))] ^= 4;
        if (file_write(path, bytes, (size_t)(keep * (double)len), &err) < 0)
            BUG("%s", err.msg);
        free(bytes);
    }
    dist_barrier(dist);
}

static void a_damaged_newest_state_gives_way_to_the_one_before(struct dist *dist)
{
    static const double damages[][2] = { { 0, -1 },       { 0.0001, -1 }, { 0.5, -1 },
                                         { 0.99999, -1 }, { 1, 0.0 },     { 1, 0.0003 },
                                         { 1, 0.3 },      { 1, 0.7 },     { 1, 0.9999 },
                                         { 1, 1 } };
    struct error err = { "" };
    char dir[64], path[96], older[96];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save(dist, &run, dir, 4, &err), &err);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        assert_all_ok(dist, save(dist, &run, dir, 5, &err), &err);
        (void)snprintf(path, sizeof(path), "%s/state/step-5.h5", dir);
        damage(dist, path, damages[i][0], damages[i][1]);
        assert_all_ranks(dist, resumed_step(dist, &run, dir) == 4);
    }
    (void)snprintf(older, sizeof(older), "%s/older.h5", dir);
    (void)snprintf(path, sizeof(path), "%s/state/step-4.h5", dir);
    assert_all_ok(dist, dist->rank ? 0 : file_copy(path, older, &err), &err);
    assert_all_ok(dist, save(dist, &run, dir, 5, &err), &err);
    assert_all_ok(dist, save(dist, &run, dir, 6, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/state/step-6.h5", dir);
    assert_all_ok(dist, dist->rank ? 0 : file_copy(older, path, &err), &err);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 5); // the name came, the content not
    assert_all_ok(dist, save_folder(dist, &run, dir, 9, 0, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/checkpoint-9/state.h5", dir);
    damage(dist, path, 0.7, -1);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 5); // over two damaged ones
    (void)snprintf(path, sizeof(path), "%s/state/step-5.h5", dir);
    damage(dist, path, 1, 0.5);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == -4); // several, and none whole
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

/* The state may be good: another node may read it, or this one later. */
static void a_state_that_cannot_be_read_is_an_error(struct dist *dist)
{
    struct error err = { "" };
    struct ckpt_resume resume;
    char dir[64], path[96];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save(dist, &run, dir, 4, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/state/step-5.h5", dir);
    assert_all_ranks(dist, dist->rank || symlink("nowhere", path) == 0);
    assert_all_ranks(dist, ckpt_resume_open(&resume, dist, dir, &key, &err) == -1);
    assert_all_ranks(dist, strstr(err.msg, "cannot read") && strstr(err.msg, "step-5.h5"));
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void a_state_is_resumed_by_its_name(struct dist *dist)
{
    struct error err = { "" };
    struct ckpt_resume resume;
    char dir[64];
    char path[96];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save_folder(dist, &run, dir, 6, 0, &err), &err);
    assert_all_ok(dist, save_folder(dist, &run, dir, 7, 1, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/checkpoint-6", dir);
    assert_all_ok(dist, ckpt_resume_from(&resume, dist, path, &key, &err), &err);
    assert_all_ranks(dist, resume.found == CKPT_FOUND && is_whole(&run, &resume, 6));
    assert_all_ranks(dist, ckpt_resume_arrays(&resume, run.arrays[0], run.arrays[1], run.arrays[2],
                                              PARAMS - 1, &err) < 0);
    ckpt_resume_close(&resume);
    (void)snprintf(path, sizeof(path), "%s/checkpoint-6/state.h5", dir);
    assert_all_ok(dist, ckpt_resume_from(&resume, dist, path, &other_key, &err), &err);
    assert_all_ranks(dist, resume.found == CKPT_OTHER_RUN);
    ckpt_resume_close(&resume);
    (void)snprintf(path, sizeof(path), "%s/checkpoint-7", dir);
    assert_all_ranks(dist, ckpt_resume_from(&resume, dist, path, &key, &err) < 0);
    assert_all_ranks(dist, strstr(err.msg, "save_only_model") != NULL);
    assert_all_ranks(dist, ckpt_resume_from(&resume, dist, dir + 1, &key, &err) < 0);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void pruning_keeps_the_newest_and_never_fewer_than_two(struct dist *dist)
{
    struct error err = { "" };
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    for (int64_t step = 8; step <= 12; step++)
        assert_all_ok(dist, save_folder(dist, &run, dir, step, 0, &err), &err);
    assert_all_ok(dist, save_folder(dist, &run, dir, 500, 0, &err), &err); // of an earlier run
    assert_all_ok(dist, ckpt_prune(dist, dir, 12, 0, &err), &err);
    assert_all_ranks(dist, has(dir, "checkpoint-8") && has(dir, "checkpoint-500"));
    assert_all_ok(dist, ckpt_prune(dist, dir, 12, 3, &err), &err);
    assert_all_ranks(dist, !has(dir, "checkpoint-8") && !has(dir, "checkpoint-9"));
    assert_all_ranks(dist, has(dir, "checkpoint-10") && !has(dir, "checkpoint-500"));
    assert_all_ok(dist, ckpt_prune(dist, dir, 12, 1, &err), &err);
    assert_all_ranks(dist, has(dir, "checkpoint-12") && has(dir, "checkpoint-11"));
    assert_all_ranks(dist, !has(dir, "checkpoint-10"));
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

/* The checkpoint cannot be renamed, since a file has that name: the run goes on, and the next pruning removes it. */
static void a_checkpoint_that_cannot_be_pruned_stays(struct dist *dist)
{
    struct error err = { "" };
    char dir[64], path[96];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    for (int64_t step = 11; step <= 13; step++)
        assert_all_ok(dist, save_folder(dist, &run, dir, step, 0, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/.checkpoint-11.gone", dir);
    assert_all_ok(dist, dist->rank ? 0 : file_write(path, "x", 1, &err), &err);
    assert_all_ok(dist, ckpt_prune(dist, dir, 13, 2, &err), &err);
    assert_all_ranks(dist, has(dir, "checkpoint-11"));
    assert_all_ok(dist, save_folder(dist, &run, dir, 14, 0, &err), &err);
    assert_all_ok(dist, ckpt_prune(dist, dir, 14, 2, &err), &err);
    assert_all_ranks(dist, !has(dir, "checkpoint-11") && !has(dir, ".checkpoint-11.gone"));
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void a_checkpoint_folder_is_replaced_whole(struct dist *dist)
{
    struct error err = { "" };
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save_folder(dist, &run, dir, 5, 1, &err), &err);
    assert_all_ok(dist, save_folder(dist, &run, dir, 5, 0, &err), &err);
    assert_all_ranks(dist, has(dir, "checkpoint-5/state.h5"));
    assert_all_ranks(dist, !has(dir, ".checkpoint-5.old") && !has(dir, ".checkpoint-5.tmp"));
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 5);
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

/* Rank 0 does what a writer killed at the worst moments leaves. Local. */
static int leave_wreckage(const char *dir, struct error *err)
{
    char from[160];
    char to[160];

    (void)snprintf(from, sizeof(from), "%s/checkpoint-5", dir);
    (void)snprintf(to, sizeof(to), "%s/.checkpoint-5.old", dir);
    if (file_rename(from, to, err) < 0)
        return -1;
    (void)snprintf(to, sizeof(to), "%s/.checkpoint-6.tmp", dir);
    if (folder_make(to, err) < 0)
        return -1;
    (void)snprintf(to, sizeof(to), "%s/.checkpoint-6.tmp/state.h5.h5tmp-1-2", dir);
    if (file_write(to, "x", 1, err) < 0)
        return -1;
    (void)snprintf(to, sizeof(to), "%s/.checkpoint-4.gone", dir);
    if (folder_make(to, err) < 0)
        return -1;
    (void)snprintf(to, sizeof(to), "%s/trainer_state.json.tmp-77", dir);
    if (file_write(to, "x", 1, err) < 0)
        return -1;
    (void)snprintf(to, sizeof(to), "%s/my.tmp-notes", dir);
    return file_write(to, "x", 1, err);
}

static void the_wreckage_of_killed_writers_is_cleared(struct dist *dist)
{
    struct error err = { "" };
    char dir[64];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    assert_all_ok(dist, save_folder(dist, &run, dir, 5, 0, &err), &err);
    assert_all_ok(dist, dist->rank ? 0 : leave_wreckage(dir, &err), &err);
    dist_barrier(dist);
    assert_all_ranks(dist, resumed_step(dist, &run, dir) == 5);
    assert_all_ranks(dist, has(dir, "checkpoint-5") && has(dir, "my.tmp-notes"));
    assert_all_ranks(dist, !has(dir, ".checkpoint-6.tmp") && !has(dir, ".checkpoint-4.gone"));
    assert_all_ranks(dist, !has(dir, "trainer_state.json.tmp-77"));
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

static void the_bytes_of_a_state_do_not_tell_who_wrote_it(struct dist *dist)
{
    struct error err = { "" };
    struct hash first = { 0, 0 };
    char dir[64];
    char path[96];
    struct run run;

    run_init(&run);
    mpi_test_folder(dist, dir);
    for (int size = 1; size <= dist->size; size++) {
        struct dist group = *dist;
        struct hash hash;
        int rc = 0;

        group.size = size;
        DIST_MPI(MPI_Comm_split(dist->comm, dist->rank < size, dist->rank, &group.comm));
        if (dist->rank < size)
            rc = save(&group, &run, dir, 5, &err);
        DIST_MPI(MPI_Comm_free(&group.comm));
        assert_all_ok(dist, dist_agree(dist, rc, &err), &err);
        (void)snprintf(path, sizeof(path), "%s/state/step-5.h5", dir);
        assert_all_ok(dist, hash_file(&hash, path, &err), &err);
        first = size == 1 ? hash : first;
        assert_all_ranks(dist, hash_equal(hash, first));
        assert_all_ranks(dist, resumed_step(dist, &run, dir) == 5);
    }
    mpi_test_folder_remove(dist, dir);
    run_release(&run);
}

/* Rolling states of both kinds, and a folder at every fourth step. Collective. */
static int save_step(const struct dist *dist, struct run *run, const char *dir, int64_t step,
                     struct flush **flush, struct error *err)
{
    if (step % 4 == 0 &&
        (save_folder(dist, run, dir, step, 0, err) < 0 || ckpt_prune(dist, dir, step, 2, err) < 0))
        return -1;
    return step % 5 ? save_soon(dist, run, dir, step, flush, err) : save(dist, run, dir, step, err);
}

static int loop(const struct dist *dist, struct run *run, const char *dir, struct error *err)
{
    int64_t step = resumed_step(dist, run, dir);
    struct flush *flush = NULL;

    if (step < -1)
        return error_set(err, "the newest state is not whole");
    for (step = step < 0 ? 1 : step + 1; step < 100000; step++) {
        if (save_step(dist, run, dir, step, &flush, err) < 0)
            return -1;
        if (dist->rank == 0) {
            (void)printf("%lld\n", (long long)step); // done: may not be lost any more
            (void)fflush(stdout);
        }
    }
    return 0;
}

static int verify(const struct dist *dist, struct run *run, const char *dir, int64_t least,
                  struct error *err)
{
    int64_t step = resumed_step(dist, run, dir);

    if (step < least)
        return error_set(err, "resumed at step %lld instead of %lld or later", (long long)step,
                         (long long)least);
    if (dist->rank == 0)
        (void)printf("%lld\n", (long long)step);
    return 0;
}

/* After a failed save the states before it are there, whole, and nothing else. Collective. */
static void check_after_failure(const struct dist *dist, struct run *run, const char *dir,
                                int64_t newest, const struct error *err)
{
    char state[160], next[64];
    int found;

    (void)snprintf(state, sizeof(state), "%s/state", dir);
    (void)snprintf(next, sizeof(next), "state/step-%lld.h5", (long long)newest + 1);
    dist_barrier(dist); // rank 0 removes what it began
    found = left_overs(dir) + left_overs(state);
    dist_barrier(dist);
    if (found > 0)
        BUG("%d left-overs after a failed save (%s)", found, err->msg);
    if (has(dir, next) || resumed_step(dist, run, dir) != newest)
        BUG("step %d is gone after a failed save (%s)", (int)newest, err->msg);
}

/* After GOOD steps: a folder, and states that reach the disk later, over a spare. Collective. */
static int save_all(const struct dist *dist, struct run *run, const char *dir, int64_t soon,
                    int64_t *newest, struct error *err)
{
    struct flush *flush = NULL;
    struct error ignored;
    int rc = save_folder(dist, run, dir, GOOD + 1, 0, err);

    *newest = rc == 0 ? GOOD + 1 : GOOD;
    for (int64_t step = GOOD + 2; step < GOOD + 2 + soon && rc == 0; step++) {
        rc = save_soon(dist, run, dir, step, &flush, err);
        *newest = rc == 0 ? step : *newest;
    }
    (void)flush_wait(&flush, &ignored);
    return rc;
}

static int break_write(const struct dist *dist, struct run *run, const char *dir, int rank,
                       const char *n, struct error *err)
{
    int64_t newest;

    if (dist->rank == rank)
        (void)setenv("LOWRANK_FAIL_WRITE", n, 1);
    if (save_all(dist, run, dir, 3, &newest, err) == 0 &&
        save(dist, run, dir, newest + 1, err) == 0)
        return 0;
    check_after_failure(dist, run, dir, newest, err);
    return -1;
}

/* The N-th allocation fails on one rank, wherever that is: an error, never a hang. */
static int starve(const struct dist *dist, struct run *run, const char *dir, int rank,
                  const char *n, struct error *err)
{
    struct ckpt_resume resume = { 0 };
    int64_t newest;
    int rc = -1;

    if (dist->rank == rank)
        (void)setenv("LOWRANK_FAIL_ALLOC", n, 1);
    if (save_all(dist, run, dir, 1, &newest, err) == 0 &&
        ckpt_resume_open(&resume, dist, dir, &key, err) == 0 &&
        ckpt_resume_arrays(&resume, run->arrays[0], run->arrays[1], run->arrays[2], PARAMS, err) ==
            0)
        rc = 0;
    ckpt_resume_close(&resume);
    return rc;
}

static int play(int argc, char **argv, const struct dist *dist, struct error *err)
{
    struct run run;
    int rc = -1;

    run_init(&run);
    log_enable(dist->rank == 0);
    if (argc == 3 && strcmp(argv[1], "save") == 0)
        rc = save_steps(dist, &run, argv[2], 1, GOOD, err);
    else if (argc == 3 && strcmp(argv[1], "loop") == 0)
        rc = loop(dist, &run, argv[2], err);
    else if (argc == 4 && strcmp(argv[1], "verify") == 0)
        rc = verify(dist, &run, argv[2], strtoll(argv[3], NULL, 10), err);
    else if (argc == 5 && strcmp(argv[1], "break") == 0)
        rc = break_write(dist, &run, argv[2], (int)strtol(argv[3], NULL, 10), argv[4], err);
    else if (argc == 5 && strcmp(argv[1], "starve") == 0)
        rc = starve(dist, &run, argv[2], (int)strtol(argv[3], NULL, 10), argv[4], err);
    else
        (void)error_set(err, "unknown part");
    run_release(&run);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct mpi_test tests[] = {
        MPI_TEST(an_empty_or_missing_folder_resumes_nothing),
        MPI_TEST(the_newest_state_of_either_kind_is_resumed),
        MPI_TEST(two_rolling_states_are_kept),
        MPI_TEST(states_that_reach_the_disk_later_are_kept_alike),
        MPI_TEST(a_state_with_another_name_is_not_written_over),
        MPI_TEST(a_state_that_is_replaced_while_it_is_read_is_refused),
        MPI_TEST(another_run_is_told_apart),
        MPI_TEST(a_damaged_newest_state_gives_way_to_the_one_before),
        MPI_TEST(a_state_that_cannot_be_read_is_an_error),
        MPI_TEST(a_state_is_resumed_by_its_name),
        MPI_TEST(pruning_keeps_the_newest_and_never_fewer_than_two),
        MPI_TEST(a_checkpoint_that_cannot_be_pruned_stays),
        MPI_TEST(a_checkpoint_folder_is_replaced_whole),
        MPI_TEST(the_wreckage_of_killed_writers_is_cleared),
        MPI_TEST(the_bytes_of_a_state_do_not_tell_who_wrote_it),
    };
    struct dist dist;
    struct error err = { "" };
    int rc;

    if (argc == 1)
        return mpi_test_run(tests, MPI_TEST_COUNT(tests));
    if (dist_open(&dist, &err) < 0)
        return 1;
    rc = play(argc, argv, &dist, &err);
    if (rc < 0 && dist.rank == 0)
        (void)fprintf(stderr, "error: %s\n", err.msg);
    dist_close(&dist);
    return rc < 0 ? 1 : 0;
}
