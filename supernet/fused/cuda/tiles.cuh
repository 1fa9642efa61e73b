// Tiles of images in shared memory: what is read of a state or a plane, copied or loaded, and formed.
//
// A block works on a tile of consecutive output pixels: some rows of one image, or several whole images. What these
// pixels read stands in shared memory, already rectified or normalized and with a border of zeros, so that a tap of a
// kernel is nothing but another address.

// Bytes from one pixel to the next: 16 more than its channels need, so that 8 pixels in a row lie in different banks.
template <int CHANNELS> constexpr int PITCH = CHANNELS * 2 + 16;

template <int CHANNELS>
constexpr int TILE_BYTES = Shape::images * Shape::stored * Shape::columns * PITCH<CHANNELS>;

// Where output `number` of a tile begins to read, from the first output on, with STEP pixels from one output to the
// next. All sizes being powers of two, each bit of the number adds its own distance: for a multiple of 16 and a number
// below 16 the two add up.
template <int CHANNELS, int STEP> __device__ constexpr int place_of_output(int number) {
  int image = number >> Shape::lt, rest = number & ((1 << Shape::lt) - 1);
  int row = image * Shape::stored + (rest >> Shape::lwo) * STEP, column = (rest & (Shape::wo - 1)) * STEP;
  return (row * Shape::columns + column) * PITCH<CHANNELS>;
}

// Load 8 values, the first of which has number `at`, or return zeros.
__device__ __forceinline__ uint4 load_if(bool wanted, const char* from, int at) {
  uint4 v = make_uint4(0, 0, 0, 0);
  asm("{ .reg .pred p; setp.ne.u32 p, %4, 0; @p ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%5]; }"
      : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w) : "r"((u32)wanted), "l"(from + (long)at * 2));
  return v;
}

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
    return pack(rectified((low(v) - m[i]) * r[i]), rectified((high(v) - m[i + 1]) * r[i + 1]));
  }
  __device__ __forceinline__ uint4 formed(uint4 v) const {
    return make_uint4(two(v.x, 0), two(v.y, 2), two(v.z, 4), two(v.w, 6));
  }
};

struct Gradient {
  const char *g, *y;
  char* dy; // where what is formed is stored, or null
  const float *slope_g, *slope_y, *constant;
  float a[8], b[8], s[8];
  __device__ __forceinline__ void begin(long first, int channel) {
    g += first * 2, y += first * 2;
    if (dy) dy += first * 2;
    slope_g += channel, slope_y += channel, constant += channel;
  }
  __device__ __forceinline__ void prepare() { load_eight(a, slope_g), load_eight(b, slope_y), load_eight(s, constant); }
  __device__ __forceinline__ void store(int at, uint4 v) const { *(uint4*)(dy + (long)at * 2) = v; }
  __device__ __forceinline__ u32 two(u32 u, u32 v, int i) const {
    return pack(fmaf(low(u), a[i], fmaf(low(v), b[i], s[i])),
                fmaf(high(u), a[i + 1], fmaf(high(v), b[i + 1], s[i + 1])));
  }
  __device__ __forceinline__ uint4 formed(uint4 u, uint4 v) const {
    return make_uint4(two(u.x, v.x, 0), two(u.y, v.y, 2), two(u.z, v.z, 4), two(u.w, v.w, 6));
  }
};

constexpr int BLOCKS = C / 16; // of 16 channels

// Which of the states of a launch a first half reads.
__device__ __forceinline__ bool is_of_second_state(const int* row) { return row[SOURCE] != -1; }

// What the convolutions of a launch read: one of its states, or, SECOND, a row's normalized source.
#if SECOND
using Input = Normalized;
#else
using Input = Rectified;
#endif

__device__ __forceinline__ Input input_of(
    const int* row, long pixels, const char* x0, const char* x1, const char* planes, const float* mean,
    const float* rstd) {
#if SECOND
  int source = row[SOURCE];
  return {planes + source * pixels * C * 2, mean + source * C, rstd + source * C};
#else
  return {is_of_second_state(row) ? x1 : x0};
#endif
}

// The gradient of a row's plane, from the one behind its BatchNorm and BatchNorm's coefficients; where `dy` is not
// null, it is stored there as that of row `number`.
__device__ __forceinline__ Gradient gradient_of(
    const int* table, long number, long pixels, const char* grads, const char* planes, char* dy, const float* a,
    const float* b, const float* c) {
  const int* row = table + number * COLUMNS;
  int target = row[TARGET];
  return {grads + row[BEHIND] * pixels * C * 2, planes + target * pixels * C * 2,
          dy ? dy + number * pixels * C * 2 : dy, a + target * C, b + target * C, c + target * C};
}

// What a tile reads of images with `h` rows: up to `images` images, from the row `top` on; `first` is the number of the
// first value that is read.
struct Window {
  long first;
  int top, h, images;
};

__device__ __forceinline__ Window window_of(const Shape& s, const Tile& t, int h, int lw, int top) {
  return {(((long)t.image * h + top) << lw) * C, top, h, s.batch - t.image};
}

// Where a tile has all rows of its images, the border's rows are never written: LINES rows are, from ABOVE on.
constexpr bool ALL_ROWS = Shape::rows == Shape::ho;
constexpr int ABOVE = ALL_ROWS ? Shape::reach : 0, LINES = Shape::stored - 2 * ABOVE;

// The pieces of 8 channels that a thread keeps of a tile, of CHANNELS channels: SLOTS at a time, in ROUNDS rounds. Of
// each image `stored` rows are kept, with `reach` columns on both sides, which are left as they are. THREADS is a power
// of two as all sizes are: in one round a piece is at a distance from the thread's first one that is known.
template <int CHANNELS, int THREADS> struct Pieces {
  static constexpr int WIDTH = Shape::columns - 2 * Shape::reach, LOG = log_of(WIDTH);
  static constexpr int CHUNKS = CHANNELS / 8, STEP = THREADS / CHUNKS, ALL = Shape::images * LINES * WIDTH * CHUNKS;
  int pixel;  // of the first piece, among all that are kept
  int chunk;  // 8 channels of it
  int kept;   // where it is kept, in bytes
  u32 exist;  // a bit for each piece: whether there is one,
  u32 inside; // whether there is something to read,
  u32 own;    // and whether it is of the tile's own rows, not of those around it

  __device__ static constexpr int image_of(int pixel) { return Shape::images > 1 ? (pixel >> LOG) / LINES : 0; }
  __device__ static constexpr int row_of(int pixel) { return (pixel >> LOG) - image_of(pixel) * LINES; }
  __device__ static constexpr int place_of(int pixel) {
    int row = image_of(pixel) * Shape::stored + row_of(pixel);
    return (row * Shape::columns + (pixel & (WIDTH - 1))) * PITCH<CHANNELS>;
  }

  // Whether it is known that a piece is of the tile's own rows, whichever thread has it.
  __device__ static constexpr bool is_own(int i) {
    int first = ABOVE + row_of(i * STEP), last = first + row_of(STEP - 1);
    return ALL_ROWS || ROUNDS == 1 && WHOLE && first >= Shape::reach && last < Shape::reach + Shape::rows;
  }

  // The number of a piece's first value, from that of the window on.
  __device__ __forceinline__ int from(int i) const { return ((ABOVE << LOG) + pixel + i * STEP) * C + chunk * 8; }

  // Where it is kept, in bytes.
  __device__ __forceinline__ int to(int i) const {
    return kept + (ROUNDS == 1 ? place_of(i * STEP) : place_of(pixel + i * STEP) - place_of(pixel));
  }

  __device__ __forceinline__ Pieces(const Shape& s, int round, const Window& w) : exist(0), inside(0), own(0) {
    pixel = threadIdx.x / CHUNKS + round * SLOTS * STEP, chunk = threadIdx.x % CHUNKS;
    kept = place_of(pixel) + (ABOVE * s.columns + s.reach) * PITCH<CHANNELS> + chunk * 16;
#pragma unroll
    for (int i = 0; i < SLOTS; i++) {
      int image = ROUNDS == 1 ? image_of(pixel) + image_of(i * STEP) : image_of(pixel + i * STEP);
      int row = ABOVE + (ROUNDS == 1 ? row_of(pixel) + row_of(i * STEP) : row_of(pixel + i * STEP));
      bool exists = SLOTS * ROUNDS * THREADS == ALL || pixel + i * STEP < ALL / CHUNKS;
      bool is_inside = exists && (is_own(i) || (u32)(w.top + row) < (u32)w.h) && (WHOLE || image < w.images);
      exist |= (u32)exists << i;
      inside |= (u32)is_inside << i;
      own |= (u32)(is_inside && (is_own(i) || (u32)(row - s.reach) < (u32)s.rows)) << i;
    }
    keep_in_register(kept);
  }
};

// Begin to copy pieces; `reader` stands at the window. Zeros are written where there is nothing to read.
template <typename Reader, typename Pieces>
__device__ __forceinline__ void copy(char* shared, const Reader& reader, const Pieces& p) {
  u32 to = shared_address(shared);
#pragma unroll
  for (int i = 0; i < SLOTS; i++)
    if (p.exist >> i & 1) {
      bool inside = p.inside >> i & 1;
      copy_sixteen(to + p.to(i), reader.source(p.from(i)), inside);
    }
}

// Form the pieces that this thread has copied, in place.
template <typename Reader, typename Pieces>
__device__ __forceinline__ void form(char* shared, const Reader& reader, const Pieces& p) {
#pragma unroll
  for (int i = 0; i < SLOTS; i++) {
    uint4* kept = (uint4*)(shared + p.to(i));
    if (p.inside >> i & 1) *kept = reader.formed(*kept);
  }
}

#if WEIGHTS
constexpr bool OTHERS_BEFORE = true; // a block computes several tiles
#else
constexpr bool OTHERS_BEFORE = false;
#endif

// Keep pieces of a gradient, which is formed of two planes: AT_ONCE loads of each are under way. Where there is nothing
// to read, zeros stay, or, OTHERS_BEFORE, replace what another tile left. The tile's own are also stored, if the reader
// says where.
template <typename Pieces> __device__ __forceinline__ void keep(char* shared, const Gradient& reader, const Pieces& p) {
  constexpr int AT_ONCE = 2;
  u32 stored = reader.dy ? p.own : 0;
#pragma unroll
  for (int begin = 0; begin < SLOTS; begin += AT_ONCE) {
    uint4 g[AT_ONCE], y[AT_ONCE];
#pragma unroll
    for (int i = begin; i < begin + AT_ONCE && i < SLOTS; i++) {
      bool inside = p.inside >> i & 1;
      g[i - begin] = load_if(inside, reader.g, p.from(i)), y[i - begin] = load_if(inside, reader.y, p.from(i));
    }
#pragma unroll
    for (int i = begin; i < begin + AT_ONCE && i < SLOTS; i++) {
      uint4 v = reader.formed(g[i - begin], y[i - begin]);
      if (OTHERS_BEFORE && !(p.inside >> i & 1)) v = make_uint4(0, 0, 0, 0);
      if ((OTHERS_BEFORE ? p.exist : p.inside) >> i & 1) *(uint4*)(shared + p.to(i)) = v;
      if (stored >> i & 1) reader.store(p.from(i), v);
    }
  }
}

// Begin to copy a tile's own pixels, which follow one another: 16 channels of PIXELS pixels, of which `left` exist.
template <int PIXELS, int THREADS>
__device__ __forceinline__ void copy_own(char* shared, const char* from, long left) {
  int first = threadIdx.x >> 1, chunk = (threadIdx.x & 1) * 16;
  u32 to = shared_address(shared) + first * PITCH<16> + chunk;
  from += first * C * 2 + chunk;
#pragma unroll
  for (int pixel = 0; pixel < PIXELS; pixel += THREADS / 2)
    copy_sixteen(to + pixel * PITCH<16>, from + pixel * C * 2, WHOLE || first + pixel < left);
}

// Write zeros to a tile.
template <int CHANNELS, int THREADS> __device__ __forceinline__ void clear(char* shared) {
#pragma unroll
  for (int at = 0; at < TILE_BYTES<CHANNELS>; at += THREADS * 16)
    if (at + threadIdx.x * 16 < TILE_BYTES<CHANNELS>)
      *(uint4*)(shared + at + threadIdx.x * 16) = make_uint4(0, 0, 0, 0);
}
