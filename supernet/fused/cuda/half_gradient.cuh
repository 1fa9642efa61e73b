// From the gradients of second halves' planes back to the first halves, and, WEIGHTS, to the second halves' weights.

constexpr int N = BLOCKS / SPLIT;

#if WEIGHTS
// Gradients of weights come from those of the dense weights, `dy' relu(z)` of every tap, of which a block has 16 input
// channels. They stay in registers from tile to tile: a warp has one of the blocks of output channels, of every APART-th
// tap.
constexpr int APART = 8 / BLOCKS, SLOTS_OF_TAPS = (25 + APART - 1) / APART, STEPS = PIXELS / 16;
static_assert(BLOCKS <= 2 && N == 1 && PARTS == 1, "a block has all gradients of a tile");

__device__ __forceinline__ void add_products(float (&total)[2][4], u32 gradients, const u32 (&right)[4]) {
  u32 left[4];
  load_transposed(left, gradients);
  multiply(total[0], left, right[0], right[1]);
  multiply(total[1], left, right[2], right[3]);
}

// Add the products of a tile; the addresses are those of the lane, at the middle tap.
template <int SIDE>
__device__ __forceinline__ void add_dense(
    float (&total)[SLOTS_OF_TAPS][2][4], u32 gradients, u32 images, int dilation) {
  constexpr int OWN = (SIDE * SIDE + APART - 1) / APART;
  int first = (threadIdx.x >> 5) / BLOCKS;
  u32 from[OWN];
#pragma unroll
  for (int i = 0; i < OWN; i++) {
    int tap = first + APART * i, down = tap / SIDE - SIDE / 2, across = tap % SIDE - SIDE / 2;
    from[i] = gradients - (down * Shape::columns + across) * dilation * PITCH<KEEP>;
  }
  constexpr int FULL = SIDE * SIDE / APART; // slots that every warp has
#pragma unroll
  for (int step = 0; step < STEPS; step++) {
    u32 right[4];
    load_transposed(right, images + step * 16 * PITCH<16>);
#pragma unroll
    for (int i = 0; i < FULL; i++) add_products(total[i], from[i] + place_of_output<KEEP, 1>(step * 16), right);
  }
  if (first + APART * FULL >= SIDE * SIDE) return;
#pragma unroll
  for (int step = 0; step < STEPS; step++) {
    u32 right[4];
    load_transposed(right, images + step * 16 * PITCH<16>);
    add_products(total[FULL], from[FULL] + place_of_output<KEEP, 1>(step * 16), right);
  }
}

// Write a block's part of the gradients of its row's weights. `scratch` holds 3072 numbers.
__device__ __forceinline__ void store_weights(
    const float (&total)[SLOTS_OF_TAPS][2][4], float* scratch, const Kinds& kinds, const int* row, int side,
    float* depthwise_parts, float* pointwise_parts) {
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, taps = side * side, input = blockIdx.z * 16;
  const float* depthwise = kinds.depthwise[row[KIND]] + (long)row[SLOT] * C * taps;
  const float* pointwise = kinds.pointwise[row[KIND]] + (long)row[SLOT] * C * C;
  pointwise += (warp % BLOCKS * 16 + (lane >> 2)) * C;
  float of_depthwise[32] = {}; // of the slot i: those of the lane's 4 columns, from 4 i on
  float* of_pointwise = scratch + 1024 + warp * 256 + (lane >> 2) * 16 + (lane & 3) * 2;
#pragma unroll
  for (int half = 0; half < 2; half++) { // two of the lane's columns
    int k = input + half * 8 + (lane & 3) * 2;
    float2 p = __ldg((const float2*)(pointwise + k)), q = __ldg((const float2*)(pointwise + 8 * C + k));
    float2 above = make_float2(0, 0), below = make_float2(0, 0);
#pragma unroll
    for (int i = 0; i < SLOTS_OF_TAPS; i++) {
      int tap = warp / BLOCKS + APART * i;
      if (tap >= taps) continue;
      const float* g = total[i][half];
      float v = __ldg(depthwise + k * taps + tap), w = __ldg(depthwise + (k + 1) * taps + tap);
      above.x += v * g[0], above.y += w * g[1], below.x += v * g[2], below.y += w * g[3];
      of_depthwise[i * 4 + half * 2] = p.x * g[0] + q.x * g[2];
      of_depthwise[i * 4 + half * 2 + 1] = p.y * g[1] + q.y * g[3];
    }
    *(float2*)(of_pointwise + half * 8) = above, *(float2*)(of_pointwise + 8 * 16 + half * 8) = below;
  }
  halve<16>(of_depthwise, 16), halve<8>(of_depthwise, 8), halve<4>(of_depthwise, 4);
#pragma unroll
  for (int i = 0; i < 4; i++)
    scratch[warp * 128 + (lane >> 2) * 16 + (i >> 1) * 8 + (lane & 3) * 2 + (i & 1)] = of_depthwise[i];
  __syncthreads();

  long part = (long)blockIdx.x * gridDim.y + blockIdx.y;
#pragma unroll
  for (int at = threadIdx.x; at < C * 16; at += 256) {
    float sum = 0;
#pragma unroll
    for (int other = at >> 8; other < 8; other += BLOCKS) sum += scratch[1024 + other * 256 + at % 256];
    pointwise_parts[(part * C + (at >> 4)) * C + input + (at & 15)] = sum;
  }
  for (int at = threadIdx.x; at < taps * 16; at += 256) {
    int tap = at >> 4;
    const float* of_warps = scratch + tap % APART * BLOCKS * 128 + tap / APART * 16 + (at & 15);
    long to = (blockIdx.x * (long)TAPS + tap) * gridDim.y + blockIdx.y;
    depthwise_parts[to * C + input + (at & 15)] = BLOCKS == 1 ? of_warps[0] : of_warps[0] + of_warps[128];
  }
}
#endif

// The gradient behind each first half's BatchNorm, its sums with and without the normalized plane, and from these the
// coefficients by which it becomes the plane's own; in evaluation, without `training`, BatchNorm is a constant factor.
// The gradients of the second halves' planes, from which it comes, are stored in `dy`, unless it is null. Block x: a
// row; y: a tile, or, WEIGHTS, a share of the tiles; z: a share of the channels.
extern "C" __global__ void __launch_bounds__(256, WEIGHTS ? 2 : 3) half_gradient(
    const char* planes, char* grads, char* dy, const uint4* dense, const int* table, const int* groups,
    const float* gates, float* partial, const float* mean, const float* rstd, float* a, float* b, float* c0,
    int* counters, float* depthwise_parts, float* pointwise_parts, const __grid_constant__ Kinds kinds, int batch,
    int tiles, int before, int training) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  const int *group = groups + blockIdx.x * GROUP_COLUMNS, *row = table + blockIdx.x * COLUMNS;
  if (gates[row[GATE]] == 0) return;
  int source = row[SOURCE], block = blockIdx.z * N;
  long pixels = (long)s.batch * s.ho * s.wo;
  Gradient reader = gradient_of(table, blockIdx.x, pixels, grads, planes, block ? 0 : dy, a, b, c0);
  const uint4* weights = dense + blockIdx.x * ROW + block * BLOCK + (threadIdx.x & 31);
  clear<KEEP, 256>(shared);
  Pixels p = pixels_of(s, shared_address(shared), 1);
  float sums[N][2][4] = {}; // of the gradients, and of their products with the plane as it is
#if WEIGHTS
  float of_weights[SLOTS_OF_TAPS][2][4] = {};
  char* images = shared + TILE_BYTES<KEEP>;
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  u32 to_gradients = shared_address(shared) + (s.reach * s.columns + s.reach) * PITCH<KEEP>;
  to_gradients += place_of_output<KEEP, 1>((lane & 7) + (lane >> 4) * 8);
  to_gradients += (lane >> 3 & 1) * 16 + warp % BLOCKS * 32;
  u32 to_images = shared_address(images) + (lane & 15) * PITCH<16> + (lane >> 4) * 16;
#pragma unroll 1
  for (int number = blockIdx.y; number < tiles; number += gridDim.y) {
#else
  int number = blockIdx.y;
  {
#endif
    float total[HALVES][2 * N][4];
    clear<N>(total);
    Tile t = tile_of(s, number);
    add_image(shared, reader, s, s.h, s.lw, t, t.row - s.reach, weights, [&](const uint4* w) {
      add_taps<N>(total, w, p, group[SIDE], group[DILATION], -1);
    });
    long at = (long)number * PIXELS + (threadIdx.x >> 5) * 16 * HALVES + ((threadIdx.x & 31) >> 2);
#pragma unroll
    for (int n = 0; n < N; n++) {
      int channel = (block + n) * 16 + (threadIdx.x & 3) * 4;
      float m[4];
#pragma unroll
      for (int c = 0; c < 4; c++) m[c] = mean[source * C + channel + c];
#if WEIGHTS
      float r[4], shift[4];
#pragma unroll
      for (int c = 0; c < 4; c++) r[c] = rstd[source * C + channel + c], shift[c] = -m[c] * r[c];
#endif
      const char* from = planes + ((source * pixels + at) * C + channel) * 2;
      char* to = grads + (((before + source) * pixels + at) * C + channel) * 2;
#pragma unroll
      for (int i = 0; i < HALVES; i++) {
        uint2 y[2], g[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
          int pixel = i * 16 + j * 8;
          bool exists = WHOLE || at + pixel < pixels;
          y[j] = exists ? *(const uint2*)(from + pixel * C * 2) : make_uint2(0, 0);
          float v[4] = RESULTS(total, i, j, n), z[4] = {low(y[j].x), high(y[j].x), low(y[j].y), high(y[j].y)};
#pragma unroll
          for (int c = 0; c < 4; c++) v[c] = z[c] > m[c] ? v[c] : 0; // 0 where there is no pixel
          g[j] = make_uint2(pack(v[0], v[1]), pack(v[2], v[3]));
          if (exists) *(uint2*)(to + pixel * C * 2) = g[j];
#if WEIGHTS
#pragma unroll
          for (int c = 0; c < 4; c++) z[c] = exists ? fmaf(z[c], r[c], shift[c]) : 0;
          int own = (threadIdx.x >> 5) * 16 * HALVES + pixel + ((threadIdx.x & 31) >> 2);
          uint2* image = (uint2*)(images + own * PITCH<16> + (threadIdx.x & 3) * 8);
          *image = make_uint2(rectified(pack(z[0], z[1])), rectified(pack(z[2], z[3])));
#endif
          y[j] = make_uint2(transposed(y[j].x), transposed(y[j].y));
          g[j] = make_uint2(transposed(g[j].x), transposed(g[j].y));
        }
        add_sums(sums[n][0], y[0].x, y[1].x, g[0].x, g[1].x);
        add_sums(sums[n][1], y[0].y, y[1].y, g[0].y, g[1].y);
      }
    }
    __syncthreads();
#if WEIGHTS
    if (group[SIDE] == 5) add_dense<5>(of_weights, to_gradients, to_images, group[DILATION]);
    else if (group[SIDE] == 3) add_dense<3>(of_weights, to_gradients, to_images, group[DILATION]);
    else add_dense<1>(of_weights, to_gradients, to_images, group[DILATION]);
#endif
  }
#if WEIGHTS
  __syncthreads();
#endif
  float *scratch = (float*)shared, own[N][4], g, gz;
#if WEIGHTS
  store_weights(of_weights, scratch, kinds, row, group[SIDE], depthwise_parts, pointwise_parts);
  __syncthreads();
#endif
#pragma unroll
  for (int n = 0; n < N; n++) own_sums(own[n][0], own[n][1], sums[n][0]), own_sums(own[n][2], own[n][3], sums[n][1]);
  over_block<N>(own, scratch, g, gz);
  if (threadIdx.x < 16 * N) {
    int channel = block * 16 + threadIdx.x;
    float* to = partial + ((long)blockIdx.x * gridDim.y + blockIdx.y) * 2 * C + channel;
    to[0] = g, to[C] = (gz - mean[source * C + channel] * g) * rstd[source * C + channel];
  }
  if (!is_last(counters + source, gridDim.y * SPLIT)) return;

  int channel = threadIdx.x % C;
  const float* from = partial + (long)blockIdx.x * gridDim.y * 2 * C + channel;
  g = gz = 0;
#pragma unroll 1
  for (int begin = threadIdx.x / C; begin < gridDim.y; begin += 8 * (256 / C))
#pragma unroll
    for (int i = 0; i < 8; i++) {
      int part = begin + i * (256 / C), some = min(part, gridDim.y - 1);
      float more_g = __ldcg(from + some * 2 * C), more_gz = __ldcg(from + some * 2 * C + C);
      g += part < gridDim.y ? more_g : 0, gz += part < gridDim.y ? more_gz : 0;
    }
  over_threads<C>(g, gz, scratch);
  if (threadIdx.x < C) {
    int to = source * C + channel;
    float scale = rstd[to], slope = training ? -scale * scale * gz / pixels : 0;
    a[to] = scale, b[to] = slope;
    c0[to] = training ? -scale * g / pixels - slope * mean[to] : 0;
  }
}
