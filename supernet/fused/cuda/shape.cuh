// Sizes of a launch, and the tiles of images that its blocks work on.

__device__ constexpr int log_of(int power) { return power < 2 ? 0 : 1 + log_of(power / 2); }

// Sizes of a launch: of the images that are read and of the outputs, whose widths are powers of two. A tile is 2^lt
// outputs of each of `images` images: `rows` rows of it. What they read are `stored` rows of `columns` pixels, with a
// border of `reach` pixels.
struct Shape {
  int batch;
  static constexpr int h = SIZE_H, w = SIZE_W, lw = log_of(w), ho = SIZE_HO, wo = SIZE_WO, lwo = log_of(wo);
  static constexpr int rows = SIZE_ROWS, lt = log_of(rows * wo), images = SIZE_IMAGES, stored = SIZE_STORED;
  static constexpr int columns = SIZE_COLUMNS, reach = SIZE_REACH;
};

// Whether all pixels of a tile exist, whatever the batch's size.
constexpr bool WHOLE = Shape::images == 1;

struct Tile {
  int image, row; // first image and first output row
};

__device__ __forceinline__ Tile tile_of(const Shape& s, int number) {
  if (s.images > 1) return {number * s.images, 0};
  constexpr int each = Shape::ho / Shape::rows;
  return {number / each, number % each * s.rows};
}
