// Nodes, which are gated sums of normalized planes and of states, and the sums over pixels that their gradients need.
//
// With 1 / std, mean and gate a term is a factor of what is read, and a constant for all pixels. A thread has 8
// channels of a pixel.

enum { FORM, PLACE, STATE, PLANE };       // the first columns of a table of terms; GATE stands where it does in a row's
enum { NORMALIZED, IS_STATE, IS_PLAIN };  // forms

constexpr int THREADS = 256;
constexpr int CHUNKS = C / 8;              // threads of a pixel
constexpr int AT_ONCE = THREADS / CHUNKS;  // pixels of a block at a time

__device__ __forceinline__ const char* start_of(
    const int* term, const char* x0, const char* x1, const char* nodes, const char* planes, long pixels) {
  if (term[FORM] != IS_STATE) return planes + term[PLANE] * pixels * C * 2;
  int state = term[STATE];
  return state >= 0 ? nodes + state * pixels * C * 2 : state == -1 ? x0 : x1;
}

__device__ __forceinline__ uint4 load(const char* from, long at) { return __ldg((const uint4*)(from + at)); }

// to += a y
__device__ __forceinline__ void add(float (&to)[8], const float (&a)[8], uint4 y) {
  to[0] = fmaf(a[0], low(y.x), to[0]), to[1] = fmaf(a[1], high(y.x), to[1]);
  to[2] = fmaf(a[2], low(y.y), to[2]), to[3] = fmaf(a[3], high(y.y), to[3]);
  to[4] = fmaf(a[4], low(y.z), to[4]), to[5] = fmaf(a[5], high(y.z), to[5]);
  to[6] = fmaf(a[6], low(y.w), to[6]), to[7] = fmaf(a[7], high(y.w), to[7]);
}

// Return to each of the first WIDTH threads the sum over those whose numbers differ by multiples of WIDTH.
template <int WIDTH> __device__ __forceinline__ float over_columns(float v, float* scratch) {
  scratch[threadIdx.x] = v;
  __syncthreads();
  v = 0;
  if (threadIdx.x < WIDTH)
#pragma unroll
    for (int i = 0; i < THREADS; i += WIDTH) v += scratch[i + threadIdx.x];
  return v;
}

#if FORWARD
// A node: written to `out` and, `width` values from pixel to pixel, to `beside`, where these are not null. A block
// lists the terms whose gate is not 0, with their factors, and sums their constants, then walks down the list.
extern "C" __global__ void __launch_bounds__(THREADS) combine(
    const char* x0, const char* x1, const char* nodes, const char* planes, const float* mean, const float* rstd,
    const int* table, const float* gates, char* out, char* beside, int pixels, int first, int last, int width) {
  extern __shared__ __align__(16) char shared[];
  int terms = last - first;
  float *factors = (float*)shared, *parts = factors + terms * C, *constants = parts + THREADS;
  const char** starts = (const char**)(constants + C);
  int* live = (int*)(starts + terms);
  __shared__ int found;
  table += first * COLUMNS;
  if (threadIdx.x < 32) {
    int before = 0;
    for (int begin = 0; begin < terms; begin += 32) {
      int term = begin + threadIdx.x;
      bool is_live = term < terms && gates[table[term * COLUMNS + GATE]] != 0;
      u32 all = __ballot_sync(~0u, is_live);
      int at = before + __popc(all & ((1u << threadIdx.x) - 1));
      if (is_live) live[at] = term, starts[at] = start_of(table + term * COLUMNS, x0, x1, nodes, planes, pixels);
      before += __popc(all);
    }
    if (threadIdx.x == 0) found = before;
  }
  __syncthreads();
  int count = found;
  float constant = 0;
  for (int at = threadIdx.x; at < count * C; at += THREADS) {
    const int* term = table + live[at / C] * COLUMNS;
    float factor = gates[term[GATE]];
    if (term[FORM] == NORMALIZED) {
      int k = term[PLACE] * C + at % C;
      factor *= rstd[k], constant -= factor * mean[k];
    }
    factors[at] = factor;
  }
  constant = over_columns<C>(constant, parts);
  if (threadIdx.x < C) constants[threadIdx.x] = constant;
  __syncthreads();

  int chunk = threadIdx.x % CHUNKS * 8;
  long pixel = (long)blockIdx.x * AT_ONCE + threadIdx.x / CHUNKS, at = (pixel * C + chunk) * 2;
  if (pixel >= pixels) return;
  float total[8];
#pragma unroll
  for (int c = 0; c < 8; c++) total[c] = constants[chunk + c];
#pragma unroll 4
  for (int i = 0; i < count; i++) {
    float a[8];
    *(float4*)a = *(const float4*)(factors + i * C + chunk);
    *(float4*)(a + 4) = *(const float4*)(factors + i * C + chunk + 4);
    add(total, a, load(starts[i], at));
  }
  uint4 node = make_uint4(pack(total[0], total[1]), pack(total[2], total[3]), pack(total[4], total[5]),
                          pack(total[6], total[7]));
  if (out) *(uint4*)(out + at) = node;
  if (beside) *(uint4*)(beside + (pixel * width + chunk) * 2) = node;
}
#else
constexpr int TERMS = 3, SUMS = (1 + TERMS) * C;  // of a block: of g, and of g y of each of its terms

// The coefficients of a node's terms and their gates' gradients, from the sums over all pixels; in evaluation, without
// `training`, BatchNorm is a constant factor. Block x: TERMS terms; y: a share of the pixels. Where `arriving` is not
// null, the node's gradient is read there, `width` values from pixel to pixel, and kept in `grads`. The gradients of
// the gates that are `idle` are 0.
extern "C" __global__ void __launch_bounds__(THREADS, 3) combine_sums(
    char* grads, const char* arriving, const char* x0, const char* x1, const char* nodes, const char* planes,
    const float* mean, const float* rstd, const int* table, const float* gates, float* partial, float* a, float* b,
    float* c0, float* gate_grads, const int* idle, int* counters, int pixels, int first, int last, int width,
    int idles, int training) {
  __shared__ float scratch[8 * SUMS], totals[SUMS];
  table += (first + blockIdx.x * TERMS) * COLUMNS;
  int count = min(TERMS, last - first - (int)blockIdx.x * TERMS), chunk = threadIdx.x % CHUNKS * 8;
  bool live[TERMS], copies = arriving && blockIdx.x == 0, any = copies;
  const char* from[TERMS];
#pragma unroll
  for (int r = 0; r < TERMS; r++) {
    const int* term = table + min(r, count - 1) * COLUMNS;
    live[r] = r < count && gates[term[GATE]] != 0;
    from[r] = start_of(term, x0, x1, nodes, planes, pixels);
    any |= live[r];
  }
  float sums[(1 + TERMS) * 8] = {};
  long step = (long)gridDim.y * AT_ONCE, begin = any ? blockIdx.y * AT_ONCE + threadIdx.x / CHUNKS : pixels;
#pragma unroll 2
  for (long pixel = begin; pixel < pixels; pixel += step) {
    long at = (pixel * C + chunk) * 2;
    uint4 given = arriving ? load(arriving, (pixel * width + chunk) * 2) : load(grads, at), y[TERMS];
#pragma unroll
    for (int r = 0; r < TERMS; r++) y[r] = live[r] ? load(from[r], at) : make_uint4(0, 0, 0, 0);
    if (copies) *(uint4*)(grads + at) = given;
    float g[8] = {low(given.x), high(given.x), low(given.y), high(given.y),
                  low(given.z), high(given.z), low(given.w), high(given.w)};
#pragma unroll
    for (int c = 0; c < 8; c++) sums[c] += g[c];
#pragma unroll
    for (int r = 0; r < TERMS; r++) add(*(float(*)[8])(sums + (1 + r) * 8), g, y[r]);
  }

  // Add up over the threads of the same channels: those of a warp halve what they exchange.
  halve<16>(sums, 16), halve<8>(sums, 8);
  if (CHUNKS < 8) halve<4>(sums, 4);
  if (CHUNKS < 4) halve<2>(sums, 2);
  int warp = threadIdx.x >> 5, kept = threadIdx.x & 31 & ~(CHUNKS - 1);
#pragma unroll
  for (int i = 0; i < CHUNKS; i++)
    scratch[warp * SUMS + (kept + i) / 8 * C + chunk + (kept + i) % 8] = sums[i];
  __syncthreads();
  float* parts = partial + (long)blockIdx.x * gridDim.y * SUMS;
  if (threadIdx.x < SUMS) {
    float sum = 0;
#pragma unroll
    for (int other = 0; other < 8; other++) sum += scratch[other * SUMS + threadIdx.x];
    parts[blockIdx.y * SUMS + threadIdx.x] = sum;
  }
  if (blockIdx.x + blockIdx.y == 0)
    for (int i = threadIdx.x; i < idles; i += THREADS) gate_grads[idle[i]] = 0;
  if (!is_last(counters + blockIdx.x, gridDim.y)) return;

  float sum = 0;
#pragma unroll 8
  for (int part = threadIdx.x / SUMS; part < gridDim.y; part += THREADS / SUMS)
    sum += __ldcg(parts + part * SUMS + threadIdx.x % SUMS);
  sum = over_columns<SUMS>(sum, scratch);
  if (threadIdx.x < SUMS) totals[threadIdx.x] = sum;
  __syncthreads();
  int own = threadIdx.x / C, channel = threadIdx.x % C;
  const int* term = table + own * COLUMNS;
  if (own < count) {
    float w = gates[term[GATE]], m = 0, scale = 1, g = totals[channel], slope = 0, constant = 0;
    int place = term[PLACE], to = place * C + channel;
    bool is_live = w != 0, is_normed = is_live && term[FORM] == NORMALIZED;
    if (is_normed) m = mean[to], scale = rstd[to];
    float gz = is_live ? (totals[C + threadIdx.x] - m * g) * scale : 0;
    if (is_normed && training) slope = -w * scale * scale * gz / pixels, constant = -w * scale * g / pixels - slope * m;
    if (place >= 0) a[to] = w * scale, b[to] = slope, c0[to] = constant;
    scratch[threadIdx.x] = gz;
  }
  __syncthreads();
  if (threadIdx.x < count) {
    sum = 0;
#pragma unroll 4
    for (int c = 0; c < C; c++) sum += scratch[threadIdx.x * C + c];
    gate_grads[table[threadIdx.x * COLUMNS + GATE]] = sum;
  }
}
#endif
