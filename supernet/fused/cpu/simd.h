// Vectors of the processor's width, and loops over channels-last rows of any number of channels.
//
// A row of pixels, (w, c) in memory, is read as one flat array. Values that belong to channels are repeated until they
// fill whole vectors: `period` is the least common multiple of the number of channels and of a vector's length, so that
// a vector at flat index j has the channels of index j % period, whatever the number of channels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <type_traits>
#include <vector>

using Index = std::ptrdiff_t;

#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
constexpr int REGISTERS = 32;
#elif defined(__AVX__)
constexpr int REGISTER_BYTES = 32;
constexpr int REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int REGISTER_BYTES = 16;
constexpr int REGISTERS = 32;
#else
constexpr int REGISTER_BYTES = 16;
constexpr int REGISTERS = 16;
#endif

#define UNROLL _Pragma("GCC unroll 32")  // loops of constant length, so that their arrays stand in registers

template <class T, int N>
struct Pack {
    typedef T Vector __attribute__((vector_size(sizeof(T) * N)));
    typedef T Loose __attribute__((vector_size(sizeof(T) * N), aligned(sizeof(T)), may_alias));
};

template <class T, int N>
using Vector = typename Pack<T, N>::Vector;

template <int N>
using Width = std::integral_constant<int, N>;

template <int N, class T>
inline Vector<T, N> load(const T* at) {
    return *reinterpret_cast<const typename Pack<T, N>::Loose*>(at);
}

template <int N, class T>
inline void store(T* at, Vector<T, N> value) {
    *reinterpret_cast<typename Pack<T, N>::Loose*>(at) = value;
}

template <int N, class T>
inline Vector<T, N> relu(Vector<T, N> x) {
    const Vector<T, N> zero = {};
    return x < zero ? zero : x;  // NaN stays
}

// Calls f(width, j, k) for each vector at flat index j with the channels of index k, and for each value left over.
// A period is a number of vectors.
template <int N, class F>
inline void for_flat(Index count, Index period, F f) {
    Index j = 0, k = 0;
    for (; j + period <= count; j += period)
        for (k = 0; k < period; k += N) f(Width<N>{}, j + k, k);
    for (k = 0; j + k + N <= count; k += N) f(Width<N>{}, j + k, k);
    for (; j + k < count; ++k) f(Width<1>{}, j + k, k);
}

// Calls f(width, k) for the channels of one pixel.
template <int N, class F>
inline void for_channels(Index channels, F f) {
    Index k = 0;
    for (; k + N <= channels; k += N) f(Width<N>{}, k);
    for (; k < channels; ++k) f(Width<1>{}, k);
}

// Writes to out, (c,), the sums over all pixels of f(width, j, k). Their order does not depend on the threads. Sums of
// up to BLOCK periods are formed first, so that rounding errors grow with their number and not with that of pixels.
template <int N, class T, class F>
inline void channel_sums(Index count, Index period, Index channels, T* out, F f) {
    constexpr Index BLOCK = 32;
    std::fill(out, out + channels, T(0));
    const Index whole = count / period;
    Index c = 0;  // channel of index k
    for (Index k = 0; k < period; k += N) {
        Vector<T, N> sum = {};
        for (Index g = 0; g < whole;) {
            const Index end = std::min(whole, g + BLOCK);
            Vector<T, N> sums[4] = {};
            for (; g + 4 <= end; g += 4)
                UNROLL
                for (int q = 0; q < 4; ++q) sums[q] += f(Width<N>{}, (g + q) * period + k, k);
            for (; g < end; ++g) sums[0] += f(Width<N>{}, g * period + k, k);
            sum += (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
        for (int n = 0; n < N; ++n) {
            out[c] += sum[n];
            c = c + 1 == channels ? 0 : c + 1;
        }
    }
    for (Index j = whole * period; j < count; ++j) out[j % channels] += f(Width<1>{}, j, j - whole * period)[0];
}

inline Index period_of(Index channels, Index width) { return std::lcm(channels, width); }

// Repeats the values of the channels over a period.
template <class T>
inline void repeat(const T* values, Index channels, Index period, T* out) {
    for (Index k = 0; k < period; k += channels) std::copy_n(values, channels, out + k);
}

// Memory of a thread that is kept from one call to the next, so that its pages are mapped once.
template <class T>
class Scratch {
  public:
    explicit Scratch(Index values) {
        if (values > capacity()) {
            std::free(kept());
            kept() = static_cast<T*>(std::aligned_alloc(64, (values * sizeof(T) + 4095) / 4096 * 4096));
            capacity() = kept() == nullptr ? 0 : values;
            if (kept() == nullptr) std::abort();
        }
        next_ = kept();
    }
    T* take(Index values) {
        T* found = next_;
        next_ += aligned(values);
        return found;
    }
    static Index aligned(Index values) { return (values + 15) / 16 * 16; }

  private:
    T* next_;
    static T*& kept() {
        static thread_local T* memory = nullptr;
        return memory;
    }
    static Index& capacity() {
        static thread_local Index values = 0;
        return values;
    }
};
