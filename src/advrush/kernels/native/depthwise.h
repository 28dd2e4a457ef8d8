// Rows of a depthwise convolution, of its transpose and of the gradient of its filters, in blocked memory.

#pragma once

#include "simd.h"

namespace {

// Some neighboring pixels of one row and block of a depthwise convolution: out from the padded rows that begin at t.
template <class T, int K, int S, int D, int PX>
inline void depthwise_pixels(const T* t, size_t row, const T* weight, T* out) {
    constexpr int L = Simd<T>::LANES;
    Vec<T> sum[PX];
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++) sum[j] = Vec<T>{};  // `= {}` would go through memory
#pragma GCC unroll 8
    for (int a = 0; a < K; a++) {
        const T* line = t + size_t(a) * D * row;
#pragma GCC unroll 8
        for (int b = 0; b < K; b++) {
            Vec<T> w = load(weight + (a * K + b) * L);
#pragma GCC unroll 8
            for (int j = 0; j < PX; j++) sum[j] += w * load(line + (j * S + b * D) * L);
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++) store(out + j * L, sum[j]);
}

template <class T, int K, int S, int D>
void depthwise_row(const T* t, size_t row, int width, const T* weight, T* out) {
    constexpr int L = Simd<T>::LANES;
    int j = 0;
    for (; j + 8 <= width; j += 8)  // eight sums hide the latency of the multiply-add
        depthwise_pixels<T, K, S, D, 8>(t + j * S * L, row, weight, out + j * L);
    for (; j + 4 <= width; j += 4) depthwise_pixels<T, K, S, D, 4>(t + j * S * L, row, weight, out + j * L);
    for (; j < width; j++) depthwise_pixels<T, K, S, D, 1>(t + j * S * L, row, weight, out + j * L);
}

// The transpose for strides above 1: add w * u to the pixels of the padded image that made each pixel of u.
template <class T, int K, int S, int D>
void scatter_row(const T* u, int width, const T* weight, T* g, size_t row) {
    constexpr int L = Simd<T>::LANES;
    for (int a = 0; a < K; a++) {
        T* line = g + size_t(a) * D * row;
#pragma GCC unroll 8
        for (int b = 0; b < K; b++) {
            Vec<T> w = load(weight + (a * K + b) * L);
            for (int j = 0; j < width; j++) {
                T* to = line + (j * S + b * D) * L;
                store(to, load(to) + w * load(u + j * L));
            }
        }
    }
}

// Add <t shifted by each tap, u> over one row to the gradient (k k, LANES) of one block's filters.
template <class T, int K, int S, int D, int ROWS>
inline void tap_sums(const T* t, size_t row, int width, const T* u, T* gradient) {
    constexpr int L = Simd<T>::LANES;
    Vec<T> sum[ROWS * K];
#pragma GCC unroll 16
    for (int a = 0; a < ROWS * K; a++) sum[a] = Vec<T>{};
    for (int j = 0; j < width; j++) {
        Vec<T> v = load(u + j * L);
#pragma GCC unroll 4
        for (int a = 0; a < ROWS; a++)
#pragma GCC unroll 8
            for (int b = 0; b < K; b++) sum[a * K + b] += v * load(t + size_t(a) * D * row + (j * S + b * D) * L);
    }
#pragma GCC unroll 16
    for (int a = 0; a < ROWS * K; a++) store(gradient + a * L, load(gradient + a * L) + sum[a]);
}

template <class T, int K, int S, int D>
void filter_row(const T* t, size_t row, int width, const T* u, T* gradient) {
    constexpr int L = Simd<T>::LANES, ROWS = K == 3 ? 3 : K == 5 ? 2 : 1;
    int a = 0;
    for (; a + ROWS <= K; a += ROWS) tap_sums<T, K, S, D, ROWS>(t + size_t(a) * D * row, row, width, u, gradient + a * K * L);
    for (; a < K; a++) tap_sums<T, K, S, D, 1>(t + size_t(a) * D * row, row, width, u, gradient + a * K * L);
}

template <class T>
struct Kernels {
    void (*depthwise)(const T*, size_t, int, const T*, T*);
    void (*scatter)(const T*, int, const T*, T*, size_t);
    void (*filter)(const T*, size_t, int, const T*, T*);
};
template <class T, int K, int S, int D>
Kernels<T> kernels() {
    return {depthwise_row<T, K, S, D>, scatter_row<T, K, S, D>, filter_row<T, K, S, D>};
}
template <class T, int K>
Kernels<T> kernels(int s, int d) {
    if (s == 1) return d == 1 ? kernels<T, K, 1, 1>() : kernels<T, K, 1, 2>();
    return d == 1 ? kernels<T, K, 2, 1>() : kernels<T, K, 2, 2>();
}
template <class T>
Kernels<T> kernels(int k, int s, int d) {
    if (k == 1) return kernels<T, 1, 1, 1>();  // a stage without a depthwise convolution has a filter of ones
    return k == 3 ? kernels<T, 3>(s, d) : k == 5 ? kernels<T, 5>(s, d) : kernels<T, 7>(s, d);
}

}  // namespace
