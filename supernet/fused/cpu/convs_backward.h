// The backward pass of convs.h: gradients of the state or of the source planes, and of the weights.
//
// A plane's gradient `a g + b y + s` is formed row by row and multiplied with the pointwise weights into a padded
// buffer; the depthwise convolution's input gradient is then one more depthwise convolution of that buffer. Weight
// gradients are summed over a fixed number of parts of the batch, and the parts in order, whatever the threads.
#pragma once

#include "convs.h"

constexpr Index PIXELS_AT_ONCE = 32;

template <int N, class T>
struct Backward : Launch<N, T> {
    using Base = Launch<N, T>;
    using Base::c, Base::count, Base::image_size, Base::line, Base::padded, Base::period, Base::periods;
    using Base::plane_size, Base::rows, Base::s, Base::weights, Base::wide;
    const Index block;            // rows of an image whose outer products are summed in registers
    std::vector<T> coefficients;  // a, b and s of each row, (r, 3, period)
    Backward(const Shape& shape, const std::vector<ConvRow<T>>& given, int threads)
        : Base(shape, given, true, threads),
          block(std::min(padded.rows, std::max(Index(1), PIXELS_AT_ONCE / padded.columns))),
          coefficients(3 * count * period) {
        for (Index r = 0; r < count; ++r) {
            const Output<T>& own = rows[r].out;
            repeat_coefficients(own.a, own.b, own.s, c, period, coefficients.data() + 3 * r * period);
        }
    }

    Index weight_values(Index r) const { return rows[r].side * rows[r].side * period + c * weights.columns.line(); }

    // Forms rows [first, last) of a plane's gradient in dy, and their products with the pointwise weights in padded dd.
    void plane_gradient(Index r, Index b, Index first, Index last, T* dy, T* dd) const {
        const Output<T>& own = rows[r].out;
        for (Index i = first; i < last; ++i, dy += line) {
            const Index start = b * plane_size + i * wide;
            const T* rest = coefficients.data() + 3 * r * period;
            form_gradient<N>(wide, period, rest, own.grad + start, own.plane + start, dy);
            product<N, T>({dy, c}, weights.values.get() + weights.transposed[r], c, weights.columns, padded.columns,
                          {dd + padded.row(i), c});
        }
    }

    // Writes the gradient of the padded input, phase by phase, or adds to it.
    void input_gradient(Index r, const T* dd, T* dx, bool add) const {
        const T* kernel = weights.kernel(r);
        for (Index phase = 0; phase < padded.phases; ++phase) {
            const auto& taps = weights.taps[r].phases[phase];
            if (taps.count == 0 && add) continue;
            std::vector<T> own(taps.count * period);
            for (int t = 0; t < taps.count; ++t)
                std::copy_n(kernel + taps.taps[t] * period, period, own.data() + t * period);
            for (Index i = 0; i < padded.rows; ++i)
                depthwise_row<N, 1>(dd + padded.row(i), taps.offsets, taps.count, own.data(), 0, period, periods,
                                    dx + (phase * padded.rows + i) * line, 0, add);
        }
    }

    // Adds the gradient of an image, masked by its ReLU, to out; or writes it.
    void add_masked(const T* x, const T* dx, T* out, bool add_to) const {
        const auto add = [add_to](auto n, const T* from, const T* grad, T* to) {
            const Vector<T, n> zero = {};
            const auto own = load<n>(from) > zero ? load<n>(grad) : zero;
            store<n>(to, add_to ? load<n>(to) + own : own);
        };
        for (Index i = 0; i < s.height; ++i) {
            const Index start = i * s.width * c;
            if (s.stride == 1) {
                const T* grad = dx + i * line;
                for_flat<N>(s.width * c, period,
                            [&](auto n, Index j, Index) { add(n, x + start + j, grad + j, out + start + j); });
                continue;
            }
            for (Index w = 0; w < s.width; ++w) {
                const T* grad = dx + (((i % 2) * 2 + w % 2) * padded.rows + i / 2) * line + (w / 2) * c;
                const Index at = start + w * c;
                for_channels<N>(c, [&](auto n, Index k) { add(n, x + at + k, grad + k, out + at + k); });
            }
        }
    }

    // Writes the gradient g behind a source plane's BatchNorm, and its sums of g and of g (y - mean), (2, c).
    void half_gradient(Index r, Index b, const T* dx, T* values, T* sums) const {
        const ConvRow<T>& row = rows[r];
        const SourceNorm<T> norm(row, c, period, values);
        const T* y = row.source + b * image_size;
        T* g = row.back + b * image_size;
        for (Index i = 0; i < s.height; ++i) {
            const Index start = i * wide;
            const T* grad = dx + i * line;
            for_flat<N>(wide, period, [&](auto n, Index j, Index k) {
                const Vector<T, n> zero = {};
                store<n>(g + start + j, norm(n, y + start + j, k) > zero ? load<n>(grad + j) : zero);
            });
        }
        channel_sums<N>(image_size, period, c, sums, [&](auto n, Index j, Index) { return load<n>(g + j); });
        channel_sums<N>(image_size, period, c, sums + c, [&](auto n, Index j, Index k) {
            return load<n>(g + j) * (load<n>(y + j) - load<n>(norm.mean + k));
        });
    }

    // Writes the coefficients a, b and s of a source plane's gradient, and the gradients of its BatchNorm's scale and
    // shift, from the sums of its images, (b, 2, c).
    void half_coefficients(Index r, const T* sums, bool training) const {
        const ConvRow<T>& row = rows[r];
        const double pixels = double(s.images) * double(s.height * s.width);
        for (Index k = 0; k < c; ++k) {
            double g = 0, gz = 0;
            for (Index b = 0; b < s.images; ++b) g += sums[2 * b * c + k], gz += sums[(2 * b + 1) * c + k];
            const double rstd = row.source_rstd[k];
            gz *= rstd;
            const double a = rstd * (row.source_scale == nullptr ? 1.0 : double(row.source_scale[k]));
            const double slope = training ? -a * rstd * gz / pixels : 0;
            row.back_a[k] = T(a), row.back_b[k] = T(slope);
            row.back_s[k] = T(training ? -a * g / pixels - slope * double(row.source_mean[k]) : 0);
            if (row.scale_grad != nullptr) row.scale_grad[k] = T(gz), row.shift_grad[k] = T(g);
        }
    }

    // Sums the parts of a row's weight gradients, in order, into the layout of the weights.
    void keep_weights(Index r, const T* parts, Index count, Index between) const {
        const ConvRow<T>& row = rows[r];
        const Index taps = row.side * row.side;
        std::vector<T> sum(parts, parts + weight_values(r));
        for (Index part = 1; part < count; ++part)
            for (Index i = 0; i < Index(sum.size()); ++i) sum[i] += parts[part * between + i];
        std::fill(row.depthwise_grad, row.depthwise_grad + taps * c, T(0));
        for (Index t = 0; t < taps; ++t)
            for (Index first = 0; first < period; first += c)
                for (Index k = 0; k < c; ++k) row.depthwise_grad[k * taps + t] += sum[t * period + first + k];
        const T* from = sum.data() + taps * period;
        for (Index k = 0; k < c; ++k)
            for (Index v = 0; v < weights.columns.vectors; ++v)
                for (int n = 0; n < N; ++n) row.pointwise_grad[(weights.columns.at(v) + n) * c + k] = *from++;
    }
};

// Adds the gradient of the state x to out, or writes it there; or writes those behind the rows' source planes. Writes
// the weights' gradients.
template <int N, class T>
void convs_backward(const Shape& s, const T* x, T* out, const std::vector<ConvRow<T>>& rows, bool add_to,
                    bool training, int threads) {
    const Backward<N, T> run(s, rows, threads);
    const Padded& padded = run.padded;
    const Index count = run.count, period = run.period, gradients = padded.phases * padded.rows * run.line;
    const bool weighted = count > 0 && rows[0].depthwise_grad != nullptr;
    const bool halves = count > 0 && rows[0].source != nullptr;
    std::vector<T> half_sums(halves ? count * s.images * 2 * run.c : 0);  // (r, b, 2, c)
    const Index parts = std::min(s.images, PARTS), bordered = padded.size + 2 * period;
    std::vector<Index> at(count + 1, 0);
    for (Index r = 0; r < count; ++r) at[r + 1] = at[r] + Scratch<T>::aligned(run.weight_values(r));
    const Index between = at[count];
    const std::unique_ptr<T[]> sums(weighted ? new T[parts * between] : nullptr);  // (part, r, weight values)
#pragma omp parallel num_threads(threads)
    {
        const Index rows_of = run.block * run.line;
        using Memory = Scratch<T>;
        Memory scratch(Memory::aligned(run.buffer) + SHARED * Memory::aligned(bordered) + Memory::aligned(gradients) +
                       2 * SHARED * Memory::aligned(rows_of) + 3 * period + 64);
        T *image = scratch.take(run.buffer), *dd[SHARED], *dx = scratch.take(gradients), *d[SHARED], *dy[SHARED];
        for (int m = 0; m < SHARED; ++m) dd[m] = scratch.take(bordered);
        T* d_rows = scratch.take(SHARED * Memory::aligned(rows_of));
        const Index d_size = Memory::aligned(rows_of);
        for (int m = 0; m < SHARED; ++m) d[m] = d_rows + m * d_size, dy[m] = scratch.take(rows_of);
        T* values = scratch.take(3 * period);
        std::fill(image, image + run.buffer, T(0));
        for (int m = 0; m < SHARED; ++m) std::fill(dd[m], dd[m] + bordered, T(0));
#pragma omp for schedule(static)
        for (Index part = 0; part < parts; ++part) {
            T* own = weighted ? sums.get() + part * between : nullptr;
            if (weighted) std::fill(own, own + between, T(0));
            const Index last_image = (part + 1) * s.images / parts;
            for (Index b = part * s.images / parts; b < last_image; ++b) {
                for (Index r = 0, e; r < count; r += e) {
                    e = group(rows, r);
                    const T* from = (halves ? rows[r].source : x) + b * run.image_size;
                    if (r == 0 || halves) load_source<N>(s, padded, period, rows[r], from, values, image);
                    const Taps& taps = run.weights.taps[r];
                    for (Index i = 0; i < padded.rows; i += run.block) {
                        const Index last = std::min(i + run.block, padded.rows);
                        for (Index m = 0; m < e; ++m)
                            run.plane_gradient(r + m, b, i, last, dy[m], dd[m]);
                        if (!weighted) continue;
                        for (Index k = i; k < last; ++k)
                            depthwise_rows<N>(e, image + padded.row(k), taps, run.weights, r, run.periods,
                                              d_rows + (k - i) * run.line, d_size);
                        for (Index m = 0; m < e; ++m) {
                            T* to = own + at[r + m];
                            const bool dense = run.line == run.wide;  // rows without a gap are one
                            const Index pixels = padded.columns * (dense ? last - i : 1);
                            for (Index k = i; k < (dense ? i + 1 : last); ++k)
                                product_weight<N, T>({d[m] + (k - i) * run.line, run.c},
                                                     {dy[m] + (k - i) * run.line, run.c}, pixels, run.c,
                                                     run.weights.columns, to + taps.count * period);
                            for (Index k = i; k < last; ++k)
                                depthwise_weight_row<N>(image + padded.row(k), taps.offsets, taps.count,
                                                        dd[m] + padded.row(k), period, run.wide, to);
                        }
                    }
                    for (Index m = 0; m < e; ++m) run.input_gradient(r + m, dd[m], dx, !halves && r + m > 0);
                    if (halves)
                        run.half_gradient(r, b, dx, values, half_sums.data() + (r * s.images + b) * 2 * run.c);
                }
                if (count > 0 && !halves)
                    run.add_masked(x + b * run.image_size, dx, out + b * run.image_size, add_to);
            }
        }
        if (weighted) {
#pragma omp for schedule(static)
            for (Index r = 0; r < count; ++r) run.keep_weights(r, sums.get() + at[r], parts, between);
        }
    }
    for (Index r = 0; halves && r < count; ++r)
        run.half_coefficients(r, half_sums.data() + r * s.images * 2 * run.c, training);
}
