/*
 * keys_ours.c: keys that only lowrank has.
 */
#include "keys_internal.h"

#define GROUP     KEYS_OURS
#define RANKS_MAX 1048576

static const struct config_key rows[] = {
    WORKS(global_batch_size, INT, "null",
          "rows of a step, in place of per_device_train_batch_size x ranks x "
          "gradient_accumulation_steps",
          LIMITS(1, HUGE_COUNT)),
    WORKS(on_bad_sample, CHOICE, "error", "what a row that cannot be used does",
          .choices = "error skip"),
    WORKS(threads_per_rank, INT, "null",
          "threads of a rank, each with rows of its own where there are enough; null takes the "
          "cores it is bound to",
          LIMITS(1, 4096)),
    WORKS(gemm_backend, CHOICE, "auto", "who multiplies matrices; auto decides by the CPU",
          .choices = "auto amx native openblas onednn"),
    WORKS(max_runtime, SECONDS, "null",
          "time after which the run saves and ends to be resumed, as 3600, 90m or 12:00:00",
          LIMITS(1, HUGE_COUNT)),
    WORKS(memory_budget, BYTES, "null",
          "memory of a rank for activations, as 16GB; beyond it they are recomputed; null takes "
          "four fifths of what the node or the job's control group has beside the weights",
          LIMITS(1, 1e18)),
    WORKS(token_budget, INT, "null",
          "tokens computed together; null: 2048, or down to 512 where activations do not fit",
          LIMITS(1, HUGE_COUNT)),
    WORKS(state_steps, INT, "1", "steps between two writes of the state that a resume starts from",
          LIMITS(1, HUGE_COUNT)),
    WORKS(profile, BOOL, "false",
          "write profile.json, where the time of each step goes, and print it as a table"),
    WORKS(ranks, INT, "null",
          "ranks that `lowrank check` plans for; null takes those that run; refused by `train`",
          LIMITS(1, RANKS_MAX)),
    WORKS(ranks_per_node, INT, "null", "of those, on one node; null takes as many as run on one",
          LIMITS(1, RANKS_MAX)),
    WORKS(rank_gflops, FLOAT, "null",
          "for the forecast of `check ranks=N`: 1e9 operations a second of a rank; null takes 0.80 "
          "of the matrix rate measured then, 0.50 on AMX",
          LIMITS(0, 1e9), .flags = KEY_ABOVE_MIN),
    WORKS(step_overhead_ms, FLOAT, "null",
          "the same: time of a step that ranks do not share; null takes 8 ns a parameter, and 32 "
          "ns each time the state is saved",
          LIMITS(0, 1e9), .flags = KEY_ABOVE_MIN),
    WORKS(link_bandwidth, BYTES, "null",
          "the same: bytes a second that a node sends; null is 125MB, 1 Gbit/s", LIMITS(1, 1e18)),
    WORKS(node_bandwidth, BYTES, "null",
          "the same: bytes a second between the ranks of a node; null is 2GB", LIMITS(1, 1e18)),
    WORKS(link_latency_us, FLOAT, "null", "the same: time of a short message; null is 50",
          LIMITS(0, 1e9), .flags = KEY_ABOVE_MIN),
};

KEY_TABLE(keys_ours, rows);
