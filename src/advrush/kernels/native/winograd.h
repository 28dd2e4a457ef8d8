// 3x3 convolutions of stride 1 with a border of one zero by Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016).
//
// Y = A^T [(G g G^T) * (B^T d B)] A for tiles d (4, 4) of the image: 16 products for 4 outputs in place of 36. The
// products of all channels are 16 products of matrices, one for each place of the tile, over several tiles at once.

#pragma once

#include <algorithm>

#include "products.h"

namespace {

// Sizes of a convolution, and its maps (n, h, w, channels). Everything but x, weight and y may be null.
template <class T>
struct Convolution {
    int n, h, w, c, cout;
    int columns;        // of the weight: cout up to a multiple of 16
    const T* x;
    const T* mask;      // of x's shape: x counts as zero where it is not positive
    const T* weight;    // (16, c, columns): G g G^T
    const T* bias;      // (columns,)
    const T* residual;  // of y's shape, added
    bool relu;          // store the positive part
    T* y;
};

constexpr int PLACES = 16;

// Where the pixels of a tile lie: those beyond the border at zeros.
template <class T>
struct Tile {
    const T *x[4][4], *mask[4][4];

    Tile(const Convolution<T>& r, size_t image, int i, int j, const T* zeros) {
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++) {
                const bool inside = i + a >= 0 && i + a < r.h && j + b >= 0 && j + b < r.w;
                const size_t at = image + (size_t(i + a) * r.w + j + b) * r.c;
                x[a][b] = inside ? r.x + at : zeros;
                mask[a][b] = inside && r.mask ? r.mask + at : zeros;
            }
    }
};

// B^T d B of one block of channels of a tile; `apart` lies between the places of `to`.
template <class T, bool MASK, bool WHOLE>
inline void transform_input(const Tile<T>& tile, int channel, int left, T* to, size_t apart) {
    Vec<T> d[4][4];
#pragma GCC unroll 4
    for (int b = 0; b < 4; b++) {
        Vec<T> v[4];
#pragma GCC unroll 4
        for (int a = 0; a < 4; a++) {
            const T *p = tile.x[a][b] + channel, *q = tile.mask[a][b] + channel;
            v[a] = WHOLE ? load(p) : load_some(p, left);
            if (MASK) v[a] = (WHOLE ? load(q) : load_some(q, left)) <= 0 ? Vec<T>{} : v[a];
        }
        d[0][b] = v[0] - v[2], d[1][b] = v[1] + v[2], d[2][b] = v[2] - v[1], d[3][b] = v[1] - v[3];
    }
#pragma GCC unroll 4
    for (int a = 0; a < 4; a++) {
        T* row = to + 4 * a * apart;
        store(row, d[a][0] - d[a][2]);
        store(row + apart, d[a][1] + d[a][2]);
        store(row + 2 * apart, d[a][2] - d[a][1]);
        store(row + 3 * apart, d[a][1] - d[a][3]);
    }
}

template <class T, bool MASK>
void transform_tile(const Convolution<T>& r, const Tile<T>& tile, T* to, size_t block, size_t apart) {
    constexpr int L = Simd<T>::LANES;
    int channel = 0;
    for (; channel + L <= r.c; channel += L, to += block) transform_input<T, MASK, true>(tile, channel, L, to, apart);
    if (channel < r.c) transform_input<T, MASK, false>(tile, channel, r.c - channel, to, apart);
}

// A^T m A of one block of channels of a tile, and what follows the convolution; `from` as `to` above.
template <class T>
inline void transform_output(const Convolution<T>& r, size_t image, int i, int j, int channel, const T* from, size_t apart) {
    const int left = r.cout - channel;
    Vec<T> s[4][2];
#pragma GCC unroll 4
    for (int a = 0; a < 4; a++) {
        const T* row = from + 4 * a * apart;
        const Vec<T> m0 = load(row), m1 = load(row + apart), m2 = load(row + 2 * apart), m3 = load(row + 3 * apart);
        s[a][0] = m0 + m1 + m2, s[a][1] = m1 - m2 - m3;
    }
    const Vec<T> bias = r.bias ? load(r.bias + channel) : Vec<T>{};
#pragma GCC unroll 2
    for (int b = 0; b < 2; b++) {
        if (j + b >= r.w) continue;
        Vec<T> two[2] = {s[0][b] + s[1][b] + s[2][b] + bias, s[1][b] - s[2][b] - s[3][b] + bias};
        for (int a = 0; a < 2 && i + a < r.h; a++) {
            const size_t at = image + (size_t(i + a) * r.w + j + b) * r.cout + channel;
            if (r.residual) two[a] += load_channels(r.residual + at, left);
            store_channels(r.y + at, r.relu ? positive<T>(two[a]) : two[a], left);
        }
    }
}

// Tiles `first` to `end` of all images, which `tall` and `wide` say how many of each has.
template <class T>
void some_tiles(const Convolution<T>& r, int64_t first, int64_t end, int tall, int wide, const T* zeros, T* in, T* out) {
    constexpr int L = Simd<T>::LANES;
    const int count = int(end - first), blocks = (r.c + L - 1) / L, oblocks = r.columns / L;
    const size_t block = size_t(count) * L, place = block * blocks, oplace = block * oblocks;
    for (int t = 0; t < count; t++) {
        const int64_t tile = first + t, image = tile / (tall * wide), within = tile % (tall * wide);
        const int i = int(within / wide) * 2 - 1, j = int(within % wide) * 2 - 1;
        const Tile<T> pixels(r, size_t(image) * r.h * r.w * r.c, i, j, zeros);
        if (r.mask) transform_tile<T, true>(r, pixels, in + size_t(t) * L, block, place);
        else transform_tile<T, false>(r, pixels, in + size_t(t) * L, block, place);
    }
    for (int a = 0; a < PLACES; a++)
        multiply<T>(count, {in + a * place, size_t(L), block}, r.c, r.weight + size_t(a) * r.c * r.columns, r.columns, r.cout,
                    {out + a * oplace, size_t(L), block, r.columns, {}});
    for (int t = 0; t < count; t++) {
        const int64_t tile = first + t, image = tile / (tall * wide), within = tile % (tall * wide);
        const int i = int(within / wide) * 2, j = int(within % wide) * 2;
        for (int n = 0; n * L < r.cout; n++)
            transform_output(r, size_t(image) * r.h * r.w * r.cout, i, j, n * L, out + n * block + size_t(t) * L, oplace);
    }
}

template <class T>
void winograd(const Convolution<T>& r, int threads) {
    constexpr int L = Simd<T>::LANES, TOGETHER = 24;  // tiles: a multiple of `multiply`'s 6 that leaves the maps in the caches
    const int tall = (r.h + 1) / 2, wide = (r.w + 1) / 2;
    const int64_t tiles = int64_t(r.n) * tall * wide, parts = (tiles + TOGETHER - 1) / TOGETHER;
    const size_t inner = size_t((r.c + L - 1) / L) * L;
#pragma omp parallel num_threads(threads)
    {
        thread_local std::vector<T> buffer;
        T* in = aligned(buffer, PLACES * TOGETHER * (inner + r.columns) + inner);
        T *out = in + PLACES * TOGETHER * inner, *zeros = out + PLACES * TOGETHER * r.columns;
        std::fill(zeros, zeros + inner, T(0));
#pragma omp for schedule(static)
        for (int64_t part = 0; part < parts; part++)
            some_tiles(r, part * TOGETHER, std::min(tiles, (part + 1) * TOGETHER), tall, wide, zeros, in, out);
    }
}

}  // namespace
