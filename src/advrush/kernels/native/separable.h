// Depthwise-separable convolution of maps in channels_last, forward and backward, one image at a time.
//
// One stage maps x (n, h, w, c) to y (n, ho, wo, cout):
//
//     t = pre(x)            nothing, ReLU, a scale and shift of each channel and ReLU, or zero where `mask` <= 0
//     u = depthwise(t)      k x k, stride s, dilation d, zero padding d (k / 2)
//     y = pointwise(u)      plus a bias
//
// An image's t, u and their gradients stay in the cache; only x and y are read and written. The sums that batch norm
// needs are taken while the numbers are in registers. Inside, channels are padded to whole vectors.
//
// Plain C interface without allocation by the caller; every array is dense. Results do not depend on the number of
// threads: sums over images are taken image by image, then in the order of the images.

#pragma once

#include <algorithm>

#include "depthwise.h"
#include "products.h"
#include "stage.h"

namespace {

template <class T>
struct Scratch {
    std::vector<T> t, u, z, du, g;
};
template <class T>
Scratch<T>& scratch() {
    static thread_local Scratch<T> own;
    return own;
}

// Where y goes; every part but y is optional, as in `After`.
template <class T>
struct Result {
    T* y;
    const T* bias = nullptr;  // (cout,)
    double* sums = nullptr;   // (n, 2, padded cout) of y, and of y `with`
    const T* with = nullptr;
    bool rectify = false, scale = false, add = false;
    T factor = 1;
};

template <class T>
void forward(int n, const Shape& r, const T* x, const Pre<T>& pre, const T* dw, const T* pw, const Result<T>& to, int threads) {
    constexpr int L = Simd<T>::LANES;
    const Kernels<T> kernel = kernels<T>(r.k, r.s, r.d);
    const int taps = r.k * r.k * L, columns = r.oblocks * L;
    std::vector<T> packing;
    T* wd = aligned(packing, size_t(taps) * r.blocks + size_t(r.c + 1) * columns);
    T *wp = wd + taps * r.blocks, *b = nullptr;
    pack_depthwise(r, dw, false, wd);
    pack_pointwise(r, pw, wp);
    if (to.bias) {
        b = wp + size_t(r.c) * columns;
        std::fill(b, b + columns, T(0));
        std::copy(to.bias, to.bias + r.cout, b);
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++) {
        Scratch<T>& own = scratch<T>();
        const size_t row = size_t(r.wp) * L, block = r.hp * row, line = size_t(r.wo) * L;
        T* t = aligned(own.t, r.blocks * block);
        T* u = aligned(own.u, r.blocks * line + 2 * columns);
        T* some = u + r.blocks * line;  // sums of a row, which float32 still adds up well
        std::fill(t, t + r.blocks * block, T(0));
        prepare(r, pre, x, size_t(image) * r.h * r.w * r.c, t);
        double* sum = to.sums ? to.sums + size_t(image) * 2 * columns : nullptr;
        if (sum) std::fill(sum, sum + 2 * columns, 0.0);
        for (int i = 0; i < r.ho; i++) {
            for (int m = 0; m < r.blocks; m++)
                kernel.depthwise(t + m * block + size_t(i) * r.s * row, row, r.wo, wd + m * taps, u + m * line);
            if (sum) std::fill(some, some + 2 * columns, T(0));
            const size_t at = (size_t(image) * r.ho + i) * r.wo * r.cout;
            const After<T> after{b, sum ? some : nullptr, sum ? some + columns : nullptr, to.with ? to.with + at : nullptr,
                                 to.rectify, to.scale, to.add, to.factor};
            multiply<T>(r.wo, {u, size_t(L), line}, r.c, wp, columns, r.cout, {to.y + at, size_t(r.cout), size_t(L), r.cout, after});
            for (int channel = 0; sum && channel < 2 * columns; channel++) sum[channel] += double(some[channel]);
        }
    }
}

// The cotangent of y as an affine function of two maps: a dy + b y + e for each channel; dy itself where a is null.
template <class T>
struct Cotangent {
    const T *dy, *y, *a, *b, *e;
};

template <class T>
void read_cotangent(const Shape& r, const Cotangent<T>& from, size_t image, T* z) {
    constexpr int L = Simd<T>::LANES;
    const int pixels = r.ho * r.wo;
    for (int m = 0; m < r.oblocks; m++) {
        const int channel = m * L, left = r.cout - channel;
        T* to = z + size_t(m) * pixels * L;
        const T* dy = from.dy + image + channel;
        if (!from.a) {
            for (int p = 0; p < pixels; p++) store(to + p * L, load_channels(dy + size_t(p) * r.cout, left));
            continue;
        }
        const T* y = from.y + image + channel;
        const Vec<T> a = load_channels(from.a + channel, left), b = load_channels(from.b + channel, left);
        const Vec<T> e = load_channels(from.e + channel, left);
        for (int p = 0; p < pixels; p++) {
            const size_t at = size_t(p) * r.cout;
            store(to + p * L, a * load_channels(dy + at, left) + b * load_channels(y + at, left) + e);
        }
    }
}

template <class T>
struct Gradients {
    T *dx, *dw, *pw;                  // null: not wanted
    double* sums;                     // (n, 2, padded c) of g and g x, or null
    bool scale = false, add = false;  // dx is `factor` g, and what is there is added
    T factor = 1;
};

// Write one row of dx: the gradient g of t, zero where `pre` cuts it off.
template <class T, bool ZEROS>
void write_row(const Shape& r, const Pre<T>& pre, const T* x, size_t at, const T* g, int m, const Gradients<T>& to, double* sums) {
    constexpr int L = Simd<T>::LANES;
    const int channel = m * L, left = r.c - channel;
    Vec<T> scale = every(T(1)), shift{}, total{}, along{};
    if (pre.scale && !pre.mask) scale = load_channels(pre.scale + channel, left), shift = load_channels(pre.shift + channel, left);
    const T* decides = pre.mask ? pre.mask : x;
    const Vec<T> factor = every(to.factor);
    for (int j = 0; j < r.w; j++) {
        const size_t pixel = at + size_t(j) * r.c + channel;
        Vec<T> v = load(g + j * L);
        if (ZEROS) v = load_channels(decides + pixel, left) * scale + shift <= 0 ? Vec<T>{} : v;
        if (sums) total += v, along += v * load_channels(x + pixel, left);
        if (to.scale) v *= factor;
        if (to.add) v += load_channels(to.dx + pixel, left);
        store_channels(to.dx + pixel, v, left);
    }
    if (sums)
        for (int lane = 0; lane < L; lane++) {
            sums[channel + lane] += double(total[lane]);
            sums[r.blocks * L + channel + lane] += double(along[lane]);
        }
}

// The weights of a stage in the order of the loops.
template <class T>
struct Packed {
    const T *depthwise, *flipped, *transposed;
};

// One image: dx and the sums are written; dw (blocks, k k, LANES) and pw (padded cout, padded c) are added to.
template <class T>
void backward_image(int image, const Shape& r, const Kernels<T>& kernel, const T* x, const Pre<T>& pre, const Cotangent<T>& from,
                    const Packed<T>& weight, const Gradients<T>& to, T* dw, T* pw) {
    constexpr int L = Simd<T>::LANES;
    Scratch<T>& own = scratch<T>();
    const int taps = r.k * r.k * L;
    const size_t row = size_t(r.wp) * L, block = r.hp * row, line = size_t(r.wo) * L, z_block = r.ho * line;
    const int margin = r.s == 1 ? r.pad : 0;  // of du: stride 1 reads it as a convolution, with zeros around
    const size_t du_row = size_t(r.wo + 2 * margin) * L, du_block = (r.ho + 2 * margin) * du_row;
    const bool copied = from.a || pw;  // else dy is read where it is
    T* z = copied ? aligned(own.z, r.oblocks * z_block) : nullptr;
    const T* dy = from.dy + size_t(image) * r.ho * r.wo * r.cout;
    T* du = aligned(own.du, r.blocks * du_block);
    T* u = aligned(own.u, std::max(r.wo, r.w) * size_t(r.blocks) * L);
    T* inside = du + margin * du_row + size_t(margin) * L;
    if (margin) std::fill(du, du + r.blocks * du_block, T(0));
    if (copied) read_cotangent(r, from, size_t(image) * r.ho * r.wo * r.cout, z);
    for (int i = 0; i < r.ho; i++) {
        const In<T> in = copied ? In<T>{z + i * line, size_t(L), z_block} : In<T>{dy + size_t(i) * r.wo * r.cout, size_t(r.cout), size_t(L)};
        multiply<T>(r.wo, in, r.cout, weight.transposed, r.blocks * L, r.c, {inside + i * du_row, size_t(L), du_block, r.blocks * L, {}});
    }
    if (dw || pw) {
        T* t = aligned(own.t, r.blocks * block);
        std::fill(t, t + r.blocks * block, T(0));
        prepare(r, pre, x, size_t(image) * r.h * r.w * r.c, t);
        for (int i = 0; i < r.ho; i++) {
            for (int m = 0; m < r.blocks; m++) {
                const T* window = t + m * block + size_t(i) * r.s * row;
                if (dw) kernel.filter(window, row, r.wo, inside + m * du_block + i * du_row, dw + m * taps);
                if (pw) kernel.depthwise(window, row, r.wo, weight.depthwise + m * taps, u + m * line);
            }
            if (pw) outer<T>(r.wo, z + i * line, z_block, r.cout, u, line, r.blocks * L, pw);
        }
    }
    if (!to.dx) return;
    double* sums = to.sums ? to.sums + size_t(image) * 2 * r.blocks * L : nullptr;
    if (sums) std::fill(sums, sums + 2 * r.blocks * L, 0.0);
    const auto write = pre.mask || pre.relu ? write_row<T, true> : write_row<T, false>;
    T* g = r.s > 1 ? aligned(own.g, block) : nullptr;
    for (int m = 0; m < r.blocks; m++) {
        if (g) {
            std::fill(g, g + block, T(0));
            for (int i = 0; i < r.ho; i++)
                kernel.scatter(inside + m * du_block + i * du_row, r.wo, weight.depthwise + m * taps, g + size_t(i) * r.s * row, row);
        }
        for (int i = 0; i < r.h; i++) {
            if (!g) kernel.depthwise(du + m * du_block + i * du_row, du_row, r.w, weight.flipped + m * taps, u);
            const T* from_row = g ? g + size_t(i + r.pad) * row + size_t(r.pad) * L : u;
            write(r, pre, x, (size_t(image) * r.h + i) * r.w * r.c, from_row, m, to, sums);
        }
    }
}

template <class T>
void backward(int n, const Shape& r, const T* x, const Pre<T>& pre, const Cotangent<T>& from, const T* dw, const T* pw,
              const Gradients<T>& to, int threads) {
    constexpr int L = Simd<T>::LANES;
    const Kernels<T> kernel = kernels<T>(r.k, r.s, r.d);
    const int columns = r.blocks * L, count = r.k * r.k;
    const size_t taps = size_t(count) * columns, square = size_t(r.oblocks) * L * columns;
    std::vector<T> packing, partial;
    T* wd = aligned(packing, 2 * taps + square);
    T *flipped = wd + taps, *wp = flipped + taps;
    pack_depthwise(r, dw, false, wd);
    pack_depthwise(r, dw, true, flipped);
    pack_transposed(r, pw, wp);
    const bool weights = to.dw || to.pw;
    const int groups = weights ? std::min(n, 32) : n;  // of images, each with sums of its own
    const size_t each = taps + square;
    T* parts = weights ? aligned(partial, groups * each) : nullptr;
    if (parts) std::fill(parts, parts + groups * each, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int group = 0; group < groups; group++) {
        T* part = parts ? parts + group * each : nullptr;
        const int first = int(size_t(n) * group / groups), end = int(size_t(n) * (group + 1) / groups);
        for (int image = first; image < end; image++)
            backward_image(image, r, kernel, x, pre, from, {wd, flipped, wp}, to, to.dw ? part : nullptr, to.pw ? part + taps : nullptr);
    }
    auto total = [&](size_t at) {
        double sum = 0;
        for (int group = 0; group < groups; group++) sum += parts[group * each + at];
        return T(sum);
    };
    for (int channel = 0; to.dw && channel < r.c; channel++)
        for (int a = 0; a < count; a++) to.dw[size_t(channel) * count + a] = total((size_t(channel / L) * count + a) * L + channel % L);
    for (int o = 0; to.pw && o < r.cout; o++)
        for (int i = 0; i < r.c; i++) to.pw[size_t(o) * r.c + i] = total(taps + size_t(o) * columns + i);
}

// Sum (n, 2, padded) over the images into totals (2, channels).
inline void add_images(int n, int channels, int padded, const double* sums, double* totals) {
    for (int half = 0; half < 2; half++)
        for (int channel = 0; channel < channels; channel++) {
            double total = 0;
            for (int image = 0; image < n; image++) total += sums[(size_t(image) * 2 + half) * padded + channel];
            totals[half * channels + channel] = total;
        }
}

}  // namespace
