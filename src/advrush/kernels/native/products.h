// Products of pixels in blocked memory with a matrix, and of pixels with pixels: the pointwise convolution and its gradient.

#pragma once

#include "simd.h"

namespace {

// What becomes of a product v before it is stored; every part is optional. Maps are laid out as the one stored to.
template <class T>
struct After {
    const T* bias = nullptr;                // (padded channels,), added to v
    T *sum = nullptr, *product = nullptr;   // (padded channels,): v and v `with` are added, over the pixels
    const T* with = nullptr;                // a map; v itself if it is null
    bool rectify = false;                   // store the positive part
    bool scale = false, add = false;        // store `factor` v; add what is there
    T factor = 1;
    Lanes* mask = nullptr;                  // (blocks, `mask_block`): which lanes of each pixel are positive
    size_t mask_block = 0;
};

// Where the product of pixels and a matrix goes.
template <class T>
struct Out {
    T* to;
    size_t step, block;  // between pixels, between blocks of channels
    int channels;        // how many are stored; all of a block's if it lies in scratch memory
    After<T> after;
};

// Store PX sums of one block of channels, `channel` the first of them.
template <class T, int PX, int NV>
inline void finish(Vec<T> (&sum)[PX][NV], int v, const Out<T>& out, int channel) {
    constexpr int L = Simd<T>::LANES;
    const After<T>& after = out.after;
    const size_t offset = size_t(channel / L) * out.block;
    const int left = out.channels - channel;
    if (left <= 0) return;  // the weight has more columns than are stored
    T* to = out.to + offset;
    if (after.bias) {
        Vec<T> b = load(after.bias + channel);
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++) sum[j][v] += b;
    }
    if (after.product) {
        Vec<T> total{}, product{};
        const T* with = after.with + offset;
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++)
            total += sum[j][v], product += sum[j][v] * (after.with ? load_channels(with + j * out.step, left) : sum[j][v]);
        store(after.sum + channel, load(after.sum + channel) + total);
        store(after.product + channel, load(after.product + channel) + product);
    }
    if (after.mask)
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++) after.mask[size_t(channel / L) * after.mask_block + j] = positive_lanes(sum[j][v]);
    if (after.rectify)
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++) sum[j][v] = positive<T>(sum[j][v]);
    if (after.scale)
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++) sum[j][v] *= every(after.factor);
    if (after.add)
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++) sum[j][v] += load_channels(to + j * out.step, left);
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++) store_channels(to + j * out.step, sum[j][v], left);
}

// Pixels whose channels come in blocks of LANES: `step` between pixels, `block` between blocks.
template <class T>
struct In {
    const T* from;
    size_t step, block;
};

// PX pixels times a panel of NV blocks of columns of weight (inner, columns).
template <class T, int PX, int NV>
inline void panel(In<T> in, int inner, const T* weight, int columns, const Out<T>& out, int column) {
    constexpr int L = Simd<T>::LANES;
    Vec<T> sum[PX][NV];
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) sum[j][v] = Vec<T>{};
    for (int first = 0; first < inner; first += L, in.from += in.block) {
        const int lanes = inner - first < L ? inner - first : L;
        for (int lane = 0; lane < lanes; lane++) {
            const T* line = weight + size_t(first + lane) * columns + column;
            Vec<T> w[NV];
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) w[v] = load(line + v * L);
#pragma GCC unroll 8
            for (int j = 0; j < PX; j++) {
                Vec<T> one = every(in.from[j * in.step + lane]);
#pragma GCC unroll 4
                for (int v = 0; v < NV; v++) sum[j][v] += one * w[v];
            }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) finish<T, PX, NV>(sum, v, out, column + v * L);
}

// The same with two blocks of columns and half a block behind them.
template <class T, int PX>
inline void panel_and_half(In<T> in, int inner, const T* weight, int columns, const Out<T>& out, int column) {
    constexpr int L = Simd<T>::LANES, NV = 2;
    Vec<T> sum[PX][NV + 1];
    Half<T> half[PX];
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++) {
        half[j] = first_half(Vec<T>{});
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) sum[j][v] = Vec<T>{};
    }
    for (int first = 0; first < inner; first += L, in.from += in.block) {
        const int lanes = inner - first < L ? inner - first : L;
        for (int lane = 0; lane < lanes; lane++) {
            const T* line = weight + size_t(first + lane) * columns + column;
            Vec<T> w[NV];
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) w[v] = load(line + v * L);
            const Half<T> last = load_half(line + NV * L);
#pragma GCC unroll 8
            for (int j = 0; j < PX; j++) {
                Vec<T> one = every(in.from[j * in.step + lane]);
#pragma GCC unroll 4
                for (int v = 0; v < NV; v++) sum[j][v] += one * w[v];
                half[j] += first_half(one) * last;
            }
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++) sum[j][NV] = with_zeros(half[j]);
#pragma GCC unroll 4
    for (int v = 0; v < NV + 1; v++) finish<T, PX, NV + 1>(sum, v, out, column + v * L);
}

// All columns, of which those from `wanted` on are zero.
template <class T, int PX>
void panels(const In<T>& in, int inner, const T* weight, int columns, int wanted, const Out<T>& out) {
    constexpr int L = Simd<T>::LANES;
    // the last three blocks, of which half a block is zero
    const int half = HALF_VECTORS && columns - wanted >= L / 2 && columns % (2 * L) == L && columns > L ? 3 * L : 0;
    int column = 0;
    for (; column + 2 * L <= columns - half; column += 2 * L) panel<T, PX, 2>(in, inner, weight, columns, out, column);
    if (half) panel_and_half<T, PX>(in, inner, weight, columns, out, column);
    else if (column < columns) panel<T, PX, 1>(in, inner, weight, columns, out, column);
}

// out (pixels, columns) = in (pixels, inner) weight (inner, columns), whose columns from `wanted` on are zero.
template <class T>
void multiply(int pixels, In<T> in, int inner, const T* weight, int columns, int wanted, Out<T> out) {
    while (pixels > 0) {
        const int take = pixels >= 6 && pixels != 8 ? 6 : pixels >= 4 ? 4 : pixels >= 2 ? 2 : 1;
        if (take == 6) panels<T, 6>(in, inner, weight, columns, wanted, out);
        else if (take == 4) panels<T, 4>(in, inner, weight, columns, wanted, out);
        else if (take == 2) panels<T, 2>(in, inner, weight, columns, wanted, out);
        else panels<T, 1>(in, inner, weight, columns, wanted, out);
        pixels -= take, in.from += take * in.step, out.to += take * out.step;
        if (out.after.with) out.after.with += take * out.step;
        if (out.after.mask) out.after.mask += take;
    }
}

template <class T>
void multiply(int pixels, In<T> in, int inner, const T* weight, int columns, Out<T> out) {
    multiply(pixels, in, inner, weight, columns, columns, out);
}

// gradient (R, NV LANES) += left^T right over the pixels; both maps blocked, R within one block of the left one.
template <class T, int R, int NV>
inline void outer_panel(int pixels, const T* left, const T* right, size_t right_block, T* gradient, int columns) {
    constexpr int L = Simd<T>::LANES;
    Vec<T> sum[R][NV];
#pragma GCC unroll 8
    for (int a = 0; a < R; a++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) sum[a][v] = Vec<T>{};
    for (int p = 0; p < pixels; p++) {
        Vec<T> v[NV];
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) v[n] = load(right + n * right_block + p * L);
#pragma GCC unroll 8
        for (int a = 0; a < R; a++) {
            Vec<T> one = every(left[p * L + a]);
#pragma GCC unroll 4
            for (int n = 0; n < NV; n++) sum[a][n] += one * v[n];
        }
    }
#pragma GCC unroll 8
    for (int a = 0; a < R; a++)
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) {
            T* to = gradient + size_t(a) * columns + n * L;
            store(to, load(to) + sum[a][n]);
        }
}

// gradient (padded rows, columns) += left^T (rows, pixels) right (pixels, columns); padded rows are zero in `left`.
template <class T>
void outer(int pixels, const T* left, size_t left_block, int rows, const T* right, size_t right_block, int columns, T* gradient) {
    constexpr int L = Simd<T>::LANES, R = L < 4 ? L : 4;
    for (int a = 0; a < rows; a += R) {
        const T* own = left + size_t(a / L) * left_block + a % L;
        T* to = gradient + size_t(a) * columns;
        int column = 0;
        for (; column + 2 * L <= columns; column += 2 * L)
            outer_panel<T, R, 2>(pixels, own, right + size_t(column / L) * right_block, right_block, to + column, columns);
        if (column < columns) outer_panel<T, R, 1>(pixels, own, right + size_t(column / L) * right_block, right_block, to + column, columns);
    }
}

}  // namespace
