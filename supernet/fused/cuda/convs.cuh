// Separable convolutions as dense ones on the tensor cores: forward, and from second halves back to first ones.

// ---- forward ----

#if FORWARD
// The planes of a group of EDGES rows: of one state, x0 or x1, or, SECOND, of one row's normalized source.
extern "C" __global__ void __launch_bounds__(256, SECOND && C < 64 ? 3 : 2) convs_forward(
    const char* x0, const char* x1, char* planes, const uint4* dense, const int* table, const int* groups,
    const float* gates, float* partial, float* mean, float* rstd, float* variances, int* counters, int batch,
    float eps) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  constexpr int BLOCKS = C / 16, N = EDGES * BLOCKS;
  const int* group = groups + blockIdx.x * GROUP_COLUMNS;
  int first = group[FIRST], count = group[ROWS], side = group[SIDE], dilation = group[DILATION];
  auto is_live = [&](int e) {
    return e < count && gates[table[(first + min(e, count - 1)) * COLUMNS + GATE]] != 0;
  };
  bool any = false;
#pragma unroll
  for (int e = 0; e < EDGES; e++) any |= is_live(e);
  if (!any) return;
  Tile t = tile_of(s, blockIdx.y);
  long pixels = (long)s.batch * s.ho * s.wo;
  Input reader = input_of(table + first * COLUMNS, pixels, x0, x1, planes, mean, rstd);
  float total[HALVES][2 * N][4];
  const uint4* weights = dense + first * ROW + (threadIdx.x & 31);
  clear<256>(shared, s.images * s.stored * s.columns * PITCH<KEEP>);
  clear<N>(total);
  Pixels p = pixels_of(s, shared_address(shared), STRIDE);
  add_image(shared, reader, s, s.h, s.lw, t, t.row * STRIDE - s.reach, weights, [&](const uint4* w) {
    add_taps<N>(total, w, p, side, dilation, 1);
  });
  __syncthreads();

  long at = (long)blockIdx.y * PIXELS + (threadIdx.x >> 5) * 16 * HALVES + ((threadIdx.x & 31) >> 2);
  bool live[EDGES];
#pragma unroll
  for (int e = 0; e < EDGES; e++) live[e] = is_live(e);
  float sums[2 * N][4]; // of what is stored, and of its squares, whose rounding is less than that of what is stored
#pragma unroll
  for (int n = 0; n < N; n++) {
    int target = table[(first + min(n / BLOCKS, count - 1)) * COLUMNS + TARGET];
    char* to = planes + ((target * pixels + at) * C + n % BLOCKS * 16 + (threadIdx.x & 3) * 4) * 2;
#pragma unroll
    for (int c = 0; c < 4; c++) sums[n][c] = sums[N + n][c] = 0;
#pragma unroll
    for (int ij = 0; ij < 2 * HALVES; ij++) {
      float v[4] = RESULTS(total, ij >> 1, ij & 1, n);
      u32 a = pack(v[0], v[1]), b = pack(v[2], v[3]);
      if (!WHOLE && at + ij * 8 >= pixels) continue;
      if (live[n / BLOCKS]) *(uint2*)(to + ij * 8 * C * 2) = make_uint2(a, b);
      v[0] = low(a), v[1] = high(a), v[2] = low(b), v[3] = high(b);
#pragma unroll
      for (int c = 0; c < 4; c++) sums[n][c] += v[c], sums[N + n][c] = fmaf(v[c], v[c], sums[N + n][c]);
    }
  }
  constexpr int WIDTH = EDGES * C, AT_ONCE = 256 / WIDTH;
  float* scratch = (float*)shared;
  float sum, squares;
  over_block<N>(sums, scratch, sum, squares);
  int e = threadIdx.x % WIDTH / C, channel = threadIdx.x % C;
  bool written = is_live(e);
  float* from = partial + (long)(first + e) * gridDim.y * 2 * C + channel;
  if (written && threadIdx.x < WIDTH) {
    float average = sum / min((long)PIXELS, pixels - (long)blockIdx.y * PIXELS);
    from[blockIdx.y * 2 * C] = average;
    from[blockIdx.y * 2 * C + C] = max(squares - sum * average, 0.f);
  }
  if (!counters || !is_last(counters + table[first * COLUMNS + TARGET], gridDim.y)) return;

  // BatchNorm's statistics, by deviations from the first tile's mean.
  written &= threadIdx.x < AT_ONCE * WIDTH;
  float pivot = written ? __ldcg(from) : 0, away = 0, square = 0;
#pragma unroll 1
  for (int begin = threadIdx.x / WIDTH; begin < (written ? gridDim.y : 0); begin += 8 * AT_ONCE)
#pragma unroll
    for (int i = 0; i < 8; i++) { // loads are under way at once
      int tile = begin + i * AT_ONCE, some = min(tile, gridDim.y - 1);
      float average = __ldcg(from + some * 2 * C) - pivot, deviations = __ldcg(from + some * 2 * C + C);
      float weight = tile < gridDim.y ? min((long)PIXELS, pixels - (long)tile * PIXELS) : 0;
      away += weight * average, square += weight > 0 ? deviations + weight * average * average : 0;
    }
  over_threads<WIDTH>(away, square, scratch);
  if (threadIdx.x < WIDTH && written) {
    int to = table[(first + e) * COLUMNS + TARGET] * C + channel;
    away /= pixels, square = max(square - away * away * pixels, 0.f);
    mean[to] = pivot + away;
    rstd[to] = 1 / sqrtf(square / pixels + eps);
    variances[to] = square / max(pixels - 1, 1l);
  }
}
#endif

// ---- back to a first half ----

#if HALF
// The gradient behind each first half's BatchNorm, its sums with and without the normalized plane, and from these the
// coefficients by which it becomes the plane's own; in evaluation, without `training`, BatchNorm is a constant factor.
// The gradients of the second halves' planes, from which it comes, are stored in `dy`, unless it is null.
extern "C" __global__ void __launch_bounds__(256, C < 64 ? 3 : 2) half_gradient(
    const char* planes, char* grads, char* dy, const uint4* dense, const int* table, const int* groups,
    const float* gates, float* partial, const float* mean, const float* rstd, float* a, float* b, float* c0,
    int* counters,
    int batch, int before, int training) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  constexpr int BLOCKS = C / 16, N = BLOCKS;
  const int *group = groups + blockIdx.x * GROUP_COLUMNS, *row = table + blockIdx.x * COLUMNS;
  if (gates[row[GATE]] == 0) return;
  int source = row[SOURCE];
  Tile t = tile_of(s, blockIdx.y);
  long pixels = (long)s.batch * s.ho * s.wo;
  Gradient reader = gradient_of(table, blockIdx.x, pixels, grads, planes, dy, a, b, c0);
  float total[HALVES][2 * N][4];
  const uint4* weights = dense + blockIdx.x * ROW + (threadIdx.x & 31);
  clear<256>(shared, s.images * s.stored * s.columns * PITCH<KEEP>);
  clear<N>(total);
  Pixels p = pixels_of(s, shared_address(shared), 1);
  add_image(shared, reader, s, s.h, s.lw, t, t.row - s.reach, weights, [&](const uint4* w) {
    add_taps<N>(total, w, p, group[SIDE], group[DILATION], -1);
  });
  __syncthreads();

  long at = (long)blockIdx.y * PIXELS + (threadIdx.x >> 5) * 16 * HALVES + ((threadIdx.x & 31) >> 2);
  float sums[2 * N][4];
#pragma unroll
  for (int n = 0; n < N; n++) {
    int channel = n * 16 + (threadIdx.x & 3) * 4;
    float m[4], r[4];
#pragma unroll
    for (int c = 0; c < 4; c++) {
      m[c] = mean[source * C + channel + c], r[c] = rstd[source * C + channel + c];
      sums[n][c] = sums[N + n][c] = 0;
    }
    const char* from = planes + ((source * pixels + at) * C + channel) * 2;
    char* to = grads + (((before + source) * pixels + at) * C + channel) * 2;
#pragma unroll
    for (int ij = 0; ij < 2 * HALVES; ij++)
      if (WHOLE || at + ij * 8 < pixels) {
        uint2 y = *(const uint2*)(from + ij * 8 * C * 2);
        float z[4] = {low(y.x), high(y.x), low(y.y), high(y.y)}, v[4] = RESULTS(total, ij >> 1, ij & 1, n);
#pragma unroll
        for (int c = 0; c < 4; c++) {
          z[c] = (z[c] - m[c]) * r[c];
          v[c] = z[c] > 0 ? v[c] : 0;
        }
        u32 g = pack(v[0], v[1]), h = pack(v[2], v[3]);
        *(uint2*)(to + ij * 8 * C * 2) = make_uint2(g, h);
        v[0] = low(g), v[1] = high(g), v[2] = low(h), v[3] = high(h);
#pragma unroll
        for (int c = 0; c < 4; c++) sums[n][c] += v[c], sums[N + n][c] += v[c] * z[c];
      }
  }
  int channel = threadIdx.x % C;
  float* from = partial + (long)blockIdx.x * gridDim.y * 2 * C + channel;
  float g, gz;
  over_block<N>(sums, (float*)shared, g, gz);
  if (threadIdx.x < C) from[blockIdx.y * 2 * C] = g, from[blockIdx.y * 2 * C + C] = gz;
  if (!is_last(counters + source, gridDim.y)) return;

  g = gz = 0;
#pragma unroll 1
  for (int begin = threadIdx.x / C; begin < gridDim.y; begin += 8 * (256 / C))
#pragma unroll
    for (int i = 0; i < 8; i++) {
      int tile = begin + i * (256 / C), some = min(tile, gridDim.y - 1);
      float more_g = __ldcg(from + some * 2 * C), more_gz = __ldcg(from + some * 2 * C + C);
      g += tile < gridDim.y ? more_g : 0, gz += tile < gridDim.y ? more_gz : 0;
    }
  over_threads<C>(g, gz, (float*)shared);
  if (threadIdx.x < C) {
    int to = source * C + channel;
    float scale = rstd[to], slope = training ? -scale * scale * gz / pixels : 0;
    a[to] = scale, b[to] = slope;
    c0[to] = training ? -scale * g / pixels - slope * mean[to] : 0;
  }
}
#endif
