/*
 * nn/nn.h: what every kernel needs to know: instruction set, matrix backend,
 * threads, scratch memory.
 *
 * Kernels take plain arrays in row-major order. Dimensions: N tokens, C inputs,
 * O outputs, H heads, D head width, V vocabulary, R adapter rank.
 *
 * Bits: with the native and AMX backends no result depends on the number of threads, on
 * how many other tokens are computed in the same call, or on where among them
 * a token stands. With OpenBLAS and oneDNN that is proved, or found false, by
 * gemm_rows_independent().
 *
 * Local.
 */
#ifndef NN_NN_H
#define NN_NN_H

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/profile.h"

enum gemm_backend {
    GEMM_AUTO,
    GEMM_NATIVE, // our kernels on vector units
    GEMM_AMX,    // the same, large products on the matrix unit of AMX (src/nn/simd/amx.c)
    GEMM_OPENBLAS,
    GEMM_ONEDNN,
    GEMM_BACKEND_COUNT
};

struct nn_kernels;   // the functions of one instruction set
struct gemm_kernels; // those of the matrix product
struct team;         // nn/team.h

struct nn {
    const struct nn_kernels *kernels;
    const struct gemm_kernels *products; // of the native and AMX backends
    enum gemm_backend backend;           // never GEMM_AUTO once open
    int threads;
    struct team *team; // whose idle members help with products; NULL: nobody
    struct arena arena;
    float *scratch;          // one part per thread, each at the start of a cache line
    size_t scratch_stride;   // floats of one part
    struct profile *profile; // who laps after each call; NULL: nobody
};

/*
 * Chooses the kernels for this CPU, reserves scratch, and checks the matrix
 * backend on odd shapes against a plain loop; a wrong one is refused by name.
 *
 * backend: GEMM_AUTO takes AMX where CPU and kernel have it for bfloat16, the
 * native kernels where the CPU has AVX2 with FMA or AVX-512, otherwise OpenBLAS.
 * threads: 1 or more.
 */
int nn_open(struct nn *nn, enum gemm_backend backend, int threads, struct error *err);
void nn_close(struct nn *nn);

/* Whether large products can round their factors to bfloat16: on AMX, and with the native backend on AVX512_BF16. */
int nn_has_bf16(const struct nn *nn);
void nn_use_bf16(struct nn *nn); // from now on they do, if they can
int nn_rounds_to_bf16(const struct nn *nn);

const char *nn_isa(const struct nn *nn);                  // "avx512", "avx2" or "generic"
const char *gemm_backend_name(enum gemm_backend backend); // as the key gemm_backend spells it
int gemm_backend_from_name(const char *name);             // -1 when unknown or not built in
int gemm_rows_apart(enum gemm_backend backend);           // rows independent by construction: ours

/* The instruction set and kernel in words, for logs: "native avx2", "amx bf16", "openblas 0.3.21 Haswell". */
void gemm_describe(const struct nn *nn, char *text, size_t size);

/*
 * OpenBLAS picks its kernel when the program is loaded, and old builds take a
 * slow one on CPUs newer than they are. The value that OPENBLAS_CORETYPE
 * should have on this CPU, or NULL when the kernel it picked is the right one
 * or the user set the variable.
 */
const char *gemm_better_coretype(void);

#endif
