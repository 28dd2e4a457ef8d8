// The convolutions of small_conv.h as C functions; kernels/small_conv.py describes the arguments.

#include "small_conv.h"

#define POINTWISE int64_t n, int64_t h, int64_t w, int64_t c, int64_t cout, int64_t s, int64_t columns, const T *weight
#define GIVEN(bias) {int(n), int(h), int(w), int(c), int(cout), int(s), int(columns), weight, bias}
#define KERNELS(suffix)                                                                                                \
    extern "C" void pointwise_##suffix(POINTWISE, const T* bias, const T* x, T* y, int threads) {                      \
        pointwise<T>(GIVEN(bias), x, y, threads);                                                                      \
    }                                                                                                                  \
    extern "C" void pointwise_back_##suffix(POINTWISE, const T* dy, T* dx, int threads) {                              \
        pointwise_back<T>(GIVEN(nullptr), dy, dx, threads);                                                            \
    }                                                                                                                  \
    extern "C" void image_gradient_##suffix(int64_t n, int64_t h, int64_t w, int64_t c, int64_t ho, int64_t wo, int64_t cout, \
                                            int64_t k, int64_t s, int64_t pad, int64_t columns, const T* weight,       \
                                            const T* dy, T* dx, int threads) {                                         \
        image_gradient<T>({int(n), int(h), int(w), int(c), int(ho), int(wo), int(cout), int(k), int(s), int(pad),      \
                           int(columns)}, dy, weight, dx, threads);                                                    \
    }
#define T float
KERNELS(f32)
#undef T
#define T double
KERNELS(f64)
#undef T
