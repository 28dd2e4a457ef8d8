// What a stage of separable convolutions is: sizes, what is done to its input, weights in the order of the loops.

#pragma once

#include <algorithm>

#include "simd.h"

namespace {

// Sizes of a stage. Scratch maps are blocked: (blocks of LANES channels, rows, columns, LANES), so that the channels of
// one block of neighboring pixels lie side by side and every offset within a row is a constant.
struct Shape {
    int h, w, c, cout, k, s, d;
    int ho, wo, pad, hp, wp;  // output, padding, padded image
    int blocks, oblocks;      // of the channels of x and y
};

template <class T>
Shape shape_of(int h, int w, int c, int cout, int k, int s, int d) {
    constexpr int L = Simd<T>::LANES;
    Shape r{h, w, c, cout, k, s, d, 0, 0, 0, 0, 0, 0, 0};
    r.ho = (h + s - 1) / s, r.wo = (w + s - 1) / s, r.pad = d * (k / 2);
    r.hp = h + 2 * r.pad, r.wp = w + 2 * r.pad;
    r.blocks = (c + L - 1) / L, r.oblocks = (cout + L - 1) / L;
    return r;
}

// What is done to x before the depthwise convolution.
template <class T>
struct Pre {
    const T *scale, *shift;  // (c,) or null
    const T* mask;           // of x's shape, or null: zero where it is not positive
    bool relu;
};

// Fill the inside of the padded image t (blocks, hp, wp, LANES), whose margins are zero already.
template <class T>
void prepare(const Shape& r, const Pre<T>& pre, const T* x, size_t image, T* t) {
    constexpr int L = Simd<T>::LANES;
    const size_t block = size_t(r.hp) * r.wp * L;
    for (int n = 0; n < r.blocks; n++) {
        const int channel = n * L, left = r.c - channel;
        Vec<T> scale{}, shift{};
        if (pre.scale) scale = load_channels(pre.scale + channel, left), shift = load_channels(pre.shift + channel, left);
        for (int i = 0; i < r.h; i++) {
            T* row = t + n * block + (size_t(i + r.pad) * r.wp + r.pad) * L;
            const size_t at = image + size_t(i) * r.w * r.c + channel;
            if (pre.mask)
                for (int j = 0; j < r.w; j++) {
                    Vec<T> v = load_channels(x + at + size_t(j) * r.c, left);
                    store(row + j * L, load_channels(pre.mask + at + size_t(j) * r.c, left) <= 0 ? Vec<T>{} : v);
                }
            else if (pre.scale)
                for (int j = 0; j < r.w; j++) {
                    Vec<T> v = load_channels(x + at + size_t(j) * r.c, left) * scale + shift;
                    store(row + j * L, pre.relu ? positive<T>(v) : v);
                }
            else
                for (int j = 0; j < r.w; j++) {
                    Vec<T> v = load_channels(x + at + size_t(j) * r.c, left);
                    store(row + j * L, pre.relu ? positive<T>(v) : v);
                }
        }
    }
}

// weight (c, 1, k, k) as (blocks, k k, LANES), flipped in both directions if `flip`.
template <class T>
void pack_depthwise(const Shape& r, const T* weight, bool flip, T* packed) {
    constexpr int L = Simd<T>::LANES;
    const int taps = r.k * r.k;
    std::fill(packed, packed + size_t(taps) * r.blocks * L, T(0));
    for (int channel = 0; channel < r.c; channel++)
        for (int a = 0; a < taps; a++)
            packed[(size_t(channel / L) * taps + (flip ? taps - 1 - a : a)) * L + channel % L] = weight[size_t(channel) * taps + a];
}
// weight (cout, c) as (c, padded cout) for y = weight u.
template <class T>
void pack_pointwise(const Shape& r, const T* weight, T* packed) {
    const size_t columns = size_t(r.oblocks) * Simd<T>::LANES;
    std::fill(packed, packed + r.c * columns, T(0));
    for (int o = 0; o < r.cout; o++)
        for (int i = 0; i < r.c; i++) packed[i * columns + o] = weight[size_t(o) * r.c + i];
}
// weight (cout, c) as (cout, padded c) for u = weight^T y.
template <class T>
void pack_transposed(const Shape& r, const T* weight, T* packed) {
    const size_t columns = size_t(r.blocks) * Simd<T>::LANES;
    std::fill(packed, packed + r.cout * columns, T(0));
    for (int o = 0; o < r.cout; o++) std::copy(weight + size_t(o) * r.c, weight + size_t(o + 1) * r.c, packed + o * columns);
}

}  // namespace
