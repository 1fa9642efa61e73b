// Nodes, which are gated sums of normalized planes, states and their pools.
//
// With 1 / std, mean and gate a term is a factor of what is read, and a constant for all pixels.

constexpr int QUADS = C / 4;  // of channels

__device__ __forceinline__ void load_factors(float (&to)[8], const float* from) {
  *(float4*)to = *(const float4*)from, *(float4*)(to + 4) = *(const float4*)(from + 4);
}

// to += a y
__device__ __forceinline__ void add(float (&to)[8], const float (&a)[8], uint4 y) {
  to[0] = fmaf(a[0], low(y.x), to[0]), to[1] = fmaf(a[1], high(y.x), to[1]);
  to[2] = fmaf(a[2], low(y.y), to[2]), to[3] = fmaf(a[3], high(y.y), to[3]);
  to[4] = fmaf(a[4], low(y.z), to[4]), to[5] = fmaf(a[5], high(y.z), to[5]);
  to[6] = fmaf(a[6], low(y.w), to[6]), to[7] = fmaf(a[7], high(y.w), to[7]);
}

// A node: written to `out` and, `width` values from pixel to pixel, to `beside`, where these are not null. A block
// lists the terms whose gate is not 0, with their factors, and sums their constants. Each of its GROUPS of threads then
// sums a share of the terms of the tile's pixels.
extern "C" __global__ void __launch_bounds__(THREADS, 4) combine(
    const char* x0, const char* x1, const char* nodes, const char* planes, const float* mean, const float* rstd,
    const int* table, const float* gates, const int* groups, char* out, char* beside, int pixels, int edges, int all,
    int width) {
  extern __shared__ __align__(16) char tiles[];
  __shared__ int counts[2];
  constexpr int SUM_BYTES = THREADS * 64;
  int slots = all * TERMS, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#if SIZE_W
  float* factors = (float*)(tiles + max(edges * TILE_BYTES, SUM_BYTES));
#else
  float* factors = (float*)(tiles + SUM_BYTES);
#endif
  float* constants = factors + slots * C;
  const char** starts = (const char**)(constants + THREADS / 32 * C);
  int* rows = (int*)(starts + slots);
  if (warp == 0) {
    int found = 0;
    for (int begin = 0; begin < edges; begin += 32) {
      int number = begin + lane, own[TERMS] = {-1, -1, -1};
      if (number < edges)
#pragma unroll
        for (int r = 0; r < TERMS; r++) own[r] = live_row(groups, number * TERMS + r, table, gates);
      int any = max(own[0], max(own[1], own[2]));
      u32 live = __ballot_sync(~0u, any >= 0);
      int at = found + __popc(live & ((1u << lane) - 1));
      if (any >= 0) {
        starts[at] = start_of(table + any * COLUMNS, x0, x1, nodes, planes, pixels, true);
#pragma unroll
        for (int r = 0; r < TERMS; r++) rows[at * TERMS + r] = own[r];
      }
      found += __popc(live);
    }
    int pooled = found;
    for (int begin = edges * TERMS; begin < slots; begin += 32) {
      int row = begin + lane < slots ? live_row(groups, begin + lane, table, gates) : -1;
      u32 live = __ballot_sync(~0u, row >= 0);
      int at = found + __popc(live & ((1u << lane) - 1));
      if (row >= 0) {
        starts[at] = start_of(table + row * COLUMNS, x0, x1, nodes, planes, pixels, false);
        rows[pooled * (TERMS - 1) + at] = row;
      }
      found += __popc(live);
    }
    if (lane == 0) counts[0] = pooled, counts[1] = found - pooled;
  }
  __syncthreads();
  int pooled = counts[0], others = counts[1];
#if SIZE_W
  copy_tiles(tiles, starts, pooled, blockIdx.x, pixels / SIZE_W);
  clear_borders(tiles, pooled);
#endif

  float constant[4] = {};
  for (int at = threadIdx.x; at < (pooled * TERMS + others) * QUADS; at += THREADS) {
    int row = rows[at / QUADS];
    float4 factor = make_float4(0, 0, 0, 0);
    if (row >= 0) {
      const int* term = table + row * COLUMNS;
      float gate = gates[term[GATE]];
      factor = make_float4(gate, gate, gate, gate);
      if (term[FORM] == NORMALIZED) {
        int k = term[PLACE] * QUADS + at % QUADS;
        float4 r = __ldg((const float4*)rstd + k), m = __ldg((const float4*)mean + k);
        factor = make_float4(gate * r.x, gate * r.y, gate * r.z, gate * r.w);
        constant[0] -= factor.x * m.x, constant[1] -= factor.y * m.y;
        constant[2] -= factor.z * m.z, constant[3] -= factor.w * m.w;
      }
    }
    ((float4*)factors)[at] = factor;
  }
#pragma unroll
  for (int c = 0; c < 4; c++)
#pragma unroll
    for (int bit = 16; bit >= QUADS; bit /= 2) constant[c] += __shfl_xor_sync(~0u, constant[c], bit);
  if (lane < QUADS) ((float4*)constants)[warp * QUADS + lane] = *(const float4*)constant;
  __syncthreads();
  if (threadIdx.x < C) {
    float sum = 0;
#pragma unroll
    for (int other = 0; other < THREADS / 32; other++) sum += constants[other * C + threadIdx.x];
    constants[threadIdx.x] = sum;
  }

  int group = threadIdx.x / PATCHES, patch = threadIdx.x % PATCHES, chunk = patch % CHUNKS * 8;
  int pieces = pixels * CHUNKS, begin = blockIdx.x * 2 * PATCHES;
  int first = begin + patch / ROW * 2 * ROW + patch % ROW, second = first + ROW;
  if (first >= pieces) first = 0;
  if (second >= pieces) second = first;
  float total[2][8] = {};
  const float* of_others = factors + pooled * TERMS * C + chunk;
#pragma unroll 2
  for (int i = GROUPS - 1 - group; i < others; i += GROUPS) {
    uint4 y[2] = {load(starts[pooled + i], first), load(starts[pooled + i], second)};
    float a[8];
    load_factors(a, of_others + i * C);
    add(total[0], a, y[0]), add(total[1], a, y[1]);
  }
#if SIZE_W
  copies_arrive();
  __syncthreads();
  Patch own(patch, blockIdx.x);
  for (int edge = group; edge < pooled; edge += GROUPS) {
    const char* tile = tiles + edge * TILE_BYTES;
    const float* of_edge = factors + edge * TERMS * C + chunk;
    float a[8];
    if (rows[edge * TERMS + ITSELF] >= 0) {
      load_factors(a, of_edge + ITSELF * C);
      add(total[0], a, own.itself(tile, 0)), add(total[1], a, own.itself(tile, 1));
    }
    if (rows[edge * TERMS + MAXIMUM] >= 0) {
      uint4 y[2];
      own.maxima(y, tile);
      load_factors(a, of_edge + MAXIMUM * C);
      add(total[0], a, y[0]), add(total[1], a, y[1]);
    }
    if (rows[edge * TERMS + AVERAGE] >= 0) {
      float y[2][2][4];
      own.sums(y, tile);
      load_factors(a, of_edge + AVERAGE * C);
#pragma unroll
      for (int i = 0; i < 16; i++)
        total[i >> 3][i & 7] = fmaf(a[i & 7], own.shares[i >> 3] * y[i >> 3][i >> 2 & 1][i & 3], total[i >> 3][i & 7]);
    }
  }
#endif
  __syncthreads();
  float4* sums = (float4*)tiles;  // (group, half of a piece, pixel of a patch, patch)
#pragma unroll
  for (int i = 0; i < 4; i++)
    sums[((group * 2 + (i & 1)) * 2 + (i >> 1)) * PATCHES + patch] = *(const float4*)(total[i >> 1] + (i & 1) * 4);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 2 * PATCHES; i += THREADS) {
    int piece = i + threadIdx.x, in_row = piece / ROW;
    int from = (in_row & 1) * PATCHES + (in_row >> 1) * ROW + piece % ROW;
    if (piece >= 2 * PATCHES || begin + piece >= pieces) break;
    uint2 halves[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float4 sum = *(const float4*)(constants + piece % CHUNKS * 8 + half * 4);
#pragma unroll
      for (int other = 0; other < GROUPS; other++) {
        float4 part = sums[(other * 2 + half) * 2 * PATCHES + from];
        sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
      }
      halves[half] = make_uint2(pack(sum.x, sum.y), pack(sum.z, sum.w));
    }
    uint4 node = make_uint4(halves[0].x, halves[0].y, halves[1].x, halves[1].y);
    long pixel = (begin + piece) / CHUNKS;
    if (out) ((uint4*)out)[begin + piece] = node;
    if (beside) *(uint4*)(beside + (pixel * width + piece % CHUNKS * 8) * 2) = node;
  }
}
