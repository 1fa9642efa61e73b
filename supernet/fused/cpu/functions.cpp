// The functions that Python calls, for float32 and float64. Integers and pointers have eight bytes.
#include "convs_backward.h"
#include "pointwise.h"
#include "pools.h"

template <class T>
constexpr int LANES = REGISTER_BYTES / int(sizeof(T));

// Calls f with the longest vector that is not longer than the channels.
template <class T, class F>
void with_width(Index channels, F f) {
    constexpr int full = LANES<T>;
    if (channels >= full)
        f(Width<full>{});
    else if (full > 8 && channels >= 8)
        f(Width<(full > 8 ? 8 : 1)>{});
    else if (full > 4 && channels >= 4)
        f(Width<(full > 4 ? 4 : 1)>{});
    else
        f(Width<1>{});
}

#define FUNCTIONS(T, NAME)                                                                                             \
    extern "C" void convs_forward_##NAME(const Shape* shape, const T* x, const ConvRow<T>* rows, Index count,          \
                                         const Norm* norm, Index threads) {                                            \
        const std::vector<ConvRow<T>> all(rows, rows + count);                                                         \
        with_width<T>(shape->channels, [&](auto n) { convs_forward<n, T>(*shape, x, all, *norm, int(threads)); });     \
    }                                                                                                                  \
    extern "C" void convs_backward_##NAME(const Shape* shape, const T* x, T* out, const ConvRow<T>* rows, Index count, \
                                          Index add, Index training, Index threads) {                                  \
        const std::vector<ConvRow<T>> all(rows, rows + count);                                                         \
        with_width<T>(shape->channels, [&](auto n) {                                                                   \
            convs_backward<n, T>(*shape, x, out, all, add != 0, training != 0, int(threads));                          \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void pointwise_forward_##NAME(const Sizes* sizes, const T* x, const Pointwise<T>* convs, Index count,   \
                                             Index width, const Output<T>* output, const Norm* norm, Index threads) {  \
        const std::vector<Pointwise<T>> all(convs, convs + count);                                                     \
        with_width<T>(width, [&](auto n) {                                                                             \
            pointwise_forward<n, T>(*sizes, x, all, *output, *norm, int(threads));                                     \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void pointwise_backward_##NAME(const Sizes* sizes, const T* x, T* out, const Pointwise<T>* convs,       \
                                              Index count, Index width, const Output<T>* output, Index threads) {      \
        const std::vector<Pointwise<T>> all(convs, convs + count);                                                     \
        with_width<T>(width, [&](auto n) {                                                                             \
            pointwise_backward<n, T>(*sizes, x, out, all, *output, int(threads));                                      \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void pools_forward_##NAME(const Shape* shape, const T* x, T* maxima, T* averages, std::uint8_t* places, \
                                         T* statistics, const Norm* norm, Index threads) {                             \
        with_width<T>(shape->channels, [&](auto n) {                                                                   \
            pools_forward<n, T>(*shape, x, maxima, averages, places, statistics, *norm, int(threads));                 \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void pools_backward_##NAME(const Shape* shape, const PoolTerm<T>* terms, Index count,                   \
                                          const std::uint8_t* places, T* out, Index threads) {                         \
        const std::vector<PoolTerm<T>> all(terms, terms + count);                                                      \
        with_width<T>(shape->channels, [&](auto n) { pools_backward<n, T>(*shape, all, places, out, int(threads)); }); \
    }                                                                                                                  \
    extern "C" void combine_forward_##NAME(T* out, const T* const* terms, const T* scales, const T* shift,             \
                                           Index count, Index pixels, Index channels, Index threads) {                 \
        with_width<T>(channels, [&](auto n) {                                                                          \
            combine_forward<n, T>(out, terms, scales, shift, count, pixels, channels, int(threads));                   \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void combine_sums_##NAME(const T* grad, const T* const* terms, const T* means, T* sums, Index count,    \
                                        Index images, Index pixels, Index channels, Index threads) {                   \
        with_width<T>(channels, [&](auto n) {                                                                          \
            combine_sums<n, T>(grad, terms, means, sums, count, images, pixels, channels, int(threads));               \
        });                                                                                                            \
    }

FUNCTIONS(float, float32)
FUNCTIONS(double, float64)
