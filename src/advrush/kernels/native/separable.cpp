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
    return k == 3 ? kernels<T, 3>(s, d) : k == 5 ? kernels<T, 5>(s, d) : kernels<T, 7>(s, d);
}

// Where the product of pixels and a matrix goes.
template <class T>
struct Out {
    T* to;
    size_t step, block;  // between pixels, between blocks of channels
    int channels;        // how many are stored; all of a block's if it lies in scratch memory
    const T* bias;       // (padded channels,) or null
    T *sum, *square;     // (padded channels,) to add to, or null
};

// PX pixels (blocks, ., LANES) times a panel of NV blocks of columns of weight (inner, columns).
template <class T, int PX, int NV>
inline void panel(const T* in, size_t in_block, int inner, const T* weight, int columns, const Out<T>& out, int column) {
    constexpr int L = Simd<T>::LANES;
    Vec<T> sum[PX][NV];
#pragma GCC unroll 8
    for (int j = 0; j < PX; j++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) sum[j][v] = Vec<T>{};
    for (int first = 0; first < inner; first += L, in += in_block) {
        const int lanes = inner - first < L ? inner - first : L;
        for (int lane = 0; lane < lanes; lane++) {
            const T* line = weight + size_t(first + lane) * columns + column;
            Vec<T> w[NV];
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) w[v] = load(line + v * L);
#pragma GCC unroll 8
            for (int j = 0; j < PX; j++) {
                Vec<T> one = every(in[j * L + lane]);
#pragma GCC unroll 4
                for (int v = 0; v < NV; v++) sum[j][v] += one * w[v];
            }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) {
        const int channel = column + v * L;
        if (out.bias) {
            Vec<T> b = load(out.bias + channel);
#pragma GCC unroll 8
            for (int j = 0; j < PX; j++) sum[j][v] += b;
        }
        T* to = out.to + size_t(channel / L) * out.block;
        const int left = out.channels - channel;
#pragma GCC unroll 8
        for (int j = 0; j < PX; j++) store_channels(to + j * out.step, sum[j][v], left);
        if (out.sum) {
            Vec<T> total = sum[0][v], square = sum[0][v] * sum[0][v];
#pragma GCC unroll 8
            for (int j = 1; j < PX; j++) total += sum[j][v], square += sum[j][v] * sum[j][v];
            store(out.sum + channel, load(out.sum + channel) + total);
            store(out.square + channel, load(out.square + channel) + square);
        }
    }
}

template <class T, int PX>
void panels(const T* in, size_t in_block, int inner, const T* weight, int columns, const Out<T>& out) {
    constexpr int L = Simd<T>::LANES;
    int column = 0;
    for (; column + 2 * L <= columns; column += 2 * L) panel<T, PX, 2>(in, in_block, inner, weight, columns, out, column);
    if (column < columns) panel<T, PX, 1>(in, in_block, inner, weight, columns, out, column);
}

// out (pixels, columns) = in (pixels, inner) weight (inner, columns).
template <class T>
void multiply(int pixels, const T* in, size_t in_block, int inner, const T* weight, int columns, Out<T> out) {
    constexpr int L = Simd<T>::LANES;
    while (pixels > 0) {
        const int take = pixels >= 6 && pixels != 8 ? 6 : pixels >= 4 ? 4 : pixels >= 2 ? 2 : 1;
        if (take == 6) panels<T, 6>(in, in_block, inner, weight, columns, out);
        else if (take == 4) panels<T, 4>(in, in_block, inner, weight, columns, out);
        else if (take == 2) panels<T, 2>(in, in_block, inner, weight, columns, out);
        else panels<T, 1>(in, in_block, inner, weight, columns, out);
        pixels -= take, in += take * L, out.to += take * out.step;
    }
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

// weight (c, 1, k, k) as (blocks, k k, LANES), turned by 180 degrees if `turn`.
template <class T>
void pack_depthwise(const Shape& r, const T* weight, bool turn, T* packed) {
    constexpr int L = Simd<T>::LANES;
    const int taps = r.k * r.k;
    std::fill(packed, packed + size_t(taps) * r.blocks * L, T(0));
    for (int channel = 0; channel < r.c; channel++)
        for (int a = 0; a < taps; a++)
            packed[(size_t(channel / L) * taps + (turn ? taps - 1 - a : a)) * L + channel % L] = weight[size_t(channel) * taps + a];
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

template <class T>
struct Scratch {
    std::vector<T> t, u, z, du, g;
};
template <class T>
Scratch<T>& scratch() {
    static thread_local Scratch<T> own;
    return own;
}

template <class T>
void forward(int n, const Shape& r, const T* x, const Pre<T>& pre, const T* dw, const T* pw, const T* bias, T* y,
             double* sums, int threads) {
    constexpr int L = Simd<T>::LANES;
    const Kernels<T> kernel = kernels<T>(r.k, r.s, r.d);
    const int taps = r.k * r.k * L, columns = r.oblocks * L;
    std::vector<T> packing;
    T* wd = aligned(packing, size_t(taps) * r.blocks + size_t(r.c + 1) * columns);
    T *wp = wd + taps * r.blocks, *b = nullptr;
    pack_depthwise(r, dw, false, wd);
    pack_pointwise(r, pw, wp);
    if (bias) {
        b = wp + size_t(r.c) * columns;
        std::fill(b, b + columns, T(0));
        std::copy(bias, bias + r.cout, b);
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
        double* sum = sums ? sums + size_t(image) * 2 * columns : nullptr;
        if (sum) std::fill(sum, sum + 2 * columns, 0.0);
        for (int i = 0; i < r.ho; i++) {
            for (int m = 0; m < r.blocks; m++)
                kernel.depthwise(t + m * block + size_t(i) * r.s * row, row, r.wo, wd + m * taps, u + m * line);
            if (sum) std::fill(some, some + 2 * columns, T(0));
            Out<T> out{y + (size_t(image) * r.ho + i) * r.wo * r.cout, size_t(r.cout), size_t(L), r.cout, b, sum ? some : nullptr, some + columns};
            multiply<T>(r.wo, u, line, r.c, wp, columns, out);
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

// Write one row of dx: the gradient g of t through `pre`; the sums of dx and of dx x are optional.
template <class T, bool ZEROS>
void write_row(const Shape& r, const Pre<T>& pre, const T* x, size_t at, const T* g, int m, T* dx, bool add, double* sums) {
    constexpr int L = Simd<T>::LANES;
    const int channel = m * L, left = r.c - channel;
    Vec<T> scale = every(T(1)), shift{}, total{}, along{};
    if (pre.scale && !pre.mask) scale = load_channels(pre.scale + channel, left), shift = load_channels(pre.shift + channel, left);
    const T* decides = pre.mask ? pre.mask : x;
    for (int j = 0; j < r.w; j++) {
        const size_t to = at + size_t(j) * r.c + channel;
        Vec<T> v = load(g + j * L);
        if (ZEROS) {
            const Vec<T> value = load_channels(decides + to, left);
            v = value * scale + shift <= 0 ? Vec<T>{} : v;
            total += v, along += v * value;
        }
        if (add) v += load_channels(dx + to, left);
        store_channels(dx + to, v, left);
    }
    if (sums)
        for (int lane = 0; lane < L; lane++) {
            sums[channel + lane] += double(total[lane]);
            sums[r.blocks * L + channel + lane] += double(along[lane]);
        }
}

template <class T>
struct Gradients {
    T *dx, *dw, *pw;  // null: not wanted
    bool add;         // to dx
    double* sums;     // (n, 2, padded c) of dx and dx x, or null
};

// The weights of a stage in the order of the loops.
template <class T>
struct Packed {
    const T *depthwise, *turned, *transposed;
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
    T* z = aligned(own.z, r.oblocks * z_block);
    T* du = aligned(own.du, r.blocks * du_block);
    T* u = aligned(own.u, std::max(r.wo, r.w) * size_t(r.blocks) * L);
    T* inside = du + margin * du_row + size_t(margin) * L;
    if (margin) std::fill(du, du + r.blocks * du_block, T(0));
    read_cotangent(r, from, size_t(image) * r.ho * r.wo * r.cout, z);
    for (int i = 0; i < r.ho; i++)
        multiply<T>(r.wo, z + i * line, z_block, r.cout, weight.transposed, r.blocks * L,
                    {inside + i * du_row, size_t(L), du_block, r.blocks * L, nullptr, nullptr, nullptr});
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
            if (!g) kernel.depthwise(du + m * du_block + i * du_row, du_row, r.w, weight.turned + m * taps, u);
            const T* from_row = g ? g + size_t(i + r.pad) * row + size_t(r.pad) * L : u;
            write(r, pre, x, (size_t(image) * r.h + i) * r.w * r.c, from_row, m, to.dx, to.add, sums);
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
    T *turned = wd + taps, *wp = turned + taps;
    pack_depthwise(r, dw, false, wd);
    pack_depthwise(r, dw, true, turned);
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
            backward_image(image, r, kernel, x, pre, from, {wd, turned, wp}, to, to.dw ? part : nullptr, to.pw ? part + taps : nullptr);
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
void add_images(int n, int channels, int padded, const double* sums, double* totals) {
    for (int half = 0; half < 2; half++)
        for (int channel = 0; channel < channels; channel++) {
            double total = 0;
            for (int image = 0; image < n; image++) total += sums[(size_t(image) * 2 + half) * padded + channel];
            totals[half * channels + channel] = total;
        }
}

// The sizes of a stage as they come from outside.
#define SIZES int64_t n, int64_t h, int64_t w, int64_t c, int64_t cout, int64_t k, int64_t s, int64_t d
#define PRE const T *x, const T *scale, const T *shift, const T *mask, int64_t relu
#define WEIGHTS const T *dw, const T *pw

template <class T>
void run_forward(SIZES, PRE, WEIGHTS, const T* bias, T* y, double* totals, int threads) {
    const Shape r = shape_of<T>(h, w, c, cout, k, s, d);
    const int padded = r.oblocks * Simd<T>::LANES;
    std::vector<double> sums(totals ? size_t(n) * 2 * padded : 0);
    forward<T>(n, r, x, {scale, shift, mask, relu != 0}, dw, pw, bias, y, totals ? sums.data() : nullptr, threads);
    if (totals) add_images(n, r.cout, padded, sums.data(), totals);
}

template <class T>
void run_backward(SIZES, PRE, WEIGHTS, const Cotangent<T>& from, T* dx, bool add, T* d_dw, T* d_pw, double* totals, int threads) {
    const Shape r = shape_of<T>(h, w, c, cout, k, s, d);
    const int padded = r.blocks * Simd<T>::LANES;
    std::vector<double> sums(totals ? size_t(n) * 2 * padded : 0);
    const Gradients<T> to{dx, d_dw, d_pw, add, totals ? sums.data() : nullptr};
    backward<T>(n, r, x, {scale, shift, mask, relu != 0}, from, dw, pw, to, threads);
    if (totals) add_images(n, r.c, padded, sums.data(), totals);
}

}  // namespace

// kernels/separable_conv.py calls these, and describes the arguments.
#define KERNELS(suffix)                                                                                          \
    extern "C" void separable_forward_##suffix(SIZES, PRE, WEIGHTS, const T* bias, T* y, double* totals, int threads) { \
        run_forward<T>(n, h, w, c, cout, k, s, d, x, scale, shift, mask, relu, dw, pw, bias, y, totals, threads);      \
    }                                                                                                                  \
    extern "C" void separable_backward_##suffix(SIZES, PRE, WEIGHTS, const T* dy, const T* y, const T* a, const T* b,  \
                                                const T* e, T* dx, int64_t add, T* d_dw, T* d_pw, double* totals,      \
                                                int threads) {                                                         \
        run_backward<T>(n, h, w, c, cout, k, s, d, x, scale, shift, mask, relu, dw, pw, {dy, y, a, b, e}, dx, add != 0, \
                        d_dw, d_pw, totals, threads);                                                                  \
    }
#define T float
KERNELS(f32)
#undef T
#define T double
KERNELS(f64)
#undef T
