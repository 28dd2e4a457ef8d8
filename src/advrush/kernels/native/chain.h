// Chains of separable convolutions, each behind a ReLU, in one call: with batch statistics, with fixed ones, linearized.
//
// Stage i reads x_i (x_0 = x) and makes z_i = pointwise(depthwise(t_i)). Between the stages only maps z_i are stored: what
// batch norm and ReLU make of them is computed where they are read. Numbers of channels are computed in double.

#pragma once

#include <algorithm>
#include <cmath>

#include "batch_norm.h"
#include "separable.h"

namespace {

// One stage as kernels/separable_chain.py packs it: eight bytes each, null where something is not needed.
template <class T>
struct Link {
    int64_t cout, k, s, d;
    const T *dw, *pw;
    T* z;                         // (n, ho, wo, cout)
    const T *scale, *shift;       // (cout,) of batch norm; null: 1, 0. Linearized: shift alone, the bias
    T *mean, *variance;           // (cout,) running statistics
    int64_t* batches;             // how many of them were counted
    double eps, momentum;
    double* found;                // (3, cout): mean, biased variance, 1 / sqrt(variance + eps) of the batch
    T *d_dw, *d_pw, *d_scale, *d_shift;

    double gamma(int channel) const { return scale ? double(scale[channel]) : 1.0; }
    double beta(int channel) const { return shift ? double(shift[channel]) : 0.0; }
};

// The input of a chain and its stages.
template <class T>
struct Chain {
    int n;
    std::vector<Shape> shapes;
    const Link<T>* links;

    Chain(int64_t n, int64_t h, int64_t w, int64_t c, const Link<T>* links, int64_t count) : n(int(n)), links(links) {
        for (int64_t i = 0; i < count; i++) {
            shapes.push_back(shape_of<T>(h, w, c, links[i].cout, links[i].k, links[i].s, links[i].d));
            h = shapes.back().ho, w = shapes.back().wo, c = links[i].cout;
        }
    }
    int count() const { return int(shapes.size()); }
    int64_t pixels(int i) const { return int64_t(n) * shapes[i].ho * shapes[i].wo; }  // of z_i
    size_t input(int i) const { return size_t(n) * shapes[i].h * shapes[i].w * shapes[i].c; }  // numbers of x_i
    int padded(int i) const { return shapes[i].oblocks * Simd<T>::LANES; }             // channels of z_i
    int padded_input(int i) const { return shapes[i].blocks * Simd<T>::LANES; }
};

// Two maps that a chain's stages hand to each other, kept for the next call.
template <class T>
T* between(int which, size_t count) {
    static thread_local std::vector<T> own[2];
    return aligned(own[which], count);
}

// Batch norm as a scale and a shift of each channel.
template <class T>
struct Norm {
    std::vector<T> scale, shift;
};

// ---------------------------------------------------------------------------------------------- batch statistics

// Keep the statistics that belong to the sums of z and z^2, and move the running ones.
template <class T>
void take_statistics(const Link<T>& link, int64_t pixels, const double* totals) {
    const int c = int(link.cout);
    double *mean = link.found, *variance = mean + c, *inverse_std = variance + c;
    const double unbiased = double(pixels) / double(std::max<int64_t>(pixels - 1, 1));
    if (link.batches) *link.batches += 1;
    for (int i = 0; i < c; i++) {
        mean[i] = totals[i] / double(pixels);
        variance[i] = std::max(totals[c + i] / double(pixels) - mean[i] * mean[i], 0.0);
        inverse_std[i] = 1 / std::sqrt(variance[i] + link.eps);
        if (!link.mean) continue;
        link.mean[i] += T(link.momentum) * (T(mean[i]) - link.mean[i]);
        link.variance[i] += T(link.momentum) * (T(variance[i] * unbiased) - link.variance[i]);
    }
}

// Batch norm with the batch's statistics, times `factor`.
template <class T>
Norm<T> normalized(const Link<T>& link, double factor = 1) {
    const int c = int(link.cout);
    const double *mean = link.found, *inverse_std = link.found + 2 * c;
    Norm<T> norm{std::vector<T>(c), std::vector<T>(c)};
    for (int i = 0; i < c; i++) {
        const double scale = link.gamma(i) * inverse_std[i];
        norm.scale[i] = T(factor * scale), norm.shift[i] = T(factor * (link.beta(i) - mean[i] * scale));
    }
    return norm;
}

// Write z and the statistics of every stage; return the last batch norm, times `factor`.
template <class T>
Norm<T> stages_forward(const Chain<T>& chain, const T* x, double factor, int threads) {
    Norm<T> norm;
    std::vector<double> sums, totals;
    for (int i = 0; i < chain.count(); i++) {
        const Link<T>& link = chain.links[i];
        const Pre<T> pre{i ? norm.scale.data() : nullptr, i ? norm.shift.data() : nullptr, nullptr, true};
        sums.resize(size_t(chain.n) * 2 * chain.padded(i)), totals.resize(2 * link.cout);
        forward<T>(chain.n, chain.shapes[i], x, pre, link.dw, link.pw, {link.z, nullptr, sums.data()}, threads);
        add_images(chain.n, int(link.cout), chain.padded(i), sums.data(), totals.data());
        take_statistics(link, chain.pixels(i), totals.data());
        norm = normalized(link, i == chain.count() - 1 ? factor : 1.0);
        x = link.z;
    }
    return norm;
}

// y = node + weight chain(x); z and the statistics of every stage are written. Without node, without weight: null.
template <class T>
void chain_forward(const Chain<T>& chain, const T* x, const T* weight, const T* node, T* y, int threads) {
    const Norm<T> norm = stages_forward(chain, x, weight ? double(*weight) : 1.0, threads);
    const int last = chain.count() - 1;
    const Link<T>& link = chain.links[last];
    combine<T>(chain.pixels(last), link.cout, link.z, node, norm.scale.data(), nullptr, norm.shift.data(), y, threads);
}

// What batch norm's backward pass makes of the sums of dy and of dy z (2, cout): dz = a dy + b z + e.
template <class T>
struct Back {
    std::vector<T> a, b, e;
};

// Also write the gradients of scale and shift and, to `d_weight` if it is given, <dy, norm(z)>.
template <class T>
Back<T> norm_backward(const Link<T>& link, int64_t pixels, const double* sums, double factor, T* d_weight) {
    const int c = int(link.cout);
    const double *mean = link.found, *inverse_std = link.found + 2 * c;
    Back<T> back{std::vector<T>(c), std::vector<T>(c), std::vector<T>(c)};
    double product = 0;
    for (int i = 0; i < c; i++) {
        const double total = sums[i], along = (sums[c + i] - mean[i] * total) * inverse_std[i];
        const double a = link.gamma(i) * factor * inverse_std[i], b = -a * inverse_std[i] * along / double(pixels);
        back.a[i] = T(a), back.b[i] = T(b), back.e[i] = T(-a * total / double(pixels) - b * mean[i]);
        product += along * link.gamma(i) + total * link.beta(i);
        if (link.d_scale) link.d_scale[i] = T(along * factor);
        if (link.d_shift) link.d_shift[i] = T(total * factor);
    }
    if (d_weight) *d_weight = T(product);
    return back;
}

// The gradients of <dy, factor chain(x)>, `totals` being the sums (2, cout) of dy and of dy z of the last stage. dx is
// overwritten, or added to if `add`; null is not wanted. d_weight is the gradient of the factor.
template <class T>
void stages_backward(const Chain<T>& chain, const T* x, double factor, const T* dy, std::vector<double> totals, T* dx, bool add,
                     T* d_weight, int threads) {
    const int last = chain.count() - 1;
    std::vector<double> sums;
    for (int i = last; i >= 0; i--) {
        const Link<T>& link = chain.links[i];
        const Back<T> back = norm_backward(link, chain.pixels(i), totals.data(), i == last ? factor : 1.0, i == last ? d_weight : nullptr);
        bool before = dx != nullptr;  // whether anything before this stage is wanted
        for (int j = 0; j < i; j++)
            before |= chain.links[j].d_dw || chain.links[j].d_pw || chain.links[j].d_scale || chain.links[j].d_shift;
        if (!before && !link.d_dw && !link.d_pw) return;
        Norm<T> norm;
        if (i) norm = normalized(chain.links[i - 1]);
        const Pre<T> pre{i ? norm.scale.data() : nullptr, i ? norm.shift.data() : nullptr, nullptr, true};
        T* to = i == 0 || !before ? dx : between<T>(i % 2, chain.input(i));
        if (i) sums.resize(size_t(chain.n) * 2 * chain.padded_input(i)), totals.resize(2 * chain.links[i - 1].cout);
        const Gradients<T> gradients{to, link.d_dw, link.d_pw, i && before ? sums.data() : nullptr, false, i == 0 && add};
        const Cotangent<T> cotangent{dy, link.z, back.a.data(), back.b.data(), back.e.data()};
        backward<T>(chain.n, chain.shapes[i], i ? chain.links[i - 1].z : x, pre, cotangent, link.dw, link.pw, gradients, threads);
        if (!before) return;
        if (i) add_images(chain.n, int(chain.links[i - 1].cout), chain.padded_input(i), sums.data(), totals.data());
        dy = to;
    }
}

// The gradients of <dy, y> for what is wanted: dx, d_weight and those in the links; null where not.
template <class T>
void chain_backward(const Chain<T>& chain, const T* x, const T* weight, const T* dy, T* dx, T* d_weight, int threads) {
    const int last = chain.count() - 1;
    std::vector<double> totals(2 * chain.links[last].cout);
    channel_sums<T>(chain.pixels(last), chain.links[last].cout, dy, chain.links[last].z, totals.data(), threads);
    stages_backward<T>(chain, x, weight ? double(*weight) : 1.0, dy, totals, dx, false, d_weight, threads);
}

// ---------------------------------------------------------------------------------------------- fixed statistics

// The pointwise matrix with batch norm's scale inside, and batch norm's shift.
template <class T>
struct Folded {
    std::vector<T> matrix, bias;
};

template <class T>
Folded<T> fold(const Link<T>& link, int c) {
    Folded<T> folded{std::vector<T>(size_t(link.cout) * c), std::vector<T>(link.cout)};
    for (int o = 0; o < link.cout; o++) {
        const double scale = link.gamma(o) / std::sqrt(double(link.variance[o]) + link.eps);
        folded.bias[o] = T(link.beta(o) - double(link.mean[o]) * scale);
        for (int i = 0; i < c; i++) folded.matrix[size_t(o) * c + i] = T(double(link.pw[size_t(o) * c + i]) * scale);
    }
    return folded;
}

// The chain with fixed statistics: z of the last stage is its value.
template <class T>
void frozen_forward(const Chain<T>& chain, const T* x, int threads) {
    const Pre<T> pre{nullptr, nullptr, nullptr, true};
    for (int i = 0; i < chain.count(); i++) {
        const Link<T>& link = chain.links[i];
        const Folded<T> folded = fold(link, chain.shapes[i].c);
        forward<T>(chain.n, chain.shapes[i], x, pre, link.dw, folded.matrix.data(), {link.z, folded.bias.data()}, threads);
        x = link.z;
    }
}

template <class T>
void frozen_backward(const Chain<T>& chain, const T* x, const T* dy, T* dx, int threads) {
    const Pre<T> pre{nullptr, nullptr, nullptr, true};
    for (int i = chain.count() - 1; i >= 0; i--) {
        const Link<T>& link = chain.links[i];
        const Folded<T> folded = fold(link, chain.shapes[i].c);
        T* to = i ? between<T>(i % 2, chain.input(i)) : dx;
        const T* own = i ? chain.links[i - 1].z : x;
        backward<T>(chain.n, chain.shapes[i], own, pre, {dy}, link.dw, folded.matrix.data(), {to, nullptr, nullptr, nullptr}, threads);
        dy = to;
    }
}

// ---------------------------------------------------------------------------------------------- linearized
//
// Stages A_i x + b_i with ReLUs between them at x: z_i, for all stages but the last, is the ReLU's value, whose positive
// pixels are the mask of its derivative. `weight` is an edge's; what the chain gives is added to the state if `add`.

// y (+)= weight (the chain's value), x being the value of the feature before it.
template <class T>
void linear_value(const Chain<T>& chain, const T* x, const T* weight, bool add, T* y, int threads) {
    for (int i = 0; i < chain.count(); i++) {
        const Link<T>& link = chain.links[i];
        const bool last = i == chain.count() - 1;
        Result<T> to{last ? y : link.z, link.shift};
        to.rectify = !last, to.scale = last, to.add = last && add, to.factor = last ? *weight : T(1);
        forward<T>(chain.n, chain.shapes[i], x, {nullptr, nullptr, nullptr, false}, link.dw, link.pw, to, threads);
        x = link.z;
    }
}

// The sum over images and channels of the second half of sums (n, 2, padded).
inline double all_along(int n, int channels, int padded, const double* sums) {
    double total = 0;
    for (int channel = 0; channel < channels; channel++)
        for (int image = 0; image < n; image++) total += sums[(size_t(image) * 2 + 1) * padded + channel];
    return total;
}

// y (+)= weight J t, with t taken as zero where `mask` is not positive; *along = <with, J t>.
template <class T>
void linear_jvp(const Chain<T>& chain, const T* t, const T* mask, const T* weight, bool add, T* y, const T* with, T* along, int threads) {
    std::vector<double> sums;
    for (int i = 0; i < chain.count(); i++) {
        const Link<T>& link = chain.links[i];
        const bool last = i == chain.count() - 1;
        Result<T> to{last ? y : between<T>(i % 2, size_t(chain.pixels(i)) * link.cout)};
        if (last) {
            sums.resize(size_t(chain.n) * 2 * chain.padded(i));
            to.sums = sums.data(), to.with = with, to.scale = true, to.add = add, to.factor = *weight;
        }
        forward<T>(chain.n, chain.shapes[i], t, {nullptr, nullptr, i ? chain.links[i - 1].z : mask, false}, link.dw, link.pw, to, threads);
        t = to.y;
    }
    const int last = chain.count() - 1;
    *along = T(all_along(chain.n, int(chain.links[last].cout), chain.padded(last), sums.data()));
}

// dx (+)= weight J^T c, zero where `mask` is not positive. If `along` is given, *along = <c, value>, for which x is the
// feature's value and total (cout,) the sum of c over all pixels: <A^T c, x> + <c, b> of the last stage A x + b.
template <class T>
void linear_vjp(const Chain<T>& chain, const T* c, const T* x, const T* mask, const T* weight, bool add, T* dx, const T* total, T* along,
                int threads) {
    std::vector<double> sums;
    for (int i = chain.count() - 1; i >= 0; i--) {
        const Link<T>& link = chain.links[i];
        const bool summed = along && i == chain.count() - 1;
        if (summed) sums.resize(size_t(chain.n) * 2 * chain.padded_input(i));
        Gradients<T> to{i ? between<T>(i % 2, chain.input(i)) : dx, nullptr, nullptr, summed ? sums.data() : nullptr};
        to.scale = i == 0, to.add = i == 0 && add, to.factor = i ? T(1) : *weight;
        const T* own = i ? chain.links[i - 1].z : x;
        backward<T>(chain.n, chain.shapes[i], own, {nullptr, nullptr, i ? own : mask, false}, {c}, link.dw, link.pw, to, threads);
        if (summed) {
            double product = all_along(chain.n, chain.shapes[i].c, chain.padded_input(i), sums.data());
            for (int o = 0; o < link.cout; o++) product += double(total[o]) * link.beta(o);
            *along = T(product);
        }
        c = to.dx;
    }
}

}  // namespace
