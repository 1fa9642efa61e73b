// Terms of nodes as tables list them.
//
// Their rows stand in groups of TERMS, -1 where there is none: first those of edges whose pools are formed from the
// edge's state, a group for each, then all others, of planes and states that are read as they are.

enum { FORM, PLACE, STATE, PLANE };        // the first columns of a table of terms; GATE is the same as in a row
enum { NORMALIZED, IS_STATE, IS_PLAIN };   // forms
enum { MAXIMUM, AVERAGE, ITSELF, TERMS };  // places in the group of an edge

// Where the state or the plane of a term begins; of a pool that is formed, its state.
__device__ __forceinline__ const char* start_of(
    const int* term, const char* x0, const char* x1, const char* nodes, const char* planes, long pixels, bool pooled) {
  if (!pooled && term[FORM] != IS_STATE) return planes + term[PLANE] * pixels * C * 2;
  int state = term[STATE];
  return state >= 0 ? nodes + state * pixels * C * 2 : state == -1 ? x0 : x1;
}

// Return a row of a group, or -1 where there is none or its gate is 0.
__device__ __forceinline__ int live_row(const int* groups, int at, const int* table, const float* gates) {
  int row = groups[at];
  return row >= 0 && gates[table[row * COLUMNS + GATE]] != 0 ? row : -1;
}
