/*
 * nn/team.h: threads that compute apart and help each other in the end.
 *
 * Each member works by itself, with an nn of one thread. One that has nothing
 * left helps: it computes parts of products for those that still work, until
 * all are done. Where rows of a product do not depend on each other that
 * changes no bit.
 *
 *     team_start(&team, n)         before the members begin
 *     nn.team = &team              in each member's nn
 *     team_leave(&team)            n times: a part of the work is done
 *     team_help(&team, m, &nn)     each thread, at its end; returns when all of the work is done
 *
 * Local; members call at once. Nothing here can fail.
 */
#ifndef NN_TEAM_H
#define NN_TEAM_H

#include <stdatomic.h>

#include "nn/gemm.h"

enum { TEAM_MOST = 256 }; // members that help; further ones only wait

/* What a helper is asked for: part of a product, and where to say that it is done. */
struct team_task {
    const struct gemm_call *part;
    atomic_int *left;
};

struct team_member {
    atomic_int free; // has nothing to do, and nobody has claimed it
    _Atomic(const struct team_task *) task;
};

struct team {
    int n;
    atomic_int working; // parts of the work that are not done
    atomic_int idle;    // about how many members are free
    struct team_member member[TEAM_MOST];
};

void team_start(struct team *team, int n);
void team_leave(struct team *team);
void team_help(struct team *team, int member, const struct nn *nn);

/* Helpers that a product may count on; a guess. */
int team_idle(const struct team *team);

/* Claims up to most helpers, whose numbers go to who; returns how many. Each must be asked once. */
int team_claim(struct team *team, int *who, int most);

/* task must stay until *task->left, which counts down, says so. */
void team_ask(struct team *team, int who, const struct team_task *task);

/* Until *left is 0. */
void team_wait(const atomic_int *left);

#endif
