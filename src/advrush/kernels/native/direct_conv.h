// Convolutions k x k of any stride as one product of patches with a matrix, and back to the gradient for their input.

#pragma once

#include <algorithm>

#include "products.h"

namespace {

// Sizes of a convolution: x (n, h, w, c) to y (n, ho, wo, cout), with a border of `pad` zeros.
struct Sizes {
    int n, h, w, c, ho, wo, cout, k, s, pad;
    int patch() const { return k * k * c; }
};

template <class T>
inline void copy(const T* from, int count, T* to) {  // a library's call takes longer than the few vectors that there are
    constexpr int L = Simd<T>::LANES;
    for (int m = 0; m < count; m += L) store_channels(to + m, load_channels(from + m, count - m), count - m);
}

// The patches (wo, k, k, c) under a row of outputs.
template <class T>
void gather_row(const Sizes& r, const T* image, int i, T* patches) {
    const size_t line = size_t(r.k) * r.c;
    for (int a = 0; a < r.k; a++) {
        const int row = i * r.s + a - r.pad;
        const T* from = image + int64_t(row) * r.w * r.c;
        for (int j = 0; j < r.wo; j++) {
            T* to = patches + size_t(j) * r.patch() + a * line;
            const int left = j * r.s - r.pad, first = std::max(0, -left), end = std::max(first, std::min(r.k, r.w - left));
            if (row < 0 || row >= r.h) {
                std::fill(to, to + line, T(0));
                continue;
            }
            if (end - first < r.k) std::fill(to, to + line, T(0));
            copy(from + int64_t(left + first) * r.c, (end - first) * r.c, to + size_t(first) * r.c);
        }
    }
}

// y += residual, and its positive part.
template <class T>
void add_residual(size_t count, const T* residual, bool relu, T* y) {
    constexpr int L = Simd<T>::LANES;
    for (size_t at = 0; at < count; at += L) {
        const int left = int(std::min<size_t>(L, count - at));
        const Vec<T> v = load_channels(y + at, left) + load_channels(residual + at, left);
        store_channels(y + at, relu ? positive<T>(v) : v, left);
    }
}

// y = x * weight (k k c, columns) + bias (columns,) + residual (of y's shape), rectified if `relu`; bias and residual may be null.
template <class T>
void direct_forward(const Sizes& r, const T* x, const T* weight, int columns, const T* bias, const T* residual, bool relu, T* y) {
    constexpr size_t L = Simd<T>::LANES;
    const bool pointwise = r.k == 1 && r.pad == 0;
    static thread_local std::vector<T> buffer;
    T* patches = aligned(buffer, pointwise ? 0 : size_t(r.wo) * r.patch() + L);
    After<T> after;
    after.bias = bias, after.rectify = relu && !residual;
    for (int row = 0; row < r.n * r.ho; row++) {
        const T* image = x + size_t(row / r.ho) * r.h * r.w * r.c;
        const int i = row % r.ho;
        if (!pointwise) gather_row(r, image, i, patches);
        const In<T> in = pointwise ? In<T>{image + size_t(i) * r.s * r.w * r.c, size_t(r.s) * r.c, L} : In<T>{patches, size_t(r.patch()), L};
        const size_t line = size_t(r.wo) * r.cout;
        T* to = y + row * line;
        multiply<T>(r.wo, in, r.patch(), weight, columns, r.cout, {to, size_t(r.cout), L, r.cout, after});
        if (residual) add_residual(line, residual + row * line, relu, to);
    }
}

// The patches of a row of outputs are added up where they lie in the padded image, `wide` pixels wide.
template <class T>
void scatter_row(const Sizes& r, int i, int wide, const T* patches, int columns, T* image) {
    constexpr int L = Simd<T>::LANES;
    const int line = r.k * r.c;
    for (int j = 0; j < r.wo; j++)
        for (int a = 0; a < r.k; a++) {
            const T* from = patches + size_t(j) * columns + a * line;
            T* to = image + (size_t(i * r.s + a) * wide + j * r.s) * r.c;
            for (int m = 0; m < line; m += L) {
                const int left = line - m;
                store_channels(to + m, load_channels(to + m, left) + load_channels(from + m, left), left);
            }
        }
}

// dx = the gradient of <dy, y> for x, added to what is there if `adds`; weight (cout, columns) is the transpose.
template <class T>
void direct_backward(const Sizes& r, const T* dy, const T* weight, int columns, bool adds, T* dx) {
    constexpr size_t L = Simd<T>::LANES;
    const size_t line = size_t(r.w) * r.c;
    if (r.k == 1 && r.pad == 0) {
        After<T> after;
        after.add = adds;
        if (!adds && r.s > 1) std::fill(dx, dx + r.n * r.h * line, T(0));
        for (int row = 0; row < r.n * r.ho; row++) {
            T* to = dx + (size_t(row / r.ho) * r.h + size_t(row % r.ho) * r.s) * line;
            multiply<T>(r.wo, {dy + size_t(row) * r.wo * r.cout, size_t(r.cout), L}, r.cout, weight, columns, r.c,
                        {to, size_t(r.s) * r.c, L, r.c, after});
        }
        return;
    }
    const int tall = std::max((r.ho - 1) * r.s + r.k, r.h + r.pad), wide = std::max((r.wo - 1) * r.s + r.k, r.w + r.pad);
    const size_t image = size_t(tall) * wide * r.c, some = size_t(r.wo) * columns;
    static thread_local std::vector<T> buffer;
    T* patches = aligned(buffer, some + image);
    T* sum = patches + some;
    for (int n = 0; n < r.n; n++) {
        std::fill(sum, sum + image, T(0));
        for (int i = 0; i < r.ho; i++) {
            multiply<T>(r.wo, {dy + (size_t(n) * r.ho + i) * r.wo * r.cout, size_t(r.cout), L}, r.cout, weight, columns, r.patch(),
                        {patches, size_t(columns), L, columns, {}});
            scatter_row(r, i, wide, patches, columns, sum);
        }
        for (int i = 0; i < r.h; i++) {
            const T* from = sum + (size_t(i + r.pad) * wide + r.pad) * r.c;
            T* to = dx + (size_t(n) * r.h + i) * line;
            if (adds) add_residual(line, from, false, to);
            else std::copy(from, from + line, to);
        }
    }
}

}  // namespace
