// 3x3 convolutions of stride 1 with a border of one zero by Winograd's F(2x2, 3x3) or F(4x4, 3x3) (Lavin and Gray, CVPR 2016).
//
// Y = A^T [(G g G^T) * (B^T d B)] A for tiles d (M + 2, M + 2) of the image and M x M outputs: 16 products for 4 outputs, or
// 36 for 16, in place of 9 for each. The products of all channels are products of matrices, one for each place of the tile,
// over several tiles at once.

#pragma once

#include <algorithm>

#include "products.h"

namespace {

// Sizes of a convolution of stride 1, and its maps (n, h, w, channels). `bias` and `residual` may be null.
template <class T>
struct Winograd {
    int n, h, w, c, cout;
    int columns;        // of the weight: cout up to a multiple of 16
    const T* x;
    const T* weight;    // (places, c, columns): G g G^T
    const T* bias;      // (columns,)
    const T* residual;  // of y's shape, added; may be y
    bool relu;          // store the positive part
    T* y;
};

// The transforms of one row or column, B^T d and A^T m, for M outputs. G, which the caller applies, belongs to them.
template <class T, int M>
struct Transform;

template <class T>
struct Transform<T, 2> {  // points 0, 1, -1
    static void input(const Vec<T> (&d)[4], Vec<T> (&v)[4]) {
        v[0] = d[0] - d[2], v[1] = d[1] + d[2], v[2] = d[2] - d[1], v[3] = d[1] - d[3];
    }
    static void output(const Vec<T> (&m)[4], Vec<T> (&y)[2]) { y[0] = m[0] + m[1] + m[2], y[1] = m[1] - m[2] - m[3]; }
};

template <class T>
struct Transform<T, 4> {  // points 0, +-sqrt(1/2), +-sqrt(2): a third of the rounding of 0, +-1, +-2
    static constexpr T ROOT = T(1.41421356237309504880), HALF_ROOT = ROOT / 2;
    static void input(const Vec<T> (&d)[6], Vec<T> (&v)[6]) {
        const Vec<T> half = every(T(0.5)), two = every(T(2)), middle = every(T(2.5));
        const Vec<T> a = d[4] - two * d[2], b = every(HALF_ROOT) * (d[3] - two * d[1]);
        const Vec<T> e = d[4] - half * d[2], f = every(ROOT) * (d[3] - half * d[1]);
        v[0] = d[0] + d[4] - middle * d[2], v[1] = a + b, v[2] = a - b;
        v[3] = e + f, v[4] = e - f, v[5] = d[1] + d[5] - middle * d[3];
    }
    static void output(const Vec<T> (&m)[6], Vec<T> (&y)[4]) {
        const Vec<T> p = m[1] + m[2], q = every(HALF_ROOT) * (m[1] - m[2]);
        const Vec<T> r = m[3] + m[4], s = every(ROOT) * (m[3] - m[4]);
        const Vec<T> half = every(T(0.5)), two = every(T(2));
        y[0] = m[0] + p + r, y[1] = q + s, y[2] = half * p + two * r, y[3] = half * q + two * s + m[5];
    }
};

// The rows and columns of the image under a tile. Rows beyond the border are zeros; columns from `first` to `end` are inside.
template <class T, int M>
struct Tile {
    const T* x[M + 2];
    int left, first, end;

    Tile(const Winograd<T>& r, size_t image, int i, int j, const T* zeros) : left(j), first(j < 0 ? -j : 0), end(std::min(M + 2, r.w - j)) {
        for (int a = 0; a < M + 2; a++)
            x[a] = i + a >= 0 && i + a < r.h ? r.x + image + size_t(i + a) * r.w * r.c : zeros;
    }
};

// B^T d B of one block of channels of a tile; `apart` lies between the places of `to`.
template <class T, int M, bool WHOLE>
inline void transform_input(const Tile<T, M>& tile, int c, int channel, T* to, size_t apart) {
    constexpr int SIDE = M + 2;
    Vec<T> d[SIDE][SIDE];  // transposed, so that the second pass finds its rows together
#pragma GCC unroll 6
    for (int b = 0; b < SIDE; b++) {
        if (b < tile.first || b >= tile.end) {
            for (int a = 0; a < SIDE; a++) d[a][b] = Vec<T>{};
            continue;
        }
        const size_t at = size_t(tile.left + b) * c + channel;
        Vec<T> v[SIDE], column[SIDE];
#pragma GCC unroll 6
        for (int a = 0; a < SIDE; a++) v[a] = WHOLE ? load(tile.x[a] + at) : load_some(tile.x[a] + at, c - channel);
        Transform<T, M>::input(v, column);
#pragma GCC unroll 6
        for (int a = 0; a < SIDE; a++) d[a][b] = column[a];
    }
#pragma GCC unroll 6
    for (int a = 0; a < SIDE; a++) {
        Vec<T> row[SIDE];
        Transform<T, M>::input(d[a], row);
#pragma GCC unroll 6
        for (int b = 0; b < SIDE; b++) store(to + (SIDE * a + b) * apart, row[b]);
    }
}

template <class T, int M>
void transform_tile(const Winograd<T>& r, const Tile<T, M>& tile, T* to, size_t block, size_t apart) {
    constexpr int L = Simd<T>::LANES;
    int channel = 0;
    for (; channel + L <= r.c; channel += L, to += block) transform_input<T, M, true>(tile, r.c, channel, to, apart);
    if (channel < r.c) transform_input<T, M, false>(tile, r.c, channel, to, apart);
}

// A^T m A of one block of channels of a tile, and what follows the convolution; `from` as `to` above.
template <class T, int M>
inline void transform_output(const Winograd<T>& r, size_t image, int i, int j, int channel, const T* from, size_t apart) {
    constexpr int SIDE = M + 2;
    const int left = r.cout - channel;
    Vec<T> s[M][SIDE];
#pragma GCC unroll 6
    for (int a = 0; a < SIDE; a++) {
        Vec<T> m[SIDE], y[M];
#pragma GCC unroll 6
        for (int b = 0; b < SIDE; b++) m[b] = load(from + (SIDE * a + b) * apart);
        Transform<T, M>::output(m, y);
#pragma GCC unroll 4
        for (int b = 0; b < M; b++) s[b][a] = y[b];
    }
    const Vec<T> bias = r.bias ? load(r.bias + channel) : Vec<T>{};
#pragma GCC unroll 4
    for (int b = 0; b < M; b++) {
        if (j + b >= r.w) continue;
        Vec<T> y[M];
        Transform<T, M>::output(s[b], y);
#pragma GCC unroll 4
        for (int a = 0; a < M; a++) {
            if (i + a >= r.h) continue;
            const size_t at = image + (size_t(i + a) * r.w + j + b) * r.cout + channel;
            Vec<T> v = y[a] + bias;
            if (r.residual) v += load_channels(r.residual + at, left);
            store_channels(r.y + at, r.relu ? positive<T>(v) : v, left);
        }
    }
}

// Tiles `first` to `end` of all images, which `tall` and `wide` say how many of each has.
template <class T, int M>
void some_tiles(const Winograd<T>& r, int64_t first, int64_t end, int tall, int wide, const T* zeros, T* in, T* out) {
    constexpr int L = Simd<T>::LANES, PLACES = (M + 2) * (M + 2);
    const int count = int(end - first), blocks = (r.c + L - 1) / L, oblocks = r.columns / L;
    // a vector between the places, or those of one tile would share few sets of the cache
    const size_t block = size_t(count) * L, place = block * blocks + L, oplace = block * oblocks + L;
    for (int t = 0; t < count; t++) {
        const int64_t tile = first + t, image = tile / (tall * wide), within = tile % (tall * wide);
        const int i = int(within / wide) * M - 1, j = int(within % wide) * M - 1;
        const Tile<T, M> pixels(r, size_t(image) * r.h * r.w * r.c, i, j, zeros);
        transform_tile<T, M>(r, pixels, in + size_t(t) * L, block, place);
    }
    for (int a = 0; a < PLACES; a++)
        multiply<T>(count, {in + a * place, size_t(L), block}, r.c, r.weight + size_t(a) * r.c * r.columns, r.columns, r.cout,
                    {out + a * oplace, size_t(L), block, r.columns, {}});
    for (int t = 0; t < count; t++) {
        const int64_t tile = first + t, image = tile / (tall * wide), within = tile % (tall * wide);
        const int i = int(within / wide) * M, j = int(within % wide) * M;
        for (int n = 0; n * L < r.cout; n++)
            transform_output<T, M>(r, size_t(image) * r.h * r.w * r.cout, i, j, n * L, out + n * block + size_t(t) * L, oplace);
    }
}

template <class T, int M>
void winograd(const Winograd<T>& r) {
    constexpr int L = Simd<T>::LANES, PLACES = (M + 2) * (M + 2);
    constexpr int TOGETHER = 24;  // tiles: a multiple of `multiply`'s 6 that leaves the maps in the caches
    const int tall = (r.h + M - 1) / M, wide = (r.w + M - 1) / M;
    const int64_t tiles = int64_t(r.n) * tall * wide;
    const size_t inner = size_t((r.c + L - 1) / L) * L, line = size_t(r.w) * r.c;
    const size_t ins = PLACES * (TOGETHER * inner + L), outs = PLACES * (TOGETHER * size_t(r.columns) + L);
    static thread_local std::vector<T> buffer;
    T* in = aligned(buffer, ins + outs + line);
    T *out = in + ins, *zeros = out + outs;
    std::fill(zeros, zeros + line, T(0));
    for (int64_t first = 0; first < tiles; first += TOGETHER)
        some_tiles<T, M>(r, first, std::min(tiles, first + TOGETHER), tall, wide, zeros, in, out);
}

}  // namespace
