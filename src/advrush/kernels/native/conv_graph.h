// A graph of convolutions with fixed weights in one call: forward, and backward for its inputs, a few images at a time.
//
// The first states are given maps; each layer makes one more: a convolution of an earlier state, plus another one on request,
// rectified on request; or an earlier state with a scale and a shift of each channel, or averaged over windows. Some states are put out. The states of a few images stay in the cache, and what the backward pass
// needs of them is kept: which lanes each ReLU leaves, a bit for each number.

#pragma once

#include "direct_conv.h"
#include "winograd.h"

namespace {

// Where the numbers of an image lie: `forward` and `back` count in the scratch memory of the states and of their cotangents.
struct State {
    int64_t c, h, w, forward, back;
    int64_t output;  // which of the maps put out it is, -1 for none
    size_t size() const { return size_t(c * h * w); }
};

constexpr int64_t DIRECT = 0, POOL = -1, NORM = -2;

template <class T>
struct Layer {
    int64_t source, residual;      // states; -1 for no residual
    int64_t tile;                  // outputs of a Winograd tile's side, 2 or 4; DIRECT, POOL or NORM
    int64_t k, s, pad, relu;
    int64_t columns, back_columns;
    const T *weight, *back, *bias;
};

// The graph as kernels/conv_graph.py packs it: counts and totals of one image, then states and layers.
template <class T>
struct Convolutions {
    int64_t states, given, layers, outputs, forward_size, back_size, together;
    const State* state;
    const Layer<T>* layer;
    std::vector<int64_t> mask;  // where the bits of a layer's ReLU begin, counted for one image
    int64_t masks = 0;          // how many sets of bits an image has

    explicit Convolutions(const void* packed) {
        const int64_t* p = static_cast<const int64_t*>(packed);
        states = p[0], given = p[1], layers = p[2], outputs = p[3];
        forward_size = p[4], back_size = p[5], together = p[6];
        state = reinterpret_cast<const State*>(p + 7);
        layer = reinterpret_cast<const Layer<T>*>(state + states);
        for (int64_t i = 0; i < layers; i++) mask.push_back(masks), masks += layer[i].relu ? bits(given + i) : 0;
    }
    int64_t bits(int64_t k) const { return state[k].h * state[k].w * ((state[k].c + Simd<T>::LANES - 1) / Simd<T>::LANES); }
    // The bits of a layer's ReLU from image `first` of `total` on.
    template <class Bits>
    Bits* bits_of(int64_t i, Bits* all, int64_t first, int64_t total) const { return all + mask[i] * total + bits(given + i) * first; }
    Sizes sizes(const Layer<T>& layer, const State& from, const State& to, int64_t n) const {
        return {int(n), int(from.h), int(from.w), int(from.c), int(to.h), int(to.w), int(to.c), int(layer.k), int(layer.s), int(layer.pad)};
    }
};

template <class T>
void note_positive(const T* y, int64_t pixels, int64_t c, Lanes* bits) {
    constexpr int L = Simd<T>::LANES;
    for (int64_t p = 0; p < pixels; p++, y += c)
        for (int64_t channel = 0; channel < c; channel += L) *bits++ = positive_lanes(load_channels(y + channel, int(c - channel)));
}

template <class T>
void keep_positive(T* dy, int64_t pixels, int64_t c, const Lanes* bits) {
    constexpr int L = Simd<T>::LANES;
    for (int64_t p = 0; p < pixels; p++, dy += c)
        for (int64_t channel = 0; channel < c; channel += L) {
            const int left = int(c - channel);
            store_channels(dy + channel, keep_lanes(load_channels(dy + channel, left), *bits++), left);
        }
}

// y (n, h / k, w / k, c) = the averages of windows k x k of x (n, h, w, c).
template <class T>
void pool_forward(const Sizes& r, const T* x, T* y) {
    constexpr int L = Simd<T>::LANES;
    const Vec<T> share = every(T(1) / (r.k * r.k));
    for (int p = 0; p < r.n * r.ho * r.wo; p++, y += r.cout) {
        const T* corner = x + (size_t(p / r.wo) * r.k * r.w + size_t(p % r.wo) * r.k) * r.c;
        for (int channel = 0; channel < r.c; channel += L) {
            Vec<T> sum{};
            for (int a = 0; a < r.k; a++)
                for (int b = 0; b < r.k; b++) sum += load_channels(corner + (size_t(a) * r.w + b) * r.c + channel, r.c - channel);
            store_channels(y + channel, sum * share, r.c - channel);
        }
    }
}

template <class T>
void pool_backward(const Sizes& r, const T* dy, bool adds, T* dx) {
    constexpr int L = Simd<T>::LANES;
    const Vec<T> share = every(T(1) / (r.k * r.k));
    for (int p = 0; p < r.n * r.ho * r.wo; p++, dy += r.cout) {
        T* corner = dx + (size_t(p / r.wo) * r.k * r.w + size_t(p % r.wo) * r.k) * r.c;
        for (int channel = 0; channel < r.c; channel += L) {
            const int left = r.c - channel;
            const Vec<T> v = load_channels(dy + channel, left) * share;
            for (int a = 0; a < r.k; a++)
                for (int b = 0; b < r.k; b++) {
                    T* to = corner + (size_t(a) * r.w + b) * r.c + channel;
                    store_channels(to, adds ? load_channels(to, left) + v : v, left);
                }
        }
    }
}

// y = x scale + shift of each channel of a pixel, rectified if `relu`.
template <class T>
void affine_forward(int64_t pixels, int64_t c, const T* x, const T* scale, const T* shift, bool relu, T* y) {
    constexpr int L = Simd<T>::LANES;
    for (int64_t p = 0; p < pixels; p++, x += c, y += c)
        for (int64_t channel = 0; channel < c; channel += L) {
            const int left = int(c - channel);
            const Vec<T> v = load_channels(x + channel, left) * load(scale + channel) + load(shift + channel);
            store_channels(y + channel, relu ? positive<T>(v) : v, left);
        }
}

template <class T>
void affine_backward(int64_t pixels, int64_t c, const T* dy, const T* scale, bool adds, T* dx) {
    constexpr int L = Simd<T>::LANES;
    for (int64_t p = 0; p < pixels; p++, dy += c, dx += c)
        for (int64_t channel = 0; channel < c; channel += L) {
            const int left = int(c - channel);
            const Vec<T> v = load_channels(dy + channel, left) * load(scale + channel);
            store_channels(dx + channel, adds ? load_channels(dx + channel, left) + v : v, left);
        }
}

// Convolve from x to y with `weight`, by tiles of `tile` outputs.
template <class T>
void by_tiles(int64_t tile, const Winograd<T>& r) {
    if (tile == 4) winograd<T, 4>(r);
    else winograd<T, 2>(r);
}

// Images `first` to `first + n` of `total`; given and y point to the first of them; `masks` is null, or has the bits of all.
template <class T>
void images_forward(const Convolutions<T>& g, int64_t first, int64_t n, int64_t total, const T* const* given, T* const* y, Lanes* masks) {
    static thread_local std::vector<T> own_memory;
    T* scratch = aligned(own_memory, size_t(g.forward_size) * n);
    const auto place = [&](int64_t k) -> T* {
        if (k < g.given) return const_cast<T*>(given[k]);
        return g.state[k].output >= 0 ? y[g.state[k].output] : scratch + g.state[k].forward * n;
    };
    for (int64_t i = 0; i < g.layers; i++) {
        const Layer<T>& layer = g.layer[i];
        const State &from = g.state[layer.source], &to = g.state[g.given + i];
        const T *x = place(layer.source), *residual = layer.residual < 0 ? nullptr : place(layer.residual);
        T* z = place(g.given + i);
        const Sizes sizes = g.sizes(layer, from, to, n);
        if (layer.tile == POOL) pool_forward(sizes, x, z);
        else if (layer.tile == NORM) affine_forward(n * to.h * to.w, to.c, x, layer.weight, layer.bias, layer.relu != 0, z);
        else if (layer.tile != DIRECT)
            by_tiles<T>(layer.tile, {int(n), int(from.h), int(from.w), int(from.c), int(to.c), int(layer.columns), x, layer.weight,
                                     layer.bias, residual, layer.relu != 0, z});
        else direct_forward<T>(sizes, x, layer.weight, int(layer.columns), layer.bias, residual, layer.relu != 0, z);
        if (masks && layer.relu) note_positive(z, n * to.h * to.w, to.c, g.bits_of(i, masks, first, total));
    }
}

// The same backward: dx are the gradients of <dy, y> for the given maps, null where not wanted.
template <class T>
void images_backward(const Convolutions<T>& g, int64_t first, int64_t n, int64_t total, const T* const* dy, const Lanes* masks, T* const* dx) {
    static thread_local std::vector<T> own_memory;
    T* scratch = aligned(own_memory, size_t(g.back_size) * n);
    std::vector<bool> written(g.states, false);
    const auto place = [&](int64_t k) -> T* { return k < g.given ? dx[k] : scratch + g.state[k].back * n; };
    const auto give = [&](int64_t k, const T* from) {
        T* to = place(k);
        const size_t count = g.state[k].size() * n;
        if (!to) return;
        if (written[k]) add_residual(count, from, false, to);
        else std::copy(from, from + count, to);
        written[k] = true;
    };
    for (int64_t k = g.given; k < g.states; k++)
        if (g.state[k].output >= 0) give(k, dy[g.state[k].output]);
    for (int64_t i = g.layers - 1; i >= 0; i--) {
        const Layer<T>& layer = g.layer[i];
        const int64_t k = g.given + i;
        const State &from = g.state[layer.source], &to = g.state[k];
        if (!written[k]) continue;
        if (layer.relu) keep_positive(place(k), n * to.h * to.w, to.c, g.bits_of(i, masks, first, total));
        if (layer.residual >= 0) give(layer.residual, place(k));
        T* target = place(layer.source);
        if (!target) continue;
        const bool adds = written[layer.source];
        const Sizes sizes = g.sizes(layer, from, to, n);
        if (layer.tile == POOL) pool_backward(sizes, place(k), adds, target);
        else if (layer.tile == NORM) affine_backward(n * to.h * to.w, to.c, place(k), layer.weight, adds, target);
        else if (layer.tile != DIRECT)
            by_tiles<T>(layer.tile, {int(n), int(to.h), int(to.w), int(to.c), int(from.c), int(layer.back_columns), place(k), layer.back,
                                     nullptr, adds ? target : nullptr, false, target});
        else direct_backward<T>(sizes, place(k), layer.back, int(layer.back_columns), adds, target);
        written[layer.source] = true;
    }
    for (int64_t k = 0; k < g.given; k++)
        if (dx[k] && !written[k]) std::fill(dx[k], dx[k] + g.state[k].size() * n, T(0));
}

// All images, `together` at a time, or fewer so that each thread has some.
template <class T, class Work>
void in_groups(const Convolutions<T>& g, int64_t n, int threads, const Work& work) {
    const int64_t together = std::max<int64_t>(1, std::min(g.together, (n + threads - 1) / threads));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t first = 0; first < n; first += together) work(first, std::min(together, n - first));
}

template <class T>
void graph_forward(const Convolutions<T>& g, int64_t n, const T* const* given, T* const* y, Lanes* masks, int threads) {
    in_groups(g, n, threads, [&](int64_t first, int64_t count) {
        std::vector<const T*> own(g.given);
        std::vector<T*> out(g.outputs);
        for (int64_t k = 0; k < g.given; k++) own[k] = given[k] + g.state[k].size() * first;
        for (int64_t k = g.given; k < g.states; k++)
            if (g.state[k].output >= 0) out[g.state[k].output] = y[g.state[k].output] + g.state[k].size() * first;
        images_forward(g, first, count, n, own.data(), out.data(), masks);
    });
}

template <class T>
void graph_backward(const Convolutions<T>& g, int64_t n, const T* const* dy, const Lanes* masks, T* const* dx, int threads) {
    in_groups(g, n, threads, [&](int64_t first, int64_t count) {
        std::vector<T*> own(g.given);
        std::vector<const T*> out(g.outputs);
        for (int64_t k = 0; k < g.given; k++) own[k] = dx[k] ? dx[k] + g.state[k].size() * first : nullptr;
        for (int64_t k = g.given; k < g.states; k++)
            if (g.state[k].output >= 0) out[g.state[k].output] = dy[g.state[k].output] + g.state[k].size() * first;
        images_backward(g, first, count, n, out.data(), masks, own.data());
    });
}

}  // namespace
