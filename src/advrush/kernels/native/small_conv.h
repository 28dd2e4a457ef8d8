// Convolutions that are one product of pixels with a matrix: 1x1 ones, and the input gradient where images have few channels.

#pragma once

#include <algorithm>

#include "products.h"

namespace {

// A 1x1 convolution: forward y (n, ho, wo, cout) = every s-th pixel of x (n, h, w, c) times weight (c, columns), plus bias
// (columns,); back dx = dy times weight (cout, columns) at every s-th pixel, zero elsewhere.
template <class T>
struct Pointwise {
    int n, h, w, c, cout, s, columns;
    const T *weight, *bias;
};

template <class T>
void pointwise(const Pointwise<T>& r, const T* x, T* y, int threads) {
    const int ho = (r.h - 1) / r.s + 1, wo = (r.w - 1) / r.s + 1;
    After<T> after;
    after.bias = r.bias;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int row = 0; row < r.n * ho; row++) {
        const T* from = x + (size_t(row / ho) * r.h + size_t(row % ho) * r.s) * r.w * r.c;
        multiply<T>(wo, {from, size_t(r.s) * r.c, size_t(Simd<T>::LANES)}, r.c, r.weight, r.columns,
                    {y + size_t(row) * wo * r.cout, size_t(r.cout), size_t(Simd<T>::LANES), r.cout, after});
    }
}

template <class T>
void pointwise_back(const Pointwise<T>& r, const T* dy, T* dx, int threads) {
    const int ho = (r.h - 1) / r.s + 1, wo = (r.w - 1) / r.s + 1;
    const size_t line = size_t(r.w) * r.c;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int row = 0; row < r.n * r.h; row++) {
        const int image = row / r.h, i = row % r.h;
        T* to = dx + size_t(row) * line;
        if (r.s > 1) std::fill(to, to + line, T(0));
        if (i % r.s == 0)
            multiply<T>(wo, {dy + (size_t(image) * ho + i / r.s) * wo * r.cout, size_t(r.cout), size_t(Simd<T>::LANES)}, r.cout,
                        r.weight, r.columns, {to, size_t(r.s) * r.c, size_t(Simd<T>::LANES), r.c, {}});
    }
}

// dx (n, h, w, c) from dy (n, ho, wo, cout) of a convolution k x k of stride s with a border of `pad` zeros. Each pixel of dy
// times the weight (cout, columns) gives a patch (k, k c), and the patches are added up where they lie.
template <class T>
struct Patches {
    int n, h, w, c, ho, wo, cout, k, s, pad, columns;
};

template <class T>
void add_patches(const Patches<T>& r, int i, int wide, const T* patches, T* image) {
    constexpr int L = Simd<T>::LANES;
    const int line = r.k * r.c;
    for (int j = 0; j < r.wo; j++)
        for (int a = 0; a < r.k; a++) {
            const T* from = patches + size_t(j) * r.columns + a * line;
            T* to = image + (size_t(i * r.s + a) * wide + j * r.s) * r.c;
            for (int m = 0; m < line; m += L) {
                const int left = line - m;
                store_channels(to + m, load_channels(to + m, left) + load_channels(from + m, left), left);
            }
        }
}

template <class T>
void image_gradient(const Patches<T>& r, const T* dy, const T* weight, T* dx, int threads) {
    const int tall = std::max((r.ho - 1) * r.s + r.k, r.h + r.pad), wide = std::max((r.wo - 1) * r.s + r.k, r.w + r.pad);
    const size_t image = size_t(tall) * wide * r.c, line = size_t(r.w) * r.c, block = Simd<T>::LANES;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int n = 0; n < r.n; n++) {
        thread_local std::vector<T> buffer;
        T* patches = aligned(buffer, size_t(r.wo) * r.columns + image);
        T* sum = patches + size_t(r.wo) * r.columns;
        std::fill(sum, sum + image, T(0));
        for (int i = 0; i < r.ho; i++) {
            multiply<T>(r.wo, {dy + (size_t(n) * r.ho + i) * r.wo * r.cout, size_t(r.cout), block}, r.cout, weight, r.columns,
                        {patches, size_t(r.columns), block, r.columns, {}});
            add_patches(r, i, wide, patches, sum);
        }
        for (int i = 0; i < r.h; i++) {
            const T* from = sum + (size_t(i + r.pad) * wide + r.pad) * r.c;
            std::copy(from, from + line, dx + (size_t(n) * r.h + i) * line);
        }
    }
}

}  // namespace
