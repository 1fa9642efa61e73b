// Weights of separable convolutions multiplied out to those of dense ones.
//
// The weights of a tap, a matrix, are laid out as the tensor cores take them: for each block of 16 output and 16 input
// channels, 16 bytes for each lane. A lane's results are then 4 consecutive channels of a pixel.

constexpr int MAX_KINDS = 64;

struct Weights {
  const float* depthwise[MAX_KINDS];
  const float* pointwise[MAX_KINDS];
  int sides[MAX_KINDS];
  u64 factorized; // a bit for each kind that is a factorized reduction
};

// Write each row's matrices, (row, tap, input block, output block, lane) of 8 numbers; TRANSPOSED: of the way back.
extern "C" __global__ void dense_weights(uint4* dense, const int* table, const __grid_constant__ Weights kinds) {
  int row = blockIdx.x, tap = blockIdx.y, kind = table[row * COLUMNS + KIND], slot = table[row * COLUMNS + SLOT];
  int all = kinds.sides[kind] * kinds.sides[kind];
  if (tap >= all) return;
  const float* depthwise = kinds.depthwise[kind] + (long)slot * C * all + tap;
  const float* pointwise = kinds.pointwise[kind] + (long)slot * C * C;
  bool is_factorized = kinds.factorized >> kind & 1;
  auto weight = [&](int n, int k) { // of output n and input k
    if (!is_factorized) return depthwise[k * all] * pointwise[n * C + k];
    if (tap != (n < C / 2 ? 4 : 8)) return 0.f;
    return n < C / 2 ? kinds.depthwise[kind][(slot * C / 2 + n) * C + k]
                     : kinds.pointwise[kind][(slot * C / 2 + n - C / 2) * C + k];
  };
  constexpr int BLOCKS = C / 16;
  for (int at = threadIdx.x; at < BLOCKS * BLOCKS * 32; at += blockDim.x) {
    int lane = at & 31, output = at / 32 % BLOCKS * 16, input = at / 32 / BLOCKS * 16;
    u32 found[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int o = output + (lane >> 3) * 4 + (i >> 1) * 2 + (lane >> 2 & 1), k = input + (lane & 3) * 2 + (i & 1) * 8;
#if TRANSPOSED
      found[i] = pack(weight(k, o), weight(k + 1, o));
#else
      found[i] = pack(weight(o, k), weight(o, k + 1));
#endif
    }
    dense[((long)row * gridDim.y + tap) * BLOCKS * BLOCKS * 32 + at] =
        make_uint4(found[0], found[1], found[2], found[3]);
  }
}
