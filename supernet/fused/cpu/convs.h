// ReLU, depthwise and pointwise convolution of all planes that are computed from one state, forward and backward.
//
// A thread works on an image at a time: it copies the image into a buffer with a border of zeros, which fits a core's
// second cache, and goes through all kernels row by row, so that a depthwise output is never in memory. At stride 2 the
// buffer holds the image's four phases, its even and odd rows and columns, so that each tap reads a row without gaps.
//
// Axes: `b` image of the batch, `h w` space, `c` channel, `r` row (a plane), `t` tap, `e` row of a group.
#pragma once

#include "nodes.h"
#include "products.h"

// What Python passes: every field has eight bytes. `supernet.fused.cpu.functions` says what each is.
template <class T>
struct ConvRow {
    Index side, dilation;
    const T *depthwise, *pointwise;                  // (c, side, side), (c, k)
    Output<T> out;
    const T *source, *source_mean, *source_rstd;     // (b, h, w, c), (c,), (c,); null where the state is read
    const T *source_scale, *source_shift;            // of the source's BatchNorm, (c,); null for 1 and 0
    T *back, *back_a, *back_b, *back_s;              // behind the source's BatchNorm (b, h, w, c); (c,) each
    T *scale_grad, *shift_grad;                      // of the source's BatchNorm, (c,); null where it has none
    T *depthwise_grad, *pointwise_grad;              // null where they are not wanted
};

struct Shape {
    Index images, height, width, channels, stride;
    Index rows() const { return (height + stride - 1) / stride; }
    Index columns() const { return (width + stride - 1) / stride; }
};

// Images with a border of zeros: one, or at stride 2 four phases one after the other.
struct Padded {
    Index rows, columns, channels, border, line, size, phases;
    Padded(const Shape& s, Index reach)
        : rows(s.rows()), columns(s.columns()), channels(s.channels), border((reach + s.stride - 1) / s.stride),
          line((columns + 2 * border) * channels), size((rows + 2 * border) * line), phases(s.stride * s.stride) {}
    Index row(Index i) const { return (i + border) * line + border * channels; }
};

// Where a kernel's taps read: offsets into the padded input, and for the gradient those of each phase into the padded
// gradient, with the taps that read this phase.
struct Taps {
    int count = 0;
    Index offsets[MAX_SIDE * MAX_SIDE];
    struct Phase {
        int count = 0;
        int taps[MAX_SIDE * MAX_SIDE];
        Index offsets[MAX_SIDE * MAX_SIDE];
    } phases[4];
    Taps(Index side, Index dilation, Index stride, const Padded& padded) {
        for (Index row = 0; row < side; ++row)
            for (Index column = 0; column < side; ++column) {
                const Index down = (row - side / 2) * dilation, right = (column - side / 2) * dilation;
                const Index i = floor_div(down, stride), j = floor_div(right, stride);
                const Index phase = (down - i * stride) * stride + right - j * stride;
                const Index at = i * padded.line + j * padded.channels;
                Phase& own = phases[phase];
                own.taps[own.count] = count;
                own.offsets[own.count++] = -at;
                offsets[count++] = phase * padded.size + at;
            }
    }
    static Index floor_div(Index a, Index b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
};

// Copies an image, f(width, j, channel index) of its flat index j, into a padded buffer.
template <int N, class T, class F>
inline void fill(const Shape& s, const Padded& padded, Index period, T* out, F f) {
    const Index c = s.channels;
    for (Index i = 0; i < s.height; ++i) {
        const Index line = i * s.width * c;
        if (s.stride == 1) {
            T* to = out + padded.row(i);
            for_flat<N>(s.width * c, period, [&](auto n, Index j, Index k) { store<n>(to + j, f(n, line + j, k)); });
            continue;
        }
        for (Index w = 0; w < s.width; ++w) {
            T* to = out + ((i % 2) * 2 + w % 2) * padded.size + padded.row(i / 2) + (w / 2) * c;
            const Index start = line + w * c;
            for_channels<N>(c, [&](auto n, Index k) { store<n>(to + k, f(n, start + k, k)); });
        }
    }
}

// The weights of a launch: depthwise (r, t, period), pointwise packed by columns, and where they begin.
template <class T>
struct Weights {
    Index period;
    Columns columns;
    std::unique_ptr<T[]> values;
    std::vector<Index> depthwise, pointwise, transposed;
    std::vector<Taps> taps;
    template <class Rows>
    Weights(const Rows& rows, const Shape& s, const Padded& padded, int width, bool backward, int threads)
        : period(period_of(s.channels, width)), columns(s.channels, width) {
        Index size = 0;
        for (const auto& row : rows) {
            depthwise.push_back(size), size += row.side * row.side * period;
            pointwise.push_back(size), size += s.channels * columns.line();
            transposed.push_back(size), size += backward ? s.channels * columns.line() : 0;
            taps.emplace_back(row.side, row.dilation, s.stride, padded);
        }
        values.reset(new T[size]);
        const Index c = s.channels, last = rows.size();
#pragma omp parallel for schedule(static) num_threads(threads)
        for (Index r = 0; r < last; ++r) {
            const auto& row = rows[r];
            const Index count = row.side * row.side;
            T* to = values.get() + depthwise[r];
            for (Index t = 0; t < count; ++t)
                for (Index first = 0; first < period; first += c)
                    for (Index k = 0; k < c; ++k) *to++ = row.depthwise[k * count + t];
            pack(c, columns, values.get() + pointwise[r], [&](Index k, Index n) { return row.pointwise[n * c + k]; });
            if (!backward) continue;
            pack(c, columns, values.get() + transposed[r], [&](Index k, Index n) { return row.pointwise[k * c + n]; });
        }
    }
    const T* kernel(Index r) const { return values.get() + depthwise[r]; }
    Index between(Index r, Index last) const { return last > r ? depthwise[r + 1] - depthwise[r] : 0; }
};

// The number of rows from r on that read one input by kernels of one size: up to four, a power of two.
template <class Rows>
inline Index group(const Rows& rows, Index r) {
    Index count = 1;
    while (r + count < Index(rows.size()) && count < SHARED && rows[r].source == nullptr &&
           rows[r + count].source == nullptr && rows[r + count].side == rows[r].side &&
           rows[r + count].dilation == rows[r].dilation)
        ++count;
    return count >= 4 ? 4 : count >= 2 ? 2 : 1;
}

template <class Rows>
inline Index reach(const Rows& rows) {
    Index found = 0;
    for (const auto& row : rows) found = std::max(found, row.side / 2 * row.dilation);
    return found;
}

template <int N, class T>
inline void depthwise_rows(Index e, const T* in, const Taps& taps, const Weights<T>& weights, Index r, Index periods,
                           T* out, Index plane) {
    const T* kernel = weights.kernel(r);
    const Index next = weights.between(r, r + e - 1), period = weights.period;
    if (e == 4 && SHARED >= 4)
        depthwise_row<N, SHARED>(in, taps.offsets, taps.count, kernel, next, period, periods, out, plane, false);
    else if (e == 2)
        depthwise_row<N, 2>(in, taps.offsets, taps.count, kernel, next, period, periods, out, plane, false);
    else
        depthwise_row<N, 1>(in, taps.offsets, taps.count, kernel, next, period, periods, out, plane, false);
}

// The BatchNorm of a row's source as `(y - mean) slope + shift`, each (period,); values: room for all three.
template <class T>
struct SourceNorm {
    const T *mean, *slope, *shift;
    SourceNorm(const ConvRow<T>& row, Index channels, Index period, T* values)
        : mean(values), slope(values + period), shift(values + 2 * period) {
        for (Index c = 0; c < channels; ++c) {
            values[c] = row.source_mean[c];
            values[period + c] = row.source_rstd[c] * (row.source_scale == nullptr ? T(1) : row.source_scale[c]);
            values[2 * period + c] = row.source_shift == nullptr ? T(0) : row.source_shift[c];
        }
        for (T* own = values; own < values + 3 * period; own += period)
            for (Index k = channels; k < period; k += channels) std::copy_n(own, channels, own + k);
    }
    template <class W>
    auto operator()(W n, const T* y, Index k) const {
        return (load<n>(y) - load<n>(mean + k)) * load<n>(slope + k) + load<n>(shift + k);
    }
};

// The rows of a launch, and the sizes of what is computed of an image.
//
// wide: values of a row of a plane; line: the same in whole periods; buffer: values of the padded input.
template <int N, class T>
struct Launch {
    const Shape& s;
    const std::vector<ConvRow<T>>& rows;
    const Padded padded;
    const Weights<T> weights;
    const Index count, period, c, wide, image_size, periods, line, plane_size, buffer;
    Launch(const Shape& shape, const std::vector<ConvRow<T>>& given, bool backward, int threads)
        : s(shape), rows(given), padded(shape, reach(given)), weights(given, shape, padded, N, backward, threads),
          count(given.size()), period(weights.period), c(shape.channels), wide(padded.columns * c),
          image_size(shape.height * shape.width * c), periods((wide + period - 1) / period), line(periods * period),
          plane_size(padded.rows * wide), buffer(padded.phases * padded.size + 2 * period) {}
};

template <int N, class T>
inline void load_source(const Shape& s, const Padded& padded, Index period, const ConvRow<T>& row, const T* x,
                        T* values, T* image) {
    if (row.source == nullptr) {
        fill<N>(s, padded, period, image, [&](auto n, Index j, Index) { return relu<n, T>(load<n>(x + j)); });
        return;
    }
    const SourceNorm<T> norm(row, s.channels, period, values);
    fill<N>(s, padded, period, image, [&](auto n, Index j, Index k) { return relu<n, T>(norm(n, x + j, k)); });
}

// Writes each row's plane and, where they are wanted, its statistics; moves its running statistics.
template <int N, class T>
void convs_forward(const Shape& s, const T* x, const std::vector<ConvRow<T>>& rows, const Norm& norm, int threads) {
    const Launch<N, T> run(s, rows, false, threads);
    const Padded& padded = run.padded;
    const Weights<T>& weights = run.weights;
    const Index c = run.c, period = run.period, pixels = padded.rows * padded.columns;
    std::vector<T> all_moments(run.count * s.images * 2 * c);  // (r, b, 2, c)
#pragma omp parallel num_threads(threads)
    {
        using Memory = Scratch<T>;
        Memory scratch(Memory::aligned(run.buffer) + Memory::aligned(SHARED * run.line) + 3 * period + 64);
        T *image = scratch.take(run.buffer), *d = scratch.take(SHARED * run.line), *values = scratch.take(3 * period);
        std::fill(image, image + run.buffer, T(0));
#pragma omp for schedule(static)
        for (Index b = 0; b < s.images; ++b)
            for (Index r = 0, e; r < run.count; r += e) {
                e = group(rows, r);
                if (r == 0 || rows[r].source != nullptr) {
                    const T* from = rows[r].source == nullptr ? x : rows[r].source;
                    load_source<N>(s, padded, period, rows[r], from + b * run.image_size, values, image);
                }
                for (Index i = 0; i < padded.rows; ++i) {
                    depthwise_rows<N>(e, image + padded.row(i), weights.taps[r], weights, r, run.periods, d, run.line);
                    for (Index m = 0; m < e; ++m)
                        product<N, T>({d + m * run.line, c}, weights.values.get() + weights.pointwise[r + m], c,
                                      weights.columns, padded.columns,
                                      {rows[r + m].out.plane + b * run.plane_size + i * run.wide, c});
                }
                for (Index m = 0; m < e; ++m)
                    if (rows[r + m].out.mean != nullptr)
                        image_moments<N>(rows[r + m].out.plane + b * run.plane_size, pixels, c, period, values,
                                         all_moments.data() + ((r + m) * s.images + b) * 2 * c);
            }
    }
    for (Index r = 0; r < run.count; ++r)
        finalize(all_moments.data() + r * s.images * 2 * c, s.images, pixels, c, norm, rows[r].out);
}
