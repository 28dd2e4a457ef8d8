// The cells of frozen_cell.h as C functions; kernels/frozen_cell.py describes the arguments.

#include "frozen_cell.h"

namespace {

template <class T>
Cell<T> cell_of(const void* graph, const void* links, T* weights) {
    return Cell<T>(graph, static_cast<const Link<T>*>(links), weights);
}

}  // namespace

#define KERNELS(T, suffix)                                                                                             \
    extern "C" void frozen_cell_sizes_##suffix(const void* graph, const void* links, int64_t* sizes, int) {            \
        const Cell<T> cell = cell_of<T>(graph, links, nullptr);                                                        \
        sizes[0] = int64_t(cell.weights), sizes[1] = int64_t(cell.masks);                                              \
    }                                                                                                                  \
    extern "C" void frozen_cell_pack_##suffix(const void* graph, const void* links, T* weights, int) {                 \
        pack_cell<T>(graph, static_cast<const Link<T>*>(links), weights);                                              \
    }                                                                                                                  \
    extern "C" void frozen_cell_forward_##suffix(const void* graph, const void* links, T* weights, int64_t n,          \
                                                 const void* given, T* y, Lanes* masks, int threads) {                 \
        cell_forward<T>(n, cell_of(graph, links, weights), static_cast<const T* const*>(given), y, masks, threads);    \
    }                                                                                                                  \
    extern "C" void frozen_cell_backward_##suffix(const void* graph, const void* links, T* weights, int64_t n,         \
                                                  const T* dy, const Lanes* masks, const void* dx, int threads) {      \
        cell_backward<T>(n, cell_of(graph, links, weights), dy, masks, static_cast<T* const*>(dx), threads);           \
    }
KERNELS(float, f32)
KERNELS(double, f64)
