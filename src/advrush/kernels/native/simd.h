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
// Half a vector, for columns that do not fill a whole one: half the work where a whole one is two in the processor.
#if defined(__AVX512F__)
constexpr bool HALF_VECTORS = true;
inline __m256 first_half(Vec<float> v) { return _mm512_castps512_ps256((__m512)v); }
inline __m256d first_half(Vec<double> v) { return _mm512_castpd512_pd256((__m512d)v); }
inline __m256 load_half(const float* p) { return _mm256_loadu_ps(p); }
inline __m256d load_half(const double* p) { return _mm256_loadu_pd(p); }
inline Vec<float> with_zeros(__m256 v) { return (Vec<float>)_mm512_zextps256_ps512(v); }
inline Vec<double> with_zeros(__m256d v) { return (Vec<double>)_mm512_zextpd256_pd512(v); }
#else
constexpr bool HALF_VECTORS = false;  // of 128 bits they would take as long
inline Vec<float> first_half(Vec<float> v) { return v; }
inline Vec<double> first_half(Vec<double> v) { return v; }
inline Vec<float> load_half(const float* p) { return load(p); }
inline Vec<double> load_half(const double* p) { return load(p); }
inline Vec<float> with_zeros(Vec<float> v) { return v; }
inline Vec<double> with_zeros(Vec<double> v) { return v; }
#endif
template <class T>
using Half = decltype(first_half(Vec<T>{}));

// A bit for each lane that `positive` leaves as it is, and the vector with zeros in the lanes without one.
using Lanes = uint16_t;
#if defined(__AVX512F__)
inline Lanes positive_lanes(Vec<float> v) { return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NLE_UQ); }
inline Lanes positive_lanes(Vec<double> v) { return _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_NLE_UQ); }
inline Vec<float> keep_lanes(Vec<float> v, Lanes lanes) { return (Vec<float>)_mm512_maskz_mov_ps(__mmask16(lanes), (__m512)v); }
inline Vec<double> keep_lanes(Vec<double> v, Lanes lanes) { return (Vec<double>)_mm512_maskz_mov_pd(__mmask8(lanes), (__m512d)v); }
#else
inline Lanes positive_lanes(Vec<float> v) { return Lanes(_mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NLE_UQ))); }
inline Lanes positive_lanes(Vec<double> v) { return Lanes(_mm256_movemask_pd(_mm256_cmp_pd((__m256d)v, _mm256_setzero_pd(), _CMP_NLE_UQ))); }
inline Vec<float> keep_lanes(Vec<float> v, Lanes lanes) {
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i kept = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(lanes), bits), bits);
    return (Vec<float>)_mm256_and_ps((__m256)v, _mm256_castsi256_ps(kept));
}
inline Vec<double> keep_lanes(Vec<double> v, Lanes lanes) {
    const __m256i bits = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i kept = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(lanes), bits), bits);
    return (Vec<double>)_mm256_and_pd((__m256d)v, _mm256_castsi256_pd(kept));
}
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
