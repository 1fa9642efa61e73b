// The gradients of states through the convolutions that read them, on the tensor cores.

constexpr int PARITIES = STRIDE * STRIDE; // of a state's pixels, by row and column

#if STRIDE == 2
// Add the products of the taps of an odd dilation by which a gradient's pixel reaches pixels of one parity: every
// second of a line, and of the lines. The weights of one more are read and not used.
template <int N, int SIDE, int PARITY>
__device__ __forceinline__ void add_parity(
    float (&total)[HALVES][2 * N][4], const uint4* weights, const Pixels& p, int dilation) {
  constexpr int MIDDLE = SIDE / 2, ROW_ODD = PARITY >> 1, COLUMN_ODD = PARITY & 1;
  constexpr int FIRST_COLUMN = COLUMN_ODD + MIDDLE & 1;
#pragma unroll 1
  for (int line = ROW_ODD + MIDDLE & 1; line < SIDE; line += 2) {
    int down = (ROW_ODD - (line - MIDDLE) * dilation) / 2;
    const uint4* from = weights + line * SIDE * TAP;
    uint4 b[N];
    load_weights(b, from + FIRST_COLUMN * TAP);
#pragma unroll(N * KEEP < 128 ? SIDE : 1)
    for (int column = FIRST_COLUMN; column < SIDE; column += 2) {
      int across = (COLUMN_ODD - (column - MIDDLE) * dilation) / 2;
      add_tap<N, 2>(total, b, from + column * TAP, p, (down * Shape::columns + across) * PITCH<KEEP>);
    }
  }
}

template <int N, int SIDE>
__device__ __forceinline__ void add_parities(
    float (&total)[PARITIES][HALVES][2 * N][4], const uint4* weights, const Pixels& p, int dilation) {
  add_parity<N, SIDE, 0>(total[0], weights, p, dilation), add_parity<N, SIDE, 1>(total[1], weights, p, dilation);
  add_parity<N, SIDE, 2>(total[2], weights, p, dilation), add_parity<N, SIDE, 3>(total[3], weights, p, dilation);
}
#endif

// Call a function with all results of a lane: those of both parts of a block of columns, the first's number among four,
// and the number of the first in the state, of which `at` has those of parity 0, or -1 where there is no pixel.
template <int N, typename Todo>
__device__ __forceinline__ void for_all(
    float (&total)[PARITIES][HALVES][2 * N][4], const long (&at)[2 * HALVES], Todo todo) {
#pragma unroll
  for (int parity = 0; parity < PARITIES; parity++)
#pragma unroll
    for (int ij = 0; ij < 2 * HALVES; ij++)
#pragma unroll
      for (int n = 0; n < N; n++) {
        float(&v)[4] = total[parity][ij >> 1][2 * n], (&w)[4] = total[parity][ij >> 1][2 * n + 1];
        long here = at[ij] + ((parity >> 1) * Shape::w + (parity & 1)) * C + n * 16;
        if (at[ij] >= 0) todo(v, w, 2 * (ij & 1), here);
      }
}

// Add the gradient of the state `x0` to `out0`, masked by its ReLU, and that of `x1` to `out1`: the rows of the first
// stand before `second`, those of the other from there on. A block sums over one of several shares of a state's rows,
// as float32, (state, share, pixel, channel); the last block of a tile adds up the shares. With stride 2 a gradient's
// pixel reaches pixels of each parity of row and column by taps of that parity. The planes' gradients are stored in
// `dy`, unless it is null, by the first of the blocks that form them.
extern "C" __global__ void __launch_bounds__(256, STRIDE == 1 ? 3 : 2) state_gradient(
    const char* x0, const char* x1, const char* planes, const char* grads, char* out0, char* out1, char* dy,
    float* parts, int* counters, const uint4* dense, const int* table, const int* groups, const float* gates,
    const float* a, const float* b, const float* c0, int batch, int second, int all) {
  extern __shared__ __align__(128) char shared[];
  const Shape s = {batch};
  constexpr int N = BLOCKS / SPLIT;
  int share = blockIdx.y, block = blockIdx.z % SPLIT * N;
  bool is_second = blockIdx.z >= SPLIT;
  int begin = is_second ? second : 0, rows = is_second ? all : second; // the state's, up to `rows`
  Tile t = tile_of(s, blockIdx.x);
  long pixels = (long)s.batch * s.ho * s.wo;
  float total[PARITIES][HALVES][2 * N][4];
  clear<KEEP, 256>(shared);
#pragma unroll
  for (int parity = 0; parity < PARITIES; parity++) clear<N>(total[parity]);
  Pixels p = pixels_of(s, shared_address(shared), 1);

  Window window = window_of(s, t, s.ho, s.lwo, t.row - s.reach);
  Kept kept(s, 0, window);
  int part = 0;
#pragma unroll 1
  for (int row = begin + share; row < rows;) {
    if (gates[table[row * COLUMNS + GATE]] == 0) {
      row += gridDim.y;
      continue;
    }
    Gradient reader = gradient_of(table, row, pixels, grads, planes, block ? 0 : dy, a, b, c0);
    reader.begin(window.first + part * KEEP, part * KEEP + threadIdx.x % (KEEP / 8) * 8);
    __syncthreads();
    reader.prepare();
    if (ROUNDS == 1) keep(shared, reader, kept);
    else keep(shared, reader, s, window);
    __syncthreads();

    const int* group = groups + row * GROUP_COLUMNS;
    int side = group[SIDE], dilation = group[DILATION];
    const uint4* weights = dense + row * ROW + part * (KEEP / 16) * INPUTS + block * BLOCK + (threadIdx.x & 31);
#if STRIDE == 1
    add_taps<N>(total[0], weights, p, side, dilation, -1);
#else
    if (dilation % 2 == 0) add_taps<N>(total[0], weights, p, side, dilation / 2, -1); // all taps reach the same pixels
    else if (side == 5) add_parities<N, 5>(total, weights, p, dilation);
    else if (side == 3) add_parities<N, 3>(total, weights, p, dilation);
    else add_parities<N, 1>(total, weights, p, dilation);
#endif
    part++;
    if (part == PARTS) part = 0, row += gridDim.y;
  }

  // Where a lane's results belong in the state, those of parity 0, or -1.
  long at[2 * HALVES];
#pragma unroll
  for (int ij = 0; ij < 2 * HALVES; ij++) {
    int pixel = (threadIdx.x >> 5) * 16 * HALVES + ij * 8 + ((threadIdx.x & 31) >> 2);
    int rest = pixel & ((1 << s.lt) - 1);
    int image = t.image + (pixel >> s.lt), line = t.row + (rest >> s.lwo), column = rest & (s.wo - 1);
    long number = (((long)image * s.h + line * STRIDE) * s.w + column * STRIDE) * C;
    at[ij] = image < s.batch ? number + block * 16 + (threadIdx.x & 3) * 4 : -1;
  }
  long numbers = (long)s.batch * s.h * s.w * C;
  parts += is_second * gridDim.y * numbers;
  if (gridDim.y > 1) {
    for_all<N>(total, at, [&](float (&v)[4], float (&w)[4], int j, long here) {
      *(float4*)(parts + share * numbers + here) = make_float4(v[j], v[j + 1], w[j], w[j + 1]);
      v[j] = v[j + 1] = w[j] = w[j + 1] = 0;
    });
    if (!is_last(counters + blockIdx.z * gridDim.x + blockIdx.x, gridDim.y)) return;
#pragma unroll 1
    for (int i = 0; i < gridDim.y; i++)
      for_all<N>(total, at, [&](float (&v)[4], float (&w)[4], int j, long here) {
        float4 part = __ldcg((const float4*)(parts + i * numbers + here));
        v[j] += part.x, v[j + 1] += part.y, w[j] += part.z, w[j + 1] += part.w;
      });
  }
  const char* x = is_second ? x1 : x0;
  char* out = is_second ? out1 : out0;
  for_all<N>(total, at, [&](float (&v)[4], float (&w)[4], int j, long here) {
    uint2 state = *(const uint2*)(x + here * 2), before = *(const uint2*)(out + here * 2);
    float o[4] = {low(before.x), high(before.x), low(before.y), high(before.y)};
    o[0] += low(state.x) > 0 ? v[j] : 0, o[1] += high(state.x) > 0 ? v[j + 1] : 0;
    o[2] += low(state.y) > 0 ? w[j] : 0, o[3] += high(state.y) > 0 ? w[j + 1] : 0;
    *(uint2*)(out + here * 2) = make_uint2(pack(o[0], o[1]), pack(o[2], o[3]));
  });
}
