// What primitives of a cell begin with besides the state itself: its pooled maps (3 x 3, padding 1), its pixels as two halves.
//
// All maps are channels last; the transposes add to the gradient of the state.

#pragma once

#include <algorithm>

#include "simd.h"

namespace {

// Sizes of a state and of its feature.
struct Window {
    int h, w, c, s;
    int rows() const { return (h + s - 1) / s; }
    int columns() const { return (w + s - 1) / s; }
};

// Call f(output pixel, first and last row, first and last column) for each window, without its padding.
template <class F>
void each_window(const Window& r, F f) {
    for (int i = 0; i < r.rows(); i++)
        for (int j = 0; j < r.columns(); j++)
            f(size_t(i) * r.columns() + j, std::max(i * r.s - 1, 0), std::min(i * r.s + 1, r.h - 1), std::max(j * r.s - 1, 0),
              std::min(j * r.s + 1, r.w - 1));
}

// One image: the maximum of each window, or the mean of the pixels that are no padding.
template <class T, bool MAX>
void pool_image(const Window& r, const T* x, T* y) {
    each_window(r, [&](size_t pixel, int top, int bottom, int left, int right) {
        const Vec<T> share = every(T(1) / T((bottom - top + 1) * (right - left + 1)));
        for (int channel = 0; channel < r.c; channel += Simd<T>::LANES) {
            const int some = r.c - channel;
            Vec<T> all = load_channels(x + (size_t(top) * r.w + left) * r.c + channel, some);
            if (!MAX) all = Vec<T>{};
            for (int i = top; i <= bottom; i++)
                for (int j = left; j <= right; j++) {
                    const Vec<T> v = load_channels(x + (size_t(i) * r.w + j) * r.c + channel, some);
                    if (MAX) all = v <= all ? all : (v > all ? v : v + all);  // nan wins
                    else all += v;
                }
            store_channels(y + pixel * r.c + channel, MAX ? all : all * share, some);
        }
    });
}

// One image: add the gradient dy of y to dx. Of equal maxima the first takes it, as the library has it.
template <class T, bool MAX>
void pool_image_transpose(const Window& r, const T* x, const T* y, const T* dy, T* dx) {
    each_window(r, [&](size_t pixel, int top, int bottom, int left, int right) {
        const Vec<T> share = every(T(1) / T((bottom - top + 1) * (right - left + 1)));
        for (int channel = 0; channel < r.c; channel += Simd<T>::LANES) {
            const int some = r.c - channel;
            Vec<T> rest = load_channels(dy + pixel * r.c + channel, some), largest{};
            if (MAX) largest = load_channels(y + pixel * r.c + channel, some);
            else rest *= share;
            for (int i = top; i <= bottom; i++)
                for (int j = left; j <= right; j++) {
                    const size_t at = (size_t(i) * r.w + j) * r.c + channel;
                    Vec<T> v = rest;
                    if (MAX) {
                        const auto below = load_channels(x + at, some) < largest;
                        v = below ? Vec<T>{} : rest, rest = below ? rest : Vec<T>{};
                    }
                    store_channels(dx + at, load_channels(dx + at, some) + v, some);
                }
        }
    });
}

template <class T, bool MAX>
void pool(int n, const Window& r, const T* x, T* y, int threads) {
    const size_t from = size_t(r.h) * r.w * r.c, to = size_t(r.rows()) * r.columns() * r.c;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++) pool_image<T, MAX>(r, x + image * from, y + image * to);
}
template <class T, bool MAX>
void pool_transpose(int n, const Window& r, const T* x, const T* y, const T* dy, T* dx, int threads) {
    const size_t from = size_t(r.h) * r.w * r.c, to = size_t(r.rows()) * r.columns() * r.c;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++)
        pool_image_transpose<T, MAX>(r, x + image * from, y + image * to, dy + image * to, dx + image * from);
}

// y (n, rows, columns, 2 c): the pixels (0, 0), (0, 2), ... of x, then (1, 1), (1, 3), ...; zeros past an odd edge.
template <class T>
void halves(int n, const Window& r, const T* x, T* y, int threads) {
    const int rows = n * r.rows();
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int row = 0; row < rows; row++) {
        const int i = row % r.rows();
        const T* even = x + (size_t(row / r.rows()) * r.h + 2 * i) * r.w * r.c;
        const T* odd = 2 * i + 1 < r.h ? even + size_t(r.w) * r.c : nullptr;
        T* to = y + size_t(row) * r.columns() * 2 * r.c;
        for (int j = 0; j < r.columns(); j++, to += 2 * r.c) {
            std::copy_n(even + size_t(2 * j) * r.c, r.c, to);
            if (odd && 2 * j + 1 < r.w) std::copy_n(odd + size_t(2 * j + 1) * r.c, r.c, to + r.c);
            else std::fill_n(to + r.c, r.c, T(0));
        }
    }
}
template <class T>
void halves_transpose(int n, const Window& r, const T* dy, T* dx, int threads) {
    const int rows = n * r.rows();
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int row = 0; row < rows; row++) {
        const int i = row % r.rows();
        T* even = dx + (size_t(row / r.rows()) * r.h + 2 * i) * r.w * r.c;
        T* odd = 2 * i + 1 < r.h ? even + size_t(r.w) * r.c : nullptr;
        const T* from = dy + size_t(row) * r.columns() * 2 * r.c;
        for (int j = 0; j < r.columns(); j++, from += 2 * r.c) {
            for (int k = 0; k < r.c; k++) even[size_t(2 * j) * r.c + k] += from[k];
            for (int k = 0; odd && 2 * j + 1 < r.w && k < r.c; k++) odd[size_t(2 * j + 1) * r.c + k] += from[r.c + k];
        }
    }
}

}  // namespace
