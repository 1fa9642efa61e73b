// Tiles of images in shared memory: what is read of a state or a plane, copied or loaded, and formed.

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Bytes from one pixel to the next: 16 more than its channels need, so that 8 pixels in a row lie in different banks.
template <int CHANNELS> constexpr int PITCH = CHANNELS * 2 + 16;

// Begin to copy 16 bytes to shared memory, or write zeros, which reads nothing.
__device__ __forceinline__ void copy_sixteen(u32 to, const char* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

// Wait for the copies that this thread began.
__device__ __forceinline__ void copies_arrive() { asm volatile("cp.async.wait_all;" ::: "memory"); }

__device__ __forceinline__ void load_eight(float (&to)[8], const float* from) {
  float4 a = __ldg((const float4*)from), b = __ldg((const float4*)from + 1);
  to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w, to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

// Readers of 8 consecutive channels: of a state after its ReLU, of a plane after BatchNorm and ReLU, or of a plane's
// gradient. `begin` sets the first image and channel; `at` counts values from there. `prepare` loads what `formed`
// needs.
struct Rectified {
  const char* x;
  __device__ __forceinline__ void begin(long first, int) { x += first * 2; }
  __device__ __forceinline__ void prepare() {}
  __device__ __forceinline__ const char* source(int at) const { return x + (long)at * 2; }
  __device__ __forceinline__ uint4 formed(uint4 v) const {
    return make_uint4(rectified(v.x), rectified(v.y), rectified(v.z), rectified(v.w));
  }
};

struct Normalized {
  const char* y;
  const float *mean, *rstd;
  float m[8], r[8];
  __device__ __forceinline__ void begin(long first, int channel) {
    y += first * 2, mean += channel, rstd += channel;
  }
  __device__ __forceinline__ void prepare() { load_eight(m, mean), load_eight(r, rstd); }
  __device__ __forceinline__ const char* source(int at) const { return y + (long)at * 2; }
  __device__ __forceinline__ u32 two(u32 v, int i) const {
    return pack(fmaxf((low(v) - m[i]) * r[i], 0.f), fmaxf((high(v) - m[i + 1]) * r[i + 1], 0.f));
  }
  __device__ __forceinline__ uint4 formed(uint4 v) const {
    return make_uint4(two(v.x, 0), two(v.y, 2), two(v.z, 4), two(v.w, 6));
  }
};

struct Gradient {
  const char *g, *y;
  const float *slope_g, *slope_y, *constant;
  float a[8], b[8], s[8];
  __device__ __forceinline__ void begin(long first, int channel) {
    g += first * 2, y += first * 2;
    slope_g += channel, slope_y += channel, constant += channel;
  }
  __device__ __forceinline__ void prepare() { load_eight(a, slope_g), load_eight(b, slope_y), load_eight(s, constant); }
  __device__ __forceinline__ uint4 load_g(int at) const { return __ldg((const uint4*)(g + (long)at * 2)); }
  __device__ __forceinline__ uint4 load_y(int at) const { return __ldg((const uint4*)(y + (long)at * 2)); }
  __device__ __forceinline__ u32 two(u32 u, u32 v, int i) const {
    return pack(low(u) * a[i] + low(v) * b[i] + s[i], high(u) * a[i + 1] + high(v) * b[i + 1] + s[i + 1]);
  }
  __device__ __forceinline__ uint4 formed(uint4 u, uint4 v) const {
    return make_uint4(two(u.x, v.x, 0), two(u.y, v.y, 2), two(u.z, v.z, 4), two(u.w, v.w, 6));
  }
};

// What the convolutions of a launch read: the state, or, SECOND, a row's normalized source.
#if SECOND
using Input = Normalized;
#else
using Input = Rectified;
#endif

__device__ __forceinline__ Input input_of(
    const int* row, long pixels, const char* x, const char* planes, const float* mean, const float* rstd) {
#if SECOND
  int source = row[SOURCE];
  return {planes + source * pixels * C * 2, mean + source * C, rstd + source * C};
#else
  return {x};
#endif
}

// The gradient of a row's plane, from the one behind its BatchNorm and BatchNorm's coefficients.
__device__ __forceinline__ Gradient gradient_of(
    const int* row, long pixels, const char* grads, const char* planes, const float* a, const float* b,
    const float* c) {
  int target = row[TARGET];
  return {grads + row[BEHIND] * pixels * C * 2, planes + target * pixels * C * 2, a + target * C, b + target * C,
          c + target * C};
}

// What a tile reads of images with `h` rows: `images` images from the row `top` on; `first` is the number of the first
// value that is read.
struct Window {
  long first;
  int top, h, images, line; // `line`: values of a row
};

__device__ __forceinline__ Window window_of(const Shape& s, const Tile& t, int h, int lw, int top) {
  return {(((long)t.image * h + top) << lw) * C, top, h, s.batch - t.image, C << lw};
}

// The pieces of 8 channels that a thread keeps of a tile, of CHANNELS channels of 2^lw columns: SLOTS at a time, in
// ROUNDS rounds. Of each image `stored` rows are kept, with `border` columns on both sides, which are left as they are.
template <int CHANNELS, int THREADS> struct Pieces {
  static constexpr int CHUNKS = CHANNELS / 8;
  int from[SLOTS];  // the number of its first value, from that of the window on
  int place[SLOTS]; // image, row, and where it is kept, 16 bytes each; -1 where there is none

  __device__ __forceinline__ Pieces(const Shape& s, int h, int lw, int stored, int border, int round) {
    int columns = (1 << lw) + 2 * border, all = s.images * stored << lw, chunk = threadIdx.x % CHUNKS;
    int inverse = s.images > 1 ? (1 << 20) / stored + 1 : 0; // by which `line` is divided
#pragma unroll
    for (int i = 0; i < SLOTS; i++) {
      int at = threadIdx.x / CHUNKS + (round * SLOTS + i) * (THREADS / CHUNKS);
      int column = at & ((1 << lw) - 1), line = at >> lw, image = line * inverse >> 20, row = line - image * stored;
      from[i] = (((image * h + row) << lw) + column) * C + chunk * 8;
      int to = (line * columns + column + border) * (PITCH<CHANNELS> / 16) + chunk;
      place[i] = at < all ? image << 24 | row << 14 | to : -1;
    }
  }

  __device__ __forceinline__ bool inside(int i, const Window& w) const {
    return place[i] >= 0 && (u32)(w.top + (place[i] >> 14 & 1023)) < (u32)w.h && place[i] >> 24 < w.images;
  }
  __device__ __forceinline__ int to(int i) const { return (place[i] & 16383) * 16; }
};

// Begin to copy pieces; `reader` stands at the window.
template <typename Reader, typename Pieces>
__device__ __forceinline__ void copy(char* shared, const Reader& reader, const Pieces& p, const Window& w) {
  u32 to = shared_address(shared);
#pragma unroll
  for (int i = 0; i < SLOTS; i++)
    if (p.place[i] >= 0) copy_sixteen(to + p.to(i), reader.source(p.from[i]), p.inside(i, w));
}

// Form the pieces that this thread has copied, in place.
template <typename Reader, typename Pieces>
__device__ __forceinline__ void form(char* shared, const Reader& reader, const Pieces& p, const Window& w) {
#pragma unroll
  for (int i = 0; i < SLOTS; i++) {
    uint4* kept = (uint4*)(shared + p.to(i));
    if (p.inside(i, w)) *kept = reader.formed(*kept);
  }
}

// Keep pieces of a gradient, which is formed of two planes: AT_ONCE loads of each are under way, where there is nothing
// to load, that of a pixel that exists.
template <typename Pieces>
__device__ __forceinline__ void keep(char* shared, const Gradient& reader, const Pieces& p, const Window& w) {
  constexpr int AT_ONCE = C < 64 ? 3 : 2;
  int exists = w.top < 0 ? -w.top * w.line : 0;
#pragma unroll
  for (int begin = 0; begin < SLOTS; begin += AT_ONCE) {
    uint4 g[AT_ONCE], y[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE && begin + i < SLOTS; i++) {
      int from = p.inside(begin + i, w) ? p.from[begin + i] : exists;
      g[i] = reader.load_g(from), y[i] = reader.load_y(from);
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE && begin + i < SLOTS; i++) {
      uint4 v = reader.formed(g[i], y[i]);
      if (!p.inside(begin + i, w)) v = make_uint4(0, 0, 0, 0);
      if (p.place[begin + i] >= 0) *(uint4*)(shared + p.to(begin + i)) = v;
    }
  }
}

// Keep the gradient of a tile's own pixels, which follow one another: 16 channels of PIXELS pixels, from `first` on.
template <int PIXELS, int THREADS>
__device__ __forceinline__ void keep_own(char* shared, Gradient reader, long first, long pixels, int channel) {
  constexpr int COUNT = (2 * PIXELS + THREADS - 1) / THREADS;
  int chunk = threadIdx.x & 1;
  reader.begin(first * C + channel, channel + chunk * 8);
  reader.prepare();
  int left = 2 * min((long)PIXELS, pixels - first); // pieces of 8 channels that exist
  uint4 g[COUNT], y[COUNT];
#pragma unroll
  for (int i = 0; i < COUNT; i++) {
    int piece = threadIdx.x + i * THREADS, from = (piece < left ? piece >> 1 : 0) * C + chunk * 8;
    g[i] = reader.load_g(from), y[i] = reader.load_y(from);
  }
#pragma unroll
  for (int i = 0; i < COUNT; i++) {
    int piece = threadIdx.x + i * THREADS;
    uint4 v = reader.formed(g[i], y[i]);
    if (piece >= left) v = make_uint4(0, 0, 0, 0);
    if (piece < 2 * PIXELS) *(uint4*)(shared + (piece >> 1) * PITCH<16> + chunk * 16) = v;
  }
}

template <int THREADS> __device__ __forceinline__ void clear(char* shared, int bytes) {
  for (int at = threadIdx.x * 16; at < bytes; at += THREADS * 16) *(uint4*)(shared + at) = make_uint4(0, 0, 0, 0);
}
