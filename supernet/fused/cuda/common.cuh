// Common parts of the CUDA kernels: types, products on the tensor cores, sums over a block.

typedef unsigned int u32;
typedef unsigned long long u64;

enum { KIND, SLOT, SOURCE, TARGET, GATE, BEHIND, COLUMNS };         // of a table of rows
enum { FIRST, ROWS, SIDE, DILATION, INVERSE, GROUP_COLUMNS };       // of a table of groups

// Weights of the kinds of convolutions of a launch.
struct Kinds {
  const float* depthwise[16];
  const float* pointwise[16];
  u64 factorized; // a bit for each kind that is a factorized reduction
};

// ---- numbers ----

#if FLOAT16
#define STORAGE "f16"
constexpr u32 ONES = 0x3c003c00u; // twice 1
__device__ __forceinline__ float low(u32 v) {
  float f;
  asm("{ .reg .b16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, a; }" : "=f"(f) : "r"(v));
  return f;
}
__device__ __forceinline__ float high(u32 v) {
  float f;
  asm("{ .reg .b16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, b; }" : "=f"(f) : "r"(v));
  return f;
}
#else
#define STORAGE "bf16"
constexpr u32 ONES = 0x3f803f80u; // twice 1
__device__ __forceinline__ float low(u32 v) { return __uint_as_float(v << 16); }
__device__ __forceinline__ float high(u32 v) { return __uint_as_float(v & 0xffff0000u); }
#endif

__device__ __forceinline__ u32 pack(float a, float b) {
  u32 v;
  asm("cvt.rn." STORAGE "x2.f32 %0, %1, %2;" : "=r"(v) : "f"(b), "f"(a));
  return v;
}

// The larger ones of two pairs of numbers; as PyTorch's maximum and ReLU, it keeps what is not a number.
__device__ __forceinline__ u32 larger(u32 a, u32 b) {
  u32 r;
  asm("max.NaN." STORAGE "x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

__device__ __forceinline__ u32 rectified(u32 v) { return larger(v, 0); }

__device__ __forceinline__ float rectified(float v) {
  float r;
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(r) : "f"(v));
  return r;
}

// 1 / the number of a window's rows, or columns, by whether those around the middle one exist.
__device__ __forceinline__ float share_of(bool before, bool behind) {
  return before && behind ? 1 / 3.f : before || behind ? 1 / 2.f : 1;
}

// Hide from the compiler where a number comes from: it is then kept in a register, instead of computed again.
template <typename T> __device__ __forceinline__ void keep_in_register(T& v) {
  if constexpr (sizeof(v) == 8) asm volatile("" : "+l"(v));
  else asm volatile("" : "+r"(v));
}

// ---- shared memory ----

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Begin to copy 16 bytes to shared memory, or write zeros, which reads nothing.
__device__ __forceinline__ void copy_sixteen(u32 to, const char* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

// Wait for the copies that this thread began.
__device__ __forceinline__ void copies_arrive() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// ---- tensor cores ----

__device__ __forceinline__ void load_matrices(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

__device__ __forceinline__ void load_transposed(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

__device__ __forceinline__ void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." STORAGE "." STORAGE
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Transpose a matrix of 8x8 numbers; each lane has two neighbours of a row.
__device__ __forceinline__ u32 transposed(u32 v) {
  u32 r;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
  return r;
}

// Add, for 8 columns of 16 pixels, the second numbers of each pixel and their products with the first; both are given
// as two matrices of 8 pixels, transposed. The sums of column n are in lane 4 n + n / 2, the products' on a diagonal.
__device__ __forceinline__ void add_sums(float (&d)[4], u32 first0, u32 first1, u32 second0, u32 second1) {
  multiply(d, {first0, ONES, first1, ONES}, second0, second1);
}

// The sums of the column that is the lane's own: of the numbers and of the products.
__device__ __forceinline__ void own_sums(float& numbers, float& products, const float (&d)[4]) {
  bool odd = threadIdx.x & 4;
  numbers = odd ? d[3] : d[2], products = odd ? d[1] : d[0];
}

// ---- sums over a block ----

// Return whether this block is the last of `all` that call this with a counter, which is 0 before and after. The last
// can read what the others wrote, by `__ldcg`. What it sums so is summed in the order of its own loop, whichever it is.
__device__ __forceinline__ bool is_last(int* counter, int all) {
  __shared__ int last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1) == all - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  bool found = last;
  if (found) __threadfence();
  return found;
}

// Add up two numbers of each column over the threads whose numbers differ by multiples of WIDTH, the number of columns;
// threads beyond the last multiple are left out. `scratch` holds two numbers for each of the 256 threads.
template <int WIDTH> __device__ __forceinline__ void over_threads(float& first, float& second, float* scratch) {
  scratch[threadIdx.x] = first, scratch[256 + threadIdx.x] = second;
  __syncthreads();
  first = second = 0;
#pragma unroll
  for (int other = 0; other + WIDTH <= 256; other += WIDTH) {
    first += scratch[other + threadIdx.x % WIDTH];
    second += scratch[256 + other + threadIdx.x % WIDTH];
  }
}

// Add each of 2 COUNT values to that of the lane whose number differs in one bit; a lane keeps half of the sums, from 0
// or from COUNT on.
template <int COUNT> __device__ __forceinline__ void halve(float* v, int bit) {
  bool upper = threadIdx.x & bit;
#pragma unroll
  for (int i = 0; i < COUNT; i++) {
    float own = upper ? v[COUNT + i] : v[i], other = upper ? v[i] : v[COUNT + i];
    v[i] = own + __shfl_xor_sync(~0u, other, bit);
  }
}

// Add up over a block of 8 warps what each has of 16 columns for each of BLOCKS by `add_sums`, whose own numbers a lane
// has: of column n of the pairs that begin at 4 i, and of those at 4 i + 2. Thread t gets the sums of column t, of the
// numbers and of the products. `scratch` holds 16 numbers for each column.
template <int BLOCKS>
__device__ __forceinline__ void over_block(
    const float (&own)[BLOCKS][4], float* scratch, float& numbers, float& products) {
  constexpr int WIDTH = 16 * BLOCKS;
  int warp = threadIdx.x >> 5, n = (threadIdx.x & 31) >> 2;
  if ((threadIdx.x & 3) == n >> 1)
#pragma unroll
    for (int i = 0; i < 2 * BLOCKS; i++) {
      float* to = scratch + warp * 2 * WIDTH + i / 2 * 16 + (n >> 1) * 4 + i % 2 * 2 + (n & 1);
      to[0] = own[i / 2][i % 2 * 2], to[WIDTH] = own[i / 2][i % 2 * 2 + 1];
    }
  __syncthreads();
  numbers = products = 0;
  if (threadIdx.x < WIDTH)
#pragma unroll
    for (int other = 0; other < 8; other++) {
      numbers += scratch[other * 2 * WIDTH + threadIdx.x];
      products += scratch[(other * 2 + 1) * WIDTH + threadIdx.x];
    }
}
