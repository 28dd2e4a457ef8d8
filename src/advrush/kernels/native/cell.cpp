// A cell of cell.h as C functions, which kernels/cell.py calls and describes.

#include "cell.h"

#define CELL int64_t n, int64_t maps_count, void *maps, int64_t features_count, const void *features, int64_t terms_count, \
             const void *terms, const void *links
#define GIVEN Cell<T>{n, maps_count, static_cast<Map<T>*>(maps), features_count, static_cast<const Feature*>(features), terms_count, \
                      static_cast<const Term*>(terms), static_cast<const Link<T>*>(links)}

#define KERNELS(suffix)                                                                                              \
    extern "C" void cell_forward_##suffix(CELL, const T* weights, int threads) { cell_forward<T>(GIVEN, weights, threads); } \
    extern "C" void cell_backward_##suffix(CELL, const T* weights, T* d_weights, int threads) {                       \
        cell_backward<T>(GIVEN, weights, d_weights, threads);                                                         \
    }
#define T float
KERNELS(f32)
#undef T
#define T double
KERNELS(f64)
#undef T
