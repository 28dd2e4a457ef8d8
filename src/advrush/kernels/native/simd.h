// Vectors of float or double of the width that the compiler was told of, and memory on their boundaries.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
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
template <class T>
inline Vec<T> load_some(const T* p, int count) {  // the first `count` lanes, zeros behind them
    alignas(BYTES) T lanes[Simd<T>::LANES] = {};
    std::memcpy(lanes, p, sizeof(T) * count);
    return load(lanes);
}
template <class T>
inline void store_some(T* p, Vec<T> v, int count) {
    alignas(BYTES) T lanes[Simd<T>::LANES];
    store(lanes, v);
    std::memcpy(p, lanes, sizeof(T) * count);
}
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
