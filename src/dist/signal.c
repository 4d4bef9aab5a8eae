/*
 * dist/signal.c: one flag, set by the first signal.
 *
 * The only state of the program that a signal handler may touch, hence a
 * global of the one type that allows it.
 */
#include "dist/signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t first_signal;

static void remember(int signal_number)
{
    if (first_signal == 0)
        first_signal = signal_number;
}

int signal_install(struct error *err)
{
    static const int stopping[] = { SIGTERM, SIGUSR1, SIGINT };
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = remember;
    action.sa_flags = SA_RESTART;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++) {
        if (stopping[i] == SIGINT)
            action.sa_flags |= SA_RESETHAND; // who presses Ctrl-C twice does not want to wait
        if (sigaction(stopping[i], &action, NULL) < 0)
            return error_set(err, "cannot catch %s: %s", signal_name(stopping[i]), strerror(errno));
    }
    return 0;
}

int signal_stop_requested(void)
{
    return first_signal;
}

void signal_request_stop(int signal_number)
{
    remember(signal_number);
}

const char *signal_name(int signal_number)
{
    switch (signal_number) {
    case SIGTERM:
        return "SIGTERM";
    case SIGUSR1:
        return "SIGUSR1";
    case SIGINT:
        return "SIGINT";
    case SIGALRM:
        return "time limit";
    default:
        return "signal";
    }
}

int signal_any_stop(const struct dist *dist)
{
    int64_t highest = first_signal;

    dist_max_i64(dist, &highest, 1);
    return (int)highest;
}
