// Products of a tile of images with the weights of a dense convolution, tap by tap, on the tensor cores.

// A warp computes HALVES times 16 pixels of a tile, a block of 8 warps PIXELS. KEEP channels are kept at a time. SPLIT
// blocks share the output channels of a row. SAME_DILATION is that of all convolutions of a launch, or 0.
constexpr int PIXELS = 128 * HALVES;
constexpr int PARTS = C / KEEP;

// How many of a tile's pixels exist.
__device__ __forceinline__ int pixels_in(int tile, long pixels) {
  return WHOLE ? PIXELS : (int)min((long)PIXELS, pixels - (long)tile * PIXELS);
}

// Where a lane's pixels of a tile begin to read in shared memory: number l % 16 of each half, 8 channels from l / 16.
struct Pixels {
  u32 at[HALVES];
};

__device__ __forceinline__ Pixels pixels_of(const Shape& s, u32 tile, int stride) {
  Pixels p;
#pragma unroll
  for (int i = 0; i < HALVES; i++) {
    int pixel = (threadIdx.x >> 5) * 16 * HALVES + i * 16 + (threadIdx.x & 15);
    int image = pixel >> s.lt, rest = pixel & ((1 << s.lt) - 1);
    int row = image * s.stored + (rest >> s.lwo) * stride + s.reach;
    int column = (rest & (s.wo - 1)) * stride + s.reach;
    p.at[i] = tile + (row * s.columns + column) * PITCH<KEEP> + (threadIdx.x >> 4 & 1) * 16;
  }
  return p;
}

// Weights of a dense convolution, 16 bytes for each lane: (row, tap, input block, output block, lane).
constexpr int BLOCK = 32, INPUTS = BLOCKS * BLOCK, TAP = BLOCKS * INPUTS, ROW = TAPS * TAP;

// Where the weights of column block n begin, behind those of block 0: the blocks of a row, then those of the next.
__device__ constexpr int block_at(int n) { return n / BLOCKS * ROW + n % BLOCKS * BLOCK; }

template <int N> __device__ __forceinline__ void load_weights(uint4 (&b)[N], const uint4* from) {
#pragma unroll
  for (int n = 0; n < N; n++) b[n] = __ldg(from + block_at(n));
}

// Add the products of one tap, `move` bytes away, for N blocks of 16 columns. `b` holds the weights of the first input
// block, which stand at `weights`; it gets those of the next tap, which is NEXT taps further.
template <int N, int NEXT = 1>
__device__ __forceinline__ void add_tap(
    float (&total)[HALVES][2 * N][4], uint4 (&b)[N], const uint4* weights, const Pixels& p, int move) {
#pragma unroll
  for (int k = 0; k < KEEP / 16; k++) {
    uint4 now[N];
#pragma unroll
    for (int n = 0; n < N; n++) now[n] = b[n];
    load_weights(b, weights + (k == KEEP / 16 - 1 ? NEXT * TAP : (k + 1) * INPUTS));
#pragma unroll
    for (int i = 0; i < HALVES; i++) {
      u32 a[4];
      load_matrices(a, p.at[i] + move + k * 32);
#pragma unroll
      for (int n = 0; n < N; n++) {
        multiply(total[i][2 * n], a, now[n].x, now[n].y);
        multiply(total[i][2 * n + 1], a, now[n].z, now[n].w);
      }
    }
  }
}

// Add the products of the taps of a kernel of SIDE lines, whose weights begin at `weights`; `sign` is -1 on the way
// back. The weights of one tap more than there are, are read and not used.
template <int N, int SIDE>
__device__ __forceinline__ void add_square(
    float (&total)[HALVES][2 * N][4], const uint4* weights, const Pixels& p, int dilation, int sign) {
  uint4 b[N];
  load_weights(b, weights);
  int across = dilation * sign * PITCH<KEEP>, down = across * Shape::columns, move = -(SIDE / 2) * (down + across);
#pragma unroll 1
  for (int line = 0; line < SIDE; line++, move += down, weights += SIDE * TAP)
#pragma unroll(N * KEEP < 128 ? SIDE : 1) // more products at once leave too few registers
    for (int i = 0; i < SIDE; i++) add_tap<N>(total, b, weights + i * TAP, p, move + i * across);
}

template <int N>
__device__ __forceinline__ void add_taps(
    float (&total)[HALVES][2 * N][4], const uint4* weights, const Pixels& p, int side, int dilation, int sign) {
  if (SAME_DILATION) dilation = SAME_DILATION; // then the compiler knows the distances of taps
  if (side == 5) add_square<N, 5>(total, weights, p, dilation, sign);
  else if (side == 3) add_square<N, 3>(total, weights, p, dilation, sign);
  else add_square<N, 1>(total, weights, p, dilation, sign);
}

typedef Pieces<KEEP, 256> Kept;

template <typename Reader>
__device__ __forceinline__ void keep(char* shared, Reader& reader, const Shape& s, const Window& w) {
  if (ROUNDS == 1) {
    Kept p(s, 0, w);
    copy(shared, reader, p);
    reader.prepare();
    copies_arrive();
    return form(shared, reader, p);
  }
#pragma unroll 1
  for (int round = 0; round < ROUNDS; round++) copy(shared, reader, Kept(s, round, w));
  reader.prepare();
  copies_arrive();
#pragma unroll 1
  for (int round = 0; round < ROUNDS; round++) form(shared, reader, Kept(s, round, w));
}

__device__ __forceinline__ void keep(char* shared, Gradient& reader, const Shape& s, const Window& w) {
  reader.prepare();
#pragma unroll 1
  for (int round = 0; round < ROUNDS; round++) {
    int unknown = round; // to the compiler, which would keep pieces from one part of the channels to the next: too many
    if (PARTS > 1) asm volatile("" : "+r"(unknown));
    keep(shared, reader, Kept(s, unknown, w));
  }
}

// Add the products of a tile of images, KEEP channels after the other. `top` is the input's row that is kept first;
// `taps` adds those of the channels that are kept, whose weights begin at its argument.
template <typename Reader, typename Taps>
__device__ __forceinline__ void add_image(
    char* shared, const Reader& given, const Shape& s, int h, int lw, const Tile& t, int top, const uint4* weights,
    Taps taps) {
  Window window = window_of(s, t, h, lw, top);
#pragma unroll 1
  for (int part = 0; part < PARTS; part++, weights += KEEP / 16 * INPUTS) {
    Reader reader = given;
    reader.begin(window.first + part * KEEP, part * KEEP + threadIdx.x % (KEEP / 8) * 8);
    __syncthreads();
    keep(shared, reader, s, window);
    __syncthreads();
    taps(weights);
  }
}

template <int N> __device__ __forceinline__ void clear(float (&total)[HALVES][2 * N][4]) {
#pragma unroll
  for (int i = 0; i < HALVES; i++)
#pragma unroll
    for (int n = 0; n < 2 * N; n++)
#pragma unroll
      for (int c = 0; c < 4; c++) total[i][n][c] = 0;
}

// The 4 results of a lane for a block of columns, in pixel 16 i + 8 j + lane / 4 of its warp.
#define RESULTS(total, i, j, n) \
  {total[i][2 * (n)][2 * (j)], total[i][2 * (n)][2 * (j) + 1], total[i][2 * (n) + 1][2 * (j)], \
   total[i][2 * (n) + 1][2 * (j) + 1]}
