// ReLU and 1x1 convolutions of a state, each of its pixels or of every other one, forward and backward.
//
// A factorized reduction has two of them, the second on the image shifted by one row and column, which write the two
// halves of the channels. What lies beyond the image is 0.
//
// Axes: `b` image of the batch, `h w` space, `k` input and `c` output channel, `m` pixel of the batch.
#pragma once

#include "nodes.h"
#include "products.h"

// What Python passes of one convolution.
template <class T>
struct Pointwise {
    Index shift, first, channels;  // of the image; of its output channels, and their number
    const T* weight;               // (c, k)
    T* weight_grad;                // null where it is not wanted
};

struct Sizes {
    Index images, height, width, inputs, outputs, stride;
    Index rows() const { return (height + stride - 1) / stride; }
    Index columns() const { return (width + stride - 1) / stride; }
};

// Copies ReLU of a row of the shifted image, (w, k).
template <int N, class T>
inline void copy_row(const Sizes& s, const T* image, Index shift, Index i, T* out) {
    const Index h = i * s.stride + shift, k = s.inputs;
    if (s.stride == 1) {
        const T* from = image + h * s.width * k;
        for_channels<N>(s.width * k, [&](auto n, Index j) { store<n>(out + j, relu<n, T>(load<n>(from + j))); });
        return;
    }
    for (Index j = 0; j < s.columns(); ++j) {
        const Index w = j * s.stride + shift;
        T* to = out + j * k;
        if (h >= s.height || w >= s.width) {
            std::fill(to, to + k, T(0));
            continue;
        }
        const T* from = image + (h * s.width + w) * k;
        for_channels<N>(k, [&](auto n, Index c) { store<n>(to + c, relu<n, T>(load<n>(from + c))); });
    }
}

// Writes the gradient of a row of the shifted image, masked by its ReLU, to that of the image.
template <int N, class T>
inline void write_row(const Sizes& s, const T* image, const T* dx, Index shift, Index i, T* out) {
    const Index h = i * s.stride + shift, k = s.inputs;
    if (h >= s.height) return;
    for (Index j = 0; j < s.columns(); ++j) {
        const Index w = j * s.stride + shift;
        if (w >= s.width) break;
        const Index at = (h * s.width + w) * k;
        for_channels<N>(k, [&](auto n, Index c) {
            const Vector<T, n> zero = {};
            store<n>(out + at + c, load<n>(image + at + c) > zero ? load<n>(dx + j * k + c) : zero);
        });
    }
}

template <int N, class T>
void pointwise_forward(const Sizes& s, const T* x, const std::vector<Pointwise<T>>& convs, const Output<T>& output,
                       const Norm& norm, int threads) {
    const Index rows = s.rows(), columns = s.columns(), c = s.outputs, size = rows * columns * c;
    const Index image_size = s.height * s.width * s.inputs, period = period_of(c, N);
    std::vector<std::vector<T>> matrices;
    for (const auto& conv : convs) {
        const Columns own(conv.channels, N);
        matrices.emplace_back(s.inputs * own.line());
        pack(s.inputs, own, matrices.back().data(), [&](Index k, Index n) { return conv.weight[n * s.inputs + k]; });
    }
    std::vector<T> moments(output.mean == nullptr ? 0 : s.images * 2 * c);
#pragma omp parallel num_threads(threads)
    {
        Scratch<T> scratch(Scratch<T>::aligned(columns * s.inputs) + period + 32);
        T *row = scratch.take(columns * s.inputs), *mean = scratch.take(period);
#pragma omp for schedule(static)
        for (Index b = 0; b < s.images; ++b) {
            T* plane = output.plane + b * size;
            for (std::size_t p = 0; p < convs.size(); ++p)
                for (Index i = 0; i < rows; ++i) {
                    copy_row<N>(s, x + b * image_size, convs[p].shift, i, row);
                    product<N, T>({row, s.inputs}, matrices[p].data(), s.inputs, Columns(convs[p].channels, N), columns,
                                  {plane + i * columns * c + convs[p].first, c});
                }
            if (output.mean != nullptr)
                image_moments<N>(plane, rows * columns, c, period, mean, moments.data() + 2 * b * c);
        }
    }
    finalize(moments.data(), s.images, rows * columns, c, norm, output);
}

// Writes the gradient of x to out, which is 0 where no convolution reads x, and those of the weights.
template <int N, class T>
void pointwise_backward(const Sizes& s, const T* x, T* out, const std::vector<Pointwise<T>>& convs,
                        const Output<T>& output, int threads) {
    const Index rows = s.rows(), columns = s.columns(), c = s.outputs, size = rows * columns * c, k = s.inputs;
    const Index image_size = s.height * s.width * k, period = period_of(c, N), wide = columns * c;
    const Columns inputs(k, N);
    std::vector<std::vector<T>> matrices;  // (c, k) packed
    std::vector<Index> at(1, 0);
    for (const auto& conv : convs) {
        matrices.emplace_back(conv.channels * inputs.line());
        pack(conv.channels, inputs, matrices.back().data(), [&](Index n, Index m) { return conv.weight[n * k + m]; });
        at.push_back(at.back() + k * Columns(conv.channels, N).line());
    }
    std::vector<T> coefficients(3 * period);
    repeat_coefficients(output.a, output.b, output.s, c, period, coefficients.data());
    if (s.stride > 1) std::fill(out, out + s.images * image_size, T(0));
    const bool weighted = convs[0].weight_grad != nullptr;
    const Index parts = std::min(s.images, PARTS), between = at.back();
    std::vector<T> sums(weighted ? parts * between : 0);
#pragma omp parallel num_threads(threads)
    {
        Scratch<T> scratch(2 * Scratch<T>::aligned(columns * k) + Scratch<T>::aligned(wide) + 64);
        T *row = scratch.take(columns * k), *dx = scratch.take(columns * k), *dy = scratch.take(wide);
#pragma omp for schedule(static)
        for (Index part = 0; part < parts; ++part)
            for (Index b = part * s.images / parts; b < (part + 1) * s.images / parts; ++b)
                for (Index i = 0; i < rows; ++i) {
                    const Index start = b * size + i * wide;
                    form_gradient<N>(wide, period, coefficients.data(), output.grad + start, output.plane + start, dy);
                    for (std::size_t p = 0; p < convs.size(); ++p) {
                        const Pointwise<T>& conv = convs[p];
                        const Pixels<const T> grad{dy + conv.first, c};
                        product<N, T>(grad, matrices[p].data(), conv.channels, inputs, columns, {dx, k});
                        write_row<N>(s, x + b * image_size, dx, conv.shift, i, out + b * image_size);
                        if (!weighted) continue;
                        copy_row<N>(s, x + b * image_size, conv.shift, i, row);
                        product_weight<N, T>({row, k}, grad, columns, k, Columns(conv.channels, N),
                                             sums.data() + part * between + at[p]);
                    }
                }
    }
    for (std::size_t p = 0; weighted && p < convs.size(); ++p) {
        const Columns own(convs[p].channels, N);
        const T* from = sums.data() + at[p];
        for (Index m = 0; m < k; ++m)
            for (Index v = 0; v < own.vectors; ++v)
                for (int n = 0; n < N; ++n, ++from) {
                    T sum = 0;
                    for (Index part = 0; part < parts; ++part) sum += from[part * between];
                    convs[p].weight_grad[(own.at(v) + n) * k + m] = sum;
                }
    }
}
