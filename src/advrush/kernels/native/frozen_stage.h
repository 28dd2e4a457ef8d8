// A stage with fixed weights and statistics on one image in the cache: batch norm folded in, weights in the loops' order.

#pragma once

#include "chain.h"

namespace {

// Numbers of an image's pixels: `step` between pixels, `block` between blocks of channels; `channels` are there.
template <class T>
struct Place {
    T* at = nullptr;
    size_t step = 0, block = 0;
    int channels = 0;
};

// An image (blocks, h + 2 margin, w + 2 margin, LANES).
template <class T>
struct Padded {
    T* at = nullptr;
    int h = 0, w = 0, blocks = 0, margin = 0;

    size_t row() const { return size_t(w + 2 * margin) * Simd<T>::LANES; }
    size_t block() const { return row() * (h + 2 * margin); }
    size_t size() const { return block() * blocks; }
    T* inside(int i) const { return at + (i + margin) * row() + size_t(margin) * Simd<T>::LANES; }  // of row i
    T* window(int i, int pad) const { return at + (i + margin - pad) * row() + size_t(margin - pad) * Simd<T>::LANES; }

    void clear_margin() const {
        const size_t side = size_t(margin) * Simd<T>::LANES, edge = margin * row();
        for (int m = 0; m < blocks; m++) {
            T* own = at + m * block();
            std::fill(own, own + edge, T(0)), std::fill(own + block() - edge, own + block(), T(0));
            for (int i = margin; i < h + margin; i++)
                std::fill(own + i * row(), own + i * row() + side, T(0)), std::fill(own + (i + 1) * row() - side, own + (i + 1) * row(), T(0));
        }
    }
};

// Add the image `from` to `to`, or write it there.
template <class T>
void add_place(const Place<T>& from, size_t pixels, const Place<T>& to, bool add) {
    constexpr int L = Simd<T>::LANES;
    for (int channel = 0; channel < to.channels; channel += L)
        for (size_t p = 0; p < pixels; p++) {
            const T* source = from.at + channel / L * from.block + p * from.step;
            T* target = to.at + channel / L * to.block + p * to.step;
            Vec<T> v = load_channels(source, from.channels - channel);
            if (add) v += load_channels(target, to.channels - channel);
            store_channels(target, v, to.channels - channel);
        }
}

// Write the positive part of `count` pixels from the first on, of block m, and its lanes to `mask` unless it is null.
template <class T>
void rectify_pixels(const Place<T>& from, int m, size_t first, int count, T* to, Lanes* mask) {
    constexpr int L = Simd<T>::LANES;
    const T* source = from.at + m * from.block + first * from.step;
    for (int j = 0; j < count; j++) {
        const Vec<T> v = load_channels(source + j * from.step, from.channels - m * L);
        if (mask) mask[j] = positive_lanes(v);
        store(to + j * L, positive<T>(v));
    }
}

// The same of a whole image, whose mask is (blocks, h w), with zeros around.
template <class T>
void rectify(const Place<T>& from, const Padded<T>& to, Lanes* mask) {
    to.clear_margin();
    for (int m = 0; m < to.blocks; m++)
        for (int i = 0; i < to.h; i++) {
            Lanes* own = mask ? mask + (size_t(m) * to.h + i) * to.w : nullptr;
            rectify_pixels(from, m, size_t(i) * to.w, to.w, to.inside(i) + m * to.block(), own);
        }
}

// What a stage reads: a rectified image or, where its `at` is null, an image whose positive part is taken on the way.
template <class T>
struct Source {
    Place<T> raw;
    Padded<T> rectified;
    Lanes* mask;  // of the raw image, to be written; null where it is not wanted
};

enum Memory { ROW, FILTERED, SPREAD, IMAGES, COTANGENTS = IMAGES + 2, ALL = COTANGENTS + 2 };

// Scratch memory, kept for the next call.
template <class T>
T* memory(int which, size_t count) {
    static thread_local std::vector<T> own[ALL];
    return aligned(own[which], count);
}

// A stage; its weights lie in memory that the caller has.
template <class T>
struct FrozenStage {
    static constexpr int L = Simd<T>::LANES;
    Shape r;
    T *depthwise, *flipped, *pointwise, *bias, *transposed;

    FrozenStage(const Shape& shape, T* at) : r(shape) {
        depthwise = at, flipped = depthwise + taps(), pointwise = flipped + taps();
        bias = pointwise + size_t(r.c) * columns(), transposed = bias + columns();
    }
    size_t tap() const { return size_t(r.k) * r.k * L; }  // of one block of channels
    size_t taps() const { return tap() * r.blocks; }
    size_t columns() const { return size_t(r.oblocks) * L; }
    size_t size() const { return 2 * taps() + size_t(r.c + 1) * columns() + size_t(r.cout) * r.blocks * L; }

    void pack(const Link<T>& link) const {
        const Folded<T> folded = fold(link, r.c);
        pack_depthwise(r, link.dw, false, depthwise), pack_depthwise(r, link.dw, true, flipped);
        pack_pointwise(r, folded.matrix.data(), pointwise), pack_transposed(r, folded.matrix.data(), transposed);
        std::fill(bias, bias + columns(), T(0));
        std::copy(folded.bias.begin(), folded.bias.end(), bias);
    }

    // Memory for the rectified image that stage number i of a path reads, and for its cotangent.
    Padded<T> input(int64_t i) const {
        Padded<T> image{nullptr, r.h, r.w, r.blocks, r.pad};
        image.at = memory<T>(IMAGES + int(i % 2), image.size());
        return image;
    }
    Place<T> cotangent(int64_t i) const {
        const size_t block = size_t(r.h) * r.w * L;
        return {memory<T>(COTANGENTS + int(i % 2), block * r.blocks), size_t(L), block, r.blocks * L};
    }

    // The output, or what is there plus the output.
    void forward(const Source<T>& from, const Place<T>& to, bool add) const {
        rows(from, [&](int i) {
            After<T> after{bias};
            after.add = add;
            return Out<T>{to.at + size_t(i) * r.wo * to.step, to.step, to.block, to.channels, after};
        });
    }
    // The positive part of the output, with zeros around; its lanes (blocks, ho wo) to `mask` unless it is null.
    void forward(const Source<T>& from, const Padded<T>& to, Lanes* mask) const {
        to.clear_margin();
        rows(from, [&](int i) {
            After<T> after{bias};
            after.rectify = true, after.mask = mask ? mask + size_t(i) * r.wo : nullptr, after.mask_block = size_t(r.ho) * r.wo;
            return Out<T>{to.inside(i), size_t(L), to.block(), r.oblocks * L, after};
        });
    }

    // dx, or what is there plus dx: the cotangent of the image before its positive part was taken, whose lanes are `mask`.
    void backward(const Place<T>& dy, const Lanes* mask, const Place<T>& dx, bool add) const {
        const size_t line = size_t(r.wo) * L;
        const auto multiplied = [&](int i, T* to, size_t block) {
            multiply<T>(r.wo, {dy.at + size_t(i) * r.wo * dy.step, dy.step, dy.block}, r.cout, transposed, r.blocks * L, r.c,
                        {to, size_t(L), block, r.blocks * L, {}});
        };
        const auto deliver = [&](int m, int i, const T* row) { masked_row(row, m, mask + (size_t(m) * r.h + i) * r.w, i, dx, add); };
        T* u = memory<T>(ROW, std::max(r.w, r.wo) * size_t(r.blocks) * L);
        if (r.k == 1) {
            for (int i = 0; i < r.h; i++) {
                multiplied(i, u, line);
                for (int m = 0; m < r.blocks; m++) deliver(m, i, u + m * line);
            }
            return;
        }
        const Kernels<T> kernel = kernels<T>(r.k, r.s, r.d);
        Padded<T> du{nullptr, r.ho, r.wo, r.blocks, r.s == 1 ? r.pad : 0};
        du.at = memory<T>(FILTERED, du.size());
        du.clear_margin();
        for (int i = 0; i < r.ho; i++) multiplied(i, du.inside(i), du.block());
        const Padded<T> g{r.s > 1 ? memory<T>(SPREAD, size_t(r.hp) * r.wp * L) : nullptr, r.h, r.w, 1, r.pad};
        for (int m = 0; m < r.blocks; m++) {
            if (g.at) {
                std::fill(g.at, g.at + g.size(), T(0));
                for (int i = 0; i < r.ho; i++)
                    kernel.scatter(du.inside(i) + m * du.block(), r.wo, depthwise + m * tap(), g.window(i * r.s, r.pad), g.row());
            }
            for (int i = 0; i < r.h; i++) {
                if (!g.at) kernel.depthwise(du.window(i, r.pad) + m * du.block(), du.row(), r.w, flipped + m * tap(), u);
                deliver(m, i, g.at ? g.inside(i) : u);
            }
        }
    }

  private:
    template <class Row>
    void rows(const Source<T>& from, const Row& to) const {
        const Kernels<T> kernel = kernels<T>(r.k, r.s, r.d);
        const size_t line = size_t(r.wo) * L;
        T* u = memory<T>(ROW, line * r.blocks);
        for (int i = 0; i < r.ho; i++) {
            const T* window = from.rectified.at ? from.rectified.window(i * r.s, r.pad) : nullptr;
            In<T> in{u, size_t(L), line};
            if (r.k == 1 && window) in = {window, size_t(L), from.rectified.block()};
            else if (r.k == 1) rectified_row(from, i, u);
            else
                for (int m = 0; m < r.blocks; m++)
                    kernel.depthwise(window + m * from.rectified.block(), from.rectified.row(), r.wo, depthwise + m * tap(), u + m * line);
            multiply<T>(r.wo, in, r.c, pointwise, int(columns()), r.cout, to(i));
        }
    }
    void rectified_row(const Source<T>& from, int i, T* u) const {
        for (int m = 0; m < r.blocks; m++) {
            const size_t at = (size_t(m) * r.h + i) * r.w;
            rectify_pixels(from.raw, m, size_t(i) * r.w, r.w, u + size_t(m) * r.w * L, from.mask ? from.mask + at : nullptr);
        }
    }
    void masked_row(const T* row, int m, const Lanes* mask, int i, const Place<T>& dx, bool add) const {
        const int left = dx.channels - m * L;
        T* to = dx.at + m * dx.block + size_t(i) * r.w * dx.step;
        for (int j = 0; j < r.w; j++, to += dx.step) {
            Vec<T> v = keep_lanes(load(row + j * L), mask[j]);
            if (add) v += load_channels(to, left);
            store_channels(to, v, left);
        }
    }
};

}  // namespace
