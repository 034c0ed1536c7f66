/* The only way to choose OpenBLAS' kernels is its environment at the moment it is loaded: hence a second start. */
#include "monge/blas_kernels.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void blas_use_fast_kernels(char **argv)
{
    if (getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0)
        return;
    __builtin_cpu_init();
    const char *kernels = NULL;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        kernels = "SkylakeX";
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        kernels = "Haswell";
    if (kernels && setenv("OPENBLAS_CORETYPE", kernels, 1) == 0)
        execv("/proc/self/exe", argv); /* comes back only if it failed: slow kernels are still right */
}
