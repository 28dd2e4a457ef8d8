// A cell with fixed weights and statistics in one call: forward, and backward for its inputs, one image at a time.
//
// The cell is a graph of states. The first ones are given maps; every other state is the sum of the paths that lead to it,
// each a chain of stages (ReLU, depthwise, pointwise, folded batch norm) or the source itself. Paths come in the order of
// their targets, and a path's source is given or an earlier target. The output is the concatenation of some states.
//
// An image's states stay in the cache. Between the stages of a path nothing is stored but which lanes the ReLU keeps: a bit
// for each number, which is all that the backward pass needs.

#pragma once

#include <utility>

#include "frozen_stage.h"

namespace {

struct State {
    int64_t c, h, w;
};
struct Path {
    int64_t source, target, first, count;  // stages
};

// The graph as kernels/frozen_cell.py packs it: five counts, then states, paths and the states that are put out.
struct Graph {
    int64_t states, given, paths, outputs, stages;
    const State* state;
    const Path* path;
    const int64_t* output;

    explicit Graph(const void* packed) {
        const int64_t* p = static_cast<const int64_t*>(packed);
        states = p[0], given = p[1], paths = p[2], outputs = p[3], stages = p[4];
        state = reinterpret_cast<const State*>(p + 5);
        path = reinterpret_cast<const Path*>(state + states);
        output = reinterpret_cast<const int64_t*>(path + paths);
    }
    int64_t channels_out() const {
        int64_t total = 0;
        for (int64_t i = 0; i < outputs; i++) total += state[output[i]].c;
        return total;
    }
    int64_t offset(int64_t of) const {  // of a state within the output, -1 if it is not put out
        int64_t at = 0;
        for (int64_t i = 0; i < outputs; at += state[output[i++]].c)
            if (output[i] == of) return at;
        return -1;
    }
};

// What the loops need to know of a cell besides its graph; the numbers are those of one image.
template <class T>
struct Cell {
    static constexpr int L = Simd<T>::LANES;
    Graph graph;
    std::vector<FrozenStage<T>> stages;
    std::vector<int> margin;           // of a state's rectified image; -1 where no stage reads one
    std::vector<bool> read;            // whether any path begins there
    std::vector<size_t> state_mask, stage_mask;
    size_t weights = 0, masks = 0, channels = 0;

    Cell(const void* packed, const Link<T>* links, T* buffer) : graph(packed) {
        margin.assign(graph.states, -1), read.assign(graph.states, false);
        state_mask.assign(graph.states, 0), stage_mask.assign(graph.stages, 0);
        channels = graph.channels_out();
        std::vector<bool> rectified(graph.states, false);
        for (int64_t p = 0; p < graph.paths; p++) {
            const Path& path = graph.path[p];
            const State& from = graph.state[path.source];
            read[path.source] = true;
            if (!path.count) continue;
            rectified[path.source] = true;
            int64_t h = from.h, w = from.w, c = from.c;
            for (int64_t i = path.first; i < path.first + path.count; i++) {
                stages.emplace_back(shape_of<T>(h, w, c, links[i].cout, links[i].k, links[i].s, links[i].d), buffer + weights);
                weights += stages[i].size();
                h = stages[i].r.ho, w = stages[i].r.wo, c = links[i].cout;
                stage_mask[i] = masks;
                if (i + 1 < path.first + path.count) masks += size_t(stages[i].r.oblocks) * h * w;
            }
            const Shape& r = stages[path.first].r;
            if (r.k > 1 || path.source >= graph.given) margin[path.source] = std::max(margin[path.source], r.pad);
        }
        for (int64_t k = 0; k < graph.states; k++) {
            state_mask[k] = masks;
            if (rectified[k]) masks += size_t(blocks(k)) * pixels(k);
        }
    }
    size_t pixels(int64_t k) const { return size_t(graph.state[k].h) * graph.state[k].w; }
    int blocks(int64_t k) const { return int((graph.state[k].c + L - 1) / L); }
    size_t scratch(int64_t k) const { return blocks(k) * pixels(k) * L; }
    Padded<T> image(int64_t k, T* at) const { return {at, int(graph.state[k].h), int(graph.state[k].w), blocks(k), margin[k]}; }
    // Where the numbers of a state lie: in a given map, in the output, or in scratch memory.
    Place<T> place(int64_t k, T* map, int64_t step) const { return {map, size_t(step), size_t(L), int(graph.state[k].c)}; }
    Place<T> place(int64_t k, T* scratch) const { return {scratch, size_t(L), pixels(k) * L, blocks(k) * L}; }
};

template <class T>
void pack_cell(const void* packed, const Link<T>* links, T* buffer) {
    const Cell<T> cell(packed, links, buffer);
    for (int64_t i = 0; i < cell.graph.stages; i++) cell.stages[i].pack(links[i]);
}

// One image: y is its output; `masks` is written if it is given.
template <class T>
void image_forward(const Cell<T>& cell, const T* const* given, T* y, Lanes* masks) {
    const Graph& graph = cell.graph;
    static thread_local std::vector<T> own_memory;
    size_t total = 0;
    for (int64_t k = 0; k < graph.states; k++)
        total += (k >= graph.given ? cell.scratch(k) : 0) + (cell.margin[k] >= 0 ? cell.image(k, nullptr).size() : 0);
    T* next = aligned(own_memory, total);
    std::vector<Place<T>> raw(graph.states);
    std::vector<Padded<T>> rectified(graph.states);
    std::vector<bool> written(graph.states, false);
    const auto take = [&](size_t count) { return std::exchange(next, next + count); };
    const auto finish = [&](int64_t k) {  // the rectified image of a state that is complete
        if (cell.margin[k] < 0) return;
        rectified[k] = cell.image(k, take(cell.image(k, nullptr).size()));
        rectify(raw[k], rectified[k], masks ? masks + cell.state_mask[k] : nullptr);
    };
    for (int64_t k = 0; k < graph.states; k++) {
        const int64_t at = graph.offset(k);
        if (k < graph.given) {
            raw[k] = cell.place(k, const_cast<T*>(given[k]), graph.state[k].c);
            finish(k);
            if (at >= 0) add_place(raw[k], cell.pixels(k), cell.place(k, y + at, cell.channels), false);
        } else if (at >= 0) raw[k] = cell.place(k, y + at, cell.channels);
        else raw[k] = cell.place(k, take(cell.scratch(k)));
    }
    for (int64_t p = 0; p < graph.paths; p++) {
        const Path& path = graph.path[p];
        Lanes* own = masks ? masks + cell.state_mask[path.source] : nullptr;
        if (!path.count) add_place(raw[path.source], cell.pixels(path.source), raw[path.target], written[path.target]);
        for (int64_t i = path.first; i < path.first + path.count; i++) {
            const FrozenStage<T>& stage = cell.stages[i];
            const bool first = i == path.first, last = i + 1 == path.first + path.count;
            const Source<T> source{raw[path.source], first ? rectified[path.source] : stage.input(i), own};
            if (last) stage.forward(source, raw[path.target], written[path.target]);
            else stage.forward(source, cell.stages[i + 1].input(i + 1), masks ? masks + cell.stage_mask[i] : nullptr);
        }
        written[path.target] = true;
        if (p + 1 == graph.paths || graph.path[p + 1].target != path.target) finish(path.target);
    }
}

// One image: dx are the gradients of <dy, y> for the given maps, null where not wanted.
template <class T>
void image_backward(const Cell<T>& cell, const T* dy, const Lanes* masks, T* const* dx) {
    const Graph& graph = cell.graph;
    static thread_local std::vector<T> own_memory;
    size_t total = 0;
    for (int64_t k = 0; k < graph.states; k++) total += cell.scratch(k);
    T* next = aligned(own_memory, total);
    std::vector<Place<T>> cotangent(graph.states);
    std::vector<bool> written(graph.states, false);
    for (int64_t k = 0; k < graph.states; k++) {
        const int64_t at = graph.offset(k);
        const Place<T> out = cell.place(k, const_cast<T*>(dy) + std::max<int64_t>(at, 0), cell.channels);
        const bool given = k < graph.given;
        if (given && !dx[k]) continue;
        if (given) cotangent[k] = cell.place(k, dx[k], graph.state[k].c);
        else if (at >= 0 && !cell.read[k]) cotangent[k] = out, written[k] = true;
        else cotangent[k] = cell.place(k, std::exchange(next, next + cell.scratch(k)));
        if (at >= 0 && (given || cell.read[k])) add_place(out, cell.pixels(k), cotangent[k], false), written[k] = true;
    }
    for (int64_t p = graph.paths - 1; p >= 0; p--) {
        const Path& path = graph.path[p];
        const int64_t k = path.source;
        if (!written[path.target] || !cotangent[k].at) continue;
        if (path.count == 0) add_place(cotangent[path.target], cell.pixels(k), cotangent[k], written[k]);
        Place<T> from = cotangent[path.target];
        for (int64_t i = path.first + path.count - 1; i >= path.first; i--) {
            const FrozenStage<T>& stage = cell.stages[i];
            if (i == path.first) {
                stage.backward(from, masks + cell.state_mask[k], cotangent[k], written[k]);
                continue;
            }
            const Place<T> to = stage.cotangent(i);
            stage.backward(from, masks + cell.stage_mask[i - 1], to, false);
            from = to;
        }
        written[k] = true;
    }
    for (int64_t k = 0; k < graph.given; k++)
        if (dx[k] && !written[k]) std::fill(dx[k], dx[k] + cell.pixels(k) * graph.state[k].c, T(0));
}

template <class T>
void cell_forward(int64_t n, const Cell<T>& cell, const T* const* given, T* y, Lanes* masks, int threads) {
    const Graph& graph = cell.graph;
    const size_t each = cell.pixels(graph.output[0]) * cell.channels;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t image = 0; image < n; image++) {
        std::vector<const T*> own(graph.given);
        for (int64_t k = 0; k < graph.given; k++) own[k] = given[k] + image * cell.pixels(k) * graph.state[k].c;
        image_forward(cell, own.data(), y + image * each, masks ? masks + image * cell.masks : nullptr);
    }
}

template <class T>
void cell_backward(int64_t n, const Cell<T>& cell, const T* dy, const Lanes* masks, T* const* dx, int threads) {
    const Graph& graph = cell.graph;
    const size_t each = cell.pixels(graph.output[0]) * cell.channels;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t image = 0; image < n; image++) {
        std::vector<T*> own(graph.given);
        for (int64_t k = 0; k < graph.given; k++) own[k] = dx[k] ? dx[k] + image * cell.pixels(k) * graph.state[k].c : nullptr;
        image_backward(cell, dy + image * each, masks + image * cell.masks, own.data());
    }
}

}  // namespace
