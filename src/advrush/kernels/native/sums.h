// Passes over several maps at once: a weighted sum of maps, and the inner products of maps with one map, by channel.

#pragma once

#include <algorithm>
#include <vector>

#include "simd.h"

namespace {

// A map (pixels, c) and the scale (c,) by which it is added.
template <class T>
struct Summand {
    const T* map;
    const T* scale;
};

template <class T, int PX>
inline void add_pixels(const std::vector<Summand<T>>& maps, size_t at, int64_t c, int channel, Vec<T> shift, bool add, T* out) {
    const int left = int(c) - channel;
    Vec<T> sum[PX];
#pragma GCC unroll 4
    for (int j = 0; j < PX; j++) sum[j] = add ? load_channels(out + at + j * c, left) + shift : shift;
    for (const Summand<T>& each : maps) {
        const Vec<T> scale = load_channels(each.scale + channel, left);
#pragma GCC unroll 4
        for (int j = 0; j < PX; j++) sum[j] += scale * load_channels(each.map + at + j * c, left);
    }
#pragma GCC unroll 4
    for (int j = 0; j < PX; j++) store_channels(out + at + j * c, sum[j], left);
}

// out = the sum of the maps, each times its scale, plus shift (c,), plus out itself if `add`.
template <class T>
void add_maps(int64_t pixels, int64_t c, const std::vector<Summand<T>>& maps, const T* shift, bool add, T* out, int threads) {
    constexpr int L = Simd<T>::LANES;
    const int64_t groups = std::min<int64_t>(64, pixels);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t group = 0; group < groups; group++) {
        int64_t i = pixels * group / groups;
        const int64_t end = pixels * (group + 1) / groups;
        for (; i < end; i += i + 4 <= end ? 4 : 1)
            for (int channel = 0; channel < c; channel += L) {
                const Vec<T> own = load_channels(shift + channel, int(c) - channel);
                const size_t at = size_t(i) * c + channel;
                if (i + 4 <= end) add_pixels<T, 4>(maps, at, c, channel, own, add, out);
                else add_pixels<T, 1>(maps, at, c, channel, own, add, out);
            }
    }
}

// Add to totals[0, LANES) the sum over `pixels` pixels of p q, or of p if q is null: one block of channels.
template <class T>
inline void add_products(int pixels, int64_t c, int left, const T* p, const T* q, double* totals) {
    constexpr int L = Simd<T>::LANES;
    const Vec<T> one = every(T(1));
    Vec<T> sum[4] = {Vec<T>{}, Vec<T>{}, Vec<T>{}, Vec<T>{}};  // four hide the latency of the multiply-add
    int i = 0;
    for (; i + 4 <= pixels; i += 4)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[j] += load_channels(p + (i + j) * c, left) * (q ? load_channels(q + (i + j) * c, left) : one);
    for (; i < pixels; i++) sum[0] += load_channels(p + i * c, left) * (q ? load_channels(q + i * c, left) : one);
    alignas(BYTES) T all[L];
    store(all, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (int lane = 0; lane < std::min(L, left); lane++) totals[lane] += double(all[lane]);
}

// totals (1 + maps, c): the sums of p, and of p times each map, over all pixels; the same for any number of threads.
template <class T>
void products_with(int64_t pixels, int64_t c, const T* p, const std::vector<const T*>& maps, double* totals, int threads) {
    constexpr int L = Simd<T>::LANES, PIECE = 64;  // pixels that float32 still adds up well
    const int groups = int(std::min<int64_t>(64, (pixels + PIECE - 1) / PIECE));
    const size_t each = (1 + maps.size()) * c;
    std::vector<double> parts(groups * each, 0.0);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int group = 0; group < groups; group++) {
        double* part = parts.data() + group * each;
        const int64_t end = pixels * (group + 1) / groups;
        for (int64_t first = pixels * group / groups; first < end; first += PIECE) {
            const int count = int(std::min<int64_t>(PIECE, end - first));
            for (int channel = 0; channel < c; channel += L) {
                const size_t at = size_t(first) * c + channel;
                const int left = int(c) - channel;
                add_products<T>(count, c, left, p + at, nullptr, part + channel);
                for (size_t k = 0; k < maps.size(); k++) add_products<T>(count, c, left, p + at, maps[k] + at, part + (1 + k) * c + channel);
            }
        }
    }
    std::fill(totals, totals + each, 0.0);
    for (int group = 0; group < groups; group++)
        for (size_t i = 0; i < each; i++) totals[i] += parts[group * each + i];
}

}  // namespace
