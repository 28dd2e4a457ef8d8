// The stages of separable.h and the chains of chain.h as C functions.

#include "chain.h"
#include "separable.h"

namespace {

// The sizes of a stage as they come from outside.
#define SIZES int64_t n, int64_t h, int64_t w, int64_t c, int64_t cout, int64_t k, int64_t s, int64_t d
#define PRE const T *x, const T *scale, const T *shift, const T *mask, int64_t relu
#define WEIGHTS const T *dw, const T *pw

template <class T>
void run_forward(SIZES, PRE, WEIGHTS, const T* bias, T* y, double* totals, int threads) {
    const Shape r = shape_of<T>(h, w, c, cout, k, s, d);
    const int padded = r.oblocks * Simd<T>::LANES;
    std::vector<double> sums(totals ? size_t(n) * 2 * padded : 0);
    forward<T>(n, r, x, {scale, shift, mask, relu != 0}, dw, pw, {y, bias, totals ? sums.data() : nullptr}, threads);
    if (totals) add_images(n, r.cout, padded, sums.data(), totals);
}

template <class T>
void run_backward(SIZES, PRE, WEIGHTS, const Cotangent<T>& from, T* dx, T* d_dw, T* d_pw, double* totals, int threads) {
    const Shape r = shape_of<T>(h, w, c, cout, k, s, d);
    const int padded = r.blocks * Simd<T>::LANES;
    std::vector<double> sums(totals ? size_t(n) * 2 * padded : 0);
    const Gradients<T> to{dx, d_dw, d_pw, totals ? sums.data() : nullptr};
    backward<T>(n, r, x, {scale, shift, mask, relu != 0}, from, dw, pw, to, threads);
    if (totals) add_images(n, r.c, padded, sums.data(), totals);
}

}  // namespace

#define CHAIN int64_t n, int64_t h, int64_t w, int64_t c, int64_t count, const void *links
#define GIVEN Chain<T>(n, h, w, c, static_cast<const Link<T>*>(links), count)

// kernels/separable_conv.py calls the first two, kernels/separable_chain.py the others; both describe the arguments.
#define KERNELS(suffix)                                                                                                \
    extern "C" void separable_forward_##suffix(SIZES, PRE, WEIGHTS, const T* bias, T* y, double* totals, int threads) { \
        run_forward<T>(n, h, w, c, cout, k, s, d, x, scale, shift, mask, relu, dw, pw, bias, y, totals, threads);      \
    }                                                                                                                  \
    extern "C" void separable_backward_##suffix(SIZES, PRE, WEIGHTS, const T* dy, const T* y, const T* a, const T* b,  \
                                                const T* e, T* dx, T* d_dw, T* d_pw, double* totals, int threads) {    \
        run_backward<T>(n, h, w, c, cout, k, s, d, x, scale, shift, mask, relu, dw, pw, {dy, y, a, b, e}, dx, d_dw,    \
                        d_pw, totals, threads);                                                                        \
    }                                                                                                                  \
    extern "C" void chain_forward_##suffix(CHAIN, const T* x, const T* weight, const T* node, T* y, int threads) {     \
        chain_forward<T>(GIVEN, x, weight, node, y, threads);                                                          \
    }                                                                                                                  \
    extern "C" void chain_backward_##suffix(CHAIN, const T* x, const T* weight, const T* dy, T* dx, T* d_weight,       \
                                            int threads) {                                                             \
        chain_backward<T>(GIVEN, x, weight, dy, dx, d_weight, threads);                                                \
    }                                                                                                                  \
    extern "C" void frozen_forward_##suffix(CHAIN, const T* x, int threads) { frozen_forward<T>(GIVEN, x, threads); }  \
    extern "C" void frozen_backward_##suffix(CHAIN, const T* x, const T* dy, T* dx, int threads) {                     \
        frozen_backward<T>(GIVEN, x, dy, dx, threads);                                                                 \
    }                                                                                                                  \
    extern "C" void linear_value_##suffix(CHAIN, const T* x, const T* weight, int64_t add, T* y, int threads) {        \
        linear_value<T>(GIVEN, x, weight, add != 0, y, threads);                                                       \
    }                                                                                                                  \
    extern "C" void linear_jvp_##suffix(CHAIN, const T* t, const T* mask, const T* weight, int64_t add, T* y,          \
                                        const T* with, T* along, int threads) {                                        \
        linear_jvp<T>(GIVEN, t, mask, weight, add != 0, y, with, along, threads);                                      \
    }                                                                                                                  \
    extern "C" void linear_vjp_##suffix(CHAIN, const T* dy, const T* x, const T* mask, const T* weight, int64_t add,   \
                                        T* dx, const T* total, T* along, int threads) {                                \
        linear_vjp<T>(GIVEN, dy, x, mask, weight, add != 0, dx, total, along, threads);                                \
    }
#define T float
KERNELS(f32)
#undef T
#define T double
KERNELS(f64)
#undef T

// What sources.py says of the files that this library was compiled from.
extern "C" const char* digest_of_sources() { return SOURCES; }
