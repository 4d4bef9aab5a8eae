/*
 * train/worker.c: passes side by side.
 *
 * A thread that takes rows of its own through all layers meets the others once a step; threads that
 * share a pass meet at the end of each of its thousands of products, and each time the slowest is
 * waited for. Who is done with its own helps the others. The gradients' sum is exact, so who computes
 * a row changes no bit, where rows of a product do not depend on each other.
 */
#include "train/train_internal.h"

struct nn worker_nn(const struct job *job, int workers, int worker)
{
    struct nn nn = job->nn;

    if (workers > 1) {
        nn.threads = 1;
        nn.scratch += (size_t)worker * nn.scratch_stride;
    }
    return nn;
}

void workers_place(struct job *job)
{
    const struct model_shape *shape = &job->plan.shape;
    struct worker measured = { 0 };

    job->worker = arena_take(&job->arena, (size_t)job->plan.workers, sizeof(*job->worker));
    for (int w = 0; w < job->plan.workers; w++) {
        struct worker *worker = job->worker ? &job->worker[w] : &measured;

        worker->job = job;
        worker->number = w;
        worker->nn = worker_nn(job, job->plan.workers, w);
        worker->nn.team = job->plan.workers > 1 ? &job->team : NULL;
        batch_place(&worker->batch, &job->arena, shape->N, shape->n_leaves, shape->N, shape->N);
        model_work_place(&worker->work, &job->arena, &job->model, &worker->nn, shape);
    }
}

int worker_place(const struct worker *worker)
{
    return worker->job->dist->rank * worker->job->plan.workers + worker->number;
}

int worker_add_row(struct worker *worker, const struct sample_set *set, size_t row, uint32_t tag,
                   struct error *err)
{
    struct job *job = worker->job;
    int rc;

    omp_set_lock(&job->outside); // tokens that memory does not hold are read from the file
    rc = batch_add(&worker->batch, &job->store, set, row, tag, err);
    omp_unset_lock(&job->outside);
    return rc;
}

static void start_watches(struct job *job)
{
    for (int w = 0; w < job->plan.workers && job->nn.profile; w++) {
        job->worker[w].nn.profile = &job->worker[w].watch;
        profile_reset(job->worker[w].nn.profile);
    }
}

/* All have come to the end: what has passed since a worker's last lap went on waiting for the others. */
static void add_watches(struct job *job)
{
    for (int w = 0; w < job->plan.workers && job->nn.profile; w++) {
        profile_lap(&job->worker[w].watch, PROFILE_WAITING, 0.0);
        profile_merge(job->nn.profile, &job->worker[w].watch, job->plan.workers);
    }
}

int workers_run(struct job *job, int (*part)(struct worker *, void *context, struct error *),
                void *context, struct error *err)
{
    int workers = job->plan.workers, failed = workers;

    start_watches(job);
    team_start(&job->team, workers);
#pragma omp parallel num_threads(workers) reduction(min : failed) if (workers > 1)
    {
        int thread = omp_get_thread_num();

#pragma omp for schedule(static, 1) nowait
        for (int w = 0; w < workers; w++) {
            if (part(&job->worker[w], context, &job->worker[w].err) < 0)
                failed = w < failed ? w : failed;
            team_leave(&job->team);
        }
        team_help(&job->team, thread, &job->worker[thread].nn);
    }
    add_watches(job);
    if (failed == workers)
        return 0;
    *err = job->worker[failed].err;
    return -1;
}
