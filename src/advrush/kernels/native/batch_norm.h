// The passes of batch norm over maps in channels_last: sums of each channel, and affine functions of one or two maps.
//
// Forward, with z the map: sums(z, z), then a z + e (plus what the result is added to). Backward: sums(dy, z), then
// a dy + b z + e. The coefficients of each channel are the caller's.

#pragma once

#include <algorithm>

#include "simd.h"

namespace {

// Add the sums of p and of p q over `pixels` (<= 64) pixels to sum and along (c,), in double precision.
template <class T>
void sum_some(int pixels, int c, const T* p, const T* q, double* sum, double* along) {
    constexpr int L = Simd<T>::LANES;
    for (int channel = 0; channel < c; channel += L) {
        const int left = c - channel;
        Vec<T> total{}, product{};
        for (int i = 0; i < pixels; i++) {
            const size_t at = size_t(i) * c + channel;
            const Vec<T> v = load_channels(p + at, left);
            total += v, product += v * load_channels(q + at, left);
        }
        for (int lane = 0; lane < std::min(L, left); lane++) {
            sum[channel + lane] += double(total[lane]);
            along[channel + lane] += double(product[lane]);
        }
    }
}

template <class T>
void channel_sums(int64_t pixels, int64_t c, const T* p, const T* q, double* totals, int threads) {
    constexpr int PIECE = 64;  // pixels that float32 still adds up well
    const int groups = int(std::min<int64_t>(64, (pixels + PIECE - 1) / PIECE));  // fixed, whatever the threads
    std::vector<double> parts(size_t(groups) * 2 * c, 0.0);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int group = 0; group < groups; group++) {
        double* part = parts.data() + size_t(group) * 2 * c;
        const int64_t end = pixels * (group + 1) / groups;
        for (int64_t first = pixels * group / groups; first < end; first += PIECE)
            sum_some(int(std::min<int64_t>(PIECE, end - first)), c, p + first * c, q + first * c, part, part + c);
    }
    std::fill(totals, totals + 2 * c, 0.0);
    for (int group = 0; group < groups; group++)
        for (int i = 0; i < 2 * c; i++) totals[i] += parts[size_t(group) * 2 * c + i];
}

// out = a p + b q + e for each channel; without q if it is null, with b = 1 if that is. out may be p or q.
template <class T, bool PAIR>
void combine_some(int64_t pixels, int64_t c, const T* p, const T* q, const T* a, const T* b, const T* e, T* out) {
    constexpr int L = Simd<T>::LANES;
    const Vec<T> one = every(T(1));
    for (int64_t i = 0; i < pixels; i++)
        for (int channel = 0; channel < c; channel += L) {
            const int left = c - channel;
            const size_t at = size_t(i) * c + channel;
            Vec<T> v = load_channels(a + channel, left) * load_channels(p + at, left) + load_channels(e + channel, left);
            if (PAIR) v += (b ? load_channels(b + channel, left) : one) * load_channels(q + at, left);
            store_channels(out + at, v, left);
        }
}

template <class T>
void combine(int64_t pixels, int64_t c, const T* p, const T* q, const T* a, const T* b, const T* e, T* out, int threads) {
    const int64_t groups = std::min<int64_t>(64, pixels);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t group = 0; group < groups; group++) {
        const int64_t first = pixels * group / groups, count = pixels * (group + 1) / groups - first, at = first * c;
        if (q) combine_some<T, true>(count, c, p + at, q + at, a, b, e, out + at);
        else combine_some<T, false>(count, c, p + at, q, a, b, e, out + at);
    }
}

}  // namespace
