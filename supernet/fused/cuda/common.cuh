// Common parts of the CUDA kernels: types, products on the tensor cores, and tiles of images in shared memory.
//
// A block works on a tile of consecutive output pixels: some rows of one image, or several whole images. What these
// pixels read stands in shared memory, already rectified or normalized and with a border of zeros, so that a tap of a
// kernel is nothing but another address.

typedef unsigned int u32;
typedef unsigned long long u64;

enum { KIND, SLOT, SOURCE, TARGET, GATE, BEHIND, COLUMNS };         // of a table of rows
enum { FIRST, ROWS, SIDE, DILATION, INVERSE, GROUP_COLUMNS };       // of a table of groups

// Sizes of a launch. The widths `w` and `wo` of inputs and outputs are powers of two, `lw` and `lwo` their logarithms.
// A tile is 2^lt outputs of each of `images` images: `rows` rows of it. What they read are `stored` rows of `columns`
// pixels, with a border of `reach` pixels.
struct Shape {
  int batch, h, w, lw, ho, wo, lwo, rows, lt, images, stored, columns, reach;
};

struct Tile {
  int image, row; // first image and first output row
};

__device__ __forceinline__ Tile tile_of(const Shape& s, int number) {
  if (s.images > 1) return {number * s.images, 0};
  int each = s.ho / s.rows;
  return {number / each, number % each * s.rows};
}

// ---- numbers ----

#if FLOAT16
#define STORAGE "f16"
__device__ __forceinline__ float low(u32 v) {
  float f;
  asm("{ .reg .b16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, a; }" : "=f"(f) : "r"(v));
  return f;
}
__device__ __forceinline__ float high(u32 v) {
  float f;
  asm("{ .reg .b16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, b; }" : "=f"(f) : "r"(v));
  return f;
}
#else
#define STORAGE "bf16"
__device__ __forceinline__ float low(u32 v) { return __uint_as_float(v << 16); }
__device__ __forceinline__ float high(u32 v) { return __uint_as_float(v & 0xffff0000u); }
#endif

__device__ __forceinline__ u32 pack(float a, float b) {
  u32 v;
  asm("cvt.rn." STORAGE "x2.f32 %0, %1, %2;" : "=r"(v) : "f"(b), "f"(a));
  return v;
}

__device__ __forceinline__ u32 rectified(u32 v) {
  u32 r;
  asm("max." STORAGE "x2 %0, %1, %2;" : "=r"(r) : "r"(v), "r"(0u));
  return r;
}

// ---- tensor cores ----

__device__ __forceinline__ void load_matrices(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

__device__ __forceinline__ void load_transposed(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

__device__ __forceinline__ void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." STORAGE "." STORAGE
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- shared memory ----

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Bytes from one pixel to the next: 16 more than its channels need, so that 8 pixels in a row lie in different banks.
template <int CHANNELS> constexpr int PITCH = CHANNELS * 2 + 16;

// Begin to copy 16 bytes to shared memory, or zeros.
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
// gradient. `begin` sets the first image and channel; `at` counts numbers from there. `prepare` loads what `formed` needs.
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

// What a tile reads: CHANNELS channels of images with C channels, `h` rows and 2^lw columns. `top` is the row that is kept
// first, of each image `stored` rows, with `border` columns on both sides, which are left as they are.
template <int CHANNELS, int THREADS> struct Stored {
  static constexpr int CHUNKS = CHANNELS / 8, STEP = THREADS / CHUNKS; // pixels that a block's threads take at a time
  const Shape& s;
  const Tile& t;
  int h, lw, top, stored, columns, border, all, inverse;

  __device__ __forceinline__ Stored(const Shape& s, const Tile& t, int h, int lw, int top, int stored, int border)
      : s(s), t(t), h(h), lw(lw), top(top), stored(stored), columns((1 << lw) + 2 * border), border(border),
        all(s.images * stored << lw), inverse((1 << 20) / stored + 1) {}

  // The reader at the thread's channels of the first image, from channel `first`.
  template <typename Reader> __device__ __forceinline__ void begin(Reader& reader, int first) const {
    int channel = first + threadIdx.x % CHUNKS * 8;
    reader.begin(((long)t.image * h << lw) * C + channel, channel);
  }

  // Where pixel `at` is read, or -1 where zeros are kept.
  __device__ __forceinline__ int from(int at) const {
    int line = at >> lw, image = s.images > 1 ? line * inverse >> 20 : 0, row = top + line - image * stored;
    bool inside = at < all && (u32)row < (u32)h && t.image + image < s.batch;
    return inside ? (((image * h + row) << lw) + (at & ((1 << lw) - 1))) * C : -1;
  }

  // Where it is kept.
  __device__ __forceinline__ int to(int at) const {
    return ((at >> lw) * columns + (at & ((1 << lw) - 1)) + border) * PITCH<CHANNELS> + threadIdx.x % CHUNKS * 16;
  }
};

// Begin to copy what a tile reads; `reader` stands at the thread's channels.
template <int CHANNELS, int THREADS, typename Reader>
__device__ __forceinline__ void copy(char* shared, const Reader& reader, const Stored<CHANNELS, THREADS>& p) {
  u32 to = shared_address(shared);
#pragma unroll 1
  for (int at = threadIdx.x / p.CHUNKS; at < p.all; at += p.STEP) {
    int from = p.from(at);
    copy_sixteen(to + p.to(at), reader.source(max(from, 0)), from >= 0);
  }
}

// Form what this thread has copied, in place.
template <int CHANNELS, int THREADS, typename Reader>
__device__ __forceinline__ void form(char* shared, Reader reader, const Stored<CHANNELS, THREADS>& p) {
  reader.prepare();
  copies_arrive();
#pragma unroll 1
  for (int at = threadIdx.x / p.CHUNKS; at < p.all; at += p.STEP) {
    uint4* kept = (uint4*)(shared + p.to(at));
    if (p.from(at) >= 0) *kept = reader.formed(*kept);
  }
}

// Keep what a tile reads, from channel `first`.
template <int CHANNELS, int THREADS, typename Reader>
__device__ __forceinline__ void keep(char* shared, Reader reader, const Stored<CHANNELS, THREADS>& p, int first) {
  p.begin(reader, first);
  copy(shared, reader, p);
  form(shared, reader, p);
}

// The same of a gradient, which is formed of two planes: AT_ONCE loads of each are under way.
template <int CHANNELS, int THREADS>
__device__ __forceinline__ void keep(char* shared, Gradient reader, const Stored<CHANNELS, THREADS>& p, int first) {
#if HALF && C == 64
  constexpr int AT_ONCE = 2; // for more there are no registers
#else
  constexpr int AT_ONCE = THREADS < 256 ? 4 : 3;
#endif
  p.begin(reader, first);
  reader.prepare();
#pragma unroll 1
  for (int begin = threadIdx.x / p.CHUNKS; begin < p.all; begin += AT_ONCE * p.STEP) {
    uint4 g[AT_ONCE], y[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) {
      int from = max(p.from(begin + i * p.STEP), 0);
      g[i] = reader.load_g(from), y[i] = reader.load_y(from);
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) {
      int at = begin + i * p.STEP;
      uint4 v = reader.formed(g[i], y[i]);
      if (p.from(at) < 0) v = make_uint4(0, 0, 0, 0);
      if (at < p.all) *(uint4*)(shared + p.to(at)) = v;
    }
  }
}

template <int THREADS> __device__ __forceinline__ void clear(char* shared, int bytes) {
  for (int at = threadIdx.x * 16; at < bytes; at += THREADS * 16) *(uint4*)(shared + at) = make_uint4(0, 0, 0, 0);
}

// ---- sums over a block ----

// Add the values of all lanes that hold the same columns: those whose numbers differ in bits 2 to 4.
__device__ __forceinline__ float over_rows(float v) {
  v += __shfl_xor_sync(~0u, v, 4);
  v += __shfl_xor_sync(~0u, v, 8);
  return v + __shfl_xor_sync(~0u, v, 16);
}

// Return whether this block is the last of `all` that call this with a counter, which is 0 before and after. It can read what
// the others wrote before, by `__ldcg`. What it sums so is summed in the order of its own loop, whichever block is last.
__device__ __forceinline__ bool is_last(int* counter, int all) {
  __shared__ int last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1) == all - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  bool found = last;
  if (found) __threadfence();
  return found;
}

// Add up two numbers of each column over the threads whose numbers differ by multiples of WIDTH, the number of columns;
// threads beyond the last multiple are left out. `scratch` holds two numbers for each of the 256 threads.
template <int WIDTH> __device__ __forceinline__ void over_threads(float& first, float& second, float* scratch) {
  scratch[threadIdx.x] = first, scratch[256 + threadIdx.x] = second;
  __syncthreads();
  first = second = 0;
#pragma unroll
  for (int other = 0; other + WIDTH <= 256; other += WIDTH) {
    first += scratch[other + threadIdx.x % WIDTH];
    second += scratch[256 + other + threadIdx.x % WIDTH];
  }
}

// Replace each thread's values of its columns by the sums over the block: 8 warps, 16 columns for each of `BLOCKS`, of
// which a thread has the 4 that begin at 4 (lane % 4). `scratch` holds 9 numbers for each column.
template <int BLOCKS> __device__ __forceinline__ void over_block(float (&v)[BLOCKS][4], float* scratch) {
  constexpr int WIDTH = BLOCKS * 16;
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
#pragma unroll
  for (int n = 0; n < BLOCKS; n++)
#pragma unroll
    for (int c = 0; c < 4; c++) {
      float total = over_rows(v[n][c]);
      if (lane < 4) scratch[warp * WIDTH + n * 16 + lane * 4 + c] = total;
    }
  __syncthreads();
  if (threadIdx.x < WIDTH) {
    float total = 0;
#pragma unroll
    for (int other = 0; other < 8; other++) total += scratch[other * WIDTH + threadIdx.x];
    scratch[8 * WIDTH + threadIdx.x] = total;
  }
  __syncthreads();
#pragma unroll
  for (int n = 0; n < BLOCKS; n++)
#pragma unroll
    for (int c = 0; c < 4; c++) v[n][c] = scratch[8 * WIDTH + n * 16 + (lane & 3) * 4 + c];
}
