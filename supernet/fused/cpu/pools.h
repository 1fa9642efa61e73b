// 3x3 pooling of a state, maximum and average, forward and backward; padding is not counted in averages.
//
// Axes: `b` image of the batch, `h w` space, `c` channel.
#pragma once

#include "convs.h"

struct Window {
    Index first, last;  // of the input's rows or columns
    Window(Index i, Index stride, Index length)
        : first(std::max(Index(0), i * stride - 1)), last(std::min(length, i * stride + 2)) {}
};

// Writes the pooled state, (b, h, w, c), each null where it is not wanted; the tap of each maximum, (b, h, w, c); and
// mean, 1 / std and unbiased variance of both, (2, 3, c), null where they are not wanted.
template <int N, class T>
void pools_forward(const Shape& s, const T* x, T* maxima, T* averages, std::uint8_t* places, T* statistics,
                   const Norm& norm, int threads) {
    const Index c = s.channels, rows = s.rows(), columns = s.columns(), size = rows * columns * c;
    const Index period = period_of(c, N), pixels = rows * columns;
    T* const planes[2] = {maxima, averages};
    std::vector<T> moments(2 * s.images * 2 * c);  // (plane, b, 2, c)
#pragma omp parallel num_threads(threads)
    {
        std::vector<T> mean(period);
#pragma omp for schedule(static)
        for (Index b = 0; b < s.images; ++b) {
            const T* image = x + b * s.height * s.width * c;
            for (Index i = 0; i < rows; ++i)
                for (Index j = 0; j < columns; ++j) {
                    const Window down(i, s.stride, s.height), right(j, s.stride, s.width);
                    const Index at = b * size + (i * columns + j) * c;
                    const T share = T(1) / T((down.last - down.first) * (right.last - right.first));
                    for_channels<N>(c, [&](auto n, Index k) {
                        const T* first = image + (down.first * s.width + right.first) * c + k;
                        Vector<T, n> best = load<n>(first), sum = {}, place = {};
                        place += T((down.first - i * s.stride + 1) * 3 + right.first - j * s.stride + 1);
                        for (Index h = down.first; h < down.last; ++h)
                            for (Index w = right.first; w < right.last; ++w) {
                                const Vector<T, n> value = load<n>(image + (h * s.width + w) * c + k);
                                const Vector<T, n> tap =
                                    Vector<T, n>{} + T((h - i * s.stride + 1) * 3 + w - j * s.stride + 1);
                                const auto better = (value > best) | (value != value);  // as PyTorch: NaN wins
                                best = better ? value : best;
                                place = better ? tap : place;
                                sum += value;
                            }
                        if (maxima != nullptr) {
                            store<n>(maxima + at + k, best);
                            for (int m = 0; m < n; ++m) places[at + k + m] = std::uint8_t(place[m]);
                        }
                        if (averages != nullptr) store<n>(averages + at + k, sum * share);
                    });
                }
            for (int which = 0; which < 2; ++which)
                if (statistics != nullptr && planes[which] != nullptr)
                    image_moments<N>(planes[which] + b * size, pixels, c, period, mean.data(),
                                     moments.data() + (which * s.images + b) * 2 * c);
        }
    }
    for (int which = 0; which < 2; ++which)
        if (statistics != nullptr && planes[which] != nullptr) {
            Output<T> out{};
            out.mean = statistics + which * 3 * c, out.rstd = out.mean + c, out.variance = out.rstd + c;
            finalize(moments.data() + which * s.images * 2 * c, s.images, pixels, c, norm, out);
        }
}

// What Python passes of a pooled term: its plane y, the gradient g of its node, and a, b, s of a g + b y + s.
template <class T>
struct PoolTerm {
    Index average;
    const T *plane, *grad, *a, *b, *s;
};

// Adds the gradient of a state through its pools to out, (b, h, w, c).
template <int N, class T>
void pools_backward(const Shape& s, const std::vector<PoolTerm<T>>& terms, const std::uint8_t* places, T* out,
                    int threads) {
    const Index c = s.channels, rows = s.rows(), columns = s.columns(), size = rows * columns * c;
    const Index period = period_of(c, N);
#pragma omp parallel num_threads(threads)
    {
        std::vector<T> grads(2 * size), coefficients(3 * period);
#pragma omp for schedule(static)
        for (Index b = 0; b < s.images; ++b) {
            std::fill(grads.begin(), grads.end(), T(0));
            bool any[2] = {false, false};
            for (const auto& term : terms) {
                any[term.average] = true;
                T* to = grads.data() + term.average * size;
                repeat_coefficients(term.a, term.b, term.s, c, period, coefficients.data());
                const T *g = term.grad + b * size, *y = term.plane + b * size;
                form_gradient<N>(size, period, coefficients.data(), g, y, to, true);
            }
            T* image = out + b * s.height * s.width * c;
            for (Index i = 0; i < rows; ++i)
                for (Index j = 0; j < columns; ++j) {
                    const Window down(i, s.stride, s.height), right(j, s.stride, s.width);
                    const Index at = (i * columns + j) * c;
                    const T share = T(1) / T((down.last - down.first) * (right.last - right.first));
                    const T *maximum = grads.data() + at, *average = maximum + size;
                    if (any[0])
                        for (Index k = 0; k < c; ++k) {
                            const Index tap = places[b * size + at + k];
                            const Index h = i * s.stride - 1 + tap / 3, w = j * s.stride - 1 + tap % 3;
                            image[(h * s.width + w) * c + k] += maximum[k];
                        }
                    if (any[1])
                        for (Index h = down.first; h < down.last; ++h)
                            for (Index w = right.first; w < right.last; ++w) {
                                T* to = image + (h * s.width + w) * c;
                                for_channels<N>(c, [&](auto n, Index k) {
                                    store<n>(to + k, load<n>(to + k) + share * load<n>(average + k));
                                });
                            }
                }
        }
    }
}
