// The 3x3 pools of states, formed in registers from tiles of the states in shared memory.
//
// A tile is some rows of an image, or several whole images. Of each image one row more is kept above and below, and
// between all rows one column, zeros where there is no pixel. A thread has a patch: 8 channels, which is a piece, of
// two pixels, one below the other. Without SIZE_W no pools are formed, and the pieces of a tile are just in a row.

constexpr int THREADS = 256;
constexpr int CHUNKS = C / 8;  // pieces of a pixel
constexpr int ROW = SIZE_W ? SIZE_W * CHUNKS : PATCHES, LINES = 2 * PATCHES / ROW;  // pieces of a row, rows of a tile

__device__ __forceinline__ uint4 load(const char* from, int piece) { return __ldg((const uint4*)from + piece); }

#if SIZE_W
constexpr int IMAGES = LINES > SIZE_H ? LINES / SIZE_H : 1, HEIGHT = LINES / IMAGES, STORED = IMAGES * (HEIGHT + 2);
// Bytes from one pixel to the next. Sums over pixels have a half of 64 channels of each: two lie in different banks.
constexpr int PIXEL = C * 2 + (FORWARD || C < 64 ? 0 : 64);
constexpr int LINE = (SIZE_W + 1) * PIXEL, TILE_BYTES = STORED * LINE + PIXEL;
constexpr bool WHOLE = IMAGES == 1;  // whether all rows of a tile exist, whatever the batch's size

// The row of its image that a tile's row is; `line` is that of the part of an image that the tile has.
__device__ __forceinline__ int row_of_image(int number, int line) {
  constexpr u32 TILES = SIZE_H / HEIGHT;
  return TILES > 1 ? (int)((u32)number % TILES) * HEIGHT + line : line;
}

// Begin to copy the tile of this number of some states, one behind the other; `rows` are those of the whole batch.
__device__ __forceinline__ void copy_tiles(char* to, const char* const* states, int count, int number, int rows) {
  constexpr int AT_ONCE = THREADS / ROW, TURNS = (STORED + AT_ONCE - 1) / AT_ONCE;
  int first = threadIdx.x / ROW, piece = threadIdx.x % ROW;
  u32 at = shared_address(to) + (first * (SIZE_W + 1) + piece / CHUNKS + 1) * PIXEL + piece % CHUNKS * 16;
  long begin = (long)number * (LINES * ROW * 16);
#pragma unroll
  for (int i = 0; i < TURNS; i++) {
    int stored = i * AT_ONCE + first, image = IMAGES > 1 ? stored / (HEIGHT + 2) : 0;
    int line = stored - image * (HEIGHT + 2) - 1, row = image * HEIGHT + line;
    bool inside = (u32)row_of_image(number, line) < SIZE_H && (WHOLE || number * LINES + row < rows);
    if (i < TURNS - 1 || STORED % AT_ONCE == 0 || stored < STORED)
      for (int state = 0; state < count; state++)
        copy_sixteen(at + state * TILE_BYTES + i * AT_ONCE * LINE,
                     states[state] + begin + (row * ROW + piece) * 16, inside);
  }
}

// Write the zeros between the rows of some tiles.
__device__ __forceinline__ void clear_borders(char* to, int count) {
  for (int at = threadIdx.x; at < (STORED + 1) * CHUNKS; at += THREADS)
    for (int tile = 0; tile < count; tile++)
      *(uint4*)(to + tile * TILE_BYTES + at / CHUNKS * LINE + at % CHUNKS * 16) = make_uint4(0, 0, 0, 0);
}

__device__ __forceinline__ uint4 larger(uint4 a, uint4 b) {
  return make_uint4(larger(a.x, b.x), larger(a.y, b.y), larger(a.z, b.z), larger(a.w, b.w));
}

// A thread's patch: where it stands in a tile, and how far from there the nearest pixels around it are that exist.
struct Patch {
  int own, left, right, up, down;  // bytes
  float shares[2];                 // 1 / the number of pixels in the windows of both of its pixels

  __device__ __forceinline__ Patch(int patch, int number) {
    int line = patch / ROW * 2, w = patch % ROW / CHUNKS, row = row_of_image(number, line % HEIGHT);
    int stored = line + 1 + (IMAGES > 1 ? line / HEIGHT * 2 : 0);
    own = (stored * (SIZE_W + 1) + w + 1) * PIXEL + patch % CHUNKS * 16;
    left = w ? -PIXEL : 0, right = w < SIZE_W - 1 ? PIXEL : 0;
    up = row ? -LINE : 0, down = row + 2 < SIZE_H ? 2 * LINE : LINE;
    float share = share_of(left, right);
    shares[0] = share * share_of(row, true), shares[1] = share * share_of(true, row + 2 < SIZE_H);
  }

  __device__ __forceinline__ uint4 itself(const char* tile, int pixel) const {
    return *(const uint4*)(tile + own + pixel * LINE);
  }

  __device__ __forceinline__ uint4 largest_of_row(const char* at) const {
    return larger(larger(*(const uint4*)(at + left), *(const uint4*)at), *(const uint4*)(at + right));
  }

  __device__ __forceinline__ void maxima(uint4 (&found)[2], const char* tile) const {
    const char* at = tile + own;
    uint4 both = larger(largest_of_row(at), largest_of_row(at + LINE));
    found[0] = larger(largest_of_row(at + up), both), found[1] = larger(both, largest_of_row(at + down));
  }

  // The averages, as they are stored elsewhere.
  __device__ __forceinline__ void averages(uint4 (&found)[2], const char* tile) const {
    float sum[2][2][4];
    sums(sum, tile);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float *a = sum[i][0], *b = sum[i][1], share = shares[i];
      found[i] = make_uint4(pack(a[0] * share, a[1] * share), pack(a[2] * share, a[3] * share),
                            pack(b[0] * share, b[1] * share), pack(b[2] * share, b[3] * share));
    }
  }

  // The sums of both windows, on the tensor cores, which multiply by the identity.
  __device__ __forceinline__ void sums(float (&found)[2][2][4], const char* tile) const {
    int n = (threadIdx.x & 31) >> 2, k = (threadIdx.x & 3) * 2;
    u32 one = n == k ? ONES & 0xffffu : n == k + 1 ? ONES & 0xffff0000u : 0;
#pragma unroll
    for (int i = 0; i < 8; i++) found[0][i >> 2][i & 3] = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const char* line = tile + own + (i < 2 ? i : i == 2 ? -1 : 2) * LINE;
      if (i == 2)
#pragma unroll
        for (int c = 0; c < 8; c++) found[1][c >> 2][c & 3] = found[0][c >> 2][c & 3];
#pragma unroll
      for (int j = -1; j < 2; j++) {
        uint4 v = *(const uint4*)(line + j * PIXEL);
        multiply(found[i == 3][0], {v.x, v.y, v.z, v.w}, one, 0);
        multiply(found[i == 3][1], {v.x, v.y, v.z, v.w}, 0, one);
      }
    }
  }
};
#endif
