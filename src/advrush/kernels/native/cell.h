// A supernet's cell in one call forward and one backward: every state is a sum of primitives of the states before it.
//
// A primitive is a chain of stages (chain.h), the batch norm of a map, or a map as it is; all end as a map with a scale
// and a shift of each channel, so that the sum over an edge's primitives, each times its weight, is one pass over maps.
// Backward, one pass takes the products of the state's gradient with these maps, of which batch norm's gradients and the
// weights' are made; what the primitives give is added to the gradients of the maps that they read.

#pragma once

#include "chain.h"
#include "features.h"
#include "sums.h"

namespace {

// A state or a feature of one, and its gradient (null: not wanted); kernels/cell.py packs these records.
template <class T>
struct Map {
    T *value, *gradient;
    int64_t h, w, c;
    int64_t given;  // forward: whether the value is; backward: whether the gradient holds a part already
};
enum FeatureKind : int64_t { MAXIMUM = 0, AVERAGE = 1, HALVES = 2 };
struct Feature {
    int64_t kind, from, to, stride;  // of maps `from` and `to`
};
struct Term {
    int64_t input, target, edge, weight;  // maps; which weight of the flat matrix
    int64_t first, count;                 // of its links; none: the map as it is; one without weights: its batch norm
};

template <class T>
struct Cell {
    int64_t n, count;
    Map<T>* maps;
    int64_t features_count;
    const Feature* features;
    int64_t terms_count;
    const Term* terms;  // ordered by target, then edge
    const Link<T>* links;

    int64_t pixels(int64_t map) const { return n * maps[map].h * maps[map].w; }
    size_t numbers(int64_t map) const { return size_t(pixels(map)) * maps[map].c; }
    bool is_chain(const Term& term) const { return term.count && links[term.first].pw; }
    Chain<T> chain(const Term& term) const {
        const Map<T>& x = maps[term.input];
        return Chain<T>(n, x.h, x.w, x.c, links + term.first, term.count);
    }
    // The map that the term scales and shifts.
    const T* last(const Term& term) const { return is_chain(term) ? links[term.first + term.count - 1].z : maps[term.input].value; }
    Window window(const Feature& each) const {
        const Map<T>& x = maps[each.from];
        return {int(x.h), int(x.w), int(x.c), int(each.stride)};
    }
    // The end of the group of terms of one edge that begins at `first`.
    int64_t end(int64_t first) const {
        int64_t i = first;
        while (i < terms_count && terms[i].edge == terms[first].edge) i++;
        return i;
    }
};

template <class T>
void compute_feature(const Cell<T>& cell, const Feature& each, int threads) {
    const Window r = cell.window(each);
    const T* x = cell.maps[each.from].value;
    T* y = cell.maps[each.to].value;
    if (each.kind == MAXIMUM) pool<T, true>(int(cell.n), r, x, y, threads);
    else if (each.kind == AVERAGE) pool<T, false>(int(cell.n), r, x, y, threads);
    else halves<T>(int(cell.n), r, x, y, threads);
    cell.maps[each.to].given = 1;
}

// The batch norm of a map whose sums, over itself, are `totals`, times weight.
template <class T>
Norm<T> norm_forward(const Cell<T>& cell, const Term& term, double weight, std::vector<double>& totals, int threads) {
    const Map<T>& map = cell.maps[term.input];
    if (totals.empty()) {
        totals.resize(2 * map.c);
        products_with<T>(cell.pixels(term.input), map.c, map.value, {map.value}, totals.data(), threads);
    }
    take_statistics(cell.links[term.first], cell.pixels(term.input), totals.data());
    return normalized(cell.links[term.first], weight);
}

// Compute every state that is not given.
template <class T>
void cell_forward(const Cell<T>& cell, const T* weights, int threads) {
    std::vector<std::vector<double>> totals(cell.count);  // of the features, for all norms of them
    for (int64_t first = 0, end; first < cell.terms_count; first = end) {
        end = cell.end(first);
        const Term& edge = cell.terms[first];
        Map<T>& target = cell.maps[edge.target];
        std::vector<Norm<T>> norms;
        std::vector<Summand<T>> summands;
        std::vector<T> shift(target.c, T(0));
        for (int64_t i = first; i < end; i++) {
            const Term& term = cell.terms[i];
            for (int64_t k = 0; k < cell.features_count; k++)
                if (cell.features[k].to == term.input && !cell.maps[term.input].given) compute_feature(cell, cell.features[k], threads);
            const double weight = double(weights[term.weight]);
            if (cell.is_chain(term)) norms.push_back(stages_forward(cell.chain(term), cell.maps[term.input].value, weight, threads));
            else if (term.count) norms.push_back(norm_forward(cell, term, weight, totals[term.input], threads));
            else norms.push_back({std::vector<T>(target.c, weights[term.weight]), std::vector<T>(target.c, T(0))});
            for (int64_t channel = 0; channel < target.c; channel++) shift[channel] += norms.back().shift[channel];
        }
        for (int64_t i = first; i < end; i++) summands.push_back({cell.last(cell.terms[i]), norms[i - first].scale.data()});
        add_maps<T>(cell.pixels(edge.target), target.c, summands, shift.data(), target.given != 0, target.value, threads);
        target.given = 1;
    }
}

// Add the gradients of the features of a state to its own.
template <class T>
void fold_features(const Cell<T>& cell, int64_t state, int threads) {
    Map<T>& x = cell.maps[state];
    for (int64_t k = 0; k < cell.features_count; k++) {
        const Feature& each = cell.features[k];
        const Map<T>& y = cell.maps[each.to];
        if (each.from != state || !x.gradient || !y.given) continue;
        if (!x.given) std::fill_n(x.gradient, cell.numbers(state), T(0));
        x.given = 1;
        const Window r = cell.window(each);
        if (each.kind == MAXIMUM) pool_transpose<T, true>(int(cell.n), r, x.value, y.value, y.gradient, x.gradient, threads);
        else if (each.kind == AVERAGE) pool_transpose<T, false>(int(cell.n), r, x.value, y.value, y.gradient, x.gradient, threads);
        else halves_transpose<T>(int(cell.n), r, y.gradient, x.gradient, threads);
    }
}

// Add what a term's gradient is made of; totals: the sums of dy, then of dy times the term's map.
template <class T>
void term_backward(const Cell<T>& cell, const Term& term, double weight, const T* dy, const double* total, const double* along, T* d_weight,
                   int threads) {
    Map<T>& x = cell.maps[term.input];
    const int64_t c = cell.maps[term.target].c, pixels = cell.pixels(term.target);
    std::vector<double> totals(total, total + c);
    totals.insert(totals.end(), along, along + c);
    if (cell.is_chain(term)) {
        stages_backward<T>(cell.chain(term), x.value, weight, dy, totals, x.gradient, x.given != 0, d_weight, threads);
        x.given = 1;
        return;
    }
    Back<T> back{std::vector<T>(c, T(weight)), {}, std::vector<T>(c, T(0))};
    std::vector<Summand<T>> summands;
    if (term.count) {
        back = norm_backward(cell.links[term.first], pixels, totals.data(), weight, d_weight);
        summands.push_back({x.value, back.b.data()});
    } else if (d_weight) {
        double product = 0;
        for (int64_t i = 0; i < c; i++) product += along[i];
        *d_weight = T(product);
    }
    if (!x.gradient) return;
    summands.push_back({dy, back.a.data()});
    add_maps<T>(pixels, c, summands, back.e.data(), x.given != 0, x.gradient, threads);
    x.given = 1;
}

// The gradients of all maps that want one, of the links' weights and of the matrix of weights, where d_weights is given
// (zeros). `given` says which gradients hold a part already: those of the cell's outputs.
template <class T>
void cell_backward(const Cell<T>& cell, const T* weights, T* d_weights, int threads) {
    for (int64_t end = cell.terms_count, first; end > 0; end = first) {
        for (first = end - 1; first > 0 && cell.terms[first - 1].edge == cell.terms[end - 1].edge;) first--;
        const int64_t state = cell.terms[first].target;
        const Map<T>& target = cell.maps[state];
        if (end == cell.terms_count || cell.terms[end].target != state) fold_features(cell, state, threads);
        if (!target.given) continue;
        std::vector<const T*> maps;
        for (int64_t i = first; i < end; i++) maps.push_back(cell.last(cell.terms[i]));
        std::vector<double> totals((1 + maps.size()) * target.c);
        products_with<T>(cell.pixels(state), target.c, target.gradient, maps, totals.data(), threads);
        for (int64_t i = first; i < end; i++) {
            const Term& term = cell.terms[i];
            term_backward<T>(cell, term, double(weights[term.weight]), target.gradient, totals.data(),
                             totals.data() + (1 + i - first) * target.c, d_weights ? d_weights + term.weight : nullptr, threads);
        }
    }
    const auto is_target = [&](int64_t map) {
        return std::any_of(cell.terms, cell.terms + cell.terms_count, [&](const Term& each) { return each.target == map; });
    };
    for (int64_t map = 0; map < cell.count; map++)
        if (!is_target(map)) fold_features(cell, map, threads);
}

}  // namespace
