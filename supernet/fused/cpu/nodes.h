// Nodes, which are sums of scaled planes, the sums that their backward needs, and the statistics of planes.
//
// Axes: `b` image of the batch, `m` pixel, `c` channel, `r` row (a term of the node).
#pragma once

#include <cmath>

#include "simd.h"

// Writes the mean and the sum of squared deviations of an image's channels, (2, c).
template <int N, class T>
inline void image_moments(const T* plane, Index pixels, Index channels, Index period, T* mean, T* out) {
    const Index count = pixels * channels;
    channel_sums<N>(count, period, channels, out, [&](auto n, Index j, Index) { return load<n>(plane + j); });
    for (Index c = 0; c < channels; ++c) out[c] /= pixels;
    repeat(out, channels, period, mean);
    channel_sums<N>(count, period, channels, out + channels, [&](auto n, Index j, Index k) {
        const auto away = load<n>(plane + j) - load<n>(mean + k);
        return away * away;
    });
}

// What Python passes of a plane: its statistics, null where none are wanted; in the backward pass, the gradient behind
// its BatchNorm and the coefficients of its own, a g + b y + s.
template <class T>
struct Output {
    T* plane;                                                // (b, h, w, c)
    T *mean, *rstd, *variance, *running_mean, *running_var;  // (c,)
    const T *grad, *a, *b, *s;                               // (b, h, w, c); (c,) each
};

// Repeats a, b and s over a period, (3, period).
template <class T>
inline void repeat_coefficients(const T* a, const T* b, const T* s, Index channels, Index period, T* out) {
    repeat(a, channels, period, out);
    repeat(b, channels, period, out + period);
    repeat(s, channels, period, out + 2 * period);
}

// Writes a g + b y + s of a row of pixels, or adds it to dy; coefficients: (3, period).
template <int N, class T>
inline void form_gradient(Index count, Index period, const T* coefficients, const T* g, const T* y, T* dy,
                          bool add = false) {
    const T *a = coefficients, *b = a + period, *s = b + period;
    for_flat<N>(count, period, [=](auto n, Index j, Index k) {
        const auto own = load<n>(a + k) * load<n>(g + j) + load<n>(b + k) * load<n>(y + j) + load<n>(s + k);
        store<n>(dy + j, add ? load<n>(dy + j) + own : own);
    });
}

struct Norm {
    double eps, momentum;
};

// Moves a running statistic towards that of a batch.
template <class T>
inline void move(const T* found, T* running, Index channels, const Norm& norm) {
    if (running == nullptr) return;
    for (Index c = 0; c < channels; ++c) running[c] += T(norm.momentum) * (found[c] - running[c]);
}

// Writes a plane's statistics, where they are wanted, from the moments of its images, (b, 2, c), which are combined as
// by Chan et al. (1979); moves its running statistics.
template <class T>
inline void finalize(const T* moments, Index images, Index pixels, Index channels, const Norm& norm,
                     const Output<T>& out) {
    if (out.mean == nullptr) return;
    const double all = double(images) * double(pixels);
    for (Index c = 0; c < channels; ++c) {
        double average = 0, squares = 0;
        for (Index b = 0; b < images; ++b) average += double(moments[2 * b * channels + c]) / double(images);
        for (Index b = 0; b < images; ++b) {
            const double away = double(moments[2 * b * channels + c]) - average;
            squares += double(moments[(2 * b + 1) * channels + c]) + double(pixels) * away * away;
        }
        out.mean[c] = T(average);
        out.rstd[c] = T(1 / std::sqrt(squares / all + norm.eps));
        out.variance[c] = T(squares / std::max(all - 1, 1.0));
    }
    move(out.mean, out.running_mean, channels, norm);
    move(out.variance, out.running_var, channels, norm);
}

constexpr Index PARTS = 16;  // of a batch, whose sums of weight gradients are added in order
constexpr Index BLOCK = 8;  // vectors of a node whose sums stand in registers

template <int N, int Q, class T>
inline void combine_block(const T* const* terms, const T* scales, Index count, Index period, Index at, T* out,
                          const T* shift) {
    Vector<T, N> sums[Q];
    UNROLL
    for (int q = 0; q < Q; ++q) sums[q] = load<N>(shift);
    for (Index r = 0; r < count; ++r) {
        const Vector<T, N> scale = load<N>(scales + r * period);
        UNROLL
        for (int q = 0; q < Q; ++q) sums[q] += scale * load<N>(terms[r] + at + q * period);
    }
    UNROLL
    for (int q = 0; q < Q; ++q) store<N>(out + at + q * period, sums[q]);
}

// Writes out, (m, c): shift + sum over r of scale[r] term[r]; scales: (r, c), shift: (c,).
template <int N, class T>
void combine_forward(T* out, const T* const* terms, const T* scales, const T* shift, Index count, Index pixels,
                     Index channels, int threads) {
    const Index period = period_of(channels, N), values = pixels * channels;
    std::vector<T> repeated((count + 1) * period);
    for (Index r = 0; r < count; ++r) repeat(scales + r * channels, channels, period, repeated.data() + r * period);
    T* start = repeated.data() + count * period;
    repeat(shift, channels, period, start);
    const Index blocks = values / (BLOCK * period);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (Index block = 0; block < blocks; ++block)
        for (Index k = 0; k < period; k += N)
            combine_block<N, BLOCK>(terms, repeated.data() + k, count, period, block * BLOCK * period + k, out,
                                    start + k);
    for (Index j = blocks * BLOCK * period; j < values; ++j) {
        T sum = start[j % channels];
        for (Index r = 0; r < count; ++r) sum += repeated[r * period + j % channels] * terms[r][j];
        out[j] = sum;
    }
}

// Writes sums, (b, r + 1, c): of g (y - mean) for each term y, and last of g itself; means: (r, c).
template <int N, class T>
void combine_sums(const T* grad, const T* const* terms, const T* means, T* sums, Index count, Index images,
                  Index pixels, Index channels, int threads) {
    const Index period = period_of(channels, N), size = pixels * channels;
#pragma omp parallel num_threads(threads)
    {
        std::vector<T> repeated(period);
        const T* mean = repeated.data();
#pragma omp for schedule(static)
        for (Index b = 0; b < images; ++b) {
            const T* g = grad + b * size;
            for (Index r = 0; r < count; ++r) {
                const T* y = terms[r] + b * size;
                repeat(means + r * channels, channels, period, repeated.data());
                channel_sums<N>(size, period, channels, sums + (b * (count + 1) + r) * channels,
                                [&](auto n, Index j, Index k) {
                                    return load<n>(g + j) * (load<n>(y + j) - load<n>(mean + k));
                                });
            }
            channel_sums<N>(size, period, channels, sums + (b * (count + 1) + count) * channels,
                            [&](auto n, Index j, Index) { return load<n>(g + j); });
        }
    }
}
