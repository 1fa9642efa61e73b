// Gradients of states through what their edges share: 3x3 pools, and skip connections.
//
// A block has 16 channels of a tile of windows. For these, and for those around them that contain some of the tile's
// pixels, it forms what the pixel of a window's maximum gets and what each of its pixels gets of the average, and keeps
// both in shared memory; maxima and averages are formed again from the state. Then each pixel gathers from the windows
// that contain it. A thread has 4 channels, and RUN windows below one another.

enum { NODE, MAXIMUM, AVERAGE, SKIP, SHARED_COLUMNS }; // of a table of edges

constexpr int THREADS = 512;
constexpr int QUADS = 4;                     // of a block's channels
constexpr int OVER = 2 - STRIDE;             // windows above, and on the left, that contain some of a tile's pixels
constexpr int HIGH = Shape::rows + OVER + 1; // windows that are kept of an image: below one another,
constexpr int WIDE = Shape::wo + 1;          // and side by side, with one that does not exist, of zeros
constexpr int KEPT = Shape::images * HIGH * WIDE + OVER;
constexpr int AROUND = OVER + 1;             // rows of windows around a tile
constexpr bool OVERHANG = STRIDE == 1;       // whether the last windows reach over the image's edge
constexpr bool ALL_ROWS = Shape::rows == Shape::ho;

// A comparison of two numbers gives 1 as float16 has it. In bfloat16 the same bits are 1 / 128.
constexpr float RAISED = FLOAT16 ? 1 : 128;

constexpr u32 LOWEST = FLOAT16 ? 0xfc00fc00u : 0xff80ff80u; // twice -inf

// Sums of three pixels are a quarter of theirs in float16, whose range is small.
constexpr float OF_SUM = FLOAT16 ? 4 : 1;
constexpr u32 WEIGHT = FLOAT16 ? 0x34003400u : ONES; // twice 1 / OF_SUM

// Of 4 channels of each window: what the maximum's pixel gets, times RAISED, with its place in the window; what each
// pixel gets of the average.
struct Kept {
  uint4* maxima;
  float4* averages;
};

// Of 4 channels of an edge: where its node's gradient begins, and its gate.
struct Head {
  const char* node;
  float gate;
  int exists;
};

struct Edge {
  float4 factors[2][QUADS]; // of its node's gradient, for both pools
  Head heads[QUADS];
};

struct Edges {
  Edge each[EDGES];
  float4 sums[2][2][QUADS]; // over all edges, for both pools: the factors of what is pooled, and constants
};

__device__ __forceinline__ void four(float (&to)[4], float4 v) { to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w; }

__device__ __forceinline__ void four(float (&to)[4], uint2 v) {
  to[0] = low(v.x), to[1] = high(v.x), to[2] = low(v.y), to[3] = high(v.y);
}

__device__ __forceinline__ uint2 load_four(bool wanted, const char* from) {
  uint2 v = make_uint2(0, 0);
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p ld.global.nc.v2.u32 {%0, %1}, [%3]; }"
      : "+r"(v.x), "+r"(v.y) : "r"((u32)wanted), "l"(from));
  return v;
}

// v w + sum, twice.
__device__ __forceinline__ u32 fused(u32 v, u32 w, u32 sum) {
  u32 r;
  asm("fma.rn." STORAGE "x2 %0, %1, %2, %3;" : "=r"(r) : "r"(v), "r"(w), "r"(sum));
  return r;
}

// 1 / RAISED where two numbers are equal, else 0; twice.
__device__ __forceinline__ u32 equal(u32 v, u32 w) {
  u32 r;
  asm("set.eq.f16x2.f16x2 %0, %1, %2;" : "=r"(r) : "r"(v), "r"(w));
  return r;
}

// Form COUNT windows from `row` of an image on, and keep the first of them at `at`. `x` stands at its middle pixel and
// `where` at its places; `first` is how many bytes of a node's gradient come before its own. OWN: they are the tile's
// own, as all threads have some; what passes through skip connections is added to `skipped`.
template <int COUNT, bool OWN>
__device__ __forceinline__ void form(
    const Edges& edges, const Kept& to, const char* x, const char* where, long first, int row, int column, int at,
    float (&skipped)[COUNT][4]) {
  constexpr int LAST = STRIDE * (COUNT - 1) + 2, PIXEL = C * 2, DOWN = Shape::wo * C;
  bool left = column > 0, right = !OVERHANG || column < Shape::wo - 1;
  bool above = row > 0, below = !OVERHANG || row < Shape::ho - COUNT;
  uint2 given[LAST + 1][3];
  u32 places[COUNT];
  const char* columns[3] = {left ? x - PIXEL : x, x, right ? x + PIXEL : x}; // the middle pixel once more is no larger
#pragma unroll
  for (int i = 0; i <= LAST; i++)
#pragma unroll
    for (int j = 0; j < 3; j++) {
      const char* from = columns[j] + (i - 1) * Shape::w * PIXEL;
      given[i][j] = i == 0 ? load_four(above, from) : i == LAST ? load_four(below, from) : load_four(true, from);
    }
#pragma unroll
  for (int n = 0; n < COUNT; n++) places[n] = __ldg((const u32*)(where + n * DOWN));
  float sum[COUNT][4];
  uint2 largest[COUNT];
  u32 weight_left = left ? WEIGHT : 0, weight_right = right ? WEIGHT : 0;
#pragma unroll
  for (int i = 0; i <= LAST; i++) {
    const uint2(&v)[3] = given[i];
    u32 none = i == 0 && !above || i == LAST && !below ? LOWEST : 0;
    uint2 most = make_uint2(larger(larger(v[0].x, v[1].x), v[2].x), larger(larger(v[0].y, v[1].y), v[2].y));
    most.x |= none, most.y |= none;
    uint2 middle = FLOAT16 ? make_uint2(fused(v[1].x, WEIGHT, 0), fused(v[1].y, WEIGHT, 0)) : v[1];
    float of_row[4];
    four(of_row, make_uint2(fused(v[0].x, weight_left, fused(v[2].x, weight_right, middle.x)),
                            fused(v[0].y, weight_left, fused(v[2].y, weight_right, middle.y))));
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
      int part = i - n * STRIDE;
      if (part < 0 || part > 2) continue;
      largest[n].x = part ? larger(largest[n].x, most.x) : most.x;
      largest[n].y = part ? larger(largest[n].y, most.y) : most.y;
#pragma unroll
      for (int c = 0; c < 4; c++) sum[n][c] = part ? sum[n][c] + of_row[c] : of_row[c];
    }
  }
  float of_column = share_of(left, right), share[COUNT];
#pragma unroll
  for (int n = 0; n < COUNT; n++)
    share[n] = of_column * share_of(row + n > 0, !OVERHANG || row + n < Shape::ho - 1);
  if (OWN) __syncthreads(); // the coefficients are there

  int quad = threadIdx.x % QUADS;
  float maximum[COUNT][4], average[COUNT][4], b[4], s[4];
  four(b, edges.sums[0][0][quad]), four(s, edges.sums[0][1][quad]);
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
    four(maximum[n], largest[n]);
#pragma unroll
    for (int c = 0; c < 4; c++) maximum[n][c] = fmaf(b[c], maximum[n][c], s[c]);
  }
  four(b, edges.sums[1][0][quad]), four(s, edges.sums[1][1][quad]);
#pragma unroll
  for (int n = 0; n < COUNT; n++)
#pragma unroll
    for (int c = 0; c < 4; c++) average[n][c] = fmaf(b[c], sum[n][c] * share[n], s[c]);
#pragma unroll(EDGES * RUN <= 4 ? EDGES : 2)
  for (int i = 0; i < EDGES; i++) {
    const Edge& edge = edges.each[i];
    Head head = edge.heads[quad];
    float of_maximum[4], of_average[4];
    four(of_maximum, edge.factors[0][quad]), four(of_average, edge.factors[1][quad]);
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
      float g[4];
      four(g, load_four(head.exists, head.node + first + n * 2 * DOWN));
#pragma unroll
      for (int c = 0; c < 4; c++) {
        maximum[n][c] = fmaf(of_maximum[c], g[c], maximum[n][c]);
        average[n][c] = fmaf(of_average[c], g[c], average[n][c]);
        if (OWN && SKIPS) skipped[n][c] = fmaf(head.gate, g[c], skipped[n][c]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
    const float(&m)[4] = maximum[n], (&a)[4] = average[n];
    int kept = (at + n * WIDE) * QUADS + quad;
    u32 lower = __byte_perm(places[n], 0, 0x4140), upper = __byte_perm(places[n], 0, 0x4342);
    to.maxima[kept] = make_uint4(pack(m[0], m[1]), pack(m[2], m[3]), lower, upper);
    to.averages[kept] = make_float4(a[0] * share[n], a[1] * share[n], a[2] * share[n], a[3] * share[n]);
  }
}

// Block x: a tile; y: 16 channels; z: the state, whose EDGES edges stand together. `where` are the places of the maxima
// in their windows. ADD: `before`, which may be `out`, is added, `width` values from pixel to pixel.
extern "C" __global__ void __launch_bounds__(THREADS, 2) pools_and_skips(
    const char* x0, const char* x1, const char* where, const char* grads, const float* a, const float* b,
    const float* c0, const float* gates, const int* table, const char* before0, const char* before1, char* out0,
    char* out1, int batch, int width) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  Tile t = tile_of(s, blockIdx.x);
  bool is_second = blockIdx.z;
  int channel = blockIdx.y * 16, quad = threadIdx.x % QUADS;
  long pixels = (long)s.batch * s.ho * s.wo;
  table += blockIdx.z * EDGES * SHARED_COLUMNS;
  const Kept kept = {(uint4*)shared, (float4*)(shared + KEPT * QUADS * 16)};
  Edges& e = *(Edges*)(kept.averages + KEPT * QUADS);
  auto zero = [&](int at) { kept.maxima[at] = make_uint4(0, 0, 0, 0), kept.averages[at] = make_float4(0, 0, 0, 0); };

  // The coefficients, and windows that do not exist, one beside each line of them.
#pragma unroll 1
  for (int i = threadIdx.x; i < EDGES * 32; i += THREADS) {
    int place = table[i / 32 * SHARED_COLUMNS + (i & 16 ? AVERAGE : MAXIMUM)];
    float factor = place < 0 ? 0 : a[place * C + channel + i % 16];
    ((float*)e.each[i / 32].factors)[i % 32] = i & 16 ? factor : factor * RAISED;
  }
  if (threadIdx.x >= THREADS - 64) {
    bool is_average = threadIdx.x & 32;
    const float* from = (threadIdx.x & 16 ? c0 : b) + channel + threadIdx.x % 16;
    float sum = 0;
#pragma unroll 1
    for (int edge = 0; edge < EDGES; edge++) {
      int place = table[edge * SHARED_COLUMNS + (is_average ? AVERAGE : MAXIMUM)];
      sum += place < 0 ? 0 : from[place * C];
    }
    ((float*)e.sums)[threadIdx.x % 64] = sum * (!is_average ? RAISED : threadIdx.x & 16 ? 1 : OF_SUM);
  } else if (threadIdx.x >= THREADS - 96) {
#pragma unroll 1
    for (int i = threadIdx.x % 32; i < EDGES * QUADS; i += 32) {
      const int* row = table + i / QUADS * SHARED_COLUMNS;
      const char* node = grads + (row[NODE] * pixels * C + channel + quad * 4) * 2;
      e.each[i / QUADS].heads[quad] = {node, row[SKIP] < 0 ? 0 : gates[row[SKIP]], row[NODE] >= 0};
    }
  } else {
#pragma unroll 1
    for (int i = threadIdx.x; i < (s.images * HIGH + OVER) * QUADS; i += THREADS - 96)
      zero((i / QUADS * WIDE + (OVER ? 0 : s.wo)) * QUADS + quad);
#pragma unroll 1
    for (int i = threadIdx.x; ALL_ROWS && i < s.images * AROUND * s.wo * QUADS; i += THREADS - 96) {
      int line = i / QUADS >> s.lwo, row = line % AROUND == OVER ? HIGH - 1 : 0;
      zero(((line / AROUND * HIGH + row) * WIDE + OVER + (i / QUADS & (s.wo - 1))) * QUADS + quad);
    }
  }

  constexpr int STRIPS = Shape::rows / RUN; // of an image
  int column = threadIdx.x / QUADS & (s.wo - 1), strip = threadIdx.x / QUADS >> s.lwo;
  int own = WHOLE ? 0 : strip / STRIPS, line = WHOLE ? strip * RUN : strip % STRIPS * RUN, row = t.row + line;
  bool exists = WHOLE || t.image + own < batch;
  long image = exists ? t.image + own : 0;
  long window = ((image * s.ho + row) << s.lwo) + column; // the first that the thread forms,
  long corner = ((image * s.h + row * STRIDE) << s.lw) + column * STRIDE; // and the first pixel that gathers
  const char* x = (is_second ? x1 : x0) + (channel + quad * 4) * 2;
  where += blockIdx.z * pixels * C + channel + quad * 4;
  int at = (own * HIGH + line) * WIDE + column; // where the first window that contains it is kept
  float skipped[RUN][4] = {};
  form<RUN, true>(e, kept, x + corner * C * 2, where + window * C, window * C * 2, row, column,
                  at + OVER * WIDE + OVER, skipped);
#pragma unroll 1
  for (int i = threadIdx.x; !ALL_ROWS && i < AROUND * s.wo * QUADS; i += THREADS) {
    int column = i / QUADS & (s.wo - 1);
    bool is_below = AROUND == 1 || i / QUADS >> s.lwo;
    int row = is_below ? t.row + s.rows : t.row - 1, at = (is_below ? HIGH - 1 : 0) * WIDE + OVER + column;
    if ((u32)row >= s.ho) {
      zero(at * QUADS + quad);
      continue;
    }
    long window = (((long)t.image * s.ho + row) << s.lwo) + column;
    long corner = (((long)t.image * s.h + row * STRIDE) << s.lw) + column * STRIDE;
    float unused[1][4];
    form<1, false>(e, kept, x + corner * C * 2, where + window * C, window * C * 2, row, column, at, unused);
  }
  __syncthreads();
  keep_in_register(corner);
  char* out = (is_second ? out1 : out0) + (corner * C + channel + quad * 4) * 2;
  uint2 given[STRIDE * RUN][STRIDE];
#if ADD
  const char* before = (is_second ? before1 : before0) + (corner * width + channel + quad * 4) * 2;
#pragma unroll
  for (int p = 0; p < STRIDE * RUN; p++)
#pragma unroll
    for (int q = 0; q < STRIDE; q++) // may be what another block writes, where this one's image does not exist
      given[p][q] = exists ? *(const uint2*)(before + (p * s.w + q) * width * 2) : make_uint2(0, 0);
#endif

  // Each pixel gathers.
  u32 most[STRIDE * RUN][STRIDE][2] = {};
  float total[STRIDE * RUN][STRIDE][4];
#if SKIPS
#pragma unroll
  for (int p = 0; p < RUN; p++)
#pragma unroll
    for (int c = 0; c < 4; c++) total[p][0][c] = skipped[p][c];
#endif
#pragma unroll
  for (int i = 0; i <= RUN + OVER; i++) {
    float across[STRIDE][4];
#pragma unroll
    for (int j = 0; j <= 1 + OVER; j++) {
      int from = (at + i * WIDE + j) * QUADS + quad;
      uint4 v = kept.maxima[from];
      float each[4];
      four(each, kept.averages[from]);
#pragma unroll
      for (int q = 0; q < STRIDE; q++) {
        if (j < q / STRIDE || j > (q + 1) / STRIDE + OVER) continue;
#pragma unroll
        for (int c = 0; c < 4; c++) across[q][c] = j > q / STRIDE ? across[q][c] + each[c] : each[c];
#pragma unroll
        for (int p = 0; p < STRIDE * RUN; p++) {
          if (i < p / STRIDE || i > (p + 1) / STRIDE + OVER) continue;
          u32 place = ((p + 1 + OVER - i * STRIDE) * 3 + q + 1 + OVER - j * STRIDE) * 0x10001u;
          most[p][q][0] = fused(v.x, equal(v.z, place), most[p][q][0]);
          most[p][q][1] = fused(v.y, equal(v.w, place), most[p][q][1]);
        }
      }
    }
#pragma unroll
    for (int p = 0; p < STRIDE * RUN; p++)
      if (i >= p / STRIDE && i <= (p + 1) / STRIDE + OVER)
#pragma unroll
        for (int q = 0; q < STRIDE; q++)
#pragma unroll
          for (int c = 0; c < 4; c++)
            total[p][q][c] = SKIPS || i > p / STRIDE ? total[p][q][c] + across[q][c] : across[q][c];
  }
  if (!exists) return;
#pragma unroll
  for (int p = 0; p < STRIDE * RUN; p++)
#pragma unroll
    for (int q = 0; q < STRIDE; q++) {
      float v[4], first[4] = {};
      four(v, make_uint2(most[p][q][0], most[p][q][1]));
      if (ADD) four(first, given[p][q]);
#pragma unroll
      for (int c = 0; c < 4; c++) {
        v[c] += total[p][q][c];
        if (ADD) v[c] += first[c];
      }
      *(uint2*)(out + (p * s.w + q) * C * 2) = make_uint2(pack(v[0], v[1]), pack(v[2], v[3]));
    }
}
