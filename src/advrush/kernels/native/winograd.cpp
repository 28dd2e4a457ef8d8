// The convolution of winograd.h as C functions; kernels/winograd.py describes the arguments.

#include "winograd.h"

#define KERNELS(T, suffix)                                                                                             \
    extern "C" void winograd_##suffix(int64_t n, int64_t h, int64_t w, int64_t c, int64_t cout, int64_t columns,       \
                                      int64_t outputs, const T* x, const T* mask, const T* weight, const T* bias,      \
                                      const T* residual, int64_t relu, T* y, int threads) {                            \
        const Convolution<T> r{int(n), int(h), int(w), int(c), int(cout), int(columns), x, mask, weight, bias,         \
                               residual, relu != 0, y};                                                                \
        if (outputs == 4) winograd<T, 4, 24>(r, threads);                                                              \
        else winograd<T, 2, 24>(r, threads);                                                                           \
    }
KERNELS(float, f32)
KERNELS(double, f64)
