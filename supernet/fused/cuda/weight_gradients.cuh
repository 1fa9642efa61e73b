// Gradients of the weights of separable convolutions, from those of the dense convolutions that they make together.
//
// A warp sums `dy' relu(x)` of up to 5 taps of one line of a kernel, for 16 input and two blocks of 16 output channels.
// The two blocks are those of two rows that read the same state, of one row, or, alone, of a row that has but one.

constexpr int PIXELS = TILE; // outputs of a tile
constexpr int LINE = 5;      // taps of a line that a warp takes, and warps of a block
constexpr int COPYING = 128; // threads that copy and form a tile: a power of two

typedef Pieces<16, COPYING> Read;

// Add the products of a tile for the SIDE taps of a warp's line; the addresses are those of the lane.
template <int SIDE>
__device__ __forceinline__ void add_line(float (&total)[LINE][UNITS][2][4], u32 outputs, u32 images, int dilation) {
  u32 from[SIDE];
#pragma unroll
  for (int j = 0; j < SIDE; j++) from[j] = images + j * dilation * PITCH<16>;
#pragma unroll
  for (int step = 0; step < PIXELS; step += 16) {
    u32 left[UNITS][4];
#pragma unroll
    for (int u = 0; u < UNITS; u++) load_transposed(left[u], outputs + (u * PIXELS + step) * PITCH<16>);
#pragma unroll
    for (int j = 0; j < SIDE; j++) {
      u32 right[4];
      load_transposed(right, from[j] + place_of_output<16, STRIDE>(step));
#pragma unroll
      for (int u = 0; u < UNITS; u++) {
        multiply(total[j][u][0], left[u], right[0], right[1]);
        multiply(total[j][u][1], left[u], right[2], right[3]);
      }
    }
  }
}

// Block x: a group of rows; y: blocks of input and output channels; z: a share of the tiles. Kernels of one line more
// than LINE, or with more taps in a line, do not come here.
constexpr int PAIRS = BLOCKS < 2 ? 1 : BLOCKS / 2; // of blocks of output channels
constexpr int RESIDENT = UNITS == 1 ? 5 : 3; // blocks on a multiprocessor
extern "C" __global__ void __launch_bounds__(32 * LINE, RESIDENT) weight_gradients(
    const char* x0, const char* x1, const char* planes, const char* dy, const int* table, const int* groups,
    const float* gates, const float* mean, const float* rstd, float* depthwise_parts, float* pointwise_parts,
    const __grid_constant__ Kinds kinds, int batch, int tiles, int taps) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  const int* group = groups + blockIdx.x * GROUP_COLUMNS;
  int first = group[FIRST], count = group[ROWS], side = group[SIDE], dilation = group[DILATION];
  int input = blockIdx.y / PAIRS * 16, output = blockIdx.y % PAIRS * 32;
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  long pixels = (long)s.batch * s.ho * s.wo;
  bool any = false;
  for (int e = 0; e < count; e++) any |= gates[table[(first + e) * COLUMNS + GATE]] != 0;
  if (!any) return;
  char* outputs = shared + TILE_BYTES<16>;
  clear<16, 32 * LINE>(shared);
  Input reader = input_of(table + first * COLUMNS, pixels, x0, x1, planes, mean, rstd);
  float total[LINE][UNITS][2][4];
#pragma unroll
  for (int j = 0; j < LINE; j++)
#pragma unroll
    for (int i = 0; i < UNITS * 8; i++) total[j][i >> 3][i >> 2 & 1][i & 3] = 0;
  int down = (warp - side / 2) * dilation;
  u32 at_outputs = shared_address(outputs) + ((lane & 7) + (lane >> 4 & 1) * 8) * PITCH<16> + (lane >> 3 & 1) * 16;
  int from = (s.reach + down) * s.columns + s.reach - side / 2 * dilation; // of the first tap, in pixels
  u32 at_images = shared_address(shared) + from * PITCH<16> + place_of_output<16, STRIDE>(lane & 15) + (lane >> 4 & 1) * 16;

  for (int number = blockIdx.z; number < tiles; number += gridDim.z) {
    __syncthreads();
    if (warp < COPYING / 32) {
      Tile t = tile_of(s, number);
      Window window = window_of(s, t, s.h, s.lw, t.row * STRIDE - s.reach);
      Input now = reader;
      now.begin(window.first + input, input + (threadIdx.x & 1) * 8);
#pragma unroll 1
      for (int round = 0; round < ROUNDS; round++) copy(shared, now, Read(s, round, window));
#pragma unroll
      for (int u = 0; u < UNITS; u++) {
        long row = first + (BLOCKS > 1 ? 0 : min(u, count - 1));
        const char* own = dy + ((row * pixels + (long)number * PIXELS) * C + output + (BLOCKS > 1 ? u * 16 : 0)) * 2;
        copy_own<PIXELS, COPYING>(outputs + u * PIXELS * PITCH<16>, own, pixels - (long)number * PIXELS);
      }
      now.prepare();
      copies_arrive();
#pragma unroll 1
      for (int round = 0; round < ROUNDS; round++) form(shared, now, Read(s, round, window));
    }
    __syncthreads();
    if (warp >= side) continue;
    if (side == 5) add_line<5>(total, at_outputs, at_images, dilation);
    else if (side == 3) add_line<3>(total, at_outputs, at_images, dilation);
    else add_line<1>(total, at_outputs, at_images, dilation);
  }
  __syncthreads();
  float* of_lines = (float*)shared; // of the pointwise weights, (warp, unit, output, input)
  float sums[24] = {};              // of tap j: those of the lane's 4 columns, from 4 j on
#pragma unroll
  for (int u = 0; u < UNITS; u++) {
    int row = first + (BLOCKS > 1 ? 0 : u), n = output + (BLOCKS > 1 ? u * 16 : 0) + (lane >> 2);
    if (warp >= side || row - first >= count) break;
    int kind = table[row * COLUMNS + KIND], slot = table[row * COLUMNS + SLOT];
    const float* depthwise = kinds.depthwise[kind] + (long)slot * C * side * side + warp * side;
    const float* pointwise = kinds.pointwise[kind] + (long)slot * C * C + n * C;
    float* to = of_lines + (warp * UNITS + u) * 256 + (lane >> 2) * 16 + (lane & 3) * 2;
    bool is_factorized = STRIDE == 2 && (kinds.factorized >> kind & 1); // its outputs read tap 4, in line 1, or 8, in 2
#pragma unroll
    for (int half = 0; half < 2; half++) { // two of the lane's columns
      int k = input + half * 8 + (lane & 3) * 2;
      float2 *above = (float2*)(to + half * 8), *below = (float2*)(to + 8 * 16 + half * 8);
      if (is_factorized) {
        float g[4];
#pragma unroll
        for (int c = 0; c < 4; c++) g[c] = warp == 1 ? total[1][u][half][c] : total[2][u][half][c];
        *above = warp == (n < C / 2 ? 1 : 2) ? make_float2(g[0], g[1]) : make_float2(0, 0);
        *below = warp == (n + 8 < C / 2 ? 1 : 2) ? make_float2(g[2], g[3]) : make_float2(0, 0);
        continue;
      }
      float2 p = __ldg((const float2*)(pointwise + k)), q = __ldg((const float2*)(pointwise + 8 * C + k));
      float2 sum_p = make_float2(0, 0), sum_q = make_float2(0, 0);
#pragma unroll
      for (int j = 0; j < LINE; j++)
        if (j < side) {
          const float* g = total[j][u][half];
          float v = __ldg(depthwise + k * side * side + j), w = __ldg(depthwise + (k + 1) * side * side + j);
          sum_p.x += v * g[0], sum_p.y += w * g[1], sum_q.x += v * g[2], sum_q.y += w * g[3];
          sums[j * 4 + half * 2] += p.x * g[0] + q.x * g[2];
          sums[j * 4 + half * 2 + 1] += p.y * g[1] + q.y * g[3];
        }
      *above = sum_p, *below = sum_q;
    }
    if (is_factorized || BLOCKS > 1 && u + 1 < UNITS) continue;
    halve<12>(sums, 16), halve<6>(sums, 8), halve<3>(sums, 4);
#pragma unroll
    for (int i = 0; i < 3; i++) {
      int number = (lane >> 2) * 3 + i, tap = number >> 2;
      int k = input + (number >> 1 & 1) * 8 + (lane & 3) * 2 + (number & 1);
      long part = (((long)row * taps + warp * side + tap) * gridDim.z + blockIdx.z) * PAIRS + output / 32;
      if (tap < side) depthwise_parts[part * C + k] = sums[i];
    }
#pragma unroll
    for (int i = 0; i < 24; i++) sums[i] = 0;
  }
  __syncthreads();

  // The pointwise weights' gradients are the sums of those of all lines.
#pragma unroll
  for (int i = 0; i < (UNITS * 256 + 32 * LINE - 1) / (32 * LINE); i++) {
    int at = threadIdx.x + i * 32 * LINE, unit = at >> 8, row = first + (BLOCKS > 1 ? 0 : unit);
    int n = output + (BLOCKS > 1 ? unit * 16 : 0) + (at >> 4 & 15);
    if (at >= UNITS * 256 || row - first >= count) continue;
    float sum = 0;
#pragma unroll
    for (int line = 0; line < LINE; line++) sum += line < side ? of_lines[line * UNITS * 256 + at] : 0;
    pointwise_parts[(((long)row * gridDim.z + blockIdx.z) * C + n) * C + input + (at & 15)] = sum;
  }
}
