// Vectors of float or double of the width that the compiler was told of, and memory on their boundaries.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {  // each file has its own: they are compiled for one processor and linked into one library

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#else
constexpr int BYTES = 32;
#endif

template <class T>
struct Simd {
    typedef T Vector __attribute__((vector_size(BYTES)));
    typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static constexpr int LANES = BYTES / sizeof(T);
};
template <class T>
using Vec = typename Simd<T>::Vector;

template <class T>
inline Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Simd<T>::Unaligned*>(p);
}
template <class T>
inline void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Simd<T>::Unaligned*>(p) = v;
}
template <class T>
inline Vec<T> every(T a) {
    return a - Vec<T>{};
}
template <class T>
inline Vec<T> positive(Vec<T> v) {
    return v <= 0 ? Vec<T>{} : v;  // nan stays
}
// The first `count` lanes, zeros behind them; the others are neither read nor written.
#if defined(__AVX512F__)
inline Vec<float> load_some(const float* p, int count) { return (Vec<float>)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p); }
inline Vec<double> load_some(const double* p, int count) { return (Vec<double>)_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), p); }
inline void store_some(float* p, Vec<float> v, int count) { _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), (__m512)v); }
inline void store_some(double* p, Vec<double> v, int count) { _mm512_mask_storeu_pd(p, __mmask8((1u << count) - 1), (__m512d)v); }
#else
alignas(32) constexpr int32_t FIRST[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
inline __m256i first_lanes(int bytes) {  // of 32, a multiple of 4
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(FIRST + 8 - bytes / 4));
}
inline Vec<float> load_some(const float* p, int count) { return (Vec<float>)_mm256_maskload_ps(p, first_lanes(4 * count)); }
inline Vec<double> load_some(const double* p, int count) { return (Vec<double>)_mm256_maskload_pd(p, first_lanes(8 * count)); }
inline void store_some(float* p, Vec<float> v, int count) { _mm256_maskstore_ps(p, first_lanes(4 * count), (__m256)v); }
inline void store_some(double* p, Vec<double> v, int count) { _mm256_maskstore_pd(p, first_lanes(8 * count), (__m256d)v); }
#endif
template <class T>
inline Vec<T> load_channels(const T* p, int left) {
    return left >= Simd<T>::LANES ? load(p) : load_some(p, left);
}
template <class T>
inline void store_channels(T* p, Vec<T> v, int left) {
    if (left >= Simd<T>::LANES) store(p, v);
    else store_some(p, v, left);
}

template <class T>
T* aligned(std::vector<T>& buffer, size_t count) {  // `count` numbers on a vector's boundary, reused between calls
    const size_t slack = BYTES / sizeof(T);
    if (buffer.size() < count + slack) buffer.resize(count + slack);
    auto address = reinterpret_cast<uintptr_t>(buffer.data());
    return reinterpret_cast<T*>((address + BYTES - 1) / BYTES * BYTES);
}

}  // namespace
