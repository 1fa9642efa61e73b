// The gradients of states through the convolutions that read them, on the tensor cores.

#if STRIDE == 2
// Add the products of the taps by which a gradient's pixel reaches pixels of one parity: every NEXT-th of a line, and
// of the lines. The weights of one more are read and not used.
template <int N, int NEXT>
__device__ __forceinline__ void add_parity(
    float (&total)[HALVES][2 * N][4], const uint4* weights, const Pixels& p, int parity, int side, int dilation) {
  int middle = side / 2, odd = NEXT - 1;
#pragma unroll 1
  for (int line = (parity >> 1) + middle & odd; line < side; line += NEXT) {
    int column = (parity & 1) + middle & odd, down = ((parity >> 1) - (line - middle) * dilation) / 2;
    const uint4* from = weights + (line * side + column) * TAP;
    uint4 b[N];
    load_weights(b, from);
#pragma unroll 1
    for (; column < side; column += NEXT, from += NEXT * TAP) {
      int across = ((parity & 1) - (column - middle) * dilation) / 2;
      add_tap<N, NEXT>(total, b, from, p, (down * Shape::columns + across) * PITCH<KEEP>);
    }
  }
}
#endif

// Add the gradient of the state `x0` to `out0`, masked by its ReLU, and that of `x1` to `out1`: the rows of the first
// stand before `second`, those of the other from there on. A block sums over one of several shares of a state's rows,
// as float32, (state, share, pixel, channel); the last block of a tile adds up the shares. With stride 2 a block's
// pixels are those of one parity of row and column; a gradient's pixel reaches them by taps of that parity.
//
// While the products of one row's gradient are summed, the two planes of the next are copied to shared memory, behind
// the tile: a thread copies and forms the same SLOTS pieces of 8 channels each time. The planes' gradients are stored
// in `dy`, unless it is null, by the first of the blocks that form them.
extern "C" __global__ void __launch_bounds__(256, 2) state_gradient(
    const char* x0, const char* x1, const char* planes, const char* grads, char* out0, char* out1, char* dy,
    float* parts, int* counters, const uint4* dense, const int* table, const int* groups, const float* gates,
    const float* a, const float* b, const float* c0, int batch, int second, int all) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  constexpr int N = BLOCKS / SPLIT, PARITIES = STRIDE * STRIDE;
  int share = blockIdx.y, block = blockIdx.z % SPLIT * N, parity = blockIdx.z / SPLIT % PARITIES;
  bool is_second = blockIdx.z >= SPLIT * PARITIES;
  int begin = is_second ? second : 0, rows = is_second ? all : second; // the state's, up to `rows`
  Tile t = tile_of(s, blockIdx.x);
  long pixels = (long)s.batch * s.ho * s.wo;
  float total[HALVES][2 * N][4];
  clear<KEEP, 256>(shared);
  clear<N>(total);
  Pixels p = pixels_of(s, shared_address(shared), 1);

  Window window = window_of(s, t, s.ho, s.lwo, t.row - s.reach);
  Kept kept(s, s.lwo, 0, window);
  u32 stored = dy && block + parity == 0 ? kept.own : 0;
  char* own = shared + TILE_BYTES<KEEP> + threadIdx.x * 16; // 4096 bytes from one copy of this thread to the next
  auto live = [&](int row) { // the first row from `row` on whose gate is not 0
    while (row < rows && gates[table[row * COLUMNS + GATE]] == 0) row += gridDim.y;
    return row;
  };
  auto reader_of = [&](int row, int part) {
    Gradient reader = gradient_of(table, row, pixels, grads, planes, dy, a, b, c0);
    reader.begin(window.first + part * KEEP, part * KEEP + threadIdx.x % (KEEP / 8) * 8);
    return reader;
  };
  auto copy = [&](int row, int part) {
    Gradient reader = reader_of(row, part);
    u32 to = shared_address(own);
#pragma unroll
    for (int i = 0; i < SLOTS; i++)
      if (kept.inside >> i & 1) {
        copy_sixteen(to + 2 * i * 4096, reader.g + (long)kept.from[i] * 2, true);
        copy_sixteen(to + (2 * i + 1) * 4096, reader.y + (long)kept.from[i] * 2, true);
      }
  };

  int row = live(begin + share), part = 0;
  if (row < rows) copy(row, part);
#pragma unroll 1
  while (row < rows) {
    Gradient reader = reader_of(row, part);
    reader.prepare();
    copies_arrive();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < SLOTS; i++) {
      if (!(kept.inside >> i & 1)) continue; // zeros stay
      uint4 v = reader.formed(*(const uint4*)(own + 2 * i * 4096), *(const uint4*)(own + (2 * i + 1) * 4096));
      *(uint4*)(shared + kept.to[i]) = v;
      if (stored >> i & 1) reader.store(kept.from[i], v);
    }
    bool last = part + 1 == PARTS;
    int next = last ? live(row + gridDim.y) : row, next_part = last ? 0 : part + 1;
    if (next < rows) copy(next, next_part);
    __syncthreads();

    const int* group = groups + row * GROUP_COLUMNS;
    int side = group[SIDE], dilation = group[DILATION];
    const uint4* weights = dense + row * ROW + part * (KEEP / 16) * INPUTS + block * BLOCK + (threadIdx.x & 31);
#if STRIDE == 1
    add_taps<N>(total, weights, p, side, dilation, -1);
#else
    if (dilation & 1) add_parity<N, 2>(total, weights, p, parity, side, dilation);
    else if (parity == 0) add_parity<N, 1>(total, weights, p, parity, side, dilation); // all taps reach the same pixels
#endif
    row = next, part = next_part;
  }

  // Where a lane's results belong in the state, or -1.
  long at[2 * HALVES];
#pragma unroll
  for (int ij = 0; ij < 2 * HALVES; ij++) {
    int pixel = (threadIdx.x >> 5) * 16 * HALVES + ij * 8 + ((threadIdx.x & 31) >> 2);
    int rest = pixel & ((1 << s.lt) - 1);
    int image = t.image + (pixel >> s.lt), line = t.row + (rest >> s.lwo), column = rest & (s.wo - 1);
    line = line * STRIDE + (parity >> 1), column = column * STRIDE + (parity & 1);
    long number = (((long)image * s.h + line) * s.w + column) * C + block * 16 + (threadIdx.x & 3) * 4;
    at[ij] = image < s.batch ? number : -1;
  }
  long numbers = (long)s.batch * s.h * s.w * C;
  parts += is_second * gridDim.y * numbers;
  if (gridDim.y > 1) {
#pragma unroll
    for (int ij = 0; ij < 2 * HALVES; ij++)
#pragma unroll
      for (int n = 0; n < N; n++) {
        float v[4] = RESULTS(total, ij >> 1, ij & 1, n);
        if (at[ij] >= 0) *(float4*)(parts + share * numbers + at[ij] + n * 16) = make_float4(v[0], v[1], v[2], v[3]);
      }
    if (!is_last(counters + blockIdx.z * gridDim.x + blockIdx.x, gridDim.y)) return;
    clear<N>(total);
#pragma unroll 1
    for (int i = 0; i < gridDim.y; i++)
#pragma unroll
      for (int ij = 0; ij < 2 * HALVES; ij++)
#pragma unroll
        for (int n = 0; n < N; n++) {
          float4 part = __ldcg((const float4*)(parts + i * numbers + max(at[ij], 0l) + n * 16));
          total[ij >> 1][2 * n][2 * (ij & 1)] += part.x, total[ij >> 1][2 * n][2 * (ij & 1) + 1] += part.y;
          total[ij >> 1][2 * n + 1][2 * (ij & 1)] += part.z, total[ij >> 1][2 * n + 1][2 * (ij & 1) + 1] += part.w;
        }
  }
  const char* x = is_second ? x1 : x0;
  char* out = is_second ? out1 : out0;
#pragma unroll
  for (int ij = 0; ij < 2 * HALVES; ij++)
#pragma unroll
    for (int n = 0; n < N; n++) {
      if (at[ij] < 0) continue;
      long here = at[ij] + n * 16;
      float v[4] = RESULTS(total, ij >> 1, ij & 1, n);
      uint2 state = *(const uint2*)(x + here * 2), before = *(const uint2*)(out + here * 2);
      float f[4] = {low(state.x), high(state.x), low(state.y), high(state.y)};
      float o[4] = {low(before.x), high(before.x), low(before.y), high(before.y)};
#pragma unroll
      for (int c = 0; c < 4; c++) o[c] += f[c] > 0 ? v[c] : 0;
      *(uint2*)(out + here * 2) = make_uint2(pack(o[0], o[1]), pack(o[2], o[3]));
    }
}
