/*
 * every_kernel.h: the instruction sets of this CPU, open for a whole group of tests.
 */
#ifndef EVERY_KERNEL_H
#define EVERY_KERNEL_H

#include "nn/nn_test.h"

static struct nn_case cases[NN_CASES_MAX];
static int n_cases;

static int open_cases(void **state)
{
    (void)state;
    n_cases = nn_cases(cases);
    return 0;
}

static int close_cases(void **state)
{
    (void)state;
    nn_cases_close(cases, n_cases);
    return 0;
}

#endif
