// Depthwise convolutions of rows, products of rows with a matrix, and the sums that their gradients are.
//
// Sums stand in registers: a row of a depthwise convolution keeps several pixels of up to four kernels that read the
// same input, a product several pixels of several vectors of output channels.
//
// Axes: `w` column, `t` tap, `k` input and `c` output channel.
#pragma once

#include "simd.h"

constexpr int MAX_SIDE = 7;
constexpr int SHARED = REGISTERS >= 32 ? 4 : 2;  // kernels that read one input at a time

// The vectors that cover c output channels: the last one overlaps the one before it where c is no multiple of a vector.
struct Columns {
    Index channels, vectors;
    int width;
    Columns(Index c, int n) : channels(c), vectors((c + n - 1) / n), width(n) {}
    Index at(Index v) const { return std::min(v * width, channels - width); }
    Index line() const { return vectors * width; }  // values of a packed row
};

// Packs a matrix (k, c), given by a function of both indices, as (k, vector, lane).
template <class T, class F>
inline void pack(Index inputs, const Columns& columns, T* out, F value) {
    for (Index k = 0; k < inputs; ++k)
        for (Index v = 0; v < columns.vectors; ++v)
            for (int n = 0; n < columns.width; ++n) *out++ = value(k, columns.at(v) + n);
}

template <int N, int E, int Q, class T>
inline void depthwise_block(const T* in, const Index* offsets, int taps, const T* weights, Index kernel, Index period,
                            T* out, Index plane, bool add) {
    Vector<T, N> sums[E][Q];
    UNROLL
    for (int e = 0; e < E; ++e)
        UNROLL
        for (int q = 0; q < Q; ++q)
            sums[e][q] = add ? load<N>(out + e * plane + q * period) : Vector<T, N>{};
    for (int t = 0; t < taps; ++t) {
        const T* from = in + offsets[t];
        Vector<T, N> x[Q];
        UNROLL
        for (int q = 0; q < Q; ++q) x[q] = load<N>(from + q * period);
        UNROLL
        for (int e = 0; e < E; ++e) {
            const Vector<T, N> weight = load<N>(weights + e * kernel + t * period);
            UNROLL
            for (int q = 0; q < Q; ++q) sums[e][q] += weight * x[q];
        }
    }
    UNROLL
    for (int e = 0; e < E; ++e)
        UNROLL
        for (int q = 0; q < Q; ++q) store<N>(out + e * plane + q * period, sums[e][q]);
}

// Writes a row of the depthwise convolutions of E kernels, or adds to it: sum over t of weight[t] in[offset[t] + j].
//
// Whole periods are computed: `out` has room for them, and so has what is read.
//
// weights: (e, t, period), a kernel's weights lie `kernel` values apart; out: a kernel's rows lie `plane` values apart.
template <int N, int E, class T>
inline void depthwise_row(const T* in, const Index* offsets, int taps, const T* weights, Index kernel, Index period,
                          Index periods, T* out, Index plane, bool add) {
    constexpr int Q = E * 8 <= REGISTERS / 2 ? 8 : 4;
    for (Index k = 0; k < period; k += N) {
        Index g = 0;
        const T *w = weights + k, *x = in + k;
        T* y = out + k;
        for (; g + Q <= periods; g += Q)
            depthwise_block<N, E, Q>(x + g * period, offsets, taps, w, kernel, period, y + g * period, plane, add);
        if (Q == 8 && g + 4 <= periods) {
            depthwise_block<N, E, 4>(x + g * period, offsets, taps, w, kernel, period, y + g * period, plane, add);
            g += 4;
        }
        for (; g < periods; ++g)
            depthwise_block<N, E, 1>(x + g * period, offsets, taps, w, kernel, period, y + g * period, plane, add);
    }
}

// Adds to sums, (t, period): in[offset[t] + j] d[j], summed over the periods of a row; M taps at a time.
template <int N, class T>
inline void depthwise_weight_row(const T* in, const Index* offsets, int taps, const T* d, Index period, Index count,
                                 T* sums) {
    constexpr int M = 9;
    const Index periods = count / period;
    for (Index k = 0; k < period; k += N)
        for (int first = 0; first < taps; first += M) {
            const int last = std::min(first + M, taps);
            Vector<T, N> total[M];
            const T* from[M];
            UNROLL
            for (int m = 0; m < M; ++m) {
                from[m] = in + offsets[std::min(first + m, last - 1)] + k;
                total[m] = Vector<T, N>{};
            }
            for (Index g = 0; g < periods; ++g) {
                const Vector<T, N> grad = load<N>(d + g * period + k);
                UNROLL
                for (int m = 0; m < M; ++m) total[m] += grad * load<N>(from[m] + g * period);
            }
            for (int t = first; t < last; ++t) {
                T* to = sums + t * period + k;
                store<N>(to, load<N>(to) + total[t - first]);
            }
        }
    for (Index j = periods * period; j < count; ++j)
        for (int t = 0; t < taps; ++t) sums[t * period + j - periods * period] += in[offsets[t] + j] * d[j];
}

// Rows of pixels: `values` of the first pixel, those of the next `next` values further.
template <class T>
struct Pixels {
    T* values;
    Index next;
    T* at(Index w) const { return values + w * next; }
};

template <int N, int R, int V, class T>
inline void product_block(const T* d, Index next, const T* matrix, Index inputs, const Columns& columns, Index v,
                          T* out, Index out_next) {
    const Index line = columns.line();
    Vector<T, N> sums[R][V];
    UNROLL
    for (int r = 0; r < R; ++r)
        UNROLL
        for (int i = 0; i < V; ++i) sums[r][i] = Vector<T, N>{};
    const T* from = matrix + v * N;
    for (Index k = 0; k < inputs; ++k, from += line) {
        Vector<T, N> p[V];
        UNROLL
        for (int i = 0; i < V; ++i) p[i] = load<N>(from + i * N);
        UNROLL
        for (int r = 0; r < R; ++r) {
            const T value = d[r * next + k];
            UNROLL
            for (int i = 0; i < V; ++i) sums[r][i] += value * p[i];
        }
    }
    UNROLL
    for (int r = 0; r < R; ++r)
        UNROLL
        for (int i = 0; i < V; ++i) store<N>(out + r * out_next + columns.at(v + i), sums[r][i]);
}

template <int N, int V, class T>
inline void product_columns(Pixels<const T> d, const T* matrix, Index inputs, const Columns& columns, Index v,
                            Index pixels, Pixels<T> out) {
    constexpr int R = V >= 4 ? 6 : V == 3 || REGISTERS < 32 ? 4 : 8;
    Index w = 0;
    for (; w + R <= pixels; w += R)
        product_block<N, R, V>(d.at(w), d.next, matrix, inputs, columns, v, out.at(w), out.next);
    for (; R > 2 && w + 2 <= pixels; w += 2)
        product_block<N, 2, V>(d.at(w), d.next, matrix, inputs, columns, v, out.at(w), out.next);
    for (; w < pixels; ++w)
        product_block<N, 1, V>(d.at(w), d.next, matrix, inputs, columns, v, out.at(w), out.next);
}

// Writes (w, c) = d (w, k) matrix (k, c), the matrix packed by columns.
template <int N, class T>
inline void product(Pixels<const T> d, const T* matrix, Index inputs, const Columns& columns, Index pixels,
                    Pixels<T> out) {
    Index v = 0;
    if (REGISTERS >= 32) {
        for (; v + 4 <= columns.vectors; v += 4) product_columns<N, 4>(d, matrix, inputs, columns, v, pixels, out);
        if (v + 3 == columns.vectors) product_columns<N, 3>(d, matrix, inputs, columns, v, pixels, out), v += 3;
    }
    for (; v + 2 <= columns.vectors; v += 2) product_columns<N, 2>(d, matrix, inputs, columns, v, pixels, out);
    for (; v < columns.vectors; ++v) product_columns<N, 1>(d, matrix, inputs, columns, v, pixels, out);
}

template <int N, int K, int V, class T>
inline void product_weight_block(Pixels<const T> d, Pixels<const T> dy, Index pixels, const Columns& columns, Index k,
                                 Index v, T* sums) {
    const Index line = columns.line();
    Vector<T, N> total[K][V];
    UNROLL
    for (int i = 0; i < K; ++i)
        UNROLL
        for (int n = 0; n < V; ++n) total[i][n] = load<N>(sums + (k + i) * line + (v + n) * N);
    for (Index w = 0; w < pixels; ++w) {
        const T *left = d.at(w) + k, *right = dy.at(w);
        Vector<T, N> grad[V];
        UNROLL
        for (int n = 0; n < V; ++n) grad[n] = load<N>(right + columns.at(v + n));
        UNROLL
        for (int m = 0; m < K; ++m)
            UNROLL
            for (int n = 0; n < V; ++n) total[m][n] += left[m] * grad[n];
    }
    UNROLL
    for (int i = 0; i < K; ++i)
        UNROLL
        for (int n = 0; n < V; ++n) store<N>(sums + (k + i) * line + (v + n) * N, total[i][n]);
}

template <int N, int V, class T>
inline void product_weight_columns(Pixels<const T> d, Pixels<const T> dy, Index pixels, Index inputs,
                                   const Columns& columns, Index v, T* sums) {
    constexpr int K = V >= 4 ? 6 : V == 3 ? 8 : REGISTERS / 2 / V;
    Index k = 0;
    for (; k + K <= inputs; k += K) product_weight_block<N, K, V>(d, dy, pixels, columns, k, v, sums);
    for (; K > 2 && k + 2 <= inputs; k += 2) product_weight_block<N, 2, V>(d, dy, pixels, columns, k, v, sums);
    for (; k < inputs; ++k) product_weight_block<N, 1, V>(d, dy, pixels, columns, k, v, sums);
}

// Adds to sums, (k, c) packed by columns: d' dy, summed over pixels.
template <int N, class T>
inline void product_weight(Pixels<const T> d, Pixels<const T> dy, Index pixels, Index inputs, const Columns& columns,
                           T* sums) {
    Index v = 0;
    if (REGISTERS >= 32) {
        for (; v + 4 <= columns.vectors; v += 4)
            product_weight_columns<N, 4>(d, dy, pixels, inputs, columns, v, sums);
        if (v + 3 == columns.vectors) product_weight_columns<N, 3>(d, dy, pixels, inputs, columns, v, sums), v += 3;
    }
    for (; v + 2 <= columns.vectors; v += 2) product_weight_columns<N, 2>(d, dy, pixels, inputs, columns, v, sums);
    for (; v < columns.vectors; ++v) product_weight_columns<N, 1>(d, dy, pixels, inputs, columns, v, sums);
}
