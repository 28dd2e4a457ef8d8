// The passes of batch_norm.h as C functions.

#include "batch_norm.h"

#define KERNELS(T, suffix)                                                                                             \
    extern "C" void channel_sums_##suffix(int64_t pixels, int64_t c, const T* p, const T* q, double* totals, int threads) { \
        channel_sums<T>(pixels, c, p, q, totals, threads);                                                             \
    }                                                                                                                  \
    extern "C" void combine_##suffix(int64_t pixels, int64_t c, const T* p, const T* q, const T* a, const T* b, const T* e, \
                                     T* out, int threads) {                                                            \
        combine<T>(pixels, c, p, q, a, b, e, out, threads);                                                            \
    }
KERNELS(float, f32)
KERNELS(double, f64)
