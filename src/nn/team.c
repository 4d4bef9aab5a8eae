/*
 * nn/team.c: threads that compute apart and help each other in the end.
 *
 * A helper waits for a pointer in a place of its own. Only members that still
 * work ask, and they wait for what they asked for: when all work is done, nothing
 * is under way.
 */
#include "nn/team.h"

#include <sched.h>

#include "nn/nn_internal.h"

/* Waiting costs nobody anything at first; later another thread may have the core. */
static void pause_briefly(int *tries)
{
    enum { SPINS = 2000 };

#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
    if (++*tries > SPINS)
        (void)sched_yield();
}

void team_start(struct team *team, int n)
{
    team->n = n < TEAM_MOST ? n : TEAM_MOST;
    atomic_store(&team->working, n);
    atomic_store(&team->idle, 0);
    for (int m = 0; m < team->n; m++) {
        atomic_store(&team->member[m].free, 0);
        atomic_store(&team->member[m].task, NULL);
    }
}

void team_leave(struct team *team)
{
    atomic_fetch_sub(&team->working, 1);
}

static void become_free(struct team *team, struct team_member *member)
{
    atomic_store(&member->free, 1);
    atomic_fetch_add(&team->idle, 1);
}

/* The next task for this member; NULL: all are done. */
static const struct team_task *next_task(struct team *team, struct team_member *member)
{
    int tries = 0;

    while (atomic_load(&team->working) > 0) {
        const struct team_task *task = member ? atomic_load(&member->task) : NULL;

        if (task)
            return task;
        pause_briefly(&tries);
    }
    return NULL;
}

void team_help(struct team *team, int member, const struct nn *nn)
{
    struct team_member *me = member < team->n ? &team->member[member] : NULL;
    const struct team_task *task;

    if (me)
        become_free(team, me);
    while ((task = next_task(team, me))) {
        atomic_int *left = task->left;

        profile_lap(nn->profile, PROFILE_WAITING, 0.0);
        gemm_serial(nn, task->part, 0);
        profile_lap(nn->profile, PROFILE_GEMM, 0.0); // whoever asked counts the operations
        atomic_store(&me->task, NULL);
        become_free(team, me);
        atomic_fetch_sub(left, 1);
    }
}

int team_idle(const struct team *team)
{
    return atomic_load_explicit(&team->idle, memory_order_relaxed);
}

int team_claim(struct team *team, int *who, int most)
{
    int n = 0;

    for (int m = 0; m < team->n && n < most; m++) {
        int free = 1;

        if (!atomic_compare_exchange_strong(&team->member[m].free, &free, 0))
            continue;
        atomic_fetch_sub(&team->idle, 1);
        who[n++] = m;
    }
    return n;
}

void team_ask(struct team *team, int who, const struct team_task *task)
{
    atomic_store(&team->member[who].task, task);
}

void team_wait(const atomic_int *left)
{
    int tries = 0;

    while (atomic_load(left) > 0)
        pause_briefly(&tries);
}
