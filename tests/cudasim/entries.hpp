// How Python calls kernels: their parameters' types, and a function for each that runs it.
#pragma once

namespace sim {

// One letter for the kind, one for the size, '*' before what a pointer points to.
template <class V> struct Code {
  static char *write(char *to) {
    if constexpr (__is_class(V)) {
      *to++ = '?';
    } else {
      *to++ = (V)0.5 != (V)0 ? 'f' : (V)-1 > (V)0 ? 'u' : 'i';
      *to++ = (char)('0' + sizeof(V));
    }
    return to;
  }
};
template <> struct Code<bool> {
  static char *write(char *to) { *to++ = 'b'; *to++ = '1'; return to; }
};
template <> struct Code<__half> {
  static char *write(char *to) { *to++ = 'f'; *to++ = '2'; return to; }
};
template <> struct Code<void> {
  static char *write(char *to) { *to++ = '?'; return to; }
};
template <class V> struct Code<const V> : Code<V> {};
template <class V> struct Code<V *> {
  static char *write(char *to) { *to++ = '*'; return Code<V>::write(to); }
};

template <int... K> struct Numbers {};
template <int N, int... K> struct UpTo : UpTo<N - 1, N - 1, K...> {};
template <int... K> struct UpTo<0, K...> { typedef Numbers<K...> type; };

template <auto KERNEL> struct Call;
template <class... A, void (*KERNEL)(A...)> struct Call<KERNEL> {
  template <int... K> static void spread(void **args, Numbers<K...>) {
    KERNEL(*(A *)args[K]...);
  }
  static void body(void **args) { spread(args, typename UpTo<(int)sizeof...(A)>::type()); }
  static const char *types() {
    static char text[16 * (sizeof...(A) + 1)];
    char *to = text;
    ((to = Code<A>::write(to), *to++ = ' '), ...);
    *to = 0;
    return text;
  }
};

}  // namespace sim

#define SIM_KERNEL(name)                                                                           \
  extern "C" const char *sim_types_##name() { return sim::Call<&name>::types(); }                  \
  extern "C" const char *sim_run_##name(const unsigned *grid, const unsigned *block,               \
                                        unsigned shared, int order, char *stacks, void **args) {   \
    return sim::run(grid, block, shared, order, stacks, sim::Call<&name>::body, args);             \
  }
