// The graphs of conv_graph.h as C functions; kernels/conv_graph.py describes the arguments.

#include "conv_graph.h"

#define KERNELS(T, suffix)                                                                                             \
    extern "C" void conv_graph_masks_##suffix(const void* graph, int64_t* size, int) {                                 \
        *size = Convolutions<T>(graph).masks;                                                                          \
    }                                                                                                                  \
    extern "C" void conv_graph_forward_##suffix(const void* graph, int64_t n, const void* given, const void* y,        \
                                                Lanes* masks, int threads) {                                           \
        graph_forward<T>(Convolutions<T>(graph), n, static_cast<const T* const*>(given),                               \
                         static_cast<T* const*>(y), masks, threads);                                                   \
    }                                                                                                                  \
    extern "C" void conv_graph_backward_##suffix(const void* graph, int64_t n, const void* dy, const Lanes* masks,     \
                                                 const void* dx, int threads) {                                        \
        graph_backward<T>(Convolutions<T>(graph), n, static_cast<const T* const*>(dy), masks,                          \
                          static_cast<T* const*>(dx), threads);                                                        \
    }
KERNELS(float, f32)
KERNELS(double, f64)
