// Separable convolutions as dense ones on the tensor cores, forward.

// The planes of a group of EDGES rows: of one state, x0 or x1, or, SECOND, of one row's normalized source. Block x: a
// group; y: a tile; z: a share of the channels.
extern "C" __global__ void __launch_bounds__(256, 3) convs_forward(
    const char* x0, const char* x1, char* planes, const uint4* dense, const int* table, const int* groups,
    const float* gates, float* partial, float* mean, float* rstd, float* variances, int* counters, int batch,
    float eps) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  constexpr int N = EDGES * BLOCKS / SPLIT, OWN = C / SPLIT;
  const int* group = groups + blockIdx.x * GROUP_COLUMNS;
  int first = group[FIRST], count = group[ROWS], side = group[SIDE], dilation = group[DILATION];
  int block = blockIdx.z * N;
  u32 live = 0; // a bit for each row whose gate is not 0
#pragma unroll
  for (int e = 0; e < EDGES; e++)
    if (e < count && gates[table[(first + e) * COLUMNS + GATE]] != 0) live |= 1 << e;
  if (!live) return;
  Tile t = tile_of(s, blockIdx.y);
  long pixels = (long)s.batch * s.ho * s.wo;
  Input reader = input_of(table + first * COLUMNS, pixels, x0, x1, planes, mean, rstd);
  float total[HALVES][2 * N][4];
  const uint4* weights = dense + first * ROW + block * BLOCK + (threadIdx.x & 31);
  clear<KEEP, 256>(shared);
  clear<N>(total);
  Pixels p = pixels_of(s, shared_address(shared), STRIDE);
  add_image(shared, reader, s, s.h, s.lw, t, t.row * STRIDE - s.reach, weights, [&](const uint4* w) {
    add_taps<N>(total, w, p, side, dilation, 1);
  });
  __syncthreads();

  long at = (long)blockIdx.y * PIXELS + (threadIdx.x >> 5) * 16 * HALVES + ((threadIdx.x & 31) >> 2);
  float own[N][4];
#pragma unroll
  for (int n = 0; n < N; n++) {
    float sums[2][4] = {}; // of what is stored, and of its squares
    int target = table[(first + min(n / BLOCKS, count - 1)) * COLUMNS + TARGET];
    char* to = planes + ((target * pixels + at) * C + (block + n) % BLOCKS * 16 + (threadIdx.x & 3) * 4) * 2;
#pragma unroll
    for (int i = 0; i < HALVES; i++) {
      u32 a[2], b[2];
#pragma unroll
      for (int j = 0; j < 2; j++) {
        float v[4] = RESULTS(total, i, j, n);
        a[j] = pack(v[0], v[1]), b[j] = pack(v[2], v[3]);
        int pixel = i * 16 + j * 8;
        if ((live >> n / BLOCKS & 1) && (WHOLE || at + pixel < pixels))
          *(uint2*)(to + pixel * C * 2) = make_uint2(a[j], b[j]);
        a[j] = transposed(a[j]), b[j] = transposed(b[j]); // 0 where there is no pixel
      }
      add_sums(sums[0], a[0], a[1], a[0], a[1]);
      add_sums(sums[1], b[0], b[1], b[0], b[1]);
    }
    own_sums(own[n][0], own[n][1], sums[0]), own_sums(own[n][2], own[n][3], sums[1]);
  }
  float* scratch = (float*)shared;
  float sum, squares;
  over_block<N>(own, scratch, sum, squares);
  if (threadIdx.x < 16 * N && live >> threadIdx.x / OWN & 1) {
    float* to = partial + ((first + threadIdx.x / OWN) * (long)gridDim.y + blockIdx.y) * 2 * C;
    to += block * 16 + threadIdx.x % OWN;
    float average = sum / pixels_in(blockIdx.y, pixels);
    to[0] = average, to[C] = max(squares - sum * average, 0.f);
  }
  if (!counters || !is_last(counters + table[first * COLUMNS + TARGET], gridDim.y * SPLIT)) return;

  // BatchNorm's statistics, by deviations from the first tile's mean.
  constexpr int WIDTH = EDGES * C, AT_ONCE = 256 / WIDTH;
  int e = threadIdx.x % WIDTH / C, channel = threadIdx.x % C;
  bool written = (live >> e & 1) && threadIdx.x < AT_ONCE * WIDTH;
  const float* from = partial + (long)(first + e) * gridDim.y * 2 * C + channel;
  float pivot = written ? __ldcg(from) : 0, away = 0, square = 0;
#pragma unroll 1
  for (int begin = threadIdx.x / WIDTH; begin < (written ? gridDim.y : 0); begin += 8 * AT_ONCE)
#pragma unroll
    for (int i = 0; i < 8; i++) { // loads are under way at once
      int tile = begin + i * AT_ONCE, some = min(tile, gridDim.y - 1);
      float average = __ldcg(from + some * 2 * C) - pivot, deviations = __ldcg(from + some * 2 * C + C);
      float weight = tile < gridDim.y ? pixels_in(tile, pixels) : 0;
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
