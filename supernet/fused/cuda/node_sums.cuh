// The sums over pixels that the gradients of a node's terms need.

constexpr int SUMS = (1 + TERMS) * C;  // of a block: of g, and of g y of each of its terms

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

// Sums over pixels on the tensor cores, of two pixels of each lane at a time. The four lanes of a group have the same
// pixels and 8 channels each; transposed, a pair of channels of all groups is a matrix of 8 channels and 8 pixels. The
// products of a term's with the gradient's are on the diagonal, those of ones are the gradient's sums.
struct Products {
  float sums[2][4][4];  // of two terms, each a half; of the third term and of ones
  u32 g[2][4];

  __device__ __forceinline__ static void transpose(u32 (&to)[2][4], const uint4 (&from)[2]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      to[i][0] = transposed(from[i].x), to[i][1] = transposed(from[i].y);
      to[i][2] = transposed(from[i].z), to[i][3] = transposed(from[i].w);
    }
  }

  __device__ __forceinline__ void take(const uint4 (&gradient)[2]) { transpose(g, gradient); }

  __device__ __forceinline__ void add(const uint4 (&first)[2], const uint4 (&second)[2]) {
    u32 y[2][4], z[2][4];
    transpose(y, first), transpose(z, second);
#pragma unroll
    for (int i = 0; i < 4; i++) multiply(sums[0][i], {y[0][i], z[0][i], y[1][i], z[1][i]}, g[0][i], g[1][i]);
  }

  __device__ __forceinline__ void add(const uint4 (&third)[2]) {
    u32 y[2][4];
    transpose(y, third);
#pragma unroll
    for (int i = 0; i < 4; i++) multiply(sums[1][i], {y[0][i], ONES, y[1][i], ONES}, g[0][i], g[1][i]);
  }

  // Write the sums of g and of its products with all terms to a list; a lane of a group writes those of a channel of
  // each pair.
  __device__ __forceinline__ void store(float* list) const {
    int lane = threadIdx.x & 31;
    if ((lane & 3) != lane >> 3) return;
#pragma unroll
    for (int i = 0; i < 16; i++) {
      const float* own = sums[i >> 3][i & 3] + (i & 4) / 2;
      list[(i < 12 ? 1 + i / 4 : 0) * C + i % 4 * 2 + (lane >> 2 & 1)] = lane & 4 ? own[1] : own[0];
    }
  }
};

// The coefficients of a node's terms and their gates' gradients, from the sums over all pixels; in evaluation, without
// `training`, BatchNorm is a constant factor. Block x: a group of terms; y: a share of the pixels. Where `arriving` is
// not null, the node's gradient is read there, `width` values from pixel to pixel, and kept in `grads`. The gradients
// of the gates that are `idle` are 0.
extern "C" __global__ void __launch_bounds__(THREADS, 3) combine_sums(
    char* grads, const char* arriving, const char* x0, const char* x1, const char* nodes, const char* planes,
    const float* mean, const float* rstd, const int* table, const float* gates, const int* groups, float* partial,
    float* a, float* b, float* c0, float* gate_grads, const int* idle, int* counters, int pixels, int edges, int width,
    int idles, int training) {
  extern __shared__ __align__(16) char tiles[];
  constexpr int LISTS = THREADS / C;  // of sums, of the whole block
  float *scratch = (float*)tiles, *totals = scratch + LISTS * SUMS;
  groups += blockIdx.x * TERMS;
  int piece = threadIdx.x;  // of those of a tile; with 8 of a pixel a warp has the same half of all its pixels
  if (CHUNKS == 8) piece = (piece & 0xc3) | (piece & 0x1c) << 1 | (piece & 0x20) >> 3;
  int chunk = piece % CHUNKS;
  bool live[TERMS], copies = arriving && blockIdx.x == 0, any = copies;
#pragma unroll
  for (int r = 0; r < TERMS; r++) live[r] = live_row(groups, r, table, gates) >= 0, any |= live[r];
  const char* given = (arriving ? arriving : grads) + chunk * 16;
  int pitch = width * 2, end = any ? pixels : 0;
  Products sums = {};
#if SIZE_W
  if (blockIdx.x < edges) {
    const int* term = table + max(groups[MAXIMUM], max(groups[AVERAGE], groups[ITSELF])) * COLUMNS;
    const char* x = start_of(term, x0, x1, nodes, planes, pixels, true);
    constexpr int EACH = LINES * SIZE_W;
    int number = blockIdx.y, kept = 0;
    clear_borders(tiles, 2);
    if (number * EACH < end) copy_tiles(tiles, &x, 1, number, pixels / SIZE_W);
    for (; number * EACH < end; number += gridDim.y, kept ^= 1) {
      int pixel = number * EACH + piece / ROW * 2 * SIZE_W + piece % ROW / CHUNKS, other = number + gridDim.y;
      const char* tile = tiles + kept * TILE_BYTES;
      uint4 g[2] = {}, y[2], z[2];
      if (WHOLE || pixel < pixels)
        g[0] = load(given + (long)pixel * pitch, 0), g[1] = load(given + (long)(pixel + SIZE_W) * pitch, 0);
      copies_arrive();
      __syncthreads();
      if (other * EACH < end) copy_tiles(tiles + (kept ^ 1) * TILE_BYTES, &x, 1, other, pixels / SIZE_W);
      if (copies && (WHOLE || pixel < pixels))
#pragma unroll
        for (int i = 0; i < 2; i++) ((uint4*)grads)[(pixel + i * SIZE_W) * CHUNKS + chunk] = g[i];
      Patch own(piece, number);
      sums.take(g);
      y[0] = own.itself(tile, 0), y[1] = own.itself(tile, 1);
      sums.add(y);
      z[0] = y[0], z[1] = y[1];  // in place of what is not formed; that sum is of no account
      if (live[AVERAGE]) own.averages(z, tile);
      if (live[MAXIMUM]) own.maxima(y, tile);
      if (live[MAXIMUM] || live[AVERAGE]) sums.add(y, z);
    }
    __syncthreads();
  } else
#endif
  {
    const char* from[TERMS];
#pragma unroll
    for (int r = 0; r < TERMS; r++) {  // in place of one that is not live, g is read
      from[r] = given;
      if (live[r])
        from[r] = start_of(table + groups[r] * COLUMNS, x0, x1, nodes, planes, pixels, false) + chunk * 16;
    }
    constexpr int EACH = 2 * THREADS / CHUNKS;
    for (int first = blockIdx.y * EACH; first < end; first += gridDim.y * EACH) {
      uint4 g[2], y[TERMS][2];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        int pixel = first + i * (EACH / 2) + piece / CHUNKS;
        bool exists = pixel < pixels;
        if (!exists) pixel = 0;
        g[i] = load(given + (long)pixel * pitch, 0);
#pragma unroll
        for (int r = 0; r < TERMS; r++) y[r][i] = load(from[r] + (long)pixel * (C * 2), 0);
        if (!exists) g[i] = make_uint4(0, 0, 0, 0);
        if (copies && exists) ((uint4*)grads)[pixel * CHUNKS + chunk] = g[i];
      }
      sums.take(g);
      sums.add(y[0], y[1]);
      sums.add(y[2]);
    }
  }

  sums.store(scratch + (threadIdx.x / 32 * 32 / C + (C == 16 ? threadIdx.x % 4 / 2 : 0)) * SUMS + chunk * 8);
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int list = threadIdx.x / SUMS; list < LISTS; list += THREADS / SUMS)
    sum += scratch[list * SUMS + threadIdx.x % SUMS];
  sum = over_columns<SUMS>(sum, totals);
  float* parts = partial + (long)blockIdx.x * gridDim.y * SUMS;
  if (threadIdx.x < SUMS) parts[blockIdx.y * SUMS + threadIdx.x] = sum;
  if (blockIdx.x + blockIdx.y == 0)
    for (int i = threadIdx.x; i < idles; i += THREADS) gate_grads[idle[i]] = 0;
  if (!is_last(counters + blockIdx.x, gridDim.y)) return;

  sum = 0;
#pragma unroll 8
  for (int part = threadIdx.x / SUMS; part < gridDim.y; part += THREADS / SUMS)
    sum += __ldcg(parts + part * SUMS + threadIdx.x % SUMS);
  sum = over_columns<SUMS>(sum, scratch);
  if (threadIdx.x < SUMS) totals[threadIdx.x] = sum;
  __syncthreads();
  int own = threadIdx.x / C, channel = threadIdx.x % C;
  int row = own < TERMS ? groups[own] : -1;
  const int* term = table + row * COLUMNS;
  if (row >= 0) {
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
  if (threadIdx.x < TERMS && groups[threadIdx.x] >= 0) {
    sum = 0;
#pragma unroll 4
    for (int c = 0; c < C; c++) sum += scratch[threadIdx.x * C + c];
    gate_grads[table[groups[threadIdx.x] * COLUMNS + GATE]] = sum;
  }
}
